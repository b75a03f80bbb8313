//! Reads a HEM's raw readings, hot rows and sealed chunks alike. All numbers in its chunks lie below
//! those of its hot rows, because the oldest are sealed first and new numbers only grow.

use diesel::prelude::*;
use memcloud_domain::{Reading, Seq, Timestamp};

use super::{damaged, from_sql};
use crate::StoreError;
use crate::telemetry::chunk;
use crate::telemetry::row::decode_reading;
use crate::telemetry::schema::{chunks, hot_readings};

/// Between which numbers and times readings are looked for; all ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) hem_no: i64,
    pub(super) first_seq: i64,
    pub(super) last_seq: i64,
    pub(super) min_ts: i64,
    pub(super) max_ts: i64,
}

impl Window {
    /// All readings of a HEM.
    pub(super) fn all(hem_no: i64) -> Self {
        Self { hem_no, first_seq: i64::MIN, last_seq: i64::MAX, min_ts: i64::MIN, max_ts: i64::MAX }
    }

    fn holds(&self, reading: &Reading) -> bool {
        let seq = super::to_sql(reading.seq.0);
        (self.first_seq..=self.last_seq).contains(&seq)
            && (self.min_ts..=self.max_ts).contains(&reading.ts.0)
    }
}

/// Which end of a window comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Oldest,
    Newest,
}

/// Hot readings in a window, from one end on, at most so many.
pub(super) fn hot(
    connection: &mut SqliteConnection,
    window: &Window,
    end: End,
    limit: i64,
) -> Result<Vec<Reading>, StoreError> {
    let rows = hot_readings::table
        .filter(hot_readings::hem_no.eq(window.hem_no))
        .filter(hot_readings::seq.between(window.first_seq, window.last_seq))
        .filter(hot_readings::ts.between(window.min_ts, window.max_ts))
        .select((hot_readings::seq, hot_readings::ts, hot_readings::payload))
        .limit(limit);
    let rows: Vec<(i64, i64, Vec<u8>)> = match end {
        End::Oldest => rows.order(hot_readings::seq.asc()).load(connection)?,
        End::Newest => rows.order(hot_readings::seq.desc()).load(connection)?,
    };
    rows.into_iter()
        .map(|(seq, ts, payload)| {
            decode_reading(Seq(from_sql(seq)), Timestamp(ts), &payload)
                .map_err(|_| damaged("reading", window.hem_no, seq))
        })
        .collect()
}

/// The readings in a window of the chunk at its end, and the window without that chunk; nothing when
/// no chunk touches it.
pub(super) fn next_chunk(
    connection: &mut SqliteConnection,
    window: &Window,
    end: End,
) -> Result<Option<(Vec<Reading>, Window)>, StoreError> {
    let found = chunks::table
        .filter(chunks::hem_no.eq(window.hem_no))
        .filter(chunks::first_seq.le(window.last_seq))
        .filter(chunks::last_seq.ge(window.first_seq))
        .filter(chunks::min_ts.le(window.max_ts))
        .filter(chunks::max_ts.ge(window.min_ts))
        .select((chunks::first_seq, chunks::last_seq, chunks::payload))
        .limit(1);
    let found: Option<(i64, i64, Vec<u8>)> = match end {
        End::Oldest => found.order(chunks::first_seq.asc()).first(connection).optional()?,
        End::Newest => found.order(chunks::first_seq.desc()).first(connection).optional()?,
    };
    let Some((first_seq, last_seq, payload)) = found else { return Ok(None) };
    let mut readings = chunk::open(&payload)
        .map_err(|_| damaged("the chunk from reading", window.hem_no, first_seq))?;
    readings.retain(|reading| window.holds(reading));
    let mut rest = *window;
    match end {
        End::Oldest => rest.first_seq = last_seq + 1,
        End::Newest => {
            rest.last_seq = first_seq - 1;
            readings.reverse();
        }
    }
    Ok(Some((readings, rest)))
}

/// At most so many readings of a window from one end on, whether hot or sealed.
pub(super) fn readings(
    connection: &mut SqliteConnection,
    window: Window,
    end: End,
    limit: usize,
) -> Result<Vec<Reading>, StoreError> {
    let mut found = Vec::new();
    let sql_limit = i64::try_from(limit).unwrap_or(i64::MAX);
    if end == End::Newest {
        found = hot(connection, &window, end, sql_limit)?;
    }
    let mut rest = window;
    while found.len() < limit {
        let Some((more, beyond)) = next_chunk(connection, &rest, end)? else { break };
        found.extend(more);
        rest = beyond;
    }
    if end == End::Oldest && found.len() < limit {
        let missing = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
        found.extend(hot(connection, &window, end, missing)?);
    }
    found.truncate(limit);
    Ok(found)
}
