//! Sealing: the older hot runs of a HEM become one compressed chunk. Encoded on a reader's snapshot;
//! only the exchange of runs for the chunk holds the writer.

use diesel::prelude::*;
use memcloud_domain::Timestamp;

use super::{SqliteTelemetry, lock};
use crate::StoreError;
use crate::telemetry::left_out::is_damage;
use crate::telemetry::schema::{chunks, hot_runs, marks};
use crate::telemetry::sealed::Sealed;
use crate::telemetry::{Upkeep, chunk, raw};

/// So many HEMs are looked up at once; one is sealed in a step, so that a step is short.
const CANDIDATES: i64 = 64;

impl SqliteTelemetry {
    /// Seals a chunk of one of the HEMs with the most hot readings. Runs are not cut: a chunk holds
    /// about as many readings as it should.
    pub(super) fn seal(&self, now: Timestamp) -> Result<Upkeep, StoreError> {
        let wanted = self.options.chunk_readings.clamp(1, chunk::MAX_READINGS);
        let Some(hem_no) = self.next_to_seal(wanted, now)? else { return Ok(Upkeep::default()) };
        let made = self
            .read(|connection| raw::oldest_runs(connection, hem_no, wanted))
            .and_then(|(oldest, runs)| Sealed::of(hem_no, &oldest, runs));
        match made {
            Ok(sealed) => {
                self.write_lazily(|connection| {
                    exchange(connection, &sealed)?;
                    lock(&self.known_hems).forget(hem_no);
                    Ok(())
                })?;
                Ok(Upkeep { done: sealed.count(), more: true, damaged: 0 })
            }
            Err(error) if is_damage(&error) => {
                self.leave_out(&self.not_sealed, hem_no, &error, now)?;
                Ok(Upkeep { done: 0, more: true, damaged: 1 })
            }
            Err(error) => Err(error),
        }
    }

    /// The next HEM that has more than a chunk's worth beside what stays hot.
    fn next_to_seal(&self, wanted: usize, now: Timestamp) -> Result<Option<i64>, StoreError> {
        let mut queue = lock(&self.to_seal);
        if queue.is_empty() {
            let full = i64::try_from(wanted + self.options.keep_hot).unwrap_or(i64::MAX);
            let left_out = lock(&self.not_sealed).now(now);
            *queue = self.read(|connection| {
                let hem_nos = marks::table
                    .filter(marks::hot.ge(full))
                    .filter(marks::hem_no.ne_all(&left_out))
                    .select(marks::hem_no)
                    .order(marks::hot.desc())
                    .limit(CANDIDATES)
                    .load::<i64>(connection)?;
                Ok(hem_nos.into())
            })?;
        }
        Ok(queue.pop_front())
    }
}

fn exchange(connection: &mut SqliteConnection, sealed: &Sealed) -> Result<(), StoreError> {
    let of_chunk = hot_runs::table
        .filter(hot_runs::hem_no.eq(sealed.hem_no))
        .filter(hot_runs::first_seq.between(sealed.first_seq, sealed.last_seq));
    let deleted = diesel::delete(of_chunk).execute(connection)?;
    if deleted != sealed.runs {
        // Somebody else took runs away since they were read: nothing is written, and the next step
        // reads them again.
        return Err(StoreError::Conflict {
            what: "sealing",
            reason: format!("the hot readings of HEM no. {} changed meanwhile", sealed.hem_no),
        });
    }
    diesel::insert_into(chunks::table)
        .values((
            chunks::hem_no.eq(sealed.hem_no),
            chunks::first_seq.eq(sealed.first_seq),
            chunks::last_seq.eq(sealed.last_seq),
            chunks::min_ts.eq(sealed.min_ts),
            chunks::max_ts.eq(sealed.max_ts),
            chunks::readings.eq(sealed.readings),
            chunks::payload.eq(&sealed.payload),
        ))
        .execute(connection)?;
    let bytes = i64::try_from(sealed.payload.len()).unwrap_or(i64::MAX);
    diesel::update(marks::table.find(sealed.hem_no))
        .set((
            marks::hot.eq(marks::hot - sealed.readings),
            marks::chunks.eq(marks::chunks + 1),
            marks::sealed.eq(marks::sealed + sealed.readings),
            marks::sealed_bytes.eq(marks::sealed_bytes + bytes),
        ))
        .execute(connection)?;
    Ok(())
}
