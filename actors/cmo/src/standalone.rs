//! A whole cloud without databases, sockets or HTTP, for programs that embed the operator: they append
//! entries and assign jobs, everything else is in memory.

use std::sync::Arc;
use std::time::Duration;

use memcloud_bus::{CloudBus, Publisher};
use memcloud_microgrid::MicrogridPorts;
use memcloud_supervision::{Child, ChildSpec, Scope};
use memcloud_worker::{AppCatalogue, InMemoryHistory, InMemoryJobs, StepThreads, WorkerPorts};

use crate::{ChiefMicrogridOperator, OperatorAssembly, OperatorLimits, OperatorPorts};

/// An operator and stores in memory, below one scope.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use memcloud_cmo::Standalone;
/// use memcloud_supervision::{Clock, Scope};
/// use memcloud_worker::{AppCatalogue, StepThreads};
///
/// let scope = Scope::root("mine", Clock::system());
/// let cloud = Standalone::start(&scope, AppCatalogue::standard(), StepThreads::new(4, 16));
/// // `cloud.jobs` takes `PutRoster` and `GetJobOutput`, `cloud.history` takes `AppendEntries`,
/// // `cloud.operator` takes `AssignJob`.
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Standalone {
    /// Where commits and facts pass.
    pub bus: CloudBus,
    /// The door to the bus.
    pub publisher: Child<Publisher>,
    /// Homes, jobs and their results.
    pub jobs: Child<InMemoryJobs>,
    /// What HEMs sent.
    pub history: Child<InMemoryHistory>,
    /// The operator.
    pub operator: Child<ChiefMicrogridOperator>,
}

impl Standalone {
    /// Entries kept of each HEM.
    pub const ENTRIES_PER_HEM: usize = 100_000;

    /// Starts everything below a scope.
    #[must_use]
    pub fn start(scope: &Scope, catalogue: AppCatalogue, threads: StepThreads) -> Self {
        Self::with_limits(scope, catalogue, threads, OperatorLimits::default())
    }

    /// Starts everything below a scope, with bounds of its own.
    #[must_use]
    pub fn with_limits(
        scope: &Scope,
        catalogue: AppCatalogue,
        threads: StepThreads,
        limits: OperatorLimits,
    ) -> Self {
        let bus = CloudBus::in_process();
        let publisher = Publisher::start(scope, bus.clone());
        let kept = InMemoryJobs::new();
        let jobs = scope.supervise(ChildSpec::new("jobs").mailbox(1_024), move |_| kept.clone());
        let history = InMemoryHistory::new(scope.clone(), publisher.port(), Self::ENTRIES_PER_HEM);
        let history =
            scope.supervise(ChildSpec::new("history").mailbox(1_024), move |_| history.clone());
        let worker = WorkerPorts {
            entries: history.port(),
            marks: history.port(),
            load: jobs.port(),
            save: jobs.port(),
            reported: publisher.port(),
        };
        let microgrid = MicrogridPorts {
            worker,
            jobs: jobs.port(),
            roster: jobs.port(),
            states: jobs.port(),
            place: None,
            open_commands: None,
            events: None,
        };
        let assembly = OperatorAssembly {
            bus: bus.clone(),
            ports: OperatorPorts { microgrid, with_jobs: jobs.port(), needed: None },
            catalogue: Arc::new(catalogue),
            threads,
            limits,
            counts: Arc::default(),
        };
        let operator = ChiefMicrogridOperator::start(scope, assembly);
        Self { bus, publisher, jobs, history, operator }
    }

    /// Stops the operator and its jobs first, so that they can still save, then the rest.
    pub async fn stop(&self, deadline: Duration) {
        self.operator.stop(deadline).await;
        self.history.stop(deadline).await;
        self.publisher.stop(deadline).await;
        self.jobs.stop(deadline).await;
    }
}
