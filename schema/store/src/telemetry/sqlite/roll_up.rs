//! Roll-ups: dirty buckets are computed on a reader's snapshot, then replaced whole in a short
//! transaction, which also marks what is made from them. A minute that was touched after the snapshot
//! keeps its mark and is computed again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use chrono_tz::Tz;
use diesel::prelude::*;
use memcloud_domain::Timestamp;

use super::dirty_cache::Touch;
use super::{SqliteTelemetry, lock};
use crate::StoreError;
use crate::telemetry::Upkeep;
use crate::telemetry::buckets::Level;
use crate::telemetry::left_out::is_damage;
use crate::telemetry::making::{MINUTES_OF_A_HEM, Wanted, bucket_due, combined, encoded_minutes};
use crate::telemetry::rows::parse_zone;
use crate::telemetry::schema::{dirty, hems, marks, microgrids, rollups};

/// So many buckets of a level are made in one step: about a millisecond of the writer.
const BUCKETS_PER_STEP: i64 = 64;

/// What is to be written for one dirty bucket.
pub(super) struct Made {
    hem_no: i64,
    level: Level,
    bucket: i64,
    zone: Tz,
    /// Absent where nothing is left to make it from: then what was made of it stays.
    row: Option<(i64, i64, Vec<u8>)>,
    /// Above this number nothing was seen.
    seen_through: i64,
}

/// What was due of a level.
pub(super) struct Due {
    pub(super) made: Vec<Made>,
    /// HEMs of whom something is damaged.
    damaged: Vec<(i64, StoreError)>,
    more: bool,
}

impl SqliteTelemetry {
    /// Makes what is dirty and due, at most so many buckets of each level.
    pub(super) fn roll_up(&self, now: Timestamp) -> Result<Upkeep, StoreError> {
        let mut step = Upkeep { more: self.move_days_to_their_zone()?, ..Upkeep::default() };
        for level in Level::ALL {
            let commit = self.commits.load(Ordering::Acquire);
            let left_out = lock(&self.not_rolled_up).now(now);
            let due =
                self.read(|connection| self.make(connection, level, commit, &left_out, now))?;
            step.done += due.made.len();
            step.more |= due.more;
            step.damaged += due.damaged.len();
            for (hem_no, error) in &due.damaged {
                self.leave_out(&self.not_rolled_up, *hem_no, error, now)?;
            }
            if !due.made.is_empty() {
                self.write_lazily(|connection| self.replace(connection, &due.made, commit, now))?;
            }
        }
        Ok(step)
    }

    pub(super) fn make(
        &self,
        connection: &mut SqliteConnection,
        level: Level,
        commit: u64,
        left_out: &[i64],
        now: Timestamp,
    ) -> Result<Due, StoreError> {
        let due: Vec<(i64, i64, i64)> = dirty::table
            .filter(dirty::level.eq(level.number()))
            .filter(dirty::due.le(now.0))
            .filter(dirty::hem_no.ne_all(left_out))
            .order((dirty::hem_no.asc(), dirty::bucket.asc()))
            .limit(BUCKETS_PER_STEP)
            .select((dirty::hem_no, dirty::bucket, dirty::from_seq))
            .load(connection)?;
        let more = i64::try_from(due.len()).unwrap_or(i64::MAX) >= BUCKETS_PER_STEP;
        let mut by_hem: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
        for (hem_no, bucket, from_seq) in due {
            by_hem.entry(hem_no).or_default().push((bucket, from_seq));
        }
        let mut due = Due { made: Vec::new(), damaged: Vec::new(), more };
        for (hem_no, buckets) in by_hem {
            match self.make_of_hem(connection, hem_no, level, commit, &buckets) {
                Ok(made) => due.made.extend(made),
                Err(error) if is_damage(&error) => due.damaged.push((hem_no, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(due)
    }

    fn make_of_hem(
        &self,
        connection: &mut SqliteConnection,
        hem_no: i64,
        level: Level,
        commit: u64,
        buckets: &[(i64, i64)],
    ) -> Result<Vec<Made>, StoreError> {
        let (zone, mark) = zone_and_mark(connection, hem_no)?;
        let mut made = Vec::with_capacity(buckets.len());
        for part in buckets.chunks(MINUTES_OF_A_HEM) {
            let mut rows = match level {
                Level::Minute => {
                    let wanted: Vec<Wanted> = part
                        .iter()
                        .map(|(minute, from_seq)| {
                            let touch = lock(&self.dirty_cache).touch_of((hem_no, *minute));
                            let to_seq = match touch {
                                Some(Touch { commit: last, last_seq }) if last <= commit => {
                                    last_seq
                                }
                                _ => mark,
                            };
                            Wanted { minute: *minute, from_seq: *from_seq, to_seq }
                        })
                        .collect();
                    encoded_minutes(connection, hem_no, &wanted)?
                }
                _ => {
                    let starts: Vec<i64> = part.iter().map(|(start, _)| *start).collect();
                    combined(connection, hem_no, level, &starts, zone)?
                }
            };
            made.extend(part.iter().map(|(bucket, _)| Made {
                hem_no,
                level,
                bucket: *bucket,
                zone,
                row: rows.remove(bucket),
                seen_through: mark,
            }));
        }
        Ok(made)
    }

    pub(super) fn replace(
        &self,
        connection: &mut SqliteConnection,
        made: &[Made],
        commit: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for one in made {
            if let Some((first_seq, last_seq, payload)) = &one.row {
                diesel::replace_into(rollups::table)
                    .values((
                        rollups::hem_no.eq(one.hem_no),
                        rollups::level.eq(one.level.number()),
                        rollups::bucket.eq(one.bucket),
                        rollups::first_seq.eq(first_seq),
                        rollups::last_seq.eq(last_seq),
                        rollups::payload.eq(payload),
                    ))
                    .execute(connection)?;
                for next in one.level.feeds() {
                    mark_dirty(connection, one.hem_no, *next, one.bucket, one.zone, now)?;
                }
            }
            let mark = dirty::table.find((one.hem_no, one.level.number(), one.bucket));
            let minute = (one.hem_no, one.bucket);
            let mut cache = lock(&self.dirty_cache);
            if one.level != Level::Minute || cache.is_settled(minute, commit) {
                diesel::delete(mark).execute(connection)?;
                // Before the commit, under the writer's lock: should this fail, a mark too many on
                // disk does no harm, while one too few would lose a reading from its minute.
                if one.level == Level::Minute {
                    cache.forget(minute);
                }
            } else {
                diesel::update(mark)
                    .set(dirty::from_seq.eq(one.seen_through + 1))
                    .execute(connection)?;
            }
        }
        Ok(())
    }

    /// Days that were made in another time zone than their microgrid's now are dropped and marked, one
    /// HEM at a time. Says whether there was one.
    fn move_days_to_their_zone(&self) -> Result<bool, StoreError> {
        let found = self.read(|connection| {
            let moved = hems::table
                .inner_join(microgrids::table.on(microgrids::microgrid.eq(hems::microgrid)))
                .filter(hems::day_zone.ne(microgrids::time_zone))
                .select((hems::hem_no, microgrids::time_zone))
                .first::<(i64, String)>(connection)
                .optional()?;
            let Some((hem_no, zone)) = moved else { return Ok(None) };
            let quarters: Vec<i64> = rollups::table
                .filter(rollups::hem_no.eq(hem_no))
                .filter(rollups::level.eq(Level::Quarter.number()))
                .select(rollups::bucket)
                .load(connection)?;
            let tz = parse_zone(&zone);
            let days: BTreeSet<i64> =
                quarters.into_iter().map(|quarter| Level::Day.start(quarter, tz)).collect();
            Ok(Some((hem_no, zone, days)))
        })?;
        let Some((hem_no, zone, days)) = found else { return Ok(false) };
        self.write(|connection| {
            let day = Level::Day.number();
            diesel::delete(
                rollups::table.filter(rollups::hem_no.eq(hem_no)).filter(rollups::level.eq(day)),
            )
            .execute(connection)?;
            diesel::delete(
                dirty::table.filter(dirty::hem_no.eq(hem_no)).filter(dirty::level.eq(day)),
            )
            .execute(connection)?;
            diesel::update(hems::table.find(hem_no))
                .set(hems::day_zone.eq(zone))
                .execute(connection)?;
            for start in days {
                insert_mark(connection, hem_no, Level::Day, start, 0)?;
            }
            Ok(())
        })?;
        Ok(true)
    }
}

fn zone_and_mark(connection: &mut SqliteConnection, hem_no: i64) -> Result<(Tz, i64), StoreError> {
    let (zone, mark) = hems::table
        .inner_join(marks::table)
        .filter(hems::hem_no.eq(hem_no))
        .select((hems::day_zone, marks::mark))
        .get_result::<(String, i64)>(connection)?;
    Ok((parse_zone(&zone), mark))
}

/// Marks the bucket of a level that a finer one lies in.
fn mark_dirty(
    connection: &mut SqliteConnection,
    hem_no: i64,
    level: Level,
    finer: i64,
    zone: Tz,
    now: Timestamp,
) -> Result<(), StoreError> {
    let start = level.start(finer, zone);
    let due = bucket_due(level, start, zone, now);
    insert_mark(connection, hem_no, level, start, due)
}

fn insert_mark(
    connection: &mut SqliteConnection,
    hem_no: i64,
    level: Level,
    start: i64,
    due: i64,
) -> Result<(), StoreError> {
    diesel::insert_or_ignore_into(dirty::table)
        .values((
            dirty::hem_no.eq(hem_no),
            dirty::level.eq(level.number()),
            dirty::bucket.eq(start),
            dirty::from_seq.eq(0),
            dirty::due.eq(due),
        ))
        .execute(connection)?;
    Ok(())
}
