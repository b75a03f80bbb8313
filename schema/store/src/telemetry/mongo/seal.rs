//! Sealing: the older hot runs of a HEM become one compressed chunk. Packed from a snapshot; the
//! exchange of runs for the chunk is one short transaction, so that at no moment a reading is missing
//! or there twice, whoever dies in between. Of two processes that seal the same runs, one finds them
//! gone and writes nothing.

use memcloud_domain::Timestamp;
use mongodb::ClientSession;
use mongodb::bson::{Document, doc};

use super::documents::{CHUNKS, ChunkDocument, HEMS, RUNS, SeqKey, binary, numbers};
use super::rows::{Keyed, Snapshot};
use super::server::Server;
use super::transaction::{Failure, update};
use super::{MongoTelemetry, lock};
use crate::StoreError;
use crate::telemetry::left_out::is_damage;
use crate::telemetry::sealed::Sealed;
use crate::telemetry::{Upkeep, raw};

/// So many HEMs are looked up at once; one is sealed in a step, so that a step is short.
const CANDIDATES: usize = 64;

impl MongoTelemetry {
    /// Seals a chunk of one of the HEMs that have enough hot readings. Runs are not cut: a chunk holds
    /// about as many readings as it should.
    pub(super) fn seal(&self, now: Timestamp) -> Result<Upkeep, StoreError> {
        let Some(hem_no) = self.next_to_seal(now)? else { return Ok(Upkeep::default()) };
        let packed = Snapshot::open(&self.server)
            .and_then(|mut snapshot| {
                raw::oldest_runs(&mut snapshot, hem_no, self.options.readings_in_chunk())
            })
            .and_then(|(oldest, runs)| Sealed::of(hem_no, &oldest, runs));
        let exchanged = packed.and_then(|sealed| {
            let full = self.options.sealable();
            self.write(async |session| exchange(&self.server, session, &sealed, full).await)?;
            Ok(sealed.count())
        });
        match exchanged {
            Ok(done) => Ok(Upkeep { done, more: true, damaged: 0 }),
            // Another process was faster.
            Err(StoreError::Conflict { .. }) => Ok(Upkeep { more: true, ..Upkeep::default() }),
            Err(error) if is_damage(&error) => {
                self.leave_out(&self.not_sealed, hem_no, &error, now)?;
                Ok(Upkeep { done: 0, more: true, damaged: 1 })
            }
            Err(error) => Err(error),
        }
    }

    fn next_to_seal(&self, now: Timestamp) -> Result<Option<i64>, StoreError> {
        let mut queue = lock(&self.to_seal);
        if queue.is_empty() {
            let left_out = lock(&self.not_sealed).now(now);
            let full = doc! {
                "sealable": true,
                "hot": { "$gte": self.options.sealable() },
                "_id": { "$nin": left_out },
            };
            let found: Vec<Keyed<i64>> = Snapshot::open(&self.server)?.parts(
                HEMS,
                full,
                doc! { "_id": 1 },
                Some(CANDIDATES),
            )?;
            queue.extend(found.into_iter().map(|one| one.key));
        }
        Ok(queue.pop_front())
    }
}

fn taken_by_others(hem_no: i64) -> Failure {
    // Nothing is written, and the next step reads them again.
    Failure::Store(StoreError::Conflict {
        what: "sealing",
        reason: format!("the hot readings of HEM no. {hem_no} changed meanwhile"),
    })
}

async fn exchange(
    server: &Server,
    session: &mut ClientSession,
    sealed: &Sealed,
    full: i64,
) -> Result<(), Failure> {
    let hem_no = sealed.hem_no;
    let bytes = i64::try_from(sealed.payload.len()).unwrap_or(i64::MAX);
    let counted = doc! { "$inc": {
        "hot": -sealed.readings, "chunks": 1_i64, "sealed": sealed.readings, "sealed_bytes": bytes,
    } };
    let enough = doc! { "_id": hem_no, "hot": { "$gte": sealed.readings } };
    if update(server, session, HEMS, vec![doc! { "q": enough, "u": counted }]).await? == 0 {
        return Err(taken_by_others(hem_no));
    }
    let no_longer = doc! {
        "q": { "_id": hem_no, "hot": { "$lt": full } }, "u": { "$set": { "sealable": false } },
    };
    update(server, session, HEMS, vec![no_longer]).await?;
    let of_chunk = doc! { "_id": numbers(hem_no, sealed.first_seq, sealed.last_seq) };
    let runs = server.database.collection::<Document>(RUNS);
    let deleted = runs.delete_many(of_chunk).session(&mut *session).await?.deleted_count;
    if usize::try_from(deleted) != Ok(sealed.runs) {
        return Err(taken_by_others(hem_no));
    }
    let chunk = ChunkDocument {
        key: SeqKey { h: hem_no, s: sealed.first_seq },
        last_seq: sealed.last_seq,
        min_ts: sealed.min_ts,
        max_ts: sealed.max_ts,
        readings: sealed.readings,
        bytes,
        payload: binary(sealed.payload.clone()),
    };
    server.database.collection::<ChunkDocument>(CHUNKS).insert_one(&chunk).session(session).await?;
    Ok(())
}
