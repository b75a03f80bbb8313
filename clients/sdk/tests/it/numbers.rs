//! Numbers, sending again and numbering anew, whatever the connection does.

use std::time::Duration;

use memcloud_sdk::hem::{HemClient, NoHandler};
use proptest::prelude::*;

use crate::model::{Model, Script, config, sample};

fn run_paused<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

fn script() -> impl Strategy<Value = Script> {
    (
        prop::option::weighted(0.8, 0_usize..40),
        any::<bool>(),
        1_usize..30,
        prop::collection::vec(0_usize..40, 0..3),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(close_after, commits_at_close, ack_every, unreadable, unreachable)| {
            Script {
                close_after,
                commits_at_close,
                ack_every,
                unreadable,
                unreachable,
                ..Script::default()
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_reading_is_stored_once_whatever_the_connections_do(
        mut scripts in prop::collection::vec(script(), 0..8),
        before in 0_u64..60,
        after in 0_u64..60,
        mark in prop::sample::select(vec![0_u64, 1, 57, 1_000_000]),
        max_in_flight in 1_usize..50,
        max_batch in 1_usize..20,
    ) {
        for script in &mut scripts {
            // A cloud that waits for more than the credit allows would wait for ever.
            script.ack_every = script.ack_every.min(max_in_flight);
            if script.close_after.is_none() {
                script.ack_every = 1;
            }
            script.unreadable.dedup();
            script.unreadable.truncate(1);
        }
        let unreadable = scripts.iter().any(|script| !script.unreadable.is_empty());
        let model = Model::new(mark, scripts);
        model.with(|cloud| cloud.max_in_flight = max_in_flight);
        run_paused(async {
            let mut config = config();
            config.max_batch = max_batch;
            config.batch_from = 4;
            let (home, driver) = HemClient::new(config, model.clone(), NoHandler).unwrap();
            for content in 0..before {
                let (time, nodes) = sample(content);
                home.record(time, &nodes).unwrap();
            }
            let task = tokio::spawn(driver.run());
            for content in before..before + after {
                let (time, nodes) = sample(content);
                home.record(time, &nodes).unwrap();
                if content % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            home.drained().await;
            home.stop();
            task.await.unwrap();
            let counters = home.counters();
            prop_assert_eq!(counters.held, 0);
            // What two connections in a row could not read is given up, and said to be.
            let given_up = usize::try_from(counters.given_up).unwrap();
            let mut contents = model.contents();
            if !unreadable {
                prop_assert!(contents.is_sorted(), "the order is that of recording");
            }
            contents.sort_unstable();
            contents.dedup();
            let expected = usize::try_from(before + after).unwrap();
            prop_assert_eq!(contents.len() + given_up, expected);
            prop_assert_eq!(model.contents().len(), contents.len(), "nothing is stored twice");
            Ok(())
        })?;
        model.assert_no_offence();
    }
}

#[test]
fn a_new_board_numbers_from_where_the_cloud_stands() {
    run_paused(async {
        let model = Model::new(41, []);
        let (home, driver) = HemClient::new(config(), model.clone(), NoHandler).unwrap();
        for content in 0..3 {
            let (time, nodes) = sample(content);
            home.record(time, &nodes).unwrap();
        }
        let task = tokio::spawn(driver.run());
        home.drained().await;
        let (time, nodes) = sample(3);
        assert_eq!(home.record(time, &nodes).unwrap().0, 45);
        home.drained().await;
        home.stop();
        task.await.unwrap();
        let stored: Vec<(u64, u64)> =
            model.with(|cloud| cloud.stored.clone().into_iter().collect());
        assert_eq!(stored, [(42, 0), (43, 1), (44, 2), (45, 3)]);
        model.assert_no_offence();
    });
}

#[test]
fn after_a_gap_everything_held_is_numbered_anew() {
    run_paused(async {
        let model = Model::new(0, []);
        let (home, task) = HemClient::spawn(config(), model.clone(), NoHandler).unwrap();
        for content in 0..10 {
            let (time, nodes) = sample(content);
            home.record(time, &nodes).unwrap();
        }
        home.drained().await;
        // The cloud was restored from an old backup, and takes no jump.
        model.with(|cloud| {
            cloud.mark = 2;
            cloud.max_gap = 3;
            cloud.stored.retain(|seq, _| *seq <= 2);
        });
        home.reconnect();
        while model.with(|cloud| cloud.greetings.len()) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for content in 10..15 {
            let (time, nodes) = sample(content);
            home.record(time, &nodes).unwrap();
        }
        home.drained().await;
        home.stop();
        task.await.unwrap();
        let stored: Vec<(u64, u64)> =
            model.with(|cloud| cloud.stored.clone().into_iter().collect());
        assert_eq!(stored, [(1, 0), (2, 1), (3, 10), (4, 11), (5, 12), (6, 13), (7, 14)]);
        model.assert_no_offence();
    });
}

#[test]
fn what_cannot_be_read_is_sent_again_alone_under_a_new_number() {
    run_paused(async {
        let broken = Script { unreadable: vec![0], ..Script::default() };
        let model = Model::new(0, [broken]);
        let (home, driver) = HemClient::new(config(), model.clone(), NoHandler).unwrap();
        for content in 0..20 {
            let (time, nodes) = sample(content);
            home.record(time, &nodes).unwrap();
        }
        let task = tokio::spawn(driver.run());
        home.drained().await;
        home.stop();
        task.await.unwrap();
        model.with(|cloud| {
            assert_eq!(cloud.batches, 1, "the batch was taken apart");
            assert_eq!(cloud.singles, 20);
            let numbers: Vec<u64> = cloud.stored.keys().copied().collect();
            assert_eq!(numbers, (21..=40).collect::<Vec<_>>());
        });
        assert_eq!(model.contents(), (0..20).collect::<Vec<_>>());
        assert_eq!(home.counters().bad_frames, 1);
    });
}

#[test]
fn what_is_refused_is_dropped_and_not_sent_again() {
    run_paused(async {
        let picky = Script {
            refuses: vec![3, 4],
            close_after: Some(8),
            ack_every: 100,
            ..Script::default()
        };
        let model = Model::new(0, [picky]);
        let mut config = config();
        config.max_batch = 1;
        let (home, driver) = HemClient::new(config, model.clone(), NoHandler).unwrap();
        for content in 0..10 {
            let (time, nodes) = sample(content);
            home.record(time, &nodes).unwrap();
        }
        let task = tokio::spawn(driver.run());
        home.drained().await;
        home.stop();
        task.await.unwrap();
        assert_eq!(model.contents(), [0, 1, 2, 5, 6, 7, 8, 9]);
        assert_eq!(model.with(|cloud| cloud.refused.clone()), [3, 4]);
        assert_eq!((home.counters().refused, home.counters().acknowledged), (2, 8));
    });
}
