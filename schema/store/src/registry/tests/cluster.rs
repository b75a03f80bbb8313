//! The rows of a cluster: leases by the database's clock, owners, and the fence.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use memcloud_domain::{Epoch, JobCheckpoint, JobState, ProcessId, Tenure};

use super::commands::sent;
use super::*;

on_every_engine! {
    a_process_lives_as_long_as_it_beats_and_is_told_when_it_did_not,
    of_processes_that_claim_at_once_one_runs_the_microgrid,
    a_microgrid_is_taken_from_nobody_who_lives_and_from_whoever_does_not,
    what_is_given_up_can_be_taken_at_once_and_the_epoch_only_grows,
    only_who_lives_may_claim,
    what_a_former_owner_writes_counts_for_nothing,
    a_fenced_checkpoint_takes_no_other_with_it,
    between_a_take_over_and_writes_under_the_old_tenure_there_is_no_gap,
}

const LONG: Duration = Duration::from_secs(600);
/// Over as soon as it is asked for.
const NONE: Duration = Duration::ZERO;

fn process(name: &str) -> ProcessId {
    ProcessId::new(name).unwrap()
}

impl Fixture {
    fn beats(&self, name: &str, lease: Duration) -> Pulse {
        let address = format!("{name}:8080");
        let beat = Beat { process: process(name), address, version: "1".to_owned(), lease };
        self.beat(&beat).unwrap()
    }

    fn takes(&self, name: &str, microgrid: &str) -> Tenure {
        match self.claim(&microgrid_id(microgrid), &process(name)).unwrap() {
            Claimed::Taken(tenure) => tenure,
            other => panic!("{other:?}"),
        }
    }

    fn dies(&self, name: &str) {
        self.beats(name, NONE);
    }
}

fn a_process_lives_as_long_as_it_beats_and_is_told_when_it_did_not(registry: Fixture) {
    assert_eq!(registry.beats("a", LONG), Pulse::Lapsed, "it is new");
    assert_eq!(registry.beats("a", LONG), Pulse::Kept);
    assert_eq!(registry.beats("a", NONE), Pulse::Kept);
    assert_eq!(registry.beats("a", LONG), Pulse::Lapsed);
    registry.beats("b", NONE);
    let rows = registry.processes().unwrap();
    let shown: Vec<_> =
        rows.iter().map(|row| (row.process.as_str(), row.address.as_str(), row.lives)).collect();
    assert_eq!(shown, [("a", "a:8080", true), ("b", "b:8080", false)]);
    registry.say_goodbye(&process("a")).unwrap();
    assert_eq!(registry.beats("a", LONG), Pulse::Lapsed);
}

fn of_processes_that_claim_at_once_one_runs_the_microgrid(registry: Fixture) {
    let names = ["a", "b", "c", "d"];
    for name in names {
        registry.beats(name, LONG);
    }
    for round in 0..8 {
        let microgrid = microgrid_id(&format!("m{round}"));
        let claims: Vec<_> = std::thread::scope(|scope| {
            let claim = |name: &'static str| {
                let (store, microgrid) = (registry.opened_again(), microgrid.clone());
                scope.spawn(move || store.claim(&microgrid, &process(name)).unwrap())
            };
            let running: Vec<_> = names.into_iter().map(claim).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let taken = |claim: &&Claimed| matches!(claim, Claimed::Taken(_));
        assert_eq!(claims.iter().filter(taken).count(), 1, "{claims:?}");
        // All are told of the same one.
        let of = |claim: &Claimed| match claim {
            Claimed::Taken(tenure) | Claimed::Held(tenure) => tenure.clone(),
            Claimed::NotAlive => panic!("all live"),
        };
        assert!(claims.iter().all(|claim| of(claim) == of(&claims[0])), "{claims:?}");
    }
}

fn a_microgrid_is_taken_from_nobody_who_lives_and_from_whoever_does_not(registry: Fixture) {
    registry.beats("a", LONG);
    registry.beats("b", LONG);
    let first = registry.takes("a", "m");
    assert_eq!(registry.takes("a", "m"), first, "it has it already");
    let claimed = registry.claim(&microgrid_id("m"), &process("b")).unwrap();
    assert_eq!(claimed, Claimed::Held(first.clone()));
    assert_eq!(registry.ownerless(9).unwrap(), []);
    registry.dies("a");
    assert_eq!(registry.ownerless(9).unwrap(), [microgrid_id("m")]);
    let second = registry.takes("b", "m");
    assert_eq!(second, Tenure { process: process("b"), epoch: Epoch(2), ..first });
    // The first one comes back, and finds out.
    registry.beats("a", LONG);
    assert_eq!(registry.tenures(&process("a")).unwrap(), []);
    assert_eq!(registry.tenures(&process("b")).unwrap(), std::slice::from_ref(&second));
    assert_eq!(registry.owned_counts().unwrap(), [(process("b"), 1)]);
    let row = registry.owner(&microgrid_id("m")).unwrap().unwrap();
    assert_eq!((row.process, row.epoch, row.lives), (Some(process("b")), Epoch(2), true));
    assert_eq!(registry.owner(&microgrid_id("n")).unwrap(), None);
}

fn what_is_given_up_can_be_taken_at_once_and_the_epoch_only_grows(registry: Fixture) {
    registry.beats("a", LONG);
    registry.beats("b", LONG);
    let first = registry.takes("a", "m");
    registry.release(&first).unwrap();
    assert_eq!(registry.ownerless(9).unwrap(), [microgrid_id("m")]);
    let second = registry.takes("b", "m");
    assert_eq!(second.epoch, Epoch(2));
    // What gives up a tenure that is over changes nothing.
    registry.release(&first).unwrap();
    assert_eq!(registry.tenures(&process("b")).unwrap(), [second]);
    registry.say_goodbye(&process("b")).unwrap();
    assert_eq!(registry.ownerless(9).unwrap(), [microgrid_id("m")]);
    assert_eq!(registry.takes("a", "m").epoch, Epoch(3));
}

fn only_who_lives_may_claim(registry: Fixture) {
    let claim = || registry.claim(&microgrid_id("m"), &process("a")).unwrap();
    assert_eq!(claim(), Claimed::NotAlive);
    registry.beats("a", NONE);
    assert_eq!(claim(), Claimed::NotAlive);
    registry.beats("a", LONG);
    assert!(matches!(claim(), Claimed::Taken(_)));
}

fn what_a_former_owner_writes_counts_for_nothing(registry: Fixture) {
    registry.beats("a", LONG);
    registry.beats("b", LONG);
    let first = registry.takes("a", "m");
    let other = registry.takes("a", "n");
    let write = |number, fence: &[Tenure]| {
        registry.write_commands(&[Arc::new(sent(number, 0, number))], fence)
    };
    write(1, &[first.clone(), other.clone()]).unwrap();
    registry.dies("a");
    // While nobody has taken it over it is still its own.
    write(2, std::slice::from_ref(&first)).unwrap();
    let second = registry.takes("b", "m");
    let refused = write(3, &[other.clone(), first.clone()]).unwrap_err();
    assert!(
        matches!(&refused, RegistryError::Fenced { microgrid } if *microgrid == microgrid_id("m")),
        "{refused}"
    );
    write(4, std::slice::from_ref(&second)).unwrap();
    write(5, &[other]).unwrap();
    let later = Tenure { epoch: Epoch(3), ..second };
    assert!(matches!(write(6, &[later]), Err(RegistryError::Fenced { .. })));
    let kept = registry.highest_orders().unwrap();
    assert_eq!(kept, [(hem("one"), 5)]);
}

fn a_fenced_checkpoint_takes_no_other_with_it(registry: Fixture) {
    let registry = registry.with_microgrid("m").with_microgrid("n");
    registry.deploy(1, "m");
    registry.deploy(2, "n");
    registry.beats("a", LONG);
    registry.beats("b", LONG);
    let (lost, kept) = (registry.takes("a", "m"), registry.takes("a", "n"));
    registry.release(&lost).unwrap();
    registry.takes("b", "m");
    let save = |number, tenure: &Tenure| CheckpointToSave {
        job: jobs::job_id(number),
        checkpoint: JobCheckpoint::default(),
        results: Vec::new(),
        log: Vec::new(),
        tenure: Some(tenure.clone()),
    };
    let saved = registry.save_checkpoints(&[save(1, &lost), save(2, &kept)]).unwrap();
    assert_eq!(saved, [Saved::Fenced, Saved::Written]);
    assert_eq!(registry.checkpoint(&jobs::job_id(1)).unwrap(), None);
    assert!(registry.checkpoint(&jobs::job_id(2)).unwrap().is_some());
    let refused = registry.record_job_state(&jobs::job_id(1), &JobState::Stopped, Some(&lost));
    assert!(matches!(refused, Err(RegistryError::Fenced { .. })));
    registry.record_job_state(&jobs::job_id(2), &JobState::Stopped, Some(&kept)).unwrap();
}

/// One writes as fast as it can under its tenure, while another takes the microgrid over.
fn between_a_take_over_and_writes_under_the_old_tenure_there_is_no_gap(registry: Fixture) {
    registry.beats("b", LONG);
    for round in 0..5_u64 {
        registry.beats("a", LONG);
        let microgrid = format!("m{round}");
        let old = registry.takes("a", &microgrid);
        let has_begun = AtomicBool::new(false);
        let (base, last) = (round * 1_000_000, std::sync::Mutex::new(0));
        std::thread::scope(|scope| {
            let store = registry.opened_again();
            let (has_begun, last, old) = (&has_begun, &last, &old);
            scope.spawn(move || {
                for order in base + 1.. {
                    let written = store.write_commands(
                        &[Arc::new(sent(order, 0, order))],
                        std::slice::from_ref(old),
                    );
                    match written {
                        Ok(()) => *last.lock().unwrap() = order,
                        Err(RegistryError::Fenced { .. }) => return,
                        Err(error) => panic!("{error}"),
                    }
                    has_begun.store(true, Ordering::Relaxed);
                }
            });
            while !has_begun.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            registry.dies("a");
            registry.takes("b", &microgrid);
            let at_take_over = registry.highest_orders_of(&[hem("one")]).unwrap()[0].1;
            std::thread::sleep(Duration::from_millis(50));
            // From the take-over on nothing came, and what was said to be written is there.
            let later = registry.highest_orders_of(&[hem("one")]).unwrap()[0].1;
            assert_eq!(later, at_take_over);
            assert!(*last.lock().unwrap() <= at_take_over);
        });
    }
}
