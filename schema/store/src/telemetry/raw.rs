//! Reads a HEM's raw readings, hot runs and sealed chunks alike. All numbers in its chunks lie below
//! those of its hot runs, because the oldest are sealed first and new numbers only grow.

use std::ops::ControlFlow;

use memcloud_domain::Reading;

use super::chunk;
use super::rows::{End, Rows, Window, damaged};
use super::run::Run;
use crate::StoreError;

fn open(run: &Run, hem_no: i64) -> Result<Vec<Reading>, StoreError> {
    run.open().map_err(|_| damaged("the run from reading", hem_no, run.first_seq))
}

fn go_on_if(wanted: bool) -> ControlFlow<()> {
    if wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// Hot readings in a window, from one end on, at most so many.
pub(super) fn hot(
    rows: &mut impl Rows,
    window: &Window,
    end: End,
    limit: usize,
) -> Result<Vec<Reading>, StoreError> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    rows.runs(window, end, &mut |run| {
        let mut readings = open(&run, window.hem_no)?;
        readings.retain(|reading| window.holds(reading));
        if end == End::Newest {
            readings.reverse();
        }
        found.append(&mut readings);
        Ok(go_on_if(found.len() < limit))
    })?;
    found.truncate(limit);
    Ok(found)
}

/// The oldest hot runs of a HEM that together hold at least so many readings, and how many runs.
pub(super) fn oldest_runs(
    rows: &mut impl Rows,
    hem_no: i64,
    wanted: usize,
) -> Result<(Vec<Reading>, usize), StoreError> {
    let (mut found, mut count) = (Vec::new(), 0);
    rows.runs(&Window::all(hem_no), End::Oldest, &mut |run| {
        found.append(&mut open(&run, hem_no)?);
        count += 1;
        Ok(go_on_if(found.len() < wanted))
    })?;
    Ok((found, count))
}

/// The readings in a window of the chunk at its end, and the window without that chunk; nothing when
/// no chunk touches it.
pub(super) fn next_chunk(
    rows: &mut impl Rows,
    window: &Window,
    end: End,
) -> Result<Option<(Vec<Reading>, Window)>, StoreError> {
    let Some(found) = rows.chunk(window, end)? else { return Ok(None) };
    let mut readings = chunk::open(&found.payload)
        .map_err(|_| damaged("the chunk from reading", window.hem_no, found.first_seq))?;
    readings.retain(|reading| window.holds(reading));
    let mut rest = *window;
    match end {
        End::Oldest => rest.first_seq = found.last_seq + 1,
        End::Newest => {
            rest.last_seq = found.first_seq - 1;
            readings.reverse();
        }
    }
    Ok(Some((readings, rest)))
}

/// At most so many readings of a window from one end on, whether hot or sealed.
pub(super) fn readings(
    rows: &mut impl Rows,
    window: Window,
    end: End,
    limit: usize,
) -> Result<Vec<Reading>, StoreError> {
    let mut found = Vec::new();
    if end == End::Newest {
        found = hot(rows, &window, end, limit)?;
    }
    let mut rest = window;
    while found.len() < limit {
        let Some((more, beyond)) = next_chunk(rows, &rest, end)? else { break };
        found.extend(more);
        rest = beyond;
    }
    if end == End::Oldest && found.len() < limit {
        found.extend(hot(rows, &window, end, limit - found.len())?);
    }
    found.truncate(limit);
    Ok(found)
}
