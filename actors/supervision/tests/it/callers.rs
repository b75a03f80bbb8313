//! What those hear who ask an actor that crashes, waits, or is gone.

use std::time::Duration;

use actix::Actor;
use memcloud_supervision::{
    ActorState, AskError, ExitReason, Port, RestartPolicy, TellError, Universe,
};

use crate::actors::{Count, Diary, GoWrong, How, SOON, START, Watcher, counter, patient};

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn who_asks_during_back_off_hears_at_once_that_the_actor_is_restarting() {
    Universe::run(START, async |scope| {
        let child = counter(&scope, "counter", patient(), &Diary::default());
        let port: Port<Count> = child.port();
        assert_eq!(
            child.ask(GoWrong(How::PanicInHandler), SOON).await,
            Err(AskError::Lost),
            "the question on which it crashed may have been carried out"
        );
        let before = scope.clock().instant();
        assert_eq!(port.ask(Count, SOON).await, Err(AskError::Restarting));
        assert_eq!(scope.clock().instant(), before);
        scope.clock().sleep(SOON).await;
        assert_eq!(port.ask(Count, SOON).await, Ok(1));
    });
}

#[test]
fn a_question_that_waits_over_a_restart_is_answered_if_there_is_time() {
    Universe::run(START, async |scope| {
        let child = counter(&scope, "counter", patient(), &Diary::default());
        child.tell(GoWrong(How::PanicInHandler)).unwrap();
        let (late, in_time) = tokio::join!(
            child.ask(Count, Duration::from_millis(50)),
            child.ask(Count, Duration::from_millis(150)),
        );
        assert_eq!(late, Err(AskError::Restarting));
        assert_eq!(in_time, Ok(1), "the one that nobody waited for any more was not carried out");
    });
}

#[test]
fn a_reply_that_was_under_way_when_the_actor_crashed_is_lost_at_once() {
    Universe::run(START, async |scope| {
        let child = counter(&scope, "counter", patient(), &Diary::default());
        let before = scope.clock().instant();
        let (under_way, crash) = tokio::join!(
            child.ask(GoWrong(How::StuckReply), SOON),
            child.ask(GoWrong(How::PanicInHandler), SOON)
        );
        assert_eq!(under_way, Err(AskError::Lost));
        assert_eq!(crash, Err(AskError::Lost));
        assert_eq!(scope.clock().instant(), before);
    });
}

#[test]
fn who_asks_an_actor_that_is_busy_too_long_hears_that_it_timed_out() {
    Universe::run(START, async |scope| {
        let child = counter(&scope, "counter", patient(), &Diary::default());
        child.tell(GoWrong(How::WaitFor(Duration::from_secs(60)))).unwrap();
        assert_eq!(child.ask(Count, SOON).await, Err(AskError::TimedOut));
        scope.clock().sleep(Duration::from_secs(60)).await;
        assert_eq!(child.ask(Count, SOON).await, Ok(1), "what timed out was not carried out");
    });
}

#[test]
fn who_asks_an_actor_that_is_gone_hears_that_it_has_stopped() {
    Universe::run(START, async |scope| {
        let child = counter(&scope, "counter", RestartPolicy::transient(), &Diary::default());
        let port: Port<Count> = child.port();
        child.ask(GoWrong(How::Stop), SOON).await.ok();
        assert_eq!(child.ended().await, ExitReason::Stopped);
        assert_eq!(port.ask(Count, SOON).await, Err(AskError::Stopped));
        assert_eq!(child.ask(Count, SOON).await, Err(AskError::Stopped));
        assert!(matches!(child.tell(Count), Err(TellError::Stopped(Count))));
        assert!(matches!(port.tell(Count), Err(TellError::Stopped(Count))));
        assert_eq!(child.stop(SOON).await, ExitReason::Stopped);
    });
}

#[test]
fn a_port_of_a_plain_actor_has_deadlines_too() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let plain = Watcher(diary.clone()).start();
        let port: Port<memcloud_supervision::ChildExited> = plain.clone().recipient().into();
        let exited = || memcloud_supervision::ChildExited {
            name: "x".into(),
            path: "universe/x".into(),
            reason: ExitReason::Stopped,
        };
        port.ask(exited(), SOON).await.unwrap();
        assert_eq!(diary.lines(), ["universe/x stopped by itself"]);
        scope.clock().sleep(MOMENT).await;
    });
}

#[test]
fn what_is_told_during_back_off_waits_in_the_mailbox() {
    Universe::run(START, async |scope| {
        let diary = Diary::default();
        let child = counter(&scope, "counter", patient(), &diary);
        child.tell(GoWrong(How::PanicInHandler)).unwrap();
        scope.clock().sleep(MOMENT).await;
        assert_eq!(child.state(), ActorState::BackingOff);
        child.tell(Count).unwrap();
        scope.clock().sleep(SOON).await;
        assert_eq!(diary.lines(), ["counter started", "counter started", "counter counts 1"]);
    });
}
