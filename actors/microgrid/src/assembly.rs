//! What a supervisor is given: whom it asks and tells, what it may run, and its bounds.

use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::{
    GetRoster, ListEvents, ListJobsOf, ListOpenCommands, PlaceOrders, RecordJobState,
};
use memcloud_domain::{MicrogridId, Tenure};
use memcloud_supervision::Port;
use memcloud_worker::{AppCatalogue, JobLimits, StepThreads, WorkerPorts};

use crate::{DispatchCounts, DispatchLimits};

/// Whom a supervisor and its workers ask and tell.
#[derive(Debug, Clone)]
pub struct MicrogridPorts {
    /// Whom its workers ask and tell.
    pub worker: WorkerPorts,
    /// Its jobs as they are kept.
    pub jobs: Port<ListJobsOf>,
    /// Its homes.
    pub roster: Port<GetRoster>,
    /// Who records how its jobs stand.
    pub states: Port<RecordJobState>,
    /// The ledger of commands, which writes and sends what dispatch decides. Absent: nothing is
    /// steered, and `why` says so.
    pub place: Option<Port<PlaceOrders>>,
    /// What is open in the ledger, for dispatch to begin with.
    pub open_commands: Option<Port<ListOpenCommands>>,
    /// What happened at a home before the supervisor began: whether a button was pressed there.
    /// Absent: only what happens from now on is known.
    pub events: Option<Port<ListEvents>>,
}

/// A supervisor's bounds and times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MicrogridLimits {
    /// Jobs that may be kept for a microgrid.
    pub jobs: usize,
    /// Messages that may wait for the supervisor.
    pub mailbox: usize,
    /// How often the store is asked for jobs and homes, in case a change was lost.
    pub refresh_every: Duration,
    /// How long a job may take to save and stop.
    pub drain_deadline: Duration,
    /// How long a question to a store may take.
    pub ask_deadline: Duration,
    /// The bounds of each job.
    pub job: JobLimits,
    /// The bounds of dispatch.
    pub dispatch: DispatchLimits,
}

impl Default for MicrogridLimits {
    fn default() -> Self {
        Self {
            jobs: 64,
            mailbox: 1_024,
            refresh_every: Duration::from_secs(60),
            drain_deadline: Duration::from_secs(10),
            ask_deadline: Duration::from_secs(10),
            job: JobLimits::default(),
            dispatch: DispatchLimits::default(),
        }
    }
}

/// All that a supervisor is made of.
#[derive(Debug, Clone)]
pub struct MicrogridAssembly {
    /// Which microgrid.
    pub microgrid: MicrogridId,
    /// In a cluster: the right to run it. What is written of its jobs is written under it.
    pub tenure: Option<Tenure>,
    /// Whom it asks and tells.
    pub ports: MicrogridPorts,
    /// The apps that can be run.
    pub catalogue: Arc<AppCatalogue>,
    /// Where their steps run.
    pub threads: StepThreads,
    /// Its bounds.
    pub limits: MicrogridLimits,
    /// What dispatch counts, of all microgrids together.
    pub counts: Arc<DispatchCounts>,
}
