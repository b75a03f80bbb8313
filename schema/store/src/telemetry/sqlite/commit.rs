//! The hot path: sessions, and the one transaction that stores what HEMs handed over.

use std::collections::HashSet;

use diesel::prelude::*;
use memcloud_domain::{Entry, Epoch, HemId, MicrogridId, Seq, SessionOpened, Timestamp};

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

/// A row of `marks`. It is written whole, by REPLACE: Diesel prepares every UPDATE anew, which costs
/// more than the write.
#[derive(Debug, Clone, Copy, Queryable, Selectable, Insertable)]
#[diesel(table_name = marks)]
struct MarkRow {
    hem_no: i64,
    mark: i64,
    epoch: i64,
    hot: i64,
    chunks: i64,
    sealed: i64,
    sealed_bytes: i64,
}

impl MarkRow {
    fn write(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        diesel::replace_into(marks::table).values(self).execute(connection)?;
        Ok(())
    }
}

/// Finds a HEM with its microgrid. `get_result`, not `first`: SQLite plans a statement anew each time
/// its LIMIT is bound.
fn find(
    connection: &mut SqliteConnection,
    hem: &HemId,
) -> Result<Option<(String, MarkRow)>, StoreError> {
    let found = hems::table
        .inner_join(marks::table)
        .filter(hems::hem.eq(hem.as_str()))
        .select((hems::microgrid, MarkRow::as_select()))
        .get_result(connection)
        .optional()?;
    Ok(found)
}

/// Raises epochs; makes the rows of HEMs that come for the first time.
pub(super) fn open_sessions(
    connection: &mut SqliteConnection,
    sessions: &[NewSession],
) -> Result<Vec<SessionOpened>, StoreError> {
    let mut opened = Vec::with_capacity(sessions.len());
    for session in sessions {
        let mut row = match find(connection, &session.hem)? {
            Some((microgrid, row)) => {
                if microgrid != session.microgrid.as_str() {
                    diesel::update(hems::table.find(row.hem_no))
                        .set(hems::microgrid.eq(session.microgrid.as_str()))
                        .execute(connection)?;
                }
                row
            }
            None => insert_hem(connection, session)?,
        };
        row.epoch += 1;
        row.write(connection)?;
        let (epoch, mark) = (Epoch(from_sql(row.epoch)), Seq(from_sql(row.mark)));
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
        let Some((microgrid, row)) = find(self.connection, &element.hem)? else {
            return Ok(CommitOutcome::Fenced);
        };
        if Epoch(from_sql(row.epoch)) != element.epoch {
            return Ok(CommitOutcome::Fenced);
        }
        let microgrid = MicrogridId::new(&microgrid).map_err(|error| StoreError::Damaged {
            what: format!("the microgrid of HEM {}", element.hem),
            reason: error.to_string(),
        })?;
        let mut mark = row.mark;
        let mut readings = 0_i64;
        for entry in &element.entries {
            let seq = to_sql(entry.seq().0);
            if seq <= mark {
                continue;
            }
            mark = seq;
            self.insert(row.hem_no, seq, entry)?;
            readings += i64::from(matches!(entry, Entry::Reading(_)));
        }
        if mark > row.mark {
            MarkRow { mark, hot: row.hot + readings, ..row }.write(self.connection)?;
        }
        let (after, through) = (Seq(from_sql(row.mark)), Seq(from_sql(mark)));
        Ok(CommitOutcome::Stored { microgrid, after, through })
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
