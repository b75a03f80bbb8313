//! What can go wrong between a microgrid's jobs and whoever runs them.

use memcloud_domain::messages::Unavailable;
use memcloud_domain::{JobId, MicrogridId};
use memcloud_supervision::AskError;
use memcloud_worker::AppError;

/// Why a job could not be assigned, started, stopped or shown.
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
