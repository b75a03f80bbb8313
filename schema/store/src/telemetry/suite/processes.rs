//! Several processes with the same store.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use memcloud_domain::{Entry, Timestamp};

use super::*;

pub(crate) fn what_another_process_wrote_between_two_commits_is_heeded<P: Place>() {
    let house = House::<P>::new();
    house.open("h");
    house.commit("h", 1, vec![at(1)]);
    let other = house.place.open();
    assert_eq!(other.open_sessions(&[session("h")]).unwrap()[0].epoch, Epoch(2));
    let element = HemEntries { hem: hem("h"), epoch: Epoch(2), entries: vec![at(2)] };
    assert_eq!(other.commit(&[element], Timestamp(T0)).unwrap(), [stored(1, 2)]);
    assert_eq!(house.commit("h", 1, vec![at(3)]), CommitOutcome::Fenced);
    assert_eq!(house.commit("h", 2, vec![at(2), at(3)]), stored(2, 3));
    assert_eq!(house.store.figures().unwrap().hot_readings, 3);
}

/// Asks again for as long as the store says that it may help.
pub(crate) fn persist<T>(mut ask: impl FnMut() -> Result<T, crate::StoreError>) -> T {
    for _ in 0..1_000 {
        match ask() {
            Ok(answer) => return answer,
            Err(error) if error.is_temporary() => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the store is away for good");
}

/// Each of two processes takes the HEM over again and again, and commits what comes next by its own
/// reckoning, also after the other one has taken it over. The watts say who wrote a reading, so that
/// what was acknowledged to one can be held against what is stored.
pub(crate) fn two_processes_that_commit_for_the_same_hem_store_each_number_once<P: Place>()
where
    P::Store: Sync,
{
    let house = House::<P>::new();
    let other = house.place.open();
    let acknowledged: Mutex<BTreeMap<u64, f64>> = Mutex::new(BTreeMap::new());
    let compete = |store: &P::Store, name: f64| {
        for _ in 0..15 {
            let opened = persist(|| store.open_sessions(&[session("h")])).remove(0);
            let mut mark = opened.mark.0;
            for _ in 0..4 {
                let entries: Vec<Entry> = (mark + 1..=mark + 5)
                    .map(|seq| reading(seq, T0 + seq.cast_signed(), name, None))
                    .collect();
                let element = HemEntries { hem: hem("h"), epoch: opened.epoch, entries };
                let outcome =
                    persist(|| store.commit(std::slice::from_ref(&element), Timestamp(T0)));
                match outcome.first() {
                    Some(CommitOutcome::Fenced) => break,
                    Some(CommitOutcome::Stored { after, through, .. }) => {
                        assert_eq!(through.0, mark + 5, "nobody else can have written");
                        let mut all = acknowledged.lock().unwrap();
                        for seq in after.0 + 1..=through.0 {
                            assert_eq!(all.insert(seq, name), None, "{seq} was acknowledged twice");
                        }
                        mark = through.0;
                    }
                    None => unreachable!(),
                }
            }
        }
    };
    thread::scope(|threads| {
        threads.spawn(|| compete(&house.store, 1.0));
        threads.spawn(|| compete(&other, 2.0));
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    let count = acknowledged.len() as u64;
    assert!(count >= 5);
    let (mut found, mut after) = (BTreeMap::new(), 0);
    loop {
        let batch = house.after("h", after, 1_000);
        for entry in &batch.entries {
            let Entry::Reading(one) = entry else { unreachable!() };
            let watts = one.nodes[0].watts.unwrap().0;
            assert_eq!(found.insert(one.seq.0, watts), None, "{} is there twice", one.seq.0);
        }
        if batch.entries.is_empty() {
            break;
        }
        after = batch.through.0;
    }
    assert_eq!(found, acknowledged);
    assert_eq!(house.store.figures().unwrap().hot_readings, count);
}
