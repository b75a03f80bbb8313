//! Everything ends in good order.

use std::time::Duration;

use actix::prelude::*;
use memcloud_supervision::{
    ActorState, AskError, Child, ChildSpec, ExitReason, Observe, RestartPolicy, Universe,
    supervised,
};

use crate::actors::{
    Count, Diary, GetChildren, GoWrong, How, Parent, SOON, START, Watcher, counter, patient,
};

#[test]
fn a_shutdown_goes_from_the_leaves_up_and_ends_every_actor_with_its_hooks() {
    let diary = Diary::default();
    Universe::run(START, async |scope| {
        let made = diary.clone();
        let parent = scope.supervise(ChildSpec::new("parent"), move |scope| {
            Parent::new(&scope, &["child"], patient(), &made)
        });
        parent.ask(GetChildren, SOON).await.unwrap();
        assert_eq!(scope.shutdown(SOON).await, Vec::<String>::new());
        assert_eq!(
            diary.lines(),
            ["parent made", "child started", "child stopping", "child stopped", "parent stopped"]
        );
        assert!(scope.tree().snapshot(10).await.children.is_empty());
        assert_eq!(parent.ended().await, ExitReason::Shutdown);
    });
}

#[test]
fn what_was_accepted_before_a_stop_is_handled_before_it() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let child = counter(&scope, "counter", patient(), &diary);
        for _ in 0..10 {
            child.tell(Count).unwrap();
        }
        assert_eq!(child.stop(SOON).await, ExitReason::Shutdown);
        let lines = diary.lines();
        assert_eq!(
            lines[lines.len() - 3..],
            ["counter counts 10", "counter stopping", "counter stopped"]
        );
        assert_eq!(child.ask(Count, SOON).await, Err(AskError::Stopped));
    });
}

#[test]
fn an_actor_that_does_not_stop_in_time_is_cut_off_and_named() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let watcher = Watcher(diary.clone()).start();
        let spec = ChildSpec::new("stuck").watched_by(watcher.recipient());
        let stuck = {
            let diary = diary.clone();
            scope.supervise(spec, move |scope| crate::actors::Counter::new(scope, &diary))
        };
        let fine = counter(&scope, "fine", patient(), &diary);
        stuck.tell(GoWrong(How::WaitForEver)).unwrap();
        stuck.tell(Count).unwrap();
        assert_eq!(fine.ask(Count, SOON).await, Ok(1));
        assert_eq!(scope.shutdown(SOON).await, ["universe/stuck"]);
        assert_eq!(stuck.ended().await, ExitReason::CutOff);
        scope.clock().sleep(SOON).await;
        assert!(diary.lines().contains(&"fine stopped".to_owned()));
        assert_eq!(
            diary.lines().last().unwrap(),
            "universe/stuck did not stop in time and was cut off"
        );
    });
}

#[test]
fn a_parent_of_a_stuck_child_still_ends_in_good_order_and_the_child_is_named() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let made = diary.clone();
        let grandparent = scope.supervise(ChildSpec::new("grandparent"), move |scope| {
            let made = made.clone();
            let parent = scope.supervise(ChildSpec::new("parent"), move |scope| {
                Parent::new(&scope, &["stuck"], patient(), &made)
            });
            Grandparent { parent }
        });
        let parent = grandparent.ask(GetParent, SOON).await.unwrap();
        let children = parent.ask(GetChildren, SOON).await.unwrap();
        children[0].tell(GoWrong(How::WaitForEver)).unwrap();
        assert_eq!(scope.shutdown(SOON).await, ["universe/grandparent/parent/stuck"]);
        assert_eq!(parent.ended().await, ExitReason::Shutdown);
        assert_eq!(grandparent.ended().await, ExitReason::Shutdown);
        assert_eq!(children[0].ended().await, ExitReason::CutOff);
        assert_eq!(diary.lines().last().unwrap(), "parent stopped");
        // A deadline for ever is one too.
        assert!(scope.shutdown(Duration::MAX).await.is_empty());
    });
}

/// Has a parent for a child.
struct Grandparent {
    parent: Child<Parent>,
}

impl Actor for Grandparent {
    type Context = Context<Self>;
}

impl Observe for Grandparent {}
supervised!(Grandparent);

/// A test asks a grandparent for its child.
#[derive(Message)]
#[rtype(result = "Child<Parent>")]
struct GetParent;

impl Handler<GetParent> for Grandparent {
    type Result = MessageResult<GetParent>;
    fn handle(&mut self, _: GetParent, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.parent.clone())
    }
}

#[test]
fn an_actor_in_back_off_is_shut_down_at_once() {
    Universe::run(START, async |scope| {
        let child = counter(&scope, "counter", patient(), &Diary::default());
        let _ = child.ask(GoWrong(How::PanicInHandler), SOON).await;
        assert_eq!(child.state(), ActorState::BackingOff);
        let before = scope.clock().instant();
        assert_eq!(child.stop(SOON).await, ExitReason::Shutdown);
        assert_eq!(scope.clock().instant(), before);
    });
}

#[test]
fn an_actor_that_crashes_on_its_last_messages_is_not_restarted() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let child = counter(&scope, "counter", patient(), &diary);
        child.ask(Count, SOON).await.unwrap();
        child.tell(GoWrong(How::PanicInHandler)).unwrap();
        let message = "boom in a handler".to_owned();
        assert_eq!(child.stop(SOON).await, ExitReason::Panicked { message });
        assert_eq!(diary.lines(), ["counter started", "counter counts 1"]);
    });
}

#[test]
fn after_the_shutdown_no_child_is_taken_on() {
    Universe::run(START, async |scope| {
        scope.shutdown(SOON).await;
        let diary = Diary::default();
        let watcher = Watcher(diary.clone()).start();
        let spec = ChildSpec::new("late").watched_by(watcher.recipient());
        let late = {
            let diary = diary.clone();
            scope.supervise(spec, move |scope| crate::actors::Counter::new(scope, &diary))
        };
        assert_eq!(late.ask(Count, SOON).await, Err(AskError::Stopped));
        assert_eq!(late.ended().await, ExitReason::Shutdown);
        scope.clock().sleep(SOON).await;
        assert_eq!(diary.lines(), ["universe/late was shut down"]);
    });
}

#[test]
fn a_second_child_of_the_same_name_gets_a_number() {
    Universe::run(START, async |scope| {
        let first = counter(&scope, "twin", patient(), &Diary::default());
        let second = counter(&scope, "twin", patient(), &Diary::default());
        assert_eq!((first.name(), second.name()), ("twin", "twin#2"));
        first.stop(SOON).await;
        assert_eq!(second.ask(Count, SOON).await, Ok(1));
    });
}

/// Takes two seconds to put its papers in order when it is told to stop.
#[derive(Default)]
struct Tidy {
    flushed: bool,
}

impl Actor for Tidy {
    type Context = Context<Self>;
    fn stopping(&mut self, context: &mut Self::Context) -> Running {
        if self.flushed {
            return Running::Stop;
        }
        let flush = actix::clock::sleep(Duration::from_secs(2));
        context.spawn(flush.into_actor(self).map(|(), actor, context: &mut Context<Self>| {
            actor.flushed = true;
            context.stop();
        }));
        Running::Continue
    }
}

impl Observe for Tidy {}
supervised!(Tidy);

#[test]
fn an_actor_may_take_its_time_to_stop_within_the_deadline() {
    Universe::run(START, async |scope| {
        let child = scope.supervise(ChildSpec::new("tidy"), |_| Tidy::default());
        let before = scope.clock().unix_ms();
        assert_eq!(child.stop(SOON).await, ExitReason::Shutdown);
        assert!((2_000..2_010).contains(&(scope.clock().unix_ms() - before)));

        let child = scope.supervise(ChildSpec::new("tidy"), |_| Tidy::default());
        scope.clock().sleep(Duration::from_secs(1)).await;
        assert_eq!(child.stop(Duration::from_secs(1)).await, ExitReason::CutOff);
    });
}

#[test]
#[should_panic(expected = "these actors outlived the shutdown: universe/stuck")]
fn a_universe_fails_when_an_actor_outlives_it() {
    Universe::run(START, async |scope| {
        let child = counter(&scope, "stuck", RestartPolicy::transient(), &Diary::default());
        child.tell(GoWrong(How::WaitForEver)).unwrap();
        scope.clock().sleep(SOON).await;
    });
}
