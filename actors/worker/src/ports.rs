//! What a worker job is given: whom it asks and tells, what it runs, and its bounds.

use std::sync::Arc;
use std::time::Duration;

use memcloud_bus::{CommittedBatch, Exchange};
use memcloud_domain::messages::{
    JobReported, JobWished, ListMarks, LoadCheckpoint, ReadEntriesAfter, SaveCheckpoint,
};
use memcloud_domain::{JobRecord, Tenure};
use memcloud_supervision::Port;
use tokio::sync::watch;

use crate::{AppFactory, Outcome, Roster, StepThreads};

/// Whom a worker job asks and tells.
#[derive(Debug, Clone)]
pub struct WorkerPorts {
    /// Stored entries, when the bus lost some.
    pub entries: Port<ReadEntriesAfter>,
    /// How far each HEM's numbers are stored.
    pub marks: Port<ListMarks>,
    /// Where the job stood.
    pub load: Port<LoadCheckpoint>,
    /// Where it stands now.
    pub save: Port<SaveCheckpoint>,
    /// Who shows what it found.
    pub reported: Port<JobReported>,
}

/// A job's bounds and times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JobLimits {
    /// Batches that may wait in the job's queue on the bus.
    pub queue: usize,
    /// Entries that may wait in the job for its next step.
    pub backlog: usize,
    /// Entries in one step.
    pub step_entries: usize,
    /// Entries in one page read from the store.
    pub page: usize,
    /// HEMs that a job follows; more are left out, aloud.
    pub hems: usize,
    /// Results that may wait to be saved; beyond it the job makes no step until they are.
    pub unsaved_results: usize,
    /// Lines of log that may wait to be saved; beyond it the oldest go, counted.
    pub unsaved_log: usize,
    /// Wishes that a step may have, and that may wait for dispatch; more are dropped, aloud.
    pub wishes: usize,
    /// How often the job looks whether something is due. In simulated time: as long as its steps.
    pub look_every: Duration,
    /// The shortest time between two steps by the clock, whatever the app asks for.
    pub least_tick: Duration,
    /// How long a step may take.
    pub step_deadline: Duration,
    /// How long a question to a store may take.
    pub ask_deadline: Duration,
    /// How often the marks are asked for, so that nothing stays unseen although every hint was lost.
    pub catch_up_every: Duration,
    /// The shortest time between two checkpoints.
    pub checkpoint_every: Duration,
    /// How many bytes of state a job may have written per second; a larger state is saved less often.
    pub checkpoint_bytes_per_second: usize,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            queue: 256,
            backlog: 8_000,
            step_entries: 2_000,
            page: 1_000,
            hems: 10_000,
            unsaved_results: 20_000,
            unsaved_log: 500,
            wishes: Outcome::MOST_WISHES,
            look_every: Duration::from_millis(500),
            least_tick: Duration::from_secs(1),
            step_deadline: Duration::from_secs(5),
            ask_deadline: Duration::from_secs(10),
            catch_up_every: Duration::from_secs(5),
            checkpoint_every: Duration::from_secs(3),
            checkpoint_bytes_per_second: 32_768,
        }
    }
}

/// All that a worker job is made of.
#[derive(Clone)]
pub struct JobAssembly {
    /// The job.
    pub record: JobRecord,
    /// In a cluster: the right to run its microgrid. What is written of it is written under it.
    pub tenure: Option<Tenure>,
    /// Its app.
    pub app: Arc<dyn AppFactory>,
    /// Whom it asks and tells.
    pub ports: WorkerPorts,
    /// Its microgrid's own exchange of committed batches.
    pub readings: Arc<dyn Exchange<CommittedBatch>>,
    /// Its microgrid's own exchange of what jobs found.
    pub results: Arc<dyn Exchange<JobReported>>,
    /// Its microgrid's roster; absent until it is known. No step is made before.
    pub roster: watch::Receiver<Option<Arc<Roster>>>,
    /// Its microgrid's dispatch; absent where nothing is steered.
    pub wishes: Option<Port<JobWished>>,
    /// Where steps run.
    pub threads: StepThreads,
    /// Its bounds.
    pub limits: JobLimits,
}

impl std::fmt::Debug for JobAssembly {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("JobAssembly").field("record", &self.record).finish_non_exhaustive()
    }
}
