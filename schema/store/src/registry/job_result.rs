//! What jobs found out.

use std::fmt;
use std::str::FromStr;

use memcloud_domain::{JobId, JobResult, Timestamp};

/// The place of a result in its job's results: by start, then kind, then subject. As text it is
/// safe in a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResultCursor {
    /// The start of the span.
    pub from: Timestamp,
    /// The kind.
    pub kind: String,
    /// The subject.
    pub subject: String,
}

/// Which results of a job are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultQuery {
    /// Which job's.
    pub job: JobId,
    /// Those that start at or after this moment.
    pub from: Option<Timestamp>,
    /// Those that start before this moment.
    pub to: Option<Timestamp>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of this subject.
    pub subject: Option<String>,
    /// Beyond this one.
    pub after: Option<ResultCursor>,
    /// At most so many.
    pub limit: usize,
}

/// A page of results, ascending by start, kind and subject.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultPage {
    /// The results.
    pub items: Vec<JobResult>,
    /// What to pass as `after` for the next page; absent on the last.
    pub next: Option<ResultCursor>,
}
