//! One snapshot of SQLite's, as rows.

use std::ops::ControlFlow;

use diesel::connection::DefaultLoadingMode;
use diesel::dsl::max;
use diesel::prelude::*;
use memcloud_domain::{HemId, HemMark, MicrogridId};

use crate::StoreError;
use crate::telemetry::buckets::Level;
use crate::telemetry::rows::{
    ChunkRow, DirtyRow, End, EventRow, HemRow, RefusalRow, RollupRow, Rows, Wanting, Window,
    mark_of, parse_zone,
};
use crate::telemetry::run::Run;
use crate::telemetry::schema::{chunks, dirty, events, hems, hot_runs, marks, refusals, rollups};

/// A hot row, as it is read and written.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = hot_runs)]
pub(super) struct RunRow {
    hem_no: i64,
    first_seq: i64,
    last_seq: i64,
    min_ts: i64,
    max_ts: i64,
    readings: i64,
    payload: Vec<u8>,
}

impl RunRow {
    pub(super) fn new(hem_no: i64, run: Run) -> Self {
        let Run { first_seq, last_seq, min_ts, max_ts, readings, payload } = run;
        Self { hem_no, first_seq, last_seq, min_ts, max_ts, readings, payload }
    }

    fn into_run(self) -> Run {
        let Self { hem_no: _, first_seq, last_seq, min_ts, max_ts, readings, payload } = self;
        Run { first_seq, last_seq, min_ts, max_ts, readings, payload }
    }
}

fn step(taken: Wanting) -> ControlFlow<Result<(), StoreError>> {
    match taken {
        Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
        Ok(ControlFlow::Break(())) => ControlFlow::Break(Ok(())),
        Err(error) => ControlFlow::Break(Err(error)),
    }
}

fn sql(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

impl Rows for SqliteConnection {
    fn hem(&mut self, hem: &HemId) -> Result<Option<HemRow>, StoreError> {
        let found = hems::table
            .inner_join(marks::table)
            .filter(hems::hem.eq(hem.as_str()))
            .select((hems::hem_no, marks::mark, marks::epoch, hems::day_zone))
            .get_result::<(i64, i64, i64, String)>(self)
            .optional()?;
        Ok(found.map(|(hem_no, mark, epoch, zone)| HemRow {
            hem_no,
            mark,
            epoch,
            day_zone: parse_zone(&zone),
        }))
    }

    fn marks(&mut self, microgrid: Option<&MicrogridId>) -> Result<Vec<HemMark>, StoreError> {
        let mut found = hems::table
            .inner_join(marks::table)
            .select((hems::hem, marks::mark, marks::epoch))
            .order(hems::hem.asc())
            .into_boxed();
        if let Some(microgrid) = microgrid {
            found = found.filter(hems::microgrid.eq(microgrid.as_str()));
        }
        let found: Vec<(String, i64, i64)> = found.load(self)?;
        found.into_iter().map(|(hem, mark, epoch)| mark_of(&hem, mark, epoch)).collect()
    }

    fn runs(
        &mut self,
        window: &Window,
        end: End,
        take: &mut dyn FnMut(Run) -> Wanting,
    ) -> Result<(), StoreError> {
        // Runs never overlap: none that begins before the last one that begins before the window does.
        let first_seq = match window.first_seq {
            i64::MIN => None,
            first_seq => hot_runs::table
                .filter(hot_runs::hem_no.eq(window.hem_no))
                .filter(hot_runs::first_seq.le(first_seq))
                .select(max(hot_runs::first_seq))
                .get_result::<Option<i64>>(self)?,
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
            Ok(row) => take(row.into_run()),
            Err(error) => Err(error.into()),
        };
        let outcome = match end {
            End::Oldest => found
                .order(hot_runs::first_seq.asc())
                .load_iter::<RunRow, DefaultLoadingMode>(self)?
                .try_for_each(|row| step(go_through(row))),
            End::Newest => found
                .order(hot_runs::first_seq.desc())
                .load_iter::<RunRow, DefaultLoadingMode>(self)?
                .try_for_each(|row| step(go_through(row))),
        };
        match outcome {
            ControlFlow::Break(Err(error)) => Err(error),
            ControlFlow::Break(Ok(())) | ControlFlow::Continue(()) => Ok(()),
        }
    }

    fn chunk(&mut self, window: &Window, end: End) -> Result<Option<ChunkRow>, StoreError> {
        let found = chunks::table
            .filter(chunks::hem_no.eq(window.hem_no))
            .filter(chunks::first_seq.le(window.last_seq))
            .filter(chunks::last_seq.ge(window.first_seq))
            .filter(chunks::min_ts.le(window.max_ts))
            .filter(chunks::max_ts.ge(window.min_ts))
            .select((chunks::first_seq, chunks::last_seq, chunks::payload))
            .limit(1);
        let found: Option<(i64, i64, Vec<u8>)> = match end {
            End::Oldest => found.order(chunks::first_seq.asc()).first(self).optional()?,
            End::Newest => found.order(chunks::first_seq.desc()).first(self).optional()?,
        };
        Ok(found.map(|(first_seq, last_seq, payload)| ChunkRow { first_seq, last_seq, payload }))
    }

    fn events(
        &mut self,
        window: &Window,
        end: End,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        let found = events::table
            .filter(events::hem_no.eq(window.hem_no))
            .filter(events::seq.between(window.first_seq, window.last_seq))
            .filter(events::ts.between(window.min_ts, window.max_ts))
            .select((events::seq, events::ts, events::payload))
            .limit(sql(limit));
        let found: Vec<(i64, i64, Vec<u8>)> = match end {
            End::Oldest => found.order(events::seq.asc()).load(self)?,
            End::Newest => found.order(events::seq.desc()).load(self)?,
        };
        Ok(found.into_iter().map(|(seq, ts, payload)| EventRow { seq, ts, payload }).collect())
    }

    fn refusals(
        &mut self,
        window: &Window,
        end: End,
        limit: usize,
    ) -> Result<Vec<RefusalRow>, StoreError> {
        let found = refusals::table
            .filter(refusals::hem_no.eq(window.hem_no))
            .filter(refusals::seq.between(window.first_seq, window.last_seq))
            .filter(refusals::received.between(window.min_ts, window.max_ts))
            .select((refusals::seq, refusals::received, refusals::code))
            .limit(sql(limit));
        let found: Vec<(i64, i64, String)> = match end {
            End::Oldest => found.order(refusals::seq.asc()).load(self)?,
            End::Newest => found.order(refusals::seq.desc()).load(self)?,
        };
        Ok(found
            .into_iter()
            .map(|(seq, received, code)| RefusalRow { seq, received, code })
            .collect())
    }

    fn rollups(
        &mut self,
        hem_no: i64,
        level: Level,
        from: i64,
        to: i64,
    ) -> Result<Vec<RollupRow>, StoreError> {
        let found = rollups::table
            .filter(rollups::hem_no.eq(hem_no))
            .filter(rollups::level.eq(level.number()))
            .filter(rollups::bucket.ge(from))
            .filter(rollups::bucket.lt(to))
            .order(rollups::bucket.asc())
            .select((rollups::bucket, rollups::payload))
            .load(self)?;
        Ok(found)
    }

    fn rollups_before(
        &mut self,
        hem_no: i64,
        level: Level,
        moment: i64,
        limit: usize,
    ) -> Result<Vec<RollupRow>, StoreError> {
        let found = rollups::table
            .filter(rollups::hem_no.eq(hem_no))
            .filter(rollups::level.eq(level.number()))
            .filter(rollups::bucket.lt(moment))
            .order(rollups::bucket.desc())
            .limit(sql(limit))
            .select((rollups::bucket, rollups::payload))
            .load(self)?;
        Ok(found)
    }

    fn first_rollup(&mut self, hem_no: i64, level: Level) -> Result<Option<i64>, StoreError> {
        let first = rollups::table
            .filter(rollups::hem_no.eq(hem_no))
            .filter(rollups::level.eq(level.number()))
            .order(rollups::bucket.asc())
            .select(rollups::bucket)
            .first::<i64>(self)
            .optional()?;
        Ok(first)
    }

    fn minute_spans(
        &mut self,
        hem_no: i64,
        minutes: &[i64],
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut spans = Vec::new();
        for minute in minutes {
            let made = rollups::table
                .find((hem_no, Level::Minute.number(), *minute))
                .select((rollups::first_seq, rollups::last_seq))
                .get_result::<(i64, i64)>(self)
                .optional()?;
            spans.extend(made);
        }
        Ok(spans)
    }

    fn dirty(
        &mut self,
        hem_no: i64,
        level: Level,
        from: i64,
        to: i64,
    ) -> Result<Vec<DirtyRow>, StoreError> {
        let found: Vec<(i64, i64)> = dirty::table
            .filter(dirty::hem_no.eq(hem_no))
            .filter(dirty::level.eq(level.number()))
            .filter(dirty::bucket.ge(from))
            .filter(dirty::bucket.lt(to))
            .order(dirty::bucket.asc())
            .select((dirty::bucket, dirty::from_seq))
            .load(self)?;
        Ok(found.into_iter().map(|(bucket, from_seq)| DirtyRow { bucket, from_seq }).collect())
    }

    fn newest_dirty_before(
        &mut self,
        hem_no: i64,
        level: Level,
        moment: i64,
    ) -> Result<Option<i64>, StoreError> {
        let newest = dirty::table
            .filter(dirty::hem_no.eq(hem_no))
            .filter(dirty::level.eq(level.number()))
            .filter(dirty::bucket.lt(moment))
            .order(dirty::bucket.desc())
            .select(dirty::bucket)
            .first::<i64>(self)
            .optional()?;
        Ok(newest)
    }
}
