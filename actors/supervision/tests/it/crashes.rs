//! An actor crashes, everywhere that it can, and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::prelude::*;
use memcloud_supervision::{
    ActorState, AskError, ChildSpec, ExitReason, Generation, Observe, Scope, Universe, supervised,
};
use proptest::prelude::*;

use crate::actors::{
    Count, Counter, CrashOnTheWay, Diary, GoWrong, How, SOON, START, counter, patient,
};

/// Whatever way a counter crashes: it comes back at the same address with a new state.
fn comes_back_after(how: How, message: &str) {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let child = counter(&scope, "counter", patient(), &diary);
        let address = child.addr();
        assert_eq!(child.ask(Count, SOON).await, Ok(1));
        assert_eq!(child.ask(Count, SOON).await, Ok(2));
        let _ = child.ask(GoWrong(how), SOON).await;
        scope.clock().sleep(Duration::from_millis(50)).await;

        let picture = scope.tree().snapshot(10).await;
        let shown = &picture.children[0];
        assert_eq!(shown.state, ActorState::BackingOff);
        assert_eq!(shown.last_exit, Some(ExitReason::Panicked { message: message.to_owned() }));
        assert_eq!(child.ask(Count, SOON).await, Err(AskError::Restarting));

        scope.clock().sleep(Duration::from_millis(100)).await;
        assert_eq!(address.send(Count).await.unwrap(), 1, "the state is new, the address is not");
        let picture = scope.tree().snapshot(10).await;
        let shown = &picture.children[0];
        assert_eq!(shown.state, ActorState::Running);
        assert_eq!(shown.restarts, 1);
        assert_eq!(shown.observed["count"], 1);
        assert_eq!(shown.actor, "Counter");
    });
}

#[test]
fn an_actor_that_panics_in_a_handler_comes_back_at_its_address() {
    comes_back_after(How::PanicInHandler, "boom in a handler");
}

#[test]
fn an_actor_that_panics_in_a_timer_comes_back_at_its_address() {
    comes_back_after(How::PanicInTimer, "boom in a timer");
}

#[test]
fn an_actor_that_panics_in_a_spawned_future_comes_back_at_its_address() {
    comes_back_after(How::PanicInSpawned, "boom in a future");
}

#[test]
fn an_actor_that_panics_in_a_future_of_its_reply_comes_back_at_its_address() {
    comes_back_after(How::PanicInReply, "boom in a reply");
}

#[test]
fn an_actor_that_says_it_failed_comes_back_at_its_address() {
    comes_back_after(How::Fail, "said so");
}

#[test]
fn a_panic_in_started_is_borne_also_the_very_first() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let panics = Arc::new(AtomicU32::new(2));
        let child = {
            let (diary, panics) = (diary.clone(), Arc::clone(&panics));
            scope.supervise(ChildSpec::new("counter").policy(patient()), move |scope| Counter {
                panics_in_started: Arc::clone(&panics),
                ..Counter::new(scope, &diary)
            })
        };
        // Told before it ever ran: kept until it does.
        child.tell(Count).unwrap();
        scope.clock().sleep(SOON).await;
        assert_eq!(diary.lines(), ["counter started", "counter counts 1"]);

        panics.store(1, Ordering::SeqCst);
        let _ = child.ask(GoWrong(How::PanicInHandler), SOON).await;
        scope.clock().sleep(SOON).await;
        assert_eq!(child.ask(Count, SOON).await, Ok(1));
        let picture = scope.tree().snapshot(10).await;
        assert_eq!(picture.children[0].restarts, 4);
        let message = "no start today".to_owned();
        assert_eq!(picture.children[0].last_exit, Some(ExitReason::Panicked { message }));
    });
}

#[test]
fn a_panic_in_the_factory_counts_as_a_crash() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let panics = Arc::new(AtomicU32::new(2));
        let child = {
            let (diary, panics) = (diary.clone(), Arc::clone(&panics));
            scope.supervise(ChildSpec::new("counter").policy(patient()), move |scope| {
                let left = panics.load(Ordering::SeqCst);
                if left > 0 {
                    panics.store(left - 1, Ordering::SeqCst);
                    panic!("nothing to make it of");
                }
                Counter::new(scope, &diary)
            })
        };
        scope.clock().sleep(SOON).await;
        assert_eq!(child.ask(Count, SOON).await, Ok(1));

        panics.store(1, Ordering::SeqCst);
        let _ = child.ask(GoWrong(How::PanicInHandler), SOON).await;
        scope.clock().sleep(SOON).await;
        assert_eq!(child.ask(Count, SOON).await, Ok(1));
        assert_eq!(scope.tree().snapshot(10).await.children[0].restarts, 4);
    });
}

#[test]
fn a_panic_in_a_future_outside_of_the_actor_loses_that_reply_alone() {
    Universe::run(START, async |scope| {
        let child = counter(&scope, "counter", patient(), &Diary::default());
        assert_eq!(child.ask(Count, SOON).await, Ok(1));
        assert_eq!(child.ask(CrashOnTheWay, SOON).await, Err(AskError::Lost));
        assert_eq!(child.ask(Count, SOON).await, Ok(2));
        assert_eq!(scope.tree().snapshot(10).await.children[0].restarts, 0);
    });
}

#[test]
fn a_panic_in_blocking_work_is_told_to_who_asked_for_it() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let child = counter(&scope, "counter", patient(), &diary);
        child.ask(GoWrong(How::PanicInBlockingWork), SOON).await.unwrap();
        assert_eq!(diary.lines(), ["counter started", "the work panicked: boom in blocking work"]);
        assert_eq!(scope.tree().snapshot(10).await.children[0].restarts, 0);
    });
}

#[test]
fn timers_and_futures_of_a_crashed_actor_are_gone_with_it() {
    Universe::run(START, async |scope| {
        let child = counter(&scope, "counter", patient(), &Diary::default());
        child.ask(GoWrong(How::PanicInTimer), SOON).await.unwrap();
        // The second timer would crash the second life.
        child.ask(GoWrong(How::PanicInTimer), SOON).await.unwrap();
        let _ = child.ask(GoWrong(How::PanicInHandler), SOON).await;
        scope.clock().sleep(SOON).await;
        assert_eq!(scope.tree().snapshot(10).await.children[0].restarts, 1);
    });
}

/// Counts what blocking work answers, as long as it belongs to this life.
struct Careful {
    scope: Scope,
    answers: u32,
    stale: u32,
}

impl Actor for Careful {
    type Context = Context<Self>;
}

impl Observe for Careful {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({ "answers": self.answers, "stale": self.stale })
    }
}

supervised!(Careful);

/// Slow work says what it found, and for which life.
#[derive(Message)]
#[rtype(result = "()")]
struct WorkDone(Generation);

impl Handler<WorkDone> for Careful {
    type Result = ();
    fn handle(&mut self, done: WorkDone, _: &mut Self::Context) {
        if done.0 == self.scope.generation() {
            self.answers += 1;
        } else {
            self.stale += 1;
        }
    }
}

/// A test has it do slow work, outside of its context, and perhaps crash meanwhile.
#[derive(Message)]
#[rtype(result = "()")]
struct Work {
    crashes: bool,
}

impl Handler<Work> for Careful {
    type Result = ();
    fn handle(&mut self, work: Work, context: &mut Self::Context) {
        let scope = self.scope.clone();
        let done = self.scope.port::<Self, WorkDone>(context.address());
        actix_rt::spawn(async move {
            scope.clock().sleep(Duration::from_secs(1)).await;
            let _ = done.tell(WorkDone(scope.generation()));
        });
        assert!(!work.crashes, "crashed while the work went on");
    }
}

#[test]
fn work_of_an_earlier_life_is_known_as_stale() {
    Universe::run(START, async |scope| {
        let spec = ChildSpec::new("careful").policy(patient());
        let child = scope.supervise(spec, |scope| Careful { scope, answers: 0, stale: 0 });
        assert_eq!(child.ask(Work { crashes: true }, SOON).await, Err(AskError::Lost));
        scope.clock().sleep(Duration::from_millis(500)).await;
        child.ask(Work { crashes: false }, SOON).await.unwrap();
        scope.clock().sleep(SOON).await;
        let observed = &scope.tree().snapshot(10).await.children[0].observed;
        assert_eq!(*observed, serde_json::json!({ "answers": 1, "stale": 1 }));
    });
}

#[test]
fn messages_in_the_mailbox_are_kept_over_a_restart() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let child = counter(&scope, "counter", patient(), &diary);
        child.tell(Count).unwrap();
        child.tell(GoWrong(How::PanicInHandler)).unwrap();
        child.tell(Count).unwrap();
        scope.clock().sleep(Duration::from_millis(50)).await;
        child.tell(Count).unwrap();
        scope.clock().sleep(Duration::from_millis(1)).await;
        assert_eq!(child.state(), ActorState::BackingOff);
        let picture = scope.tree().snapshot(10).await;
        assert_eq!(picture.children[0].mailbox_depth, 2);

        scope.clock().sleep(SOON).await;
        assert_eq!(
            diary.lines(),
            [
                "counter started",
                "counter counts 1",
                "counter started",
                "counter counts 1",
                "counter counts 2"
            ]
        );
        assert_eq!(scope.tree().snapshot(10).await.children[0].mailbox_depth, 0);
    });
}

fn any_step() -> impl Strategy<Value = Option<How>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(How::PanicInHandler)),
        1 => Just(Some(How::PanicInTimer)),
        1 => Just(Some(How::PanicInSpawned)),
        1 => Just(Some(How::PanicInReply)),
        1 => Just(Some(How::Fail)),
        1 => (1..500_u64).prop_map(|ms| Some(How::WaitFor(Duration::from_millis(ms)))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_accepted_message_is_lost_whatever_goes_wrong(
        steps in proptest::collection::vec((any_step(), 0..200_u64), 1..40)
    ) {
        let counts = steps.iter().filter(|(step, _)| step.is_none()).count();
        let handled = Universe::run(START, async |scope| {
            let diary = Diary::default();
            let child = counter(&scope, "counter", patient(), &diary);
            for (step, pause) in steps {
                match step {
                    None => child.tell(Count).unwrap(),
                    Some(how) => child.tell(GoWrong(how)).unwrap(),
                }
                scope.clock().sleep(Duration::from_millis(pause)).await;
            }
            scope.clock().sleep(Duration::from_secs(3600)).await;
            diary.lines().iter().filter(|line| line.contains("counts")).count()
        });
        prop_assert_eq!(handled, counts);
    }
}
