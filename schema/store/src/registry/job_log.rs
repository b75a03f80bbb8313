//! The log of a job: its last thousand lines.

use memcloud_domain::JobLogLine;

/// How many lines of a job's log are kept.
pub const LINES_KEPT: i64 = 1_000;

/// A line of a job's log, with its number in that log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedLogLine {
    /// Its number: grows by one per line, for the job's whole life.
    pub number: u64,
    /// The line.
    pub line: JobLogLine,
}
