//! Roll-ups: dirty buckets are computed on a reader's snapshot, then replaced whole in a short
//! transaction, which also marks what is made from them. A minute that was touched after the snapshot
//! keeps its mark and is computed again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use chrono_tz::Tz;
use diesel::prelude::*;
use memcloud_domain::{Reading, Timestamp};

use super::dirty_cache::Touch;
use super::left_out::is_damage;
use super::raw::{self, End, Time, Window};
use super::{SqliteTelemetry, damaged, lock, to_sql};
use crate::StoreError;
use crate::telemetry::Upkeep;
use crate::telemetry::buckets::{Level, MINUTE, floor};
use crate::telemetry::rollup::Bucket;
use crate::telemetry::rollup_codec::{decode, encode};
use crate::telemetry::schema::{dirty, hems, marks, microgrids, rollups};

/// So many buckets of a level are made in one step: about a millisecond of the writer.
const BUCKETS_PER_STEP: i64 = 64;
/// So many minutes of one HEM are made at once: their readings are in memory together.
const MINUTES_OF_A_HEM: usize = 64;
/// So many hot readings are read at once.
const READINGS_AT_ONCE: usize = 2_000;

/// A minute that is to be made, and between which numbers readings came into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) minute: i64,
    pub(super) from_seq: i64,
    pub(super) to_seq: i64,
}

/// A minute as it was made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Minute {
    pub(super) first_seq: i64,
    pub(super) last_seq: i64,
    pub(super) bucket: Bucket,
}

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
                _ => combined_rows(connection, hem_no, level, part, zone)?,
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
            let tz = parse(&zone);
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

pub(super) fn parse(zone: &str) -> Tz {
    zone.parse().unwrap_or(Tz::UTC)
}

fn zone_and_mark(connection: &mut SqliteConnection, hem_no: i64) -> Result<(Tz, i64), StoreError> {
    let (zone, mark) = hems::table
        .inner_join(marks::table)
        .filter(hems::hem_no.eq(hem_no))
        .select((hems::day_zone, marks::mark))
        .get_result::<(String, i64)>(connection)?;
    Ok((parse(&zone), mark))
}

/// Marks the bucket of a level that a finer one lies in. It becomes due some time after its end, or
/// soon where that is past: a back-fill makes a day a few times, not once per quarter.
fn mark_dirty(
    connection: &mut SqliteConnection,
    hem_no: i64,
    level: Level,
    finer: i64,
    zone: Tz,
    now: Timestamp,
) -> Result<(), StoreError> {
    let start = level.start(finer, zone);
    let (grace, pause) = match level {
        Level::Minute => (0, 0),
        Level::Quarter => (10_000, 3_000),
        Level::Hour => (20_000, 6_000),
        Level::Day => (30_000, 10_000),
    };
    let due = (level.end(start, zone) + grace).max(now.0 + pause);
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

type Rows = BTreeMap<i64, (i64, i64, Vec<u8>)>;

fn encoded_minutes(
    connection: &mut SqliteConnection,
    hem_no: i64,
    wanted: &[Wanted],
) -> Result<Rows, StoreError> {
    let minutes = minutes(connection, hem_no, wanted)?;
    Ok(minutes
        .into_iter()
        .map(|(start, minute)| {
            (start, (minute.first_seq, minute.last_seq, encode(&minute.bucket, start)))
        })
        .collect())
}

/// Buckets of a coarser level, from those that they are made from.
fn combined_rows(
    connection: &mut SqliteConnection,
    hem_no: i64,
    level: Level,
    buckets: &[(i64, i64)],
    zone: Tz,
) -> Result<Rows, StoreError> {
    let Some(source) = level.source() else { return Ok(Rows::new()) };
    let mut rows = Rows::new();
    for (start, _) in buckets {
        let parts: Vec<(i64, Vec<u8>)> = rollups::table
            .filter(rollups::hem_no.eq(hem_no))
            .filter(rollups::level.eq(source.number()))
            .filter(rollups::bucket.ge(*start))
            .filter(rollups::bucket.lt(level.end(*start, zone)))
            .order(rollups::bucket.asc())
            .select((rollups::bucket, rollups::payload))
            .load(connection)?;
        let parts = parts
            .into_iter()
            .map(|(at, payload)| {
                decode(&payload, at).map_err(|_| damaged("the roll-up at", hem_no, at))
            })
            .collect::<Result<Vec<Bucket>, StoreError>>()?;
        if !parts.is_empty() {
            rows.insert(*start, (0, 0, encode(&Bucket::combined(&parts), *start)));
        }
    }
    Ok(rows)
}

/// Minutes of a HEM, each made from all of its readings: those that were in it when it was last made,
/// and those that have come since. A minute of which no reading is left is not among the answers.
pub(super) fn minutes(
    connection: &mut SqliteConnection,
    hem_no: i64,
    wanted: &[Wanted],
) -> Result<BTreeMap<i64, Minute>, StoreError> {
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for one in wanted {
        spans.push((one.from_seq, one.to_seq));
        let before = rollups::table
            .find((hem_no, Level::Minute.number(), one.minute))
            .select((rollups::first_seq, rollups::last_seq))
            .get_result::<(i64, i64)>(connection)
            .optional()?;
        spans.extend(before);
    }
    let mut readings: BTreeMap<i64, Vec<Reading>> =
        wanted.iter().map(|one| (one.minute, Vec::new())).collect();
    let (Some(first), Some(last)) = (readings.keys().min(), readings.keys().max()) else {
        return Ok(BTreeMap::new());
    };
    let (min_ts, max_ts) = (*first, last + MINUTE - 1);
    let window = Window { time: Time::Taken, min_ts, max_ts, ..Window::all(hem_no) };
    for (first_seq, last_seq) in merged(spans) {
        collect(connection, Window { first_seq, last_seq, ..window }, &mut readings)?;
    }
    let mut made = BTreeMap::new();
    for (minute, readings) in readings {
        let seqs = || readings.iter().map(|reading| to_sql(reading.seq.0));
        let (Some(first_seq), Some(last_seq)) = (seqs().min(), seqs().max()) else { continue };
        made.insert(minute, Minute { first_seq, last_seq, bucket: Bucket::of(&readings) });
    }
    Ok(made)
}

/// Spans without those that are empty, and with those that overlap as one.
fn merged(mut spans: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    spans.retain(|(first, last)| first <= last);
    spans.sort_unstable();
    let mut merged: Vec<(i64, i64)> = Vec::new();
    for (first, last) in spans {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// Puts the readings of a window into those minutes that are wanted.
fn collect(
    connection: &mut SqliteConnection,
    window: Window,
    into: &mut BTreeMap<i64, Vec<Reading>>,
) -> Result<(), StoreError> {
    let mut put = |readings: Vec<Reading>| {
        for reading in readings {
            if let Some(minute) = into.get_mut(&floor(reading.taken().0, MINUTE)) {
                minute.push(reading);
            }
        }
    };
    let mut rest = window;
    while let Some((sealed, beyond)) = raw::next_chunk(connection, &rest, End::Oldest)? {
        put(sealed);
        rest = beyond;
    }
    loop {
        let rows = raw::hot(connection, &rest, End::Oldest, READINGS_AT_ONCE)?;
        let Some(last) = rows.last() else { return Ok(()) };
        rest.first_seq = to_sql(last.seq.0) + 1;
        put(rows);
    }
}

#[cfg(test)]
mod tests {
    use super::merged;

    #[test]
    fn spans_that_touch_are_read_once() {
        assert_eq!(merged(vec![(8, 9), (1, 3), (4, 5), (7, 6), (2, 2)]), vec![(1, 5), (8, 9)]);
    }
}
