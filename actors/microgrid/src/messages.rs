//! What REST, and any program that embeds the cloud, asks of a microgrid's jobs and of its dispatch.
//! The `ChiefMicrogridOperator` takes the same messages and passes each on to the right supervisor.

use actix::Message;
use memcloud_bus::CloudEvent;
use memcloud_domain::{HemId, JobId, JobRecord, JobState, MicrogridId, NodeId, NodeWhy, Wish};
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

/// Asks why the nodes of a microgrid are as they are: a sentence for each declared node, by HEM and
/// number, also where nothing is ordered. Same way as `AssignJob`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<NodeWhy>, MicrogridError>")]
pub struct ExplainNodes {
    /// Whose.
    pub microgrid: MicrogridId,
    /// Of one HEM; absent: of all.
    pub hem: Option<HemId>,
}

/// REST hands in what an external job wants of nodes; without wishes it is a sign of life. Each wish
/// takes the place of the job's earlier one for the node and the kind of setting, and ends with its
/// lease when the job falls silent. Same way as `AssignJob`. If it is lost, the job sends it again.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<WishesTaken, MicrogridError>")]
pub struct SubmitWishes {
    /// Whose.
    pub microgrid: MicrogridId,
    /// Which job: one of the app `external`, and running.
    pub job: JobId,
    /// What it wants now.
    pub wishes: Vec<Wish>,
    /// Nodes of which it wants nothing any more; taken before the wishes.
    pub withdrawn: Vec<(HemId, NodeId)>,
}

/// What became of submitted wishes, as far as it shows at once; `ExplainNodes` tells the rest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WishesTaken {
    /// How many were taken. Whether they hold is dispatch's to weigh.
    pub taken: usize,
    /// The job's wishes that stand or wait to be weighed now, these included.
    pub standing: usize,
    /// Those that cannot be, whoever wishes them.
    pub refused: Vec<WishRefused>,
}

/// A wish that cannot be.
#[derive(Debug, Clone, PartialEq)]
pub struct WishRefused {
    /// Which.
    pub wish: Wish,
    /// Why, in a sentence that names the limit.
    pub because: String,
}

/// The `ChiefMicrogridOperator` passes on what happened in a microgrid. May be lost.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "()")]
pub struct HappenedInMicrogrid(pub CloudEvent);

/// The state that a record and a person's wish give.
pub(crate) fn is_running(state: &JobState) -> bool {
    matches!(state, JobState::Running)
}
