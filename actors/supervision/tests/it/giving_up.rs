//! When restarts do not help.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::Actor;
use memcloud_supervision::{
    ActorState, AskError, Backoff, ChildSpec, ExitReason, GivingUp, RestartPolicy, Universe,
};
use proptest::prelude::*;

use crate::actors::{
    Count, Counter, Crash, Diary, GetChildren, GoWrong, How, Parent, SOON, START, Watcher, counter,
    patient,
};

const AN_HOUR: Duration = Duration::from_secs(3600);

fn three_times() -> RestartPolicy {
    patient().bearing(3, AN_HOUR)
}

#[test]
fn a_child_that_fails_for_ever_is_restarted_ever_more_slowly_and_then_given_up() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let watcher = Watcher(diary.clone()).start();
        let made_at = Arc::new(Mutex::new(Vec::new()));
        let spec = ChildSpec::new("poisoned")
            .policy(three_times().giving_up(GivingUp::Stop))
            .watched_by(watcher.recipient());
        let child = {
            let made_at = Arc::clone(&made_at);
            scope.supervise(spec, move |scope| -> Counter {
                made_at.lock().unwrap().push(scope.clock().unix_ms() - START);
                panic!("poisoned configuration");
            })
        };
        let neighbour = counter(&scope, "neighbour", three_times(), &Diary::default());
        child.tell(Count).unwrap();
        let reason = ExitReason::Panicked { message: "poisoned configuration".to_owned() };
        assert_eq!(child.ended().await, reason);
        let made_at = made_at.lock().unwrap().clone();
        let gaps: Vec<_> = made_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(made_at.len(), 4, "once, and three restarts");
        for (gap, pause) in gaps.iter().zip([100, 200, 400]) {
            // tokio's timers are good to a millisecond.
            assert!((pause..=pause + 2).contains(gap), "{gaps:?}");
        }

        assert_eq!(child.ask(Count, SOON).await, Err(AskError::Stopped));
        let picture = scope.tree().snapshot(10).await;
        let failed = picture.children.iter().find(|shown| shown.name == "poisoned").unwrap();
        assert_eq!(failed.state, ActorState::Failed);
        assert_eq!(failed.last_exit, Some(reason));
        assert_eq!(failed.restarts, 3);
        scope.clock().sleep(SOON).await;
        assert_eq!(diary.lines(), ["universe/poisoned panicked: poisoned configuration"]);
        assert_eq!(neighbour.ask(Count, SOON).await, Ok(1), "its neighbour never notices");
    });
}

#[test]
fn the_name_of_a_child_that_was_given_up_is_free_again() {
    Universe::run(START, async |scope| {
        let policy = RestartPolicy::transient().bearing(0, AN_HOUR).giving_up(GivingUp::Stop);
        let first = counter(&scope, "job", policy, &Diary::default());
        first.tell(GoWrong(How::PanicInHandler)).unwrap();
        first.ended().await;
        let second = counter(&scope, "job", policy, &Diary::default());
        assert_eq!(second.name(), "job");
        assert_eq!(second.ask(Count, SOON).await, Ok(1));
        let picture = scope.tree().snapshot(10).await;
        assert_eq!(picture.children.len(), 1);
        assert_eq!(picture.children[0].state, ActorState::Running);
    });
}

#[test]
fn children_that_were_given_up_do_not_fill_the_tree() {
    Universe::run(START, async |scope| {
        let policy = RestartPolicy::transient().bearing(0, AN_HOUR).giving_up(GivingUp::Stop);
        for number in 0..100 {
            let child = counter(&scope, &format!("job-{number}"), policy, &Diary::default());
            child.tell(GoWrong(How::PanicInHandler)).unwrap();
            child.ended().await;
        }
        let picture = scope.tree().snapshot(1000).await;
        assert_eq!(picture.children.len(), 32);
    });
}

#[test]
fn failures_that_lie_outside_of_the_window_are_forgiven() {
    Universe::run(START, async |scope| {
        let policy = patient().bearing(1, Duration::from_secs(60)).giving_up(GivingUp::Stop);
        let child = counter(&scope, "counter", policy, &Diary::default());
        for _ in 0..5 {
            let _ = child.ask(GoWrong(How::PanicInHandler), SOON).await;
            scope.clock().sleep(Duration::from_secs(61)).await;
            assert_eq!(child.ask(Count, SOON).await, Ok(1));
        }
        let _ = child.ask(GoWrong(How::PanicInHandler), SOON).await;
        scope.clock().sleep(Duration::from_secs(1)).await;
        let _ = child.ask(GoWrong(How::PanicInHandler), SOON).await;
        assert!(child.ended().await.is_failure());
    });
}

#[test]
fn a_normal_stop_ends_a_transient_child_and_restarts_a_permanent_one() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let watcher = Watcher(diary.clone()).start();
        let spec = ChildSpec::new("transient").watched_by(watcher.recipient());
        let transient = {
            let diary = diary.clone();
            scope.supervise(spec, move |scope| Counter::new(scope, &diary))
        };
        let permanent = counter(&scope, "permanent", RestartPolicy::permanent(), &diary);
        for child in [&transient, &permanent] {
            assert_eq!(child.ask(Count, SOON).await, Ok(1));
            child.tell(GoWrong(How::Stop)).unwrap();
        }
        scope.clock().sleep(SOON).await;
        assert_eq!(transient.ask(Count, SOON).await, Err(AskError::Stopped));
        assert_eq!(permanent.ask(Count, SOON).await, Ok(1));
        let picture = scope.tree().snapshot(10).await;
        assert_eq!(picture.children.len(), 1, "who stopped by itself is gone from the tree");
        assert_eq!(picture.children[0].last_exit, Some(ExitReason::Stopped));
        assert!(diary.lines().contains(&"universe/transient stopped by itself".to_owned()));
    });
}

#[test]
fn a_temporary_child_is_never_restarted_and_its_parent_does_not_mind() {
    Universe::run(START, async |scope| {
        let child = counter(&scope, "socket", RestartPolicy::temporary(), &Diary::default());
        let _ = child.ask(GoWrong(How::PanicInHandler), SOON).await;
        let message = "boom in a handler".to_owned();
        assert_eq!(child.ended().await, ExitReason::Panicked { message });
        assert!(scope.tree().snapshot(10).await.children.is_empty());
    });
}

#[test]
fn a_child_that_is_given_up_makes_its_parent_fail_which_starts_all_its_children_anew() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let parent = {
            let diary = diary.clone();
            scope.supervise(ChildSpec::new("parent").policy(three_times()), move |scope| {
                Parent::new(&scope, &["bad", "good"], patient().bearing(1, AN_HOUR), &diary)
            })
        };
        let children = parent.ask(GetChildren, SOON).await.unwrap();
        assert_eq!(children[1].ask(Count, SOON).await, Ok(1));
        for _ in 0..2 {
            let _ = children[0].ask(GoWrong(How::PanicInHandler), SOON).await;
            scope.clock().sleep(Duration::from_millis(110)).await;
        }
        let picture = scope.tree().snapshot(10).await;
        assert_eq!(
            picture.children[0].last_exit,
            Some(ExitReason::Escalated {
                child: "universe/parent/bad".to_owned(),
                reason: "panicked: boom in a handler".to_owned()
            })
        );
        scope.clock().sleep(SOON).await;
        assert_eq!(
            diary.lines(),
            [
                "parent made",
                "bad started",
                "good started",
                "good counts 1",
                "bad started",
                "good stopping",
                "good stopped",
                "parent made",
                "bad started",
                "good started"
            ]
        );
        assert_eq!(children[1].ask(Count, SOON).await, Err(AskError::Stopped));
        let children = parent.ask(GetChildren, SOON).await.unwrap();
        assert_eq!(children[1].ask(Count, SOON).await, Ok(1));
        let picture = scope.tree().snapshot(10).await;
        assert_eq!(picture.children[0].restarts, 1);
        assert_eq!(picture.children[0].children.len(), 2);
        assert!(picture.children[0].children.iter().all(|child| child.restarts == 0));
    });
}

#[test]
fn the_children_of_a_crashed_parent_are_shut_down_before_it_is_made_again() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let parent = {
            let diary = diary.clone();
            scope.supervise(ChildSpec::new("parent").policy(three_times()), move |scope| {
                Parent::new(&scope, &["child"], patient(), &diary)
            })
        };
        assert_eq!(parent.ask(Crash, SOON).await, Err(AskError::Lost));
        scope.clock().sleep(SOON).await;
        assert_eq!(
            diary.lines(),
            [
                "parent made",
                "child started",
                "child stopping",
                "child stopped",
                "parent made",
                "child started"
            ],
        );
    });
}

#[test]
fn a_parent_that_gives_up_in_its_turn_fails_the_whole_tree() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let parent = {
            let diary = diary.clone();
            scope.supervise(
                ChildSpec::new("parent").policy(patient().bearing(2, AN_HOUR)),
                move |scope| Parent::new(&scope, &["bad"], patient().bearing(0, AN_HOUR), &diary),
            )
        };
        let failed = actix_rt::spawn(scope.failed());
        for _ in 0..3 {
            assert!(!failed.is_finished());
            let children = parent.ask(GetChildren, SOON).await.unwrap();
            let _ = children[0].ask(GoWrong(How::PanicInHandler), SOON).await;
            scope.clock().sleep(SOON).await;
        }
        let reason = failed.await.unwrap();
        assert_eq!(
            reason.to_string(),
            "universe/parent gave up: it universe/parent/bad gave up: it panicked: boom in a handler"
        );
        let picture = scope.tree().snapshot(10).await;
        assert_eq!(picture.state, ActorState::Failed);
        assert_eq!(picture.last_exit, Some(reason));
        assert_eq!(picture.children[0].state, ActorState::Failed);
    });
}

proptest! {
    #[test]
    fn pauses_never_shrink_from_restart_to_restart_and_never_pass_the_longest(
        initial in 0..10_000_u64, max in 0..100_000_u64, factor in -1.0..100.0_f64,
        jitter in 0.0..1.0_f64, chance in 0.0..1.0_f64, nth in 1..u32::MAX,
    ) {
        let max = Duration::from_millis(max);
        let backoff = Backoff { initial: Duration::from_millis(initial), max, factor, jitter };
        let pause = backoff.pause(nth, chance);
        prop_assert!(pause <= max);
        prop_assert!(pause <= backoff.pause(nth.saturating_add(1), chance));
        prop_assert!(backoff.pause(nth, 1.0) <= pause);
    }
}
