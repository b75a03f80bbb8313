//! What is said of worker jobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{HemId, JobId, MicrogridId, Seq, Timestamp};

/// Where a worker job stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// It runs.
    Running,
    /// It was stopped by a person.
    Stopped,
    /// It failed more often than its policy allows.
    Failed {
        /// Why, in a sentence.
        reason: String,
        /// When it was given up.
        at: Timestamp,
    },
}

/// A result of a job: what an app found out about a subject over a span of time.
///
/// Its identity in a job is (`kind`, `subject`, `from`): writing it again replaces it, so that an
/// app that sees a reading twice, or late, does no harm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// What it is: `energy-hour`, `energy-day`, `limit-alarm`, …
    pub kind: String,
    /// Of whom: a HEM's id, or `microgrid`.
    pub subject: String,
    /// The start of the span that it speaks of.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// What was found.
    pub body: serde_json::Value,
}

/// A worker job as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Which job.
    pub id: JobId,
    /// Where it runs.
    pub microgrid: MicrogridId,
    /// The app that it runs.
    pub app: String,
    /// Its configuration, as validated by the app.
    pub configuration: serde_json::Value,
    /// Who wins where two jobs want different things; higher wins.
    pub priority: i32,
    /// When it was deployed.
    pub created: Timestamp,
    /// Where it stands.
    pub state: JobState,
}

/// What a job keeps between its steps and over restarts; saved in one transaction with its results.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobCheckpoint {
    /// The last number of each HEM that the app has seen.
    pub cursors: BTreeMap<HemId, Seq>,
    /// The app's own state.
    pub state: serde_json::Value,
}

/// A line of a job's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLogLine {
    /// When it was written.
    pub at: Timestamp,
    /// How much it matters.
    pub level: JobLogLevel,
    /// The sentence.
    pub text: String,
}

/// How much a line of a job's log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobLogLevel {
    /// Good to know.
    Info,
    /// Someone may want to look.
    Warn,
    /// The app failed.
    Error,
}
