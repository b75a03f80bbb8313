//! Processes that share the store and get into each other's way.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;

use memcloud_domain::{Entry, Order, TimeRange};

use super::*;
use crate::telemetry::buckets::{Level, MINUTE};
use crate::telemetry::suite::persist;

fn element(epoch: u64, entries: Vec<Entry>) -> HemEntries {
    HemEntries { hem: hem("h"), epoch: Epoch(epoch), entries }
}

/// A process that hangs within its commit, everything written and nothing committed, while another one
/// takes its HEM over.
#[test]
fn a_commit_that_was_under_way_when_its_epoch_ended_writes_and_acknowledges_nothing() {
    let Some(_) = server() else { return };
    let house = House::new();
    let other = Arc::new(house.place.open());
    house.open("h");
    let batch = [element(1, (1..=8).map(at).collect())];
    let tries = AtomicUsize::new(0);
    let old = house.store.write(async |session| {
        let context = commit::Context {
            server: &house.store.server,
            marked: &house.store.marked,
            now: Timestamp(T0),
            run_readings: 100,
            sealable: 100,
        };
        let done = commit::commit(session, &batch, &context).await?;
        if tries.fetch_add(1, Ordering::SeqCst) == 0 {
            let other = Arc::clone(&other);
            let opening =
                tokio::task::spawn_blocking(move || other.open_sessions(&[super::session("h")]));
            let opened = opening.await.unwrap().unwrap().remove(0);
            assert_eq!((opened.epoch, opened.mark), (Epoch(2), Seq(0)));
        }
        Ok(done.0)
    });
    assert_eq!(old.unwrap(), [CommitOutcome::Fenced]);
    assert_eq!(tries.into_inner(), 2, "the first try was ended by the other process");
    assert_eq!(house.count(documents::RUNS), 0);
    // Other values under the same numbers, by the new owner.
    let new: Vec<Entry> = (1..=3).map(|seq| reading(seq, T0, 7.0, None)).collect();
    assert_eq!(other.commit(&[element(2, new.clone())], Timestamp(T0)).unwrap(), [stored(0, 3)]);
    assert_eq!(house.after("h", 0, 10).entries, new);
}

#[test]
fn a_bucket_that_another_process_made_meanwhile_is_not_overwritten() {
    let Some(_) = server() else { return };
    let house = House::new();
    let other = house.place.open();
    house.open("h");
    house.commit("h", 1, vec![reading(1, T0, 10.0, None)]);
    // Everything is due at once.
    let (now, then) = (Timestamp(T0 + 48 * HOUR), Timestamp(T0));
    for level in Level::ALL {
        let stale = house.store.make(level, now).unwrap();
        assert_eq!(stale.made.len(), 1);
        // The other one sees what comes in between, and makes the same bucket first.
        let seq = u64::try_from(level.number()).unwrap() + 2;
        let value = 10.0 * seq as f64;
        house.commit("h", 1, vec![reading(seq, T0 + seq.cast_signed(), value, None)]);
        for finer in Level::ALL.into_iter().filter(|finer| *finer <= level) {
            let fresh = other.make(finer, now).unwrap();
            other.replace(finer, &fresh.made, then).unwrap();
        }
        assert_eq!(house.store.replace(level, &stale.made, then).unwrap(), 0);
    }
    let mean =
        || house.series(Quantity::Watts, T0, T0 + 20 * 24 * HOUR, 20, Tz::UTC).points[0].mean;
    assert_eq!(mean(), 30.0);
    house.roll_up();
    assert_eq!(mean(), 30.0);
}

#[test]
fn two_processes_that_do_upkeep_at_a_time_lose_and_double_nothing() {
    const READINGS: u64 = 300;
    let Some(_) = server() else { return };
    let house = House::new();
    let other = house.place.open();
    let now = Timestamp(T0 + 30 * 24 * HOUR);
    house.open("h");
    thread::scope(|threads| {
        for store in [&house.store, &other] {
            threads.spawn(move || {
                for _ in 0..40 {
                    // What one process took, the other finds gone: no error, or one that may pass.
                    for task in [UpkeepTask::Seal, UpkeepTask::RollUp] {
                        persist(|| store.upkeep(task, now));
                    }
                }
            });
        }
        for first in (1..READINGS).step_by(10) {
            let entries = (first..first + 10).map(|seq| {
                let ts = T0 + seq.cast_signed() * MINUTE / 4;
                reading(seq, ts, 60.0, Some(seq as f64))
            });
            let entries = entries.collect();
            let element = HemEntries { hem: hem("h"), epoch: Epoch(1), entries };
            let outcome =
                persist(|| house.store.commit(std::slice::from_ref(&element), Timestamp(T0)));
            assert_eq!(outcome, [stored(first - 1, first + 9)]);
        }
    });
    let all: Vec<u64> = (1..=READINGS).collect();
    assert_eq!(house.seqs("h", TimeRange::default(), Order::Ascending), all);
    for _ in 0..2 {
        let energy = house.series(Quantity::EnergyIn, T0, T0 + 2 * HOUR, 3, Tz::UTC);
        let total: f64 = energy.points.iter().map(|point| point.mean).sum();
        assert_eq!(total, READINGS as f64 - 1.0);
        let samples = house.series(Quantity::Watts, T0, T0 + 2 * HOUR, 200, Tz::UTC);
        assert_eq!(samples.points.len() as u64, READINGS / 4 + 1);
        house.roll_up();
    }
    let figures = house.store.figures().unwrap();
    assert_eq!(figures.hot_readings + figures.sealed_readings, READINGS);
}
