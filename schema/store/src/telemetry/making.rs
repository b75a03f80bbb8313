//! Makes roll-ups from what a snapshot holds: minutes from readings, coarser ones from finer ones; and
//! says when a dirty one becomes due.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use memcloud_domain::{Reading, Timestamp};

use super::buckets::{Level, MINUTE, floor};
use super::raw;
use super::rollup::Bucket;
use super::rollup_codec::{decode, encode};
use super::rows::{End, Rows, Time, Window, damaged, to_signed};
use crate::StoreError;

/// So many minutes of one HEM are made at once: their readings are in memory together.
pub(super) const MINUTES_OF_A_HEM: usize = 64;
/// So many hot readings are read at once.
const READINGS_AT_ONCE: usize = 2_000;
/// A minute is rolled up so long after its end: what belongs to it is mostly there by then.
const GRACE: i64 = 3_000;
/// A late reading's minute is rolled up so long after it came.
const LATE: i64 = 1_000;

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

/// When a minute is due that readings came into.
pub(super) fn minute_due(minute: i64, now: Timestamp) -> i64 {
    (minute + MINUTE + GRACE).max(now.0 + LATE)
}

/// When a bucket is due of which a finer one was made. Some time after its end, or soon where that is
/// past: a back-fill makes a day a few times, not once per quarter.
pub(super) fn bucket_due(level: Level, start: i64, zone: Tz, now: Timestamp) -> i64 {
    let (grace, pause) = match level {
        Level::Minute => (0, 0),
        Level::Quarter => (10_000, 3_000),
        Level::Hour => (20_000, 6_000),
        Level::Day => (30_000, 10_000),
    };
    (level.end(start, zone) + grace).max(now.0 + pause)
}

/// Roll-ups by their start: the first and last number of a minute's readings, and the bytes.
pub(super) type MadeRows = BTreeMap<i64, (i64, i64, Vec<u8>)>;

pub(super) fn encoded_minutes(
    rows: &mut impl Rows,
    hem_no: i64,
    wanted: &[Wanted],
) -> Result<MadeRows, StoreError> {
    let minutes = minutes(rows, hem_no, wanted)?;
    Ok(minutes
        .into_iter()
        .map(|(start, minute)| {
            (start, (minute.first_seq, minute.last_seq, encode(&minute.bucket, start)))
        })
        .collect())
}

/// Buckets of a coarser level, from those that they are made from.
pub(super) fn combined(
    rows: &mut impl Rows,
    hem_no: i64,
    level: Level,
    buckets: &[i64],
    zone: Tz,
) -> Result<MadeRows, StoreError> {
    let Some(source) = level.source() else { return Ok(MadeRows::new()) };
    let mut made = MadeRows::new();
    for start in buckets {
        let parts = rows.rollups(hem_no, source, *start, level.end(*start, zone))?;
        let parts = parts
            .into_iter()
            .map(|(at, payload)| {
                decode(&payload, at).map_err(|_| damaged("the roll-up at", hem_no, at))
            })
            .collect::<Result<Vec<Bucket>, StoreError>>()?;
        if !parts.is_empty() {
            made.insert(*start, (0, 0, encode(&Bucket::combined(&parts), *start)));
        }
    }
    Ok(made)
}

/// Minutes of a HEM, each made from all of its readings: those that were in it when it was last made,
/// and those that have come since. A minute of which no reading is left is not among the answers.
pub(super) fn minutes(
    rows: &mut impl Rows,
    hem_no: i64,
    wanted: &[Wanted],
) -> Result<BTreeMap<i64, Minute>, StoreError> {
    let mut spans: Vec<(i64, i64)> = wanted.iter().map(|one| (one.from_seq, one.to_seq)).collect();
    let starts: Vec<i64> = wanted.iter().map(|one| one.minute).collect();
    spans.extend(rows.minute_spans(hem_no, &starts)?);
    let mut readings: BTreeMap<i64, Vec<Reading>> =
        wanted.iter().map(|one| (one.minute, Vec::new())).collect();
    let (Some(first), Some(last)) = (readings.keys().min(), readings.keys().max()) else {
        return Ok(BTreeMap::new());
    };
    let (min_ts, max_ts) = (*first, last + MINUTE - 1);
    let window = Window { time: Time::Taken, min_ts, max_ts, ..Window::all(hem_no) };
    for (first_seq, last_seq) in merged(spans) {
        collect(rows, Window { first_seq, last_seq, ..window }, &mut readings)?;
    }
    let mut made = BTreeMap::new();
    for (minute, readings) in readings {
        let seqs = || readings.iter().map(|reading| to_signed(reading.seq.0));
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
    rows: &mut impl Rows,
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
    while let Some((sealed, beyond)) = raw::next_chunk(rows, &rest, End::Oldest)? {
        put(sealed);
        rest = beyond;
    }
    loop {
        let hot = raw::hot(rows, &rest, End::Oldest, READINGS_AT_ONCE)?;
        let Some(last) = hot.last() else { return Ok(()) };
        rest.first_seq = to_signed(last.seq.0) + 1;
        put(hot);
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
