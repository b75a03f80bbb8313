//! Where apps' steps run: each on a thread of its own for as long as it takes, so that a step that
//! never ends stops nobody else.
//!
//! A thread cannot be killed. One that has not come back by its deadline is given up: its place is
//! filled at once, it is counted, and its job may not start another before it comes back. At most
//! `max_hung` may hang at a time; beyond that their places are no longer filled. They are not the
//! runtime's blocking threads, so they neither starve the stores nor hold up the end of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use memcloud_supervision::{OffloadError, Scope};
use tokio::sync::{Semaphore, oneshot};

/// Why a step has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The app panicked.
    #[error("the app panicked: {0}")]
    Panicked(String),
    /// It did not come back in time.
    #[error("the app took longer than {} s for a step", .0.as_secs_f64())]
    Hung(Duration),
    /// An earlier step of this job has not come back yet.
    #[error("an earlier step of the app still hangs")]
    StillHangs,
    /// No thread was to be had.
    #[error("no thread could be had for the app: {0}")]
    NoThread(String),
}

#[derive(Debug)]
struct Places {
    free: Semaphore,
    hung: AtomicUsize,
    max_hung: usize,
}

/// Where steps run; one for the whole process.
#[derive(Debug, Clone)]
pub struct StepThreads {
    /// Absent: steps run by `Scope::offload`, inline in a Universe.
    places: Option<Arc<Places>>,
}

/// Whether a job's earlier step still hangs; lives as long as the job, over all its lives.
#[derive(Debug, Clone, Default)]
pub struct Hanging(Arc<AtomicBool>);

impl StepThreads {
    /// At most so many steps at a time, and at most so many that hang.
    #[must_use]
    pub fn new(at_a_time: usize, max_hung: usize) -> Self {
        let free = Semaphore::new(at_a_time.clamp(1, Semaphore::MAX_PERMITS / 2));
        Self { places: Some(Arc::new(Places { free, hung: AtomicUsize::new(0), max_hung })) }
    }

    /// Steps run by the kit's `offload`: in a Universe at once and in place, where a step that never
    /// ends is a test that never ends.
    #[must_use]
    pub fn offloaded() -> Self {
        Self { places: None }
    }

    /// How many steps hang now.
    #[must_use]
    pub fn hung(&self) -> usize {
        self.places.as_ref().map_or(0, |places| places.hung.load(Ordering::Relaxed))
    }

    /// Runs a step, at most until the deadline.
    ///
    /// # Errors
    /// [`StepError`]; what the step owned is then lost.
    pub async fn run<T, F>(
        &self,
        scope: &Scope,
        hanging: &Hanging,
        deadline: Duration,
        step: F,
    ) -> Result<T, StepError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let Some(places) = &self.places else {
            return scope.offload(step).await.map_err(|error| match error {
                OffloadError::Panicked(message) => StepError::Panicked(message),
                OffloadError::Cancelled => StepError::NoThread(error.to_string()),
            });
        };
        if hanging.0.load(Ordering::Acquire) {
            return Err(StepError::StillHangs);
        }
        let permit = places
            .free
            .acquire()
            .await
            .map_err(|closed| StepError::NoThread(closed.to_string()))?;
        let (answer, answered) = oneshot::channel();
        let course = Arc::new(Course {
            stage: AtomicU8::new(UNDER_WAY),
            hanging: hanging.clone(),
            places: Arc::clone(places),
        });
        let back = ComesBack(Arc::clone(&course));
        let thread = std::thread::Builder::new()
            .name("energy-app".into())
            .spawn(move || {
                step_back();
                let result = step();
                drop(back);
                let _ = answer.send(result);
            })
            .map_err(|error| StepError::NoThread(error.to_string()))?;
        match tokio::time::timeout(deadline, answered).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => {
                // The sender was dropped by the unwinding, so the thread is at its very end.
                let payload = thread.join().err();
                let message = payload
                    .as_deref()
                    .and_then(|payload| {
                        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
                        text.or_else(|| payload.downcast_ref::<String>().cloned())
                    })
                    .unwrap_or_else(|| "without a message".into());
                Err(StepError::Panicked(message))
            }
            Err(_) => {
                let hung = course.give_up();
                if hung > places.max_hung {
                    log::error!(hung; "too many steps of energy apps hang, so their places are not filled again");
                    permit.forget();
                }
                Err(StepError::Hung(deadline))
            }
        }
    }
}

/// A step gives way to the sockets, the ledger and the commits: it may take what processor they leave.
#[cfg(target_os = "linux")]
fn step_back() {
    const NICE: i32 = 10;
    let this = rustix::thread::gettid();
    // Where a sandbox does not allow it, the step runs like everything else.
    if let Err(error) = rustix::process::setpriority_process(Some(this), NICE) {
        log::debug!(error = error.to_string().as_str(); "an energy app's thread keeps its priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}

const UNDER_WAY: u8 = 0;
const ENDED: u8 = 1;
const GIVEN_UP: u8 = 2;

/// One step on its thread, as both sides see it.
#[derive(Debug)]
struct Course {
    stage: AtomicU8,
    hanging: Hanging,
    places: Arc<Places>,
}

impl Course {
    /// The deadline has passed; answers how many hang now.
    fn give_up(&self) -> usize {
        // Counted before it is said, so that the thread never takes back what was not yet counted.
        self.hanging.0.store(true, Ordering::Release);
        let hung = self.places.hung.fetch_add(1, Ordering::AcqRel) + 1;
        let ended = self
            .stage
            .compare_exchange(UNDER_WAY, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire)
            .is_err();
        if ended {
            self.take_back();
            return hung - 1;
        }
        hung
    }

    fn take_back(&self) {
        self.hanging.0.store(false, Ordering::Release);
        self.places.hung.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Says that a step is over, also when it unwinds.
struct ComesBack(Arc<Course>);

impl Drop for ComesBack {
    fn drop(&mut self) {
        if self.0.stage.swap(ENDED, Ordering::AcqRel) == GIVEN_UP {
            self.0.take_back();
        }
    }
}
