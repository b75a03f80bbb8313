//! The log of a job: its last thousand lines.

use diesel::prelude::*;
use memcloud_domain::{JobId, JobLogLevel, JobLogLine, Timestamp};

use super::connection::WebConnection;
use super::schema::job_log;
use super::{PageRequest, RegistryError, job};

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

/// The longest sentence that is kept, in characters; the rest of it is cut off.
const LONGEST_SENTENCE: usize = 4_000;

/// A row of `job_log`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = job_log)]
struct Row {
    job_id: String,
    number: i64,
    at: i64,
    level: String,
    sentence: String,
}

impl TryFrom<Row> for NumberedLogLine {
    type Error = RegistryError;

    fn try_from(row: Row) -> Result<Self, RegistryError> {
        let level = [JobLogLevel::Info, JobLogLevel::Warn, JobLogLevel::Error]
            .into_iter()
            .find(|level| level_name(*level) == row.level)
            .ok_or_else(|| RegistryError::corrupt("log of job", &row.job_id, &row.level))?;
        let number = u64::try_from(row.number)
            .map_err(|error| RegistryError::corrupt("log of job", &row.job_id, error))?;
        Ok(Self { number, line: JobLogLine { at: Timestamp(row.at), level, text: row.sentence } })
    }
}

fn level_name(level: JobLogLevel) -> &'static str {
    match level {
        JobLogLevel::Info => "info",
        JobLogLevel::Warn => "warn",
        JobLogLevel::Error => "error",
    }
}

/// Adds lines, and forgets those beyond the last thousand.
pub(super) fn append(
    connection: &mut WebConnection,
    job: &JobId,
    lines: &[JobLogLine],
) -> Result<(), RegistryError> {
    if lines.is_empty() {
        return Ok(());
    }
    let last: Option<i64> = job_log::table
        .filter(job_log::job_id.eq(job.as_str()))
        .select(diesel::dsl::max(job_log::number))
        .get_result(connection)?;
    let mut number = last.unwrap_or(0);
    for line in lines {
        number += 1;
        let row = Row {
            job_id: job.to_string(),
            number,
            at: line.at.as_millis(),
            level: level_name(line.level).to_owned(),
            sentence: line.text.chars().take(LONGEST_SENTENCE).collect(),
        };
        diesel::insert_into(job_log::table).values(&row).execute(connection)?;
    }
    diesel::delete(
        job_log::table
            .filter(job_log::job_id.eq(job.as_str()))
            .filter(job_log::number.le(number - LINES_KEPT)),
    )
    .execute(connection)?;
    Ok(())
}

pub(super) fn list(
    connection: &mut WebConnection,
    job: &JobId,
    after: u64,
    limit: usize,
) -> Result<Vec<NumberedLogLine>, RegistryError> {
    if !job::exists(connection, job)? {
        return Err(RegistryError::not_found("job", job));
    }
    let rows: Vec<Row> = job_log::table
        .filter(job_log::job_id.eq(job.as_str()))
        .filter(job_log::number.gt(i64::try_from(after).unwrap_or(i64::MAX)))
        .order(job_log::number)
        .limit(i64::try_from(limit.min(PageRequest::MAX_LIMIT)).unwrap_or(i64::MAX))
        .select(Row::as_select())
        .load(connection)?;
    rows.into_iter().map(NumberedLogLine::try_from).collect()
}
