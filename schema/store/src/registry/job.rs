//! Worker jobs and their checkpoints.

use memcloud_domain::{
    JobCheckpoint, JobId, JobLogLine, JobResult, JobState, MicrogridId, Timestamp,
};

/// A job to be deployed; it starts as running.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Where it runs.
    pub microgrid: MicrogridId,
    /// The app that it runs.
    pub app: String,
    /// Its configuration, as validated by the app.
    pub configuration: serde_json::Value,
    /// Who wins where two jobs want different things; higher wins.
    pub priority: i32,
    /// When.
    pub created: Timestamp,
}

/// What is to change of a job; absent: stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobChange {
    /// Its configuration, as validated by the app.
    pub configuration: Option<serde_json::Value>,
    /// Its priority.
    pub priority: Option<i32>,
    /// Where it stands: `Stopped` stops it, `Running` starts it (again, after a failure).
    pub state: Option<JobState>,
}

/// A checkpoint with what goes into the same transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointToSave {
    /// Which job.
    pub job: JobId,
    /// Where it stands.
    pub checkpoint: JobCheckpoint,
    /// What it found since the last one; each replaces the one of the same kind, subject and start.
    pub results: Vec<JobResult>,
    /// What it said since the last one.
    pub log: Vec<JobLogLine>,
}
