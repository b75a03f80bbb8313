//! An actor crashes, everywhere that it can, and comes back.

use std::time::Duration;

use memcloud_supervision::{ActorState, AskError, ChildSpec, ExitReason, Universe};

use crate::actors::{Count, Counter, Diary, GoWrong, How, SOON, START, patient};

/// Whatever way a counter crashes: it comes back at the same address with a new state.
fn comes_back_after(how: How, message: &str) {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let child = {
            let diary = diary.clone();
            scope.supervise(ChildSpec::new("counter").policy(patient()), move |scope| {
                Counter::new(scope, &diary)
            })
        };
        let address = child.addr();
        assert_eq!(child.ask(Count, SOON).await, Ok(1));
        assert_eq!(child.ask(Count, SOON).await, Ok(2));
        let _ = child.ask(GoWrong(how), SOON).await;
        scope.clock().sleep(Duration::from_millis(50)).await;

        let picture = scope.tree().snapshot(10).await;
        let counter = &picture.children[0];
        assert_eq!(counter.state, ActorState::BackingOff);
        assert_eq!(counter.last_exit, Some(ExitReason::Panicked { message: message.to_owned() }));
        assert_eq!(child.ask(Count, SOON).await, Err(AskError::Restarting));

        scope.clock().sleep(Duration::from_millis(100)).await;
        assert_eq!(address.send(Count).await.unwrap(), 1, "the state is new, the address is not");
        let picture = scope.tree().snapshot(10).await;
        let counter = &picture.children[0];
        assert_eq!(counter.state, ActorState::Running);
        assert_eq!(counter.restarts, 1);
        assert_eq!(counter.observed["count"], 1);
        assert_eq!(counter.actor, "Counter");
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
