//! The same in real time and on several threads.

use std::time::Duration;

use actix::{Arbiter, System};
use memcloud_supervision::{ActorState, AskError, ChildSpec, Clock, ExitReason, Port, Scope};

use crate::actors::{Count, Counter, Diary, GoWrong, How, SOON, counter, patient};

#[test]
fn a_child_on_another_arbiter_comes_back_there() {
    System::new().block_on(async {
        let scope = Scope::root("real", Clock::system());
        let arbiter = Arbiter::new();
        let diary = Diary::default();
        let child = {
            let diary = diary.clone();
            scope.supervise(
                ChildSpec::new("counter").policy(patient()).on(arbiter.handle()),
                move |scope| {
                    diary.note(format!("{:?}", std::thread::current().id()));
                    Counter::new(scope, &diary)
                },
            )
        };
        assert_eq!(child.ask(Count, SOON).await, Ok(1));
        assert_eq!(child.ask(GoWrong(How::PanicInHandler), SOON).await, Err(AskError::Lost));
        let answer = loop {
            match child.ask(Count, SOON).await {
                Err(AskError::Restarting) => tokio::task::yield_now().await,
                answer => break answer,
            }
        };
        assert_eq!(answer, Ok(1));
        let lives: Vec<_> =
            diary.lines().into_iter().filter(|line| line.starts_with("ThreadId")).collect();
        assert_eq!(lives.len(), 2);
        assert_eq!(lives[0], lives[1]);
        assert_ne!(lives[0], format!("{:?}", std::thread::current().id()));
        assert!(scope.shutdown(SOON).await.is_empty());
        arbiter.stop();
        arbiter.join().unwrap();
    });
}

#[test]
fn children_of_a_child_run_on_its_arbiter_whoever_starts_them() {
    System::new().block_on(async {
        let scope = Scope::root("real", Clock::system());
        let from_a_thread = {
            let scope = scope.clone();
            std::thread::spawn(move || {
                counter(&scope, "counter", patient(), &Diary::default()).port()
            })
        };
        let port: Port<Count> = from_a_thread.join().unwrap();
        assert_eq!(port.ask(Count, SOON).await, Ok(1));
        assert!(scope.shutdown(SOON).await.is_empty());
    });
}

#[test]
fn a_child_whose_arbiter_is_gone_has_ended() {
    System::new().block_on(async {
        let scope = Scope::root("real", Clock::system());
        let arbiter = Arbiter::new();
        let child = scope.supervise(ChildSpec::new("counter").on(arbiter.handle()), |scope| {
            Counter::new(scope, &Diary::default())
        });
        assert_eq!(child.ask(Count, SOON).await, Ok(1));
        arbiter.stop();
        let handle = arbiter.handle();
        arbiter.join().unwrap();
        assert_eq!(child.ended().await, ExitReason::Shutdown);
        assert_eq!(child.state(), ActorState::Stopped);
        let late = scope.supervise(ChildSpec::new("late").on(handle), |scope| {
            Counter::new(scope, &Diary::default())
        });
        assert_eq!(late.ended().await, ExitReason::Shutdown);
        assert!(scope.tree().snapshot(10).await.children.is_empty());
    });
}

#[test]
fn slow_work_does_not_hold_the_actors_up() {
    System::new().block_on(async {
        let scope = Scope::root("real", Clock::system());
        let child = counter(&scope, "counter", patient(), &Diary::default());
        let (release, released) = std::sync::mpsc::channel::<()>();
        let work = scope.offload(move || released.recv_timeout(Duration::from_secs(30)).is_ok());
        let meanwhile = async {
            assert_eq!(child.ask(Count, SOON).await, Ok(1));
            release.send(()).unwrap();
        };
        let (worked, ()) = tokio::join!(work, meanwhile);
        assert_eq!(worked, Ok(true));
        let crashed = scope.offload(|| panic!("on a thread of its own")).await;
        let crashed: Result<(), _> = crashed;
        assert_eq!(crashed.unwrap_err().to_string(), "the work panicked: on a thread of its own");
        assert!(scope.shutdown(SOON).await.is_empty());
    });
}
