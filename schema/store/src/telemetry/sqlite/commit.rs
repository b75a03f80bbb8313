//! The hot path: sessions, and the one transaction that stores what HEMs handed over.

use std::collections::HashSet;

use diesel::prelude::*;
use memcloud_domain::{Epoch, HemEvent, Reading, Refusal, Seq, SessionOpened, Timestamp};

use super::dirty_cache::{DirtyCache, Minute, Touched};
use super::known_hems::{KnownHems, MarkRow};
use super::rows::RunRow;
use crate::StoreError;
use crate::telemetry::buckets::{Level, MINUTE, floor};
use crate::telemetry::fresh::Fresh;
use crate::telemetry::making::minute_due;
use crate::telemetry::row::encode_event;
use crate::telemetry::rows::{from_signed, to_signed};
use crate::telemetry::run::Run;
use crate::telemetry::schema::{dirty, events, hems, hot_runs, microgrids, refusals};
use crate::telemetry::{CommitOutcome, HemEntries, NewSession};

/// Raises epochs; makes the rows of HEMs that come for the first time.
pub(super) fn open_sessions(
    connection: &mut SqliteConnection,
    sessions: &[NewSession],
    known: &mut KnownHems,
) -> Result<Vec<SessionOpened>, StoreError> {
    known.renew(connection)?;
    let mut opened = Vec::with_capacity(sessions.len());
    for session in sessions {
        let row = match known.find(connection, &session.hem)? {
            Some((microgrid, row)) => {
                row.epoch += 1;
                let row = *row;
                if microgrid != session.microgrid {
                    diesel::update(hems::table.find(row.hem_no))
                        .set(hems::microgrid.eq(session.microgrid.as_str()))
                        .execute(connection)?;
                    known.forget(row.hem_no);
                }
                row
            }
            None => MarkRow { epoch: 1, ..insert_hem(connection, session)? },
        };
        row.write(connection)?;
        let (epoch, mark) = (Epoch(from_signed(row.epoch)), Seq(from_signed(row.mark)));
        opened.push(SessionOpened { epoch, mark });
    }
    Ok(opened)
}

fn insert_hem(
    connection: &mut SqliteConnection,
    session: &NewSession,
) -> Result<MarkRow, StoreError> {
    let zone = microgrids::table
        .find(session.microgrid.as_str())
        .select(microgrids::time_zone)
        .get_result::<String>(connection)
        .optional()?
        .unwrap_or_else(|| chrono_tz::UTC.name().to_owned());
    diesel::insert_into(hems::table)
        .values((
            hems::hem.eq(session.hem.as_str()),
            hems::microgrid.eq(session.microgrid.as_str()),
            hems::day_zone.eq(zone),
        ))
        .execute(connection)?;
    let hem_no = hems::table
        .filter(hems::hem.eq(session.hem.as_str()))
        .select(hems::hem_no)
        .get_result::<i64>(connection)?;
    Ok(MarkRow { hem_no, mark: 0, epoch: 0, hot: 0, chunks: 0, sealed: 0, sealed_bytes: 0 })
}

/// Stores a batch; says which minutes it touched.
pub(super) fn commit(
    connection: &mut SqliteConnection,
    batch: &[HemEntries],
    context: Context<'_>,
    touched: &mut Vec<Touched>,
) -> Result<Vec<CommitOutcome>, StoreError> {
    context.hems.renew(connection)?;
    let mut writer = Writer { connection, context, touched, marked: HashSet::new() };
    batch.iter().map(|element| writer.store(element)).collect()
}

/// What a commit goes by.
pub(super) struct Context<'a> {
    pub(super) hems: &'a mut KnownHems,
    pub(super) dirty: &'a DirtyCache,
    pub(super) now: Timestamp,
    /// Readings in a run, at most.
    pub(super) run_readings: usize,
}

struct Writer<'a> {
    connection: &'a mut SqliteConnection,
    context: Context<'a>,
    touched: &'a mut Vec<Touched>,
    marked: HashSet<Minute>,
}

impl Writer<'_> {
    fn store(&mut self, element: &HemEntries) -> Result<CommitOutcome, StoreError> {
        let found = self.context.hems.find(self.connection, &element.hem)?;
        let Some((microgrid, row)) = found else { return Ok(CommitOutcome::Fenced) };
        if Epoch(from_signed(row.epoch)) != element.epoch {
            return Ok(CommitOutcome::Fenced);
        }
        let (hem_no, before) = (row.hem_no, row.mark);
        let Fresh { readings, events, refusals, mark } = Fresh::of(&element.entries, before);
        for event in events {
            self.insert_event(hem_no, to_signed(event.seq.0), event)?;
        }
        for refusal in refusals {
            self.insert_refusal(hem_no, to_signed(refusal.seq.0), refusal)?;
        }
        for run in readings.chunks(self.context.run_readings) {
            self.insert_run(hem_no, run)?;
        }
        if mark > before {
            // What was found is changed with what is written.
            let found = self.context.hems.find(self.connection, &element.hem)?;
            if let Some((_, row)) = found {
                row.mark = mark;
                row.hot += i64::try_from(readings.len()).unwrap_or(i64::MAX);
                row.write(self.connection)?;
            }
        }
        let (after, through) = (Seq(from_signed(before)), Seq(from_signed(mark)));
        Ok(CommitOutcome::Stored { microgrid, after, through })
    }

    fn insert_run(&mut self, hem_no: i64, readings: &[&Reading]) -> Result<(), StoreError> {
        let Some(run) = Run::of(readings) else { return Ok(()) };
        diesel::insert_into(hot_runs::table)
            .values(RunRow::new(hem_no, run))
            .execute(self.connection)?;
        for reading in readings {
            self.mark_dirty(hem_no, to_signed(reading.seq.0), reading.taken().0)?;
        }
        Ok(())
    }

    fn insert_event(&mut self, hem_no: i64, seq: i64, event: &HemEvent) -> Result<(), StoreError> {
        let mut payload = Vec::new();
        encode_event(&mut payload, event);
        diesel::insert_into(events::table)
            .values((
                events::hem_no.eq(hem_no),
                events::seq.eq(seq),
                events::ts.eq(event.ts.0),
                events::payload.eq(payload),
            ))
            .execute(self.connection)?;
        Ok(())
    }

    fn insert_refusal(
        &mut self,
        hem_no: i64,
        seq: i64,
        refusal: &Refusal,
    ) -> Result<(), StoreError> {
        diesel::insert_into(refusals::table)
            .values((
                refusals::hem_no.eq(hem_no),
                refusals::seq.eq(seq),
                refusals::received.eq(refusal.received.0),
                refusals::code.eq(refusal.code.as_str()),
            ))
            .execute(self.connection)?;
        Ok(())
    }

    /// Once per minute of a HEM, not once per reading.
    fn mark_dirty(&mut self, hem_no: i64, seq: i64, ts: i64) -> Result<(), StoreError> {
        let minute = (hem_no, floor(ts, MINUTE));
        if let Some(last) = self.touched.last_mut()
            && last.minute == minute
        {
            last.last_seq = seq;
            return Ok(());
        }
        self.touched.push(Touched { minute, last_seq: seq });
        if self.context.dirty.is_marked(minute) || !self.marked.insert(minute) {
            return Ok(());
        }
        let due = minute_due(minute.1, self.context.now);
        diesel::insert_or_ignore_into(dirty::table)
            .values((
                dirty::hem_no.eq(hem_no),
                dirty::level.eq(Level::Minute.number()),
                dirty::bucket.eq(minute.1),
                dirty::from_seq.eq(seq),
                dirty::due.eq(due),
            ))
            .execute(self.connection)?;
        Ok(())
    }
}
