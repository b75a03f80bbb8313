//! What jobs found out.

use std::fmt;
use std::str::FromStr;

use diesel::prelude::*;
use memcloud_domain::{JobId, JobResult, Timestamp};

use super::connection::WebConnection;
use super::dialect::{Becomes, Conflict, upsert};
use super::schema::job_result;
use super::{PageRequest, RegistryError, job};

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

impl fmt::Display for ResultCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.", self.from.as_millis())?;
        write_escaped(formatter, &self.kind)?;
        formatter.write_str(".")?;
        write_escaped(formatter, &self.subject)
    }
}

impl FromStr for ResultCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let mut parts = text.split('.');
        let (Some(from), Some(kind), Some(subject), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidCursor);
        };
        Ok(Self {
            from: Timestamp(from.parse().map_err(|_| InvalidCursor)?),
            kind: unescaped(kind).ok_or(InvalidCursor)?,
            subject: unescaped(subject).ok_or(InvalidCursor)?,
        })
    }
}

/// A text that is not a cursor of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor; pass on what the page before gave as \"next\"")]
pub struct InvalidCursor;

/// Letters, digits, `-` and `_` as they are; every other byte as `~` and two hexadecimal digits.
fn write_escaped(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            write!(formatter, "{}", char::from(byte))?;
        } else {
            write!(formatter, "~{byte:02x}")?;
        }
    }
    Ok(())
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'~' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The longest kind and subject that are kept, in bytes: they are keys.
const LONGEST_NAME: usize = 1_024;

/// A row of `job_result`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = job_result)]
struct Row {
    job_id: String,
    start_ms: i64,
    kind: String,
    subject: String,
    end_ms: i64,
    body: String,
}

impl TryFrom<Row> for JobResult {
    type Error = RegistryError;

    fn try_from(row: Row) -> Result<Self, RegistryError> {
        Ok(Self {
            body: serde_json::from_str(&row.body)
                .map_err(|error| RegistryError::corrupt("result of job", &row.job_id, error))?,
            kind: row.kind,
            subject: row.subject,
            from: Timestamp(row.start_ms),
            to: Timestamp(row.end_ms),
        })
    }
}

/// A result takes the place of the one of the same kind, subject and start.
struct NextResult;

impl Conflict for NextResult {
    const KEY: &'static str = "job_id, start_ms, kind, subject";
    const COLUMNS: &'static [(&'static str, Becomes)] =
        &[("end_ms", Becomes::New), ("body", Becomes::New)];
}

/// Writes results; each replaces the one of the same kind, subject and start.
pub(super) fn write(
    connection: &mut WebConnection,
    job: &JobId,
    results: &[JobResult],
) -> Result<(), RegistryError> {
    for result in results {
        if result.kind.len() > LONGEST_NAME || result.subject.len() > LONGEST_NAME {
            // It must not keep the checkpoints of others from being saved.
            log::error!(job:% = job; "a result is not kept: its kind or subject is too long");
            continue;
        }
        let row = Row {
            job_id: job.to_string(),
            start_ms: result.from.as_millis(),
            kind: result.kind.clone(),
            subject: result.subject.clone(),
            end_ms: result.to.as_millis(),
            body: super::job::to_json("result", &result.body)?,
        };
        let insert = diesel::insert_into(job_result::table).values(&row);
        upsert::<NextResult, _>(insert).execute(connection)?;
    }
    Ok(())
}

pub(super) fn list(
    connection: &mut WebConnection,
    query: &ResultQuery,
) -> Result<ResultPage, RegistryError> {
    if !job::exists(connection, &query.job)? {
        return Err(RegistryError::not_found("job", &query.job));
    }
    let page = PageRequest::first(query.limit);
    let mut rows = job_result::table
        .filter(job_result::job_id.eq(query.job.as_str()))
        .order((job_result::start_ms, job_result::kind, job_result::subject))
        .limit(page.rows())
        .select(Row::as_select())
        .into_boxed();
    if let Some(from) = query.from {
        rows = rows.filter(job_result::start_ms.ge(from.as_millis()));
    }
    if let Some(to) = query.to {
        rows = rows.filter(job_result::start_ms.lt(to.as_millis()));
    }
    if let Some(kind) = &query.kind {
        rows = rows.filter(job_result::kind.eq(kind));
    }
    if let Some(subject) = &query.subject {
        rows = rows.filter(job_result::subject.eq(subject));
    }
    if let Some(after) = &query.after {
        let start = after.from.as_millis();
        // The first condition says nothing new, but lets the index find the place.
        rows = rows.filter(job_result::start_ms.ge(start)).filter(
            job_result::start_ms
                .gt(start)
                .or(job_result::kind.gt(&after.kind))
                .or(job_result::kind.eq(&after.kind).and(job_result::subject.gt(&after.subject))),
        );
    }
    let items = rows
        .load(connection)?
        .into_iter()
        .map(JobResult::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    let is_last = items.len() <= page.bounded();
    let items: Vec<_> = items.into_iter().take(page.bounded()).collect();
    let next = items.last().filter(|_| !is_last).map(|last| ResultCursor {
        from: last.from,
        kind: last.kind.clone(),
        subject: last.subject.clone(),
    });
    Ok(ResultPage { items, next })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_survives_a_url(from: i64, kind in ".{0,20}", subject in ".{0,20}") {
            let cursor = ResultCursor { from: Timestamp(from), kind, subject };
            let text = cursor.to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)));
            prop_assert_eq!(text.parse::<ResultCursor>(), Ok(cursor));
        }

        #[test]
        fn any_text_is_a_cursor_or_a_clear_error(text in ".{0,40}") {
            let _ = text.parse::<ResultCursor>();
        }
    }
}
