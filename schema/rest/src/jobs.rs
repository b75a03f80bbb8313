//! Energy apps, and the worker jobs that run them.

use chrono::{DateTime, Utc};
use memcloud_domain::{
    JobId, JobLogLevel, JobLogLine, JobRecord, JobResult, JobState, MicrogridId,
};
use serde::{Deserialize, Serialize};

use crate::moment;
#[cfg(feature = "openapi")]
use crate::schemas;

/// An energy app that can be deployed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct App {
    /// Its name, which a job names it by.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its name, for people.
    pub title: String,
    /// What it does, in a sentence or three.
    pub description: String,
    /// The JSON Schema of its configuration.
    pub configuration_schema: serde_json::Value,
    /// The configuration of someone who sets nothing.
    pub default_configuration: serde_json::Value,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobStateName {
    /// It runs.
    Running,
    /// It was stopped by a person.
    Stopped,
    /// It failed more often than its policy allows.
    Failed,
}

/// A worker job: one app deployed to one microgrid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub id: JobId,
    /// Where it runs.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub microgrid: MicrogridId,
    /// The app that it runs.
    pub app: String,
    /// Its configuration.
    pub configuration: serde_json::Value,
    /// Who wins where two jobs want different things; higher wins.
    pub priority: i32,
    /// When it was deployed.
    pub created: DateTime<Utc>,
    /// Where it stands.
    pub state: JobStateName,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<DateTime<Utc>>,
}

impl From<JobRecord> for Job {
    fn from(record: JobRecord) -> Self {
        let (state, reason, failed_at) = split(record.state);
        Self {
            id: record.id,
            microgrid: record.microgrid,
            app: record.app,
            configuration: record.configuration,
            priority: record.priority,
            created: moment(record.created),
            state,
            reason,
            failed_at,
        }
    }
}

pub(crate) fn split(state: JobState) -> (JobStateName, Option<String>, Option<DateTime<Utc>>) {
    match state {
        JobState::Running => (JobStateName::Running, None, None),
        JobState::Stopped => (JobStateName::Stopped, None, None),
        JobState::Failed { reason, at } => (JobStateName::Failed, Some(reason), Some(moment(at))),
    }
}

/// A job to deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// The app that it runs, by the name that `GET /apps` lists.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub app: String,
    /// Its configuration, as the app's schema wants it; the app's defaults if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub configuration: Option<serde_json::Map<String, serde_json::Value>>,
    /// Who wins where two jobs want different things; higher wins; 0 if absent.
    #[serde(default, deserialize_with = "crate::whole", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = -1000, maximum = 1000))]
    pub priority: Option<i32>,
}

/// How a job shall stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WantedJobState {
    /// It shall run; what had failed or was stopped is started again.
    Running,
    /// It shall not run.
    Stopped,
}

/// What to change of a job. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JobChange {
    /// How it shall stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<WantedJobState>,
    /// Its configuration, replaced as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub configuration: Option<serde_json::Map<String, serde_json::Value>>,
    /// Who wins where two jobs want different things; higher wins.
    #[serde(default, deserialize_with = "crate::whole", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = -1000, maximum = 1000))]
    pub priority: Option<i32>,
}

/// A line of a job's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobLogEntry {
    /// When it was written.
    pub at: DateTime<Utc>,
    /// How much it matters.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::JobLogLevel))]
    pub level: JobLogLevel,
    /// The sentence.
    pub text: String,
}

impl From<JobLogLine> for JobLogEntry {
    fn from(line: JobLogLine) -> Self {
        Self { at: moment(line.at), level: line.level, text: line.text }
    }
}

/// What a job found out about a subject over a span of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobResultItem {
    /// What it is: `energy-hour`, `energy-day`, `limit-alarm`, …
    pub kind: String,
    /// Of whom: a HEM's id, or `microgrid`.
    pub subject: String,
    /// The start of the span that it speaks of.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
    /// What was found; its shape follows from `kind`.
    pub body: serde_json::Value,
}

impl From<JobResult> for JobResultItem {
    fn from(result: JobResult) -> Self {
        Self {
            kind: result.kind,
            subject: result.subject,
            from: moment(result.from),
            to: moment(result.to),
            body: result.body,
        }
    }
}
