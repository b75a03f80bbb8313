//! Who runs what.

use std::time::Duration;

use memcloud_cluster::{GetCluster, StepDown};
use memcloud_domain::Owner;

use crate::neighbours::{PATIENCE, Process, grid, until};

#[actix::test]
async fn of_two_processes_that_need_a_microgrid_one_runs_it_and_both_know_who() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("web.db");
    let (one, two) = (Process::start("one", &store), Process::start("two", &store));
    let grids: Vec<_> = (0..12).map(|number| grid(&format!("m{number}"))).collect();
    for id in &grids {
        one.needs(id);
        two.needs(id);
    }
    let is_run = |id| usize::from(one.runs(id).is_some()) + usize::from(two.runs(id).is_some());
    until("each is run by one", || grids.iter().all(|id| is_run(id) == 1)).await;
    // Both have lived long enough: each runs what it should.
    until("both run some", || {
        let of = |process: &Process| grids.iter().filter(|id| process.runs(id).is_some()).count();
        of(&one) > 0 && of(&two) > 0 && of(&one) + of(&two) == grids.len()
    })
    .await;
    // One of them may still be handing something over.
    for id in &grids {
        let mut agree = false;
        for _ in 0..400 {
            let answers = (one.owner(id).await, two.owner(id).await);
            let there = match answers {
                (Some(Owner::Here), Some(Owner::There { address, .. })) => Some(("one", address)),
                (Some(Owner::There { address, .. }), Some(Owner::Here)) => Some(("two", address)),
                _ => None,
            };
            if let Some((name, address)) = there {
                assert_eq!(address, format!("{name}:8080"));
                agree = true;
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(agree, "{id}: one says that it runs it, the other that the one does");
    }
    let standing = one.member.ask(GetCluster, PATIENCE).await.unwrap().unwrap();
    let counted: u64 = standing.processes.iter().map(|process| process.microgrids).sum();
    assert_eq!((standing.processes.len(), counted, standing.ownerless), (2, 12, 0));
    one.die().await;
    two.die().await;
}

#[actix::test]
async fn what_a_dead_process_ran_is_taken_under_a_higher_epoch_and_what_one_gave_up_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("web.db");
    let id = grid("fontana");
    let one = Process::start("one", &store);
    one.needs(&id);
    until("it is run", || one.runs(&id).is_some()).await;
    let first = one.runs(&id).unwrap();
    one.die().await;

    let two = Process::start("two", &store);
    until("it is taken over", || two.runs(&id).is_some()).await;
    let second = two.runs(&id).unwrap();
    assert!(second.epoch > first.epoch, "{second:?} after {first:?}");
    two.member.ask(StepDown, PATIENCE).await.unwrap();

    let three = Process::start("three", &store);
    until("it is taken over again", || three.runs(&id).is_some()).await;
    assert!(three.runs(&id).unwrap().epoch > second.epoch);
    until("the one that said goodbye is not counted", || {
        let live = three.told.lock().unwrap().live.clone();
        live.len() == 1
    })
    .await;
    two.die().await;
    three.die().await;
}

#[actix::test]
async fn a_microgrid_that_nobody_runs_is_taken_by_whoever_is_asked_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("web.db");
    let one = Process::start("one", &store);
    let id = grid("valley");
    until("it lives", || !one.told.lock().unwrap().live.is_empty()).await;
    assert_eq!(one.owner(&id).await, Some(Owner::Here));
    until("it is told", || one.runs(&id).is_some()).await;
    one.die().await;
}

#[actix::test]
async fn a_process_that_comes_later_gets_its_share_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("web.db");
    let one = Process::start("one", &store);
    let grids: Vec<_> = (0..20).map(|number| grid(&format!("m{number}"))).collect();
    for id in &grids {
        one.needs(id);
    }
    until("all are run", || grids.iter().all(|id| one.runs(id).is_some())).await;
    let two = Process::start("two", &store);
    until("some have moved", || {
        let moved = grids.iter().filter(|id| two.runs(id).is_some()).count();
        let stayed = grids.iter().filter(|id| one.runs(id).is_some()).count();
        moved >= 3 && moved + stayed == grids.len()
    })
    .await;
    let left = one.told.lock().unwrap().left.clone();
    assert!(left.iter().all(|(_, in_order)| *in_order), "{left:?}");
    one.die().await;
    two.die().await;
}
