//! Reads a HEM's raw readings, hot runs and sealed chunks alike. All numbers in its chunks lie below
//! those of its hot runs, because the oldest are sealed first and new numbers only grow.

use std::ops::ControlFlow;

use diesel::connection::DefaultLoadingMode;
use diesel::dsl::max;
use diesel::prelude::*;
use memcloud_domain::Reading;

use super::damaged;
use crate::StoreError;
use crate::telemetry::chunk;
use crate::telemetry::run::Run;
use crate::telemetry::schema::{chunks, hot_runs};

/// Which time of a reading counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    /// What the HEM said.
    Said,
    /// When it was taken: a time ahead of the receipt counts as the receipt.
    Taken,
}

/// Between which numbers and times readings are looked for; all ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) hem_no: i64,
    pub(super) time: Time,
    pub(super) first_seq: i64,
    pub(super) last_seq: i64,
    pub(super) min_ts: i64,
    pub(super) max_ts: i64,
}

impl Window {
    /// All readings of a HEM.
    pub(super) fn all(hem_no: i64) -> Self {
        Self {
            hem_no,
            time: Time::Said,
            first_seq: i64::MIN,
            last_seq: i64::MAX,
            min_ts: i64::MIN,
            max_ts: i64::MAX,
        }
    }

    fn holds(&self, reading: &Reading) -> bool {
        let seq = super::to_sql(reading.seq.0);
        let time = match self.time {
            Time::Said => reading.ts,
            Time::Taken => reading.taken(),
        };
        (self.first_seq..=self.last_seq).contains(&seq)
            && (self.min_ts..=self.max_ts).contains(&time.0)
    }
}

/// Which end of a window comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Oldest,
    Newest,
}

/// A hot row, as it is read and written.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = hot_runs)]
pub(super) struct RunRow {
    pub(super) hem_no: i64,
    pub(super) first_seq: i64,
    pub(super) last_seq: i64,
    pub(super) min_ts: i64,
    pub(super) max_ts: i64,
    pub(super) readings: i64,
    pub(super) payload: Vec<u8>,
}

impl RunRow {
    pub(super) fn new(hem_no: i64, run: Run) -> Self {
        let Run { first_seq, last_seq, min_ts, max_ts, readings, payload } = run;
        Self { hem_no, first_seq, last_seq, min_ts, max_ts, readings, payload }
    }

    fn open(self) -> Result<Vec<Reading>, StoreError> {
        let Self { hem_no, first_seq, last_seq, min_ts, max_ts, readings, payload } = self;
        let run = Run { first_seq, last_seq, min_ts, max_ts, readings, payload };
        run.open().map_err(|_| damaged("the run from reading", hem_no, first_seq))
    }
}

/// Goes through the hot runs that touch a window, from one end on, as long as `take` wants more.
fn runs(
    connection: &mut SqliteConnection,
    window: &Window,
    end: End,
    mut take: impl FnMut(RunRow) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    // Runs never overlap: none that begins before the last one that begins before the window does.
    let first_seq = match window.first_seq {
        i64::MIN => None,
        first_seq => hot_runs::table
            .filter(hot_runs::hem_no.eq(window.hem_no))
            .filter(hot_runs::first_seq.le(first_seq))
            .select(max(hot_runs::first_seq))
            .get_result::<Option<i64>>(connection)?,
    };
    // Without a LIMIT, and read row by row: a run holds as many readings as its commit brought.
    let found = hot_runs::table
        .filter(hot_runs::hem_no.eq(window.hem_no))
        .filter(hot_runs::first_seq.ge(first_seq.unwrap_or(window.first_seq)))
        .filter(hot_runs::first_seq.le(window.last_seq))
        .filter(hot_runs::last_seq.ge(window.first_seq))
        .filter(hot_runs::min_ts.le(window.max_ts))
        .filter(hot_runs::max_ts.ge(window.min_ts))
        .select(RunRow::as_select());
    let mut go_through = |row: QueryResult<RunRow>| match row {
        Ok(row) => take(row),
        Err(error) => Err(error.into()),
    };
    let outcome = match end {
        End::Oldest => found
            .order(hot_runs::first_seq.asc())
            .load_iter::<RunRow, DefaultLoadingMode>(connection)?
            .try_for_each(|row| step(go_through(row))),
        End::Newest => found
            .order(hot_runs::first_seq.desc())
            .load_iter::<RunRow, DefaultLoadingMode>(connection)?
            .try_for_each(|row| step(go_through(row))),
    };
    match outcome {
        ControlFlow::Break(Err(error)) => Err(error),
        ControlFlow::Break(Ok(())) | ControlFlow::Continue(()) => Ok(()),
    }
}

fn step(taken: Result<ControlFlow<()>, StoreError>) -> ControlFlow<Result<(), StoreError>> {
    match taken {
        Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
        Ok(ControlFlow::Break(())) => ControlFlow::Break(Ok(())),
        Err(error) => ControlFlow::Break(Err(error)),
    }
}

/// Hot readings in a window, from one end on, at most so many.
pub(super) fn hot(
    connection: &mut SqliteConnection,
    window: &Window,
    end: End,
    limit: usize,
) -> Result<Vec<Reading>, StoreError> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    runs(connection, window, end, |row| {
        let mut readings = row.open()?;
        readings.retain(|reading| window.holds(reading));
        if end == End::Newest {
            readings.reverse();
        }
        found.append(&mut readings);
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    found.truncate(limit);
    Ok(found)
}

/// The oldest hot runs of a HEM that together hold at least so many readings, and how many runs.
pub(super) fn oldest_runs(
    connection: &mut SqliteConnection,
    hem_no: i64,
    wanted: usize,
) -> Result<(Vec<Reading>, usize), StoreError> {
    let (mut found, mut count) = (Vec::new(), 0);
    runs(connection, &Window::all(hem_no), End::Oldest, |row| {
        found.append(&mut row.open()?);
        count += 1;
        Ok(if found.len() < wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok((found, count))
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
    if end == End::Newest {
        found = hot(connection, &window, end, limit)?;
    }
    let mut rest = window;
    while found.len() < limit {
        let Some((more, beyond)) = next_chunk(connection, &rest, end)? else { break };
        found.extend(more);
        rest = beyond;
    }
    if end == End::Oldest && found.len() < limit {
        found.extend(hot(connection, &window, end, limit - found.len())?);
    }
    found.truncate(limit);
    Ok(found)
}
