//! The actor that keeps the telemetry store in shape beside the commits: rolls up, seals, deletes.
//! One bounded step at a time on a blocking thread, so that a commit never waits long for it.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt, AsyncContext, Context};
use log::{info, warn};
use memcloud_domain::Timestamp;
use memcloud_store::telemetry::{Retention, TelemetryStore, Upkeep, UpkeepTask};
use memcloud_supervision::{Observe, Scope};
use tokio::time::Instant;

use crate::metrics::HistorianMetrics;

/// When which upkeep is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaintenanceConfig {
    /// How often dirty buckets are rolled up.
    pub roll_up_every: Duration,
    /// How often HEMs are looked for whose hot readings can be sealed.
    pub seal_every: Duration,
    /// How often old data is looked for.
    pub retain_every: Duration,
    /// How often the store's log is carried over.
    pub checkpoint_every: Duration,
    /// The pause between two steps where there is more to do at once: commits go between. While
    /// entries wait for theirs, the pause is as much longer as the step took.
    pub breath: Duration,
    /// The pause after a step that failed.
    pub retry_after: Duration,
    /// How long what is kept.
    pub retention: Retention,
}

impl Default for MaintenanceConfig {
    fn default() -> Self {
        Self {
            roll_up_every: Duration::from_secs(2),
            seal_every: Duration::from_secs(1),
            retain_every: Duration::from_secs(600),
            checkpoint_every: Duration::from_millis(500),
            breath: Duration::from_millis(2),
            retry_after: Duration::from_secs(5),
            retention: Retention::default(),
        }
    }
}

/// A kind of upkeep and when it is due.
#[derive(Debug, Clone, Copy)]
struct Duty {
    task: UpkeepTask,
    every: Duration,
    due: Instant,
    done: u64,
    failing: bool,
}

/// The pure core: which step is due next.
#[derive(Debug)]
struct Schedule {
    duties: Vec<Duty>,
    breath: Duration,
    retry_after: Duration,
}

impl Schedule {
    fn new(config: &MaintenanceConfig, now: Instant) -> Self {
        let duty = |task, every| Duty { task, every, due: now + every, done: 0, failing: false };
        Self {
            duties: vec![
                duty(UpkeepTask::RollUp, config.roll_up_every),
                duty(UpkeepTask::Seal, config.seal_every),
                duty(UpkeepTask::Retain(config.retention), config.retain_every),
                duty(UpkeepTask::Checkpoint, config.checkpoint_every),
            ],
            breath: config.breath,
            retry_after: config.retry_after,
        }
    }

    /// The duty that has been due longest, and how long to wait for it.
    fn next(&self, now: Instant) -> Option<(UpkeepTask, Duration)> {
        let first = self.duties.iter().min_by_key(|duty| duty.due)?;
        Some((first.task, first.due.saturating_duration_since(now)))
    }

    /// Sets when a task is due again; `yielding`, after so long at the earliest.
    fn finished(
        &mut self,
        task: UpkeepTask,
        step: Option<Upkeep>,
        yielding: Duration,
        now: Instant,
    ) {
        let (breath, retry_after) = (self.breath + yielding, self.retry_after);
        let Some(duty) = self.duties.iter_mut().find(|duty| duty.task == task) else { return };
        match step {
            Some(step) => {
                duty.done += step.done as u64;
                duty.failing = false;
                duty.due = now + if step.more { breath } else { duty.every };
            }
            None => {
                duty.failing = true;
                duty.due = now + retry_after.max(duty.every);
            }
        }
    }

    fn is_failing(&self, task: UpkeepTask) -> bool {
        self.duties.iter().any(|duty| duty.task == task && duty.failing)
    }
}

/// The actor that keeps the telemetry store in shape.
pub struct Maintenance {
    scope: Scope,
    store: Arc<dyn TelemetryStore>,
    metrics: Arc<HistorianMetrics>,
    schedule: Schedule,
}

memcloud_supervision::supervised!(Maintenance);

impl Maintenance {
    /// Upkeep of a store; it begins when the actor does.
    #[must_use]
    pub fn new(
        scope: Scope,
        config: &MaintenanceConfig,
        store: Arc<dyn TelemetryStore>,
        metrics: Arc<HistorianMetrics>,
    ) -> Self {
        let schedule = Schedule::new(config, scope.clock().instant());
        Self { scope, store, metrics, schedule }
    }

    fn arm(&self, context: &mut Context<Self>) {
        let Some((task, pause)) = self.schedule.next(self.scope.clock().instant()) else { return };
        context.run_later(pause, move |maintenance, context| maintenance.step(task, context));
    }

    fn step(&self, task: UpkeepTask, context: &mut Context<Self>) {
        let (scope, store) = (self.scope.clone(), Arc::clone(&self.store));
        let now = Timestamp(self.scope.clock().unix_ms());
        let began = self.scope.clock().instant();
        let work = async move { scope.offload(move || store.upkeep(task, now)).await };
        let done = wrap_future::<_, Self>(work).map(move |result, maintenance, context| {
            let step = match result {
                Ok(Ok(step)) => Ok(step),
                Ok(Err(problem)) => Err(problem.to_string()),
                Err(problem) => Err(problem.to_string()),
            };
            maintenance.finished(task, step, began);
            maintenance.arm(context);
        });
        context.spawn(done);
    }

    fn finished(&mut self, task: UpkeepTask, step: Result<Upkeep, String>, began: Instant) {
        let was_failing = self.schedule.is_failing(task);
        match &step {
            Ok(step) => {
                let counter = match task {
                    UpkeepTask::RollUp => Some(&self.metrics.rolled_up),
                    UpkeepTask::Seal => Some(&self.metrics.sealed),
                    UpkeepTask::Retain(_) => Some(&self.metrics.deleted),
                    UpkeepTask::Checkpoint => None,
                };
                if let Some(counter) = counter {
                    counter.add(step.done);
                }
                self.metrics.damaged.add(step.damaged);
                if was_failing {
                    info!(task = name(task); "upkeep of the iot store works again");
                }
            }
            Err(problem) => {
                self.metrics.failed_upkeep.increment();
                if !was_failing {
                    warn!(task = name(task), error = problem.as_str();
                        "upkeep of the iot store failed and is tried again");
                }
            }
        }
        let now = self.scope.clock().instant();
        // Half of the time is for what waits to be acknowledged.
        let yielding = match self.metrics.waiting.get() {
            0 => Duration::ZERO,
            _ => now.saturating_duration_since(began),
        };
        self.schedule.finished(task, step.ok(), yielding, now);
    }
}

impl Actor for Maintenance {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.arm(context);
    }
}

impl Observe for Maintenance {
    fn observe(&self) -> serde_json::Value {
        let duties = self.schedule.duties.iter().map(|duty| {
            let shown = serde_json::json!({ "done": duty.done, "failing": duty.failing });
            (name(duty.task).to_owned(), shown)
        });
        serde_json::Value::Object(duties.collect())
    }
}

fn name(task: UpkeepTask) -> &'static str {
    match task {
        UpkeepTask::RollUp => "roll_up",
        UpkeepTask::Seal => "seal",
        UpkeepTask::Retain(_) => "retain",
        UpkeepTask::Checkpoint => "checkpoint",
    }
}
