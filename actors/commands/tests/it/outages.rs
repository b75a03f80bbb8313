//! The store is away, or breaks in the middle.

use memcloud_commands::GetHealth;
use memcloud_domain::messages::{CommandError, Placement};
use memcloud_domain::{CommandOutcome, CommandState};

use crate::house::{SOON, order_of, switch_off, universe};

#[test]
fn while_the_store_is_away_nothing_is_taken_or_sent_and_health_says_why() {
    universe(async |house| {
        house.connect("home", 1).await;
        let record = house.request(switch_off("home")).await;
        house.store.go_away();
        let began = house.now();
        let answer = house.try_request(vec![switch_off("home")]).await;
        let Err(CommandError::Unavailable(unavailable)) = answer else { panic!("{answer:?}") };
        assert!(unavailable.to_string().contains("the disk is full"));
        assert!(house.now().since(began).as_secs() <= 10, "whoever asks waits a bounded time");
        assert!(house.try_place(vec![order_of(&record)]).await.is_err());
        assert_eq!(house.sent(), []);
        let health = house.processor.ask(GetHealth, SOON).await.unwrap();
        assert_eq!(health.away.unwrap().reason, "the disk is full");
        assert!(health.away_for.as_secs() >= 5);

        house.store.come_back();
        house.pass(6_000).await;
        let Placement::Placed(placed) = house.place(order_of(&record)).await else { panic!() };
        assert_eq!(placed.state, CommandState::Sent);
        house.pass(10).await;
        house.assert_sent(&[&record.id]);
        let health = house.processor.ask(GetHealth, SOON).await.unwrap();
        assert_eq!(health.away, None);
    });
}

#[test]
fn a_short_absence_is_only_a_delay() {
    universe(async |house| {
        house.store.go_away();
        let asked = house.try_request(vec![switch_off("home")]);
        let back = async {
            house.pass(1_000).await;
            house.store.come_back();
        };
        let (answer, ()) = tokio::join!(asked, back);
        assert_eq!(answer.unwrap()[0].state, CommandState::Accepted);
    });
}

#[test]
fn an_answer_that_comes_while_the_store_is_away_is_written_when_it_is_back() {
    universe(async |house| {
        house.connect("home", 1).await;
        let record = house.order(switch_off("home")).await;
        house.store.go_away();
        house.answer(&record, CommandOutcome::Done, Some(1)).await;
        house.pass(120_000).await;
        house.store.come_back();
        house.pass(6_000).await;
        assert_eq!(house.state(&record.id).await, CommandState::Acknowledged);
    });
}

#[test]
fn a_process_that_ends_between_the_write_and_the_send_sends_after_the_next_welcome() {
    universe(async |mut house| {
        house.connect("home", 1).await;
        let record = house.request(switch_off("home")).await;
        // On disk as sent, and no byte left: nobody heard that it is on disk.
        house.store.write_but_say_no();
        assert!(house.try_place(vec![order_of(&record)]).await.is_err());
        assert_eq!(house.on_disk(&record.id).state, CommandState::Sent);
        assert_eq!(house.sent(), []);
        house.store.come_back();
        house.restart().await;
        house.connect("home", 2).await;
        house.assert_sent(&[&record.id]);
        house.answer(&record, CommandOutcome::Done, Some(1)).await;
        assert_eq!(house.state(&record.id).await, CommandState::Acknowledged);
    });
}

#[test]
fn a_store_that_is_away_at_the_start_delays_it() {
    universe(async |mut house| {
        let record = house.request(switch_off("home")).await;
        house.processor.stop(std::time::Duration::from_secs(5)).await;
        house.store.go_away();
        house.restart().await;
        house.pass(20_000).await;
        house.store.come_back();
        house.pass(6_000).await;
        assert_eq!(house.state(&record.id).await, CommandState::Accepted);
        house.connect("home", 1).await;
        assert!(matches!(house.place(order_of(&record)).await, Placement::Placed(_)));
        house.pass(10).await;
        house.assert_sent(&[&record.id]);
    });
}
