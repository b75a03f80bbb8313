//! The hot path: sessions, and the one transaction that stores what HEMs handed over.

use std::collections::HashSet;

use diesel::prelude::*;
use memcloud_domain::{Entry, Epoch, MicrogridId, Seq, SessionOpened, Timestamp};

use super::dirty_cache::{DirtyCache, Touched};
use super::{from_sql, to_sql};
use crate::StoreError;
use crate::telemetry::buckets::{Level, MINUTE, floor};
use crate::telemetry::row::{encode_event, encode_reading};
use crate::telemetry::schema::{dirty, events, hems, hot_readings, marks, microgrids, refusals};
use crate::telemetry::{CommitOutcome, HemEntries, NewSession};

/// A minute is rolled up so long after its end: what belongs to it is mostly there by then.
const GRACE: i64 = 3_000;
/// A late reading's minute is rolled up so long after it came.
const LATE: i64 = 1_000;

/// Raises epochs; makes the rows of HEMs that come for the first time.
pub(super) fn open_sessions(
    connection: &mut SqliteConnection,
    sessions: &[NewSession],
) -> Result<Vec<SessionOpened>, StoreError> {
    let mut opened = Vec::with_capacity(sessions.len());
    for session in sessions {
        let known = hems::table
            .filter(hems::hem.eq(session.hem.as_str()))
            .select((hems::hem_no, hems::microgrid))
            .first::<(i64, String)>(connection)
            .optional()?;
        let hem_no = match known {
            Some((hem_no, microgrid)) => {
                if microgrid != session.microgrid.as_str() {
                    diesel::update(hems::table.find(hem_no))
                        .set(hems::microgrid.eq(session.microgrid.as_str()))
                        .execute(connection)?;
                }
                hem_no
            }
            None => insert_hem(connection, session)?,
        };
        diesel::update(marks::table.find(hem_no))
            .set(marks::epoch.eq(marks::epoch + 1))
            .execute(connection)?;
        let (epoch, mark) = marks::table
            .find(hem_no)
            .select((marks::epoch, marks::mark))
            .first::<(i64, i64)>(connection)?;
        opened.push(SessionOpened { epoch: Epoch(from_sql(epoch)), mark: Seq(from_sql(mark)) });
    }
    Ok(opened)
}

fn insert_hem(connection: &mut SqliteConnection, session: &NewSession) -> Result<i64, StoreError> {
    let zone = microgrids::table
        .find(session.microgrid.as_str())
        .select(microgrids::time_zone)
        .first::<String>(connection)
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
        .first::<i64>(connection)?;
    diesel::insert_into(marks::table)
        .values((
            marks::hem_no.eq(hem_no),
            marks::mark.eq(0),
            marks::epoch.eq(0),
            marks::hot.eq(0),
            marks::chunks.eq(0),
            marks::sealed.eq(0),
            marks::sealed_bytes.eq(0),
        ))
        .execute(connection)?;
    Ok(hem_no)
}

/// Stores a batch; says which minutes it touched.
pub(super) fn commit(
    connection: &mut SqliteConnection,
    batch: &[HemEntries],
    now: Timestamp,
    known: &DirtyCache,
    touched: &mut Vec<Touched>,
) -> Result<Vec<CommitOutcome>, StoreError> {
    let mut writer =
        Writer { connection, known, touched, marked: HashSet::new(), now, payload: Vec::new() };
    batch.iter().map(|element| writer.store(element)).collect()
}

struct Writer<'a> {
    connection: &'a mut SqliteConnection,
    known: &'a DirtyCache,
    touched: &'a mut Vec<Touched>,
    marked: HashSet<(i64, i64)>,
    now: Timestamp,
    payload: Vec<u8>,
}

impl Writer<'_> {
    fn store(&mut self, element: &HemEntries) -> Result<CommitOutcome, StoreError> {
        let found = hems::table
            .inner_join(marks::table)
            .filter(hems::hem.eq(element.hem.as_str()))
            .select((hems::hem_no, hems::microgrid, marks::mark, marks::epoch))
            .first::<(i64, String, i64, i64)>(self.connection)
            .optional()?;
        let Some((hem_no, microgrid, after, epoch)) = found else {
            return Ok(CommitOutcome::Fenced);
        };
        if Epoch(from_sql(epoch)) != element.epoch {
            return Ok(CommitOutcome::Fenced);
        }
        let microgrid = MicrogridId::new(&microgrid).map_err(|error| StoreError::Damaged {
            what: format!("the microgrid of HEM {}", element.hem),
            reason: error.to_string(),
        })?;
        let mut mark = after;
        let mut readings = 0_i64;
        for entry in &element.entries {
            let seq = to_sql(entry.seq().0);
            if seq <= mark {
                continue;
            }
            mark = seq;
            self.insert(hem_no, seq, entry)?;
            readings += i64::from(matches!(entry, Entry::Reading(_)));
        }
        if mark > after {
            diesel::update(marks::table.find(hem_no))
                .set((marks::mark.eq(mark), marks::hot.eq(marks::hot + readings)))
                .execute(self.connection)?;
        }
        Ok(CommitOutcome::Stored {
            microgrid,
            after: Seq(from_sql(after)),
            through: Seq(from_sql(mark)),
        })
    }

    fn insert(&mut self, hem_no: i64, seq: i64, entry: &Entry) -> Result<(), StoreError> {
        self.payload.clear();
        match entry {
            Entry::Reading(reading) => {
                encode_reading(&mut self.payload, reading);
                diesel::insert_into(hot_readings::table)
                    .values((
                        hot_readings::hem_no.eq(hem_no),
                        hot_readings::seq.eq(seq),
                        hot_readings::ts.eq(reading.ts.0),
                        hot_readings::payload.eq(self.payload.as_slice()),
                    ))
                    .execute(self.connection)?;
                self.mark_dirty(hem_no, seq, reading.ts.0)?;
            }
            Entry::Event(event) => {
                encode_event(&mut self.payload, event);
                diesel::insert_into(events::table)
                    .values((
                        events::hem_no.eq(hem_no),
                        events::seq.eq(seq),
                        events::ts.eq(event.ts.0),
                        events::payload.eq(self.payload.as_slice()),
                    ))
                    .execute(self.connection)?;
            }
            Entry::Refused(refusal) => {
                diesel::insert_into(refusals::table)
                    .values((
                        refusals::hem_no.eq(hem_no),
                        refusals::seq.eq(seq),
                        refusals::received.eq(refusal.received.0),
                        refusals::code.eq(refusal.code.as_str()),
                    ))
                    .execute(self.connection)?;
            }
        }
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
        if self.known.is_marked(minute) || !self.marked.insert(minute) {
            return Ok(());
        }
        let due = (minute.1 + MINUTE + GRACE).max(self.now.0 + LATE);
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
