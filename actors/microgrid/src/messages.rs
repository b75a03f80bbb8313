//! What REST, and any program that embeds the cloud, asks of the jobs of a microgrid. The
//! `ChiefMicrogridOperator` takes the same messages and passes each on to the right supervisor.

use actix::Message;
use memcloud_bus::CloudEvent;
use memcloud_domain::{JobId, JobRecord, JobState, MicrogridId};
use memcloud_worker::JobProgress;

use crate::MicrogridError;

/// Runs a job that is kept already (or goes on with it, changed): sent by whoever kept it, to the
/// `ChiefMicrogridOperator`, which passes it to the `MicrogridSupervisor`. A job whose state is not
/// `Running` is only noted. Assigning the same record twice does nothing. If it is lost, the
/// supervisor finds the job at its next start.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), MicrogridError>")]
pub struct AssignJob {
    /// The job, its configuration as the catalogue validated it.
    pub record: JobRecord,
}

/// Stops a job, saved as far as it came; it is recorded as `Stopped`. Same way as `AssignJob`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), MicrogridError>")]
pub struct StopJob {
    /// Whose.
    pub microgrid: MicrogridId,
    /// Which job.
    pub job: JobId,
}

/// Runs a job that is stopped or failed, from where it was saved last; it is recorded as `Running`.
/// Same way as `AssignJob`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), MicrogridError>")]
pub struct StartJob {
    /// Whose.
    pub microgrid: MicrogridId,
    /// Which job.
    pub job: JobId,
}

/// Stops a job and forgets it; what was kept of it is its sender's to delete. Same way as
/// `AssignJob`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), MicrogridError>")]
pub struct RemoveJob {
    /// Whose.
    pub microgrid: MicrogridId,
    /// Which job.
    pub job: JobId,
}

/// A job as its supervisor has it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobStanding {
    /// The job, with its present state.
    pub record: JobRecord,
    /// How far it is; absent where it does not run or did not answer in time.
    pub progress: Option<JobProgress>,
}

/// Asks for the jobs of a microgrid. Same way as `AssignJob`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<JobStanding>, MicrogridError>")]
pub struct ListJobs {
    /// Whose.
    pub microgrid: MicrogridId,
}

/// Asks for one job of a microgrid. Same way as `AssignJob`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<JobStanding, MicrogridError>")]
pub struct GetJob {
    /// Whose.
    pub microgrid: MicrogridId,
    /// Which job.
    pub job: JobId,
}

/// The `ChiefMicrogridOperator` passes on what happened in a microgrid. May be lost.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "()")]
pub struct HappenedInMicrogrid(pub CloudEvent);

/// The state that a record and a person's wish give.
pub(crate) fn is_running(state: &JobState) -> bool {
    matches!(state, JobState::Running)
}
