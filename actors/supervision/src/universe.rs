//! A world for tests: one runtime, paused time, storage inline, and nobody may outlive it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use actix::System;
use futures_util::FutureExt;

use crate::{Clock, Scope};

/// So long, in simulated time, everyone has to end after a test.
const SHUTDOWN: Duration = Duration::from_secs(60);

/// A world for tests.
#[derive(Debug)]
pub struct Universe;

impl Universe {
    /// Runs a test in a world of its own, whose clock shows `unix_ms` and moves only when every actor
    /// waits. Afterwards everything under the scope is shut down; fails if an actor outlives that.
    ///
    /// # Panics
    /// When the test does, when the runtime cannot be made, and when an actor outlives the shutdown.
    #[expect(clippy::expect_used, clippy::panic, reason = "a world for tests fails as tests do")]
    pub fn run<F, Fut, T>(unix_ms: i64, test: F) -> T
    where
        F: FnOnce(Scope) -> Fut,
        Fut: Future<Output = T>,
    {
        let system = System::with_tokio_rt(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime of one thread without I/O can be made")
        });
        system.block_on(async move {
            let scope = Scope::root("universe", Clock::simulated(unix_ms));
            let outcome = AssertUnwindSafe(test(scope.clone())).catch_unwind().await;
            let left = scope.shutdown(SHUTDOWN).await;
            match outcome {
                Err(panic) => resume_unwind(panic),
                Ok(_) if !left.is_empty() => {
                    panic!("these actors outlived the shutdown: {}", left.join(", "))
                }
                Ok(result) => result,
            }
        })
    }
}
