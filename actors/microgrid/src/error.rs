//! What can go wrong between a microgrid's jobs and whoever runs them.

use std::time::Duration;

use memcloud_domain::messages::Unavailable;
use memcloud_domain::{HemId, JobId, MicrogridId};
use memcloud_supervision::AskError;
use memcloud_worker::AppError;

/// Why a job could not be assigned, started, stopped or shown, or dispatch could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MicrogridError {
    /// The microgrid has no such job.
    #[error("microgrid {microgrid} has no job {job}")]
    UnknownJob {
        /// Which microgrid.
        microgrid: MicrogridId,
        /// The id that was given.
        job: JobId,
    },
    /// The job belongs to another microgrid.
    #[error("job {job} belongs to microgrid {owner}, not to {microgrid}")]
    ForeignJob {
        /// Which job.
        job: JobId,
        /// Whose it is.
        owner: MicrogridId,
        /// Who was asked.
        microgrid: MicrogridId,
    },
    /// The job's app cannot be run.
    #[error("job {job} cannot be run")]
    App {
        /// Which job.
        job: JobId,
        /// Why.
        #[source]
        source: AppError,
    },
    /// The microgrid has as many jobs as it may.
    #[error("microgrid {microgrid} has {limit} jobs already; remove one first")]
    TooManyJobs {
        /// Which microgrid.
        microgrid: MicrogridId,
        /// How many it may have.
        limit: usize,
    },
    /// The operator runs as many microgrids as it may.
    #[error("{limit} microgrids run already, so {microgrid} is not taken on")]
    TooManyMicrogrids {
        /// Which microgrid.
        microgrid: MicrogridId,
        /// How many may run.
        limit: usize,
    },
    /// The microgrid's jobs have not been read from the store yet.
    #[error("the jobs of microgrid {microgrid} are not known yet; ask again in a few seconds")]
    JobsUnknown {
        /// Which microgrid.
        microgrid: MicrogridId,
    },
    /// Wishes came for a job whose app makes its own.
    #[error(
        "job {job} runs the app {app}, which makes its own wishes; only an external job takes them from outside"
    )]
    NotExternal {
        /// Which job.
        job: JobId,
        /// What it runs.
        app: String,
    },
    /// Wishes came for a job that does not run.
    #[error("job {job} does not run, so it may wish nothing; start it first")]
    NotRunning {
        /// Which job.
        job: JobId,
    },
    /// More wishes came at once than may.
    #[error("{count} wishes are too many at once; send at most {limit}")]
    TooManyWishes {
        /// How many came.
        count: usize,
        /// How many may.
        limit: usize,
    },
    /// Wishes came faster than the job's configuration allows.
    #[error("job {job} may submit {per_minute} wishes per minute; try again in {} s", .retry_after.as_secs().saturating_add(1))]
    TooFast {
        /// Which job.
        job: JobId,
        /// How many it may.
        per_minute: u32,
        /// When there is room again.
        retry_after: Duration,
    },
    /// The microgrid has no such HEM.
    #[error("microgrid {microgrid} has no HEM {hem}")]
    UnknownHem {
        /// Which microgrid.
        microgrid: MicrogridId,
        /// The id that was given.
        hem: HemId,
    },
    /// The microgrid's homes have not been read from the store yet.
    #[error("the homes of microgrid {microgrid} are not known yet; ask again in a few seconds")]
    HomesUnknown {
        /// Which microgrid.
        microgrid: MicrogridId,
    },
    /// Another process of the cluster runs the microgrid, or nobody does at present.
    #[error("microgrid {microgrid} is not run by this process; ask again in a few seconds")]
    RunElsewhere {
        /// Which microgrid.
        microgrid: MicrogridId,
    },
    /// The microgrid's supervisor does not answer now.
    #[error("the supervisor of microgrid {microgrid} does not answer")]
    Unreachable {
        /// Which microgrid.
        microgrid: MicrogridId,
        /// Why.
        #[source]
        source: AskError,
    },
    /// A store is away.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
