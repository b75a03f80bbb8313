//! A step that never ends stops nobody else. Real threads and real time, hence no Universe.

use std::sync::mpsc;
use std::time::Duration;

use memcloud_supervision::{Clock, Scope};
use memcloud_worker::StepThreads;
use memcloud_worker::step_threads::{Hanging, StepError};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_step_that_hangs_is_given_up_and_its_neighbours_go_on() {
    actix::System::new().block_on(async {
        let scope = Scope::root("test", Clock::system());
        let threads = StepThreads::new(1, 4);
        let (bad, good) = (Hanging::default(), Hanging::default());
        let (release, hangs) = mpsc::channel::<()>();
        let hung = threads.run(&scope, &bad, SHORT, move || hangs.recv().is_ok()).await;
        assert_eq!(hung, Err(StepError::Hung(SHORT)));
        assert_eq!(threads.hung(), 1);
        let again = threads.run(&scope, &bad, LONG, || 1).await;
        assert_eq!(again, Err(StepError::StillHangs), "one job hangs at most one thread");
        let neighbour = threads.run(&scope, &good, LONG, || 2).await;
        assert_eq!(neighbour, Ok(2), "its place was filled");
        drop(release);
        while threads.hung() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(threads.run(&scope, &bad, LONG, || 3).await, Ok(3), "it came back after all");
    });
}

#[test]
fn a_panic_in_a_step_is_told_with_its_message() {
    actix::System::new().block_on(async {
        let scope = Scope::root("test", Clock::system());
        let threads = StepThreads::new(2, 4);
        let fine = Hanging::default();
        let result: Result<(), _> =
            threads.run(&scope, &fine, LONG, || panic!("no {} today", "sun")).await;
        assert_eq!(result, Err(StepError::Panicked("no sun today".into())));
        assert_eq!(threads.hung(), 0);
        assert_eq!(threads.run(&scope, &fine, LONG, || 1).await, Ok(1));
    });
}

#[test]
fn steps_that_race_with_their_deadline_leave_nothing_counted_behind() {
    actix::System::new().block_on(async {
        let scope = Scope::root("test", Clock::system());
        let threads = StepThreads::new(2, 1_000);
        let span = Duration::from_millis(2);
        for _ in 0..200 {
            let racing = Hanging::default();
            let _ = threads.run(&scope, &racing, span, move || std::thread::sleep(span)).await;
        }
        while threads.hung() > 0 {
            tokio::task::yield_now().await;
        }
    });
}
