//! Retention: raw data and minutes that are older than they are kept for go, in bounded steps. Chunks
//! and hot runs go whole, once all of one is too old; runs from the lowest number on, up to the first
//! that is not.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use memcloud_domain::Timestamp;

use super::{SqliteTelemetry, lock};
use crate::StoreError;
use crate::telemetry::buckets::{HOUR, Level, floor};
use crate::telemetry::schema::{chunks, dirty, events, hot_runs, marks, refusals, rollups};
use crate::telemetry::{Retention, Upkeep};

/// Rows that one transaction deletes at most, per kind.
const ROWS: i64 = 1_000;
/// Chunks that one transaction deletes at most.
const CHUNKS: i64 = 64;
/// HEMs that one step looks at without finding anything.
const HEMS: i64 = 2_000;

/// What one HEM has that is too old.
struct Expired {
    hem_no: i64,
    /// Chunks: id, readings, bytes.
    chunks: Vec<(i64, i64, i64)>,
    /// Hot runs: id, readings.
    runs: Vec<(i64, i64)>,
    events: Vec<i64>,
    refusals: Vec<i64>,
    minutes: Vec<i64>,
}

impl Expired {
    fn count(&self) -> usize {
        let hot = self.runs.iter().map(|(_, readings)| readings).sum::<i64>();
        let hot = usize::try_from(hot).unwrap_or(0);
        self.chunks.len() + hot + self.events.len() + self.refusals.len() + self.minutes.len()
    }
}

impl SqliteTelemetry {
    /// Deletes what is too old of the next HEMs; begins anew after the last.
    pub(super) fn retain(
        &self,
        retention: Retention,
        now: Timestamp,
    ) -> Result<Upkeep, StoreError> {
        // What may still arrive late is at most as old as raw data is kept: its minute must find its
        // other readings, so that they stay an hour longer.
        let raw_before = floor(now.minus(retention.raw).0, HOUR) - HOUR;
        let minutes_before = floor(now.minus(retention.minute).0, HOUR) - HOUR;
        let mut after = self.retained_through();
        let mut looked_at = 0;
        while looked_at < HEMS {
            let next = self.read(|connection| {
                let next = marks::table
                    .filter(marks::hem_no.gt(after))
                    .order(marks::hem_no.asc())
                    .select(marks::hem_no)
                    .first::<i64>(connection)
                    .optional()?;
                let Some(hem_no) = next else { return Ok(None) };
                expired(connection, hem_no, raw_before, minutes_before).map(Some)
            })?;
            let Some(expired) = next else {
                self.retained(0);
                return Ok(Upkeep::default());
            };
            if expired.count() > 0 {
                self.write(|connection| {
                    delete(connection, &expired)?;
                    lock(&self.known_hems).forget(expired.hem_no);
                    Ok(())
                })?;
                // The same HEM again: it may have more.
                self.retained(expired.hem_no - 1);
                return Ok(Upkeep { done: expired.count(), more: true, damaged: 0 });
            }
            after = expired.hem_no;
            looked_at += 1;
        }
        self.retained(after);
        Ok(Upkeep { more: true, ..Upkeep::default() })
    }
}

fn expired(
    connection: &mut SqliteConnection,
    hem_no: i64,
    raw_before: i64,
    minutes_before: i64,
) -> Result<Expired, StoreError> {
    let mut expired = Expired {
        hem_no,
        chunks: Vec::new(),
        runs: Vec::new(),
        events: Vec::new(),
        refusals: Vec::new(),
        minutes: Vec::new(),
    };
    let waits_for_raw = dirty::table
        .filter(dirty::hem_no.eq(hem_no))
        .filter(dirty::level.eq(Level::Minute.number()))
        .filter(dirty::bucket.lt(raw_before))
        .select(dirty::bucket)
        .first::<i64>(connection)
        .optional()?;
    if waits_for_raw.is_none() {
        expired.chunks = chunks::table
            .filter(chunks::hem_no.eq(hem_no))
            .filter(chunks::max_ts.lt(raw_before))
            .order(chunks::first_seq.asc())
            .limit(CHUNKS)
            .select((chunks::id, chunks::readings, diesel::dsl::sql::<BigInt>("length(payload)")))
            .load(connection)?;
        let oldest: Vec<(i64, i64, i64)> = hot_runs::table
            .filter(hot_runs::hem_no.eq(hem_no))
            .order(hot_runs::first_seq.asc())
            .limit(ROWS)
            .select((hot_runs::id, hot_runs::readings, hot_runs::max_ts))
            .load(connection)?;
        let old = oldest.into_iter().take_while(|(_, _, max_ts)| *max_ts < raw_before);
        expired.runs = old.map(|(id, readings, _)| (id, readings)).collect();
    }
    expired.events = events::table
        .filter(events::hem_no.eq(hem_no))
        .filter(events::ts.lt(raw_before))
        .limit(ROWS)
        .select(events::id)
        .load(connection)?;
    expired.refusals = refusals::table
        .filter(refusals::hem_no.eq(hem_no))
        .filter(refusals::received.lt(raw_before))
        .limit(ROWS)
        .select(refusals::seq)
        .load(connection)?;
    expired.minutes = rollups::table
        .filter(rollups::hem_no.eq(hem_no))
        .filter(rollups::level.eq(Level::Minute.number()))
        .filter(rollups::bucket.lt(minutes_before))
        .order(rollups::bucket.asc())
        .limit(ROWS)
        .select(rollups::bucket)
        .load(connection)?;
    Ok(expired)
}

fn delete(connection: &mut SqliteConnection, expired: &Expired) -> Result<(), StoreError> {
    let hem_no = expired.hem_no;
    let (mut sealed, mut bytes) = (0, 0);
    for (id, readings, size) in &expired.chunks {
        diesel::delete(chunks::table.find(*id)).execute(connection)?;
        sealed += readings;
        bytes += size;
    }
    let mut hot = 0;
    for (id, readings) in &expired.runs {
        if diesel::delete(hot_runs::table.find(*id)).execute(connection)? > 0 {
            hot += readings;
        }
    }
    for id in &expired.events {
        diesel::delete(events::table.find(*id)).execute(connection)?;
    }
    for seq in &expired.refusals {
        diesel::delete(refusals::table.find((hem_no, *seq))).execute(connection)?;
    }
    if let Some(last) = expired.minutes.last() {
        let old = rollups::table
            .filter(rollups::hem_no.eq(hem_no))
            .filter(rollups::level.eq(Level::Minute.number()))
            .filter(rollups::bucket.le(*last));
        diesel::delete(old).execute(connection)?;
    }
    diesel::update(marks::table.find(hem_no))
        .set((
            marks::hot.eq(marks::hot - hot),
            marks::chunks.eq(marks::chunks - i64::try_from(expired.chunks.len()).unwrap_or(0)),
            marks::sealed.eq(marks::sealed - sealed),
            marks::sealed_bytes.eq(marks::sealed_bytes - bytes),
        ))
        .execute(connection)?;
    Ok(())
}
