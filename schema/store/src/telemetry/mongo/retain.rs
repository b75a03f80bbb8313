//! Retention: raw data and minutes that are older than they are kept for go, in bounded steps. Chunks
//! and hot runs go whole, once all of one is too old; runs from the lowest number on, up to the first
//! that is not.

use memcloud_domain::Timestamp;
use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, doc};
use serde::{Deserialize, Serialize};

use super::MongoTelemetry;
use super::documents::{
    BucketKey, CHUNKS, DIRTY, EVENTS, HEMS, REFUSALS, ROLLUPS, RUNS, SeqKey, buckets, numbers,
};
use super::rows::{Keyed, Snapshot};
use super::server::Server;
use super::transaction::{Failure, update};
use crate::StoreError;
use crate::telemetry::buckets::{HOUR, Level, floor};
use crate::telemetry::{Retention, Upkeep};

/// Documents that one transaction deletes at most, per kind.
const DOCUMENTS: usize = 1_000;
/// Chunks that one transaction deletes at most.
const CHUNKS_AT_ONCE: usize = 64;
/// HEMs that one step looks at without finding anything: each is a few questions.
const HEMS_AT_ONCE: usize = 100;

#[derive(Debug, Deserialize)]
struct OldChunk {
    #[serde(rename = "_id")]
    key: SeqKey,
    readings: i64,
    bytes: i64,
}

#[derive(Debug, Deserialize)]
struct OldRun {
    #[serde(rename = "_id")]
    key: SeqKey,
    readings: i64,
    max_ts: i64,
}

/// What one HEM has that is too old.
#[derive(Debug, Default)]
struct Expired {
    hem_no: i64,
    chunks: Vec<OldChunk>,
    runs: Vec<OldRun>,
    events: Vec<Keyed<SeqKey>>,
    refusals: Vec<Keyed<SeqKey>>,
    minutes: Vec<Keyed<BucketKey>>,
}

impl Expired {
    fn count(&self) -> usize {
        let hot = self.runs.iter().map(|run| run.readings).sum::<i64>();
        let hot = usize::try_from(hot).unwrap_or(0);
        self.chunks.len() + hot + self.events.len() + self.refusals.len() + self.minutes.len()
    }
}

impl MongoTelemetry {
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
        let next = doc! { "_id": { "$gt": self.retained_through() } };
        let hems: Vec<Keyed<i64>> = Snapshot::open(&self.server)?.parts(
            HEMS,
            next,
            doc! { "_id": 1 },
            Some(HEMS_AT_ONCE),
        )?;
        for hem in &hems {
            let mut snapshot = Snapshot::open(&self.server)?;
            let expired = expired(&mut snapshot, hem.key, raw_before, minutes_before)?;
            if expired.count() == 0 {
                self.retained(hem.key);
                continue;
            }
            let deleted = self.write(async |session| delete(&self.server, session, &expired).await);
            return match deleted {
                // The same HEM again: it may have more.
                Ok(()) => Ok(Upkeep { done: expired.count(), more: true, damaged: 0 }),
                // Another process was faster.
                Err(StoreError::Conflict { .. }) => Ok(Upkeep { more: true, ..Upkeep::default() }),
                Err(error) => Err(error),
            };
        }
        let more = hems.len() >= HEMS_AT_ONCE;
        if !more {
            self.retained(0);
        }
        Ok(Upkeep { more, ..Upkeep::default() })
    }
}

fn expired(
    snapshot: &mut Snapshot<'_>,
    hem_no: i64,
    raw_before: i64,
    minutes_before: i64,
) -> Result<Expired, StoreError> {
    let mut expired = Expired { hem_no, ..Expired::default() };
    let key = doc! { "_id": 1 };
    let all = || numbers(hem_no, i64::MIN, i64::MAX);
    let waiting = doc! { "_id": buckets(hem_no, Level::Minute, i64::MIN, raw_before) };
    let waits_for_raw: Vec<Keyed<BucketKey>> =
        snapshot.parts(DIRTY, waiting, key.clone(), Some(1))?;
    if waits_for_raw.is_empty() {
        let old = doc! { "_id.h": hem_no, "max_ts": { "$lt": raw_before } };
        let fields = doc! { "readings": 1, "bytes": 1 };
        expired.chunks = snapshot.parts(CHUNKS, old, fields, Some(CHUNKS_AT_ONCE))?;
        let fields = doc! { "readings": 1, "max_ts": 1 };
        let oldest: Vec<OldRun> =
            snapshot.parts(RUNS, doc! { "_id": all() }, fields, Some(DOCUMENTS))?;
        let old = oldest.into_iter().take_while(|run| run.max_ts < raw_before);
        expired.runs = old.collect();
    }
    let old = doc! { "_id": all(), "ts": { "$lt": raw_before } };
    expired.events = snapshot.parts(EVENTS, old, key.clone(), Some(DOCUMENTS))?;
    let old = doc! { "_id": all(), "received": { "$lt": raw_before } };
    expired.refusals = snapshot.parts(REFUSALS, old, key.clone(), Some(DOCUMENTS))?;
    let old = doc! { "_id": buckets(hem_no, Level::Minute, i64::MIN, minutes_before) };
    expired.minutes = snapshot.parts(ROLLUPS, old, key, Some(DOCUMENTS))?;
    Ok(expired)
}

async fn delete(
    server: &Server,
    session: &mut ClientSession,
    expired: &Expired,
) -> Result<(), Failure> {
    let sum = |numbers: &mut dyn Iterator<Item = i64>| numbers.sum::<i64>();
    let counted = doc! { "$inc": {
        "hot": -sum(&mut expired.runs.iter().map(|run| run.readings)),
        "chunks": -i64::try_from(expired.chunks.len()).unwrap_or(0),
        "sealed": -sum(&mut expired.chunks.iter().map(|chunk| chunk.readings)),
        "sealed_bytes": -sum(&mut expired.chunks.iter().map(|chunk| chunk.bytes)),
    } };
    let counted = doc! { "q": { "_id": expired.hem_no }, "u": counted };
    update(server, session, HEMS, vec![counted]).await?;
    let chunks: Vec<SeqKey> = expired.chunks.iter().map(|chunk| chunk.key).collect();
    delete_all(server, session, CHUNKS, &chunks).await?;
    let runs: Vec<SeqKey> = expired.runs.iter().map(|run| run.key).collect();
    delete_all(server, session, RUNS, &runs).await?;
    let events: Vec<SeqKey> = expired.events.iter().map(|event| event.key).collect();
    delete_all(server, session, EVENTS, &events).await?;
    let refusals: Vec<SeqKey> = expired.refusals.iter().map(|refusal| refusal.key).collect();
    delete_all(server, session, REFUSALS, &refusals).await?;
    let minutes: Vec<BucketKey> = expired.minutes.iter().map(|minute| minute.key).collect();
    delete_all(server, session, ROLLUPS, &minutes).await
}

/// All of these or, where some are gone already, nothing: the counts go with them.
async fn delete_all(
    server: &Server,
    session: &mut ClientSession,
    collection: &str,
    keys: &[impl Serialize],
) -> Result<(), Failure> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut ids = Vec::with_capacity(keys.len());
    for key in keys {
        ids.push(
            mongodb::bson::serialize_to_bson(key).map_err(|error| StoreError::Invalid {
                what: "a key",
                reason: error.to_string(),
            })?,
        );
    }
    let documents = server.database.collection::<Document>(collection);
    let old = doc! { "_id": { "$in": Bson::Array(ids) } };
    let deleted = documents.delete_many(old).session(session).await?.deleted_count;
    if usize::try_from(deleted) == Ok(keys.len()) {
        return Ok(());
    }
    Err(Failure::Store(StoreError::Conflict {
        what: "retention",
        reason: "what is too old changed meanwhile".to_owned(),
    }))
}
