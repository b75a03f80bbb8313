//! Roll-ups: dirty buckets are computed on a snapshot, then replaced whole in a short transaction,
//! which also marks what is made from them. Several processes may be at it at a time: a bucket is
//! written only by whoever still finds the stamp of the dirty mark that it computed from, and a minute
//! into which readings came since keeps its mark, for those.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use memcloud_domain::Timestamp;
use mongodb::ClientSession;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use serde::Deserialize;

use super::documents::{
    BucketKey, CHUNKS, DIRTY, DirtyDocument, HEMS, HemDocument, ROLLUPS, RUNS, binary, numbers,
};
use super::rows::Snapshot;
use super::server::Server;
use super::transaction::{Failure, update};
use super::{MongoTelemetry, lock};
use crate::StoreError;
use crate::telemetry::Upkeep;
use crate::telemetry::buckets::{Level, MINUTE};
use crate::telemetry::left_out::is_damage;
use crate::telemetry::making::{
    MINUTES_OF_A_HEM, MadeRows, Wanted, bucket_due, combined, encoded_minutes,
};
use crate::telemetry::rows::parse_zone;

/// So many buckets of a level are made in one step.
const BUCKETS_PER_STEP: usize = 64;

/// What is to be written for one dirty bucket.
pub(super) struct Made {
    key: BucketKey,
    /// Of the mark that it was computed from.
    stamp: ObjectId,
    /// The days' time zone that it was computed in.
    zone: String,
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

impl MongoTelemetry {
    /// Makes what is dirty and due, at most so many buckets of each level.
    pub(super) fn roll_up(&self, now: Timestamp) -> Result<Upkeep, StoreError> {
        let mut step = Upkeep { more: self.move_days()?, ..Upkeep::default() };
        for level in Level::ALL {
            let due = self.make(level, now)?;
            step.more |= due.more;
            step.damaged += due.damaged.len();
            for (hem_no, error) in &due.damaged {
                self.leave_out(&self.not_rolled_up, *hem_no, error, now)?;
            }
            step.done += self.replace(level, &due.made, now)?;
        }
        Ok(step)
    }

    pub(super) fn make(&self, level: Level, now: Timestamp) -> Result<Due, StoreError> {
        let left_out = lock(&self.not_rolled_up).now(now);
        let mut snapshot = Snapshot::open(&self.server)?;
        let filter = doc! {
            "_id.l": level.number(), "due": { "$lte": now.0 }, "_id.h": { "$nin": left_out },
        };
        let dirty: Vec<DirtyDocument> =
            snapshot.some(DIRTY, filter, doc! { "due": 1 }, BUCKETS_PER_STEP)?;
        let more = dirty.len() >= BUCKETS_PER_STEP;
        let mut by_hem: BTreeMap<i64, Vec<DirtyDocument>> = BTreeMap::new();
        for one in dirty {
            by_hem.entry(one.key.h).or_default().push(one);
        }
        let hem_nos: Vec<i64> = by_hem.keys().copied().collect();
        let filter = doc! { "_id": { "$in": hem_nos } };
        let hems: Vec<HemDocument> = snapshot.some(HEMS, filter, doc! {}, by_hem.len().max(1))?;
        let mut due = Due { made: Vec::new(), damaged: Vec::new(), more };
        for hem in hems {
            let Some(dirty) = by_hem.get(&hem.hem_no) else { continue };
            match make_of_hem(&mut snapshot, &hem, level, dirty) {
                Ok(made) => due.made.extend(made),
                Err(error) if is_damage(&error) => due.damaged.push((hem.hem_no, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(due)
    }

    /// Writes what was made, and answers how much of it still held.
    pub(super) fn replace(
        &self,
        level: Level,
        made: &[Made],
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        if made.is_empty() {
            return Ok(0);
        }
        self.write(async |session| replace(&self.server, session, level, made, now).await)
    }
}

fn make_of_hem(
    snapshot: &mut Snapshot<'_>,
    hem: &HemDocument,
    level: Level,
    dirty: &[DirtyDocument],
) -> Result<Vec<Made>, StoreError> {
    let mut made = Vec::with_capacity(dirty.len());
    for part in dirty.chunks(MINUTES_OF_A_HEM) {
        let mut rows = rows_of(snapshot, hem, level, part)?;
        made.extend(part.iter().map(|one| Made {
            key: one.key,
            stamp: one.stamp,
            zone: hem.day_zone.clone(),
            row: rows.remove(&one.key.b),
            seen_through: hem.mark,
        }));
    }
    Ok(made)
}

fn rows_of(
    snapshot: &mut Snapshot<'_>,
    hem: &HemDocument,
    level: Level,
    dirty: &[DirtyDocument],
) -> Result<MadeRows, StoreError> {
    if level == Level::Minute {
        let wanted: Vec<Wanted> = dirty
            .iter()
            .map(|one| Wanted { minute: one.key.b, from_seq: one.from_seq, to_seq: hem.mark })
            .collect();
        return encoded_minutes(snapshot, hem.hem_no, &wanted);
    }
    let starts: Vec<i64> = dirty.iter().map(|one| one.key.b).collect();
    combined(snapshot, hem.hem_no, level, &starts, parse_zone(&hem.day_zone))
}

/// What a bucket's fate depends on, as the transaction finds it.
struct Found {
    stamps: HashMap<BucketKey, ObjectId>,
    hems: HashMap<i64, HemDocument>,
    /// Of a HEM, the times of readings that came after the snapshot.
    since: HashMap<i64, Vec<(i64, i64)>>,
}

async fn replace(
    server: &Server,
    session: &mut ClientSession,
    level: Level,
    made: &[Made],
    now: Timestamp,
) -> Result<usize, Failure> {
    let found = look(server, session, level, made).await?;
    let (mut rollups, mut settled, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let mut coarser: BTreeMap<BucketKey, i64> = BTreeMap::new();
    let mut count = 0;
    for one in made {
        let Some(hem) = found.hems.get(&one.key.h) else { continue };
        // Someone else made it meanwhile, or its day has another beginning now.
        if found.stamps.get(&one.key) != Some(&one.stamp) || hem.day_zone != one.zone {
            continue;
        }
        count += 1;
        if let Some((first_seq, last_seq, payload)) = &one.row {
            let row = doc! {
                "first_seq": first_seq, "last_seq": last_seq, "payload": binary(payload.clone()),
            };
            let key = one.key.document();
            rollups.push(doc! { "q": { "_id": key }, "u": { "$set": row }, "upsert": true });
            let zone = parse_zone(&one.zone);
            for next in level.feeds() {
                let start = next.start(one.key.b, zone);
                let due = bucket_due(*next, start, zone, now);
                coarser.insert(BucketKey::new(one.key.h, *next, start), due);
            }
        }
        if level == Level::Minute && is_touched(&found, one) {
            let mark = doc! { "from_seq": one.seen_through + 1, "stamp": ObjectId::new() };
            kept.push(doc! { "q": { "_id": one.key.document() }, "u": { "$set": mark } });
        } else {
            settled.push(one.key.document());
        }
    }
    // What is marked already gets a new stamp: whoever computes it now has not seen these.
    let marks = coarser.into_iter().map(|(key, due)| {
        let change = doc! {
            "$set": { "stamp": ObjectId::new() }, "$setOnInsert": { "from_seq": 0_i64, "due": due },
        };
        doc! { "q": { "_id": key.document() }, "u": change, "upsert": true }
    });
    update(server, session, ROLLUPS, rollups).await?;
    update(server, session, DIRTY, marks.chain(kept).collect()).await?;
    if !settled.is_empty() {
        let dirty = server.database.collection::<Document>(DIRTY);
        dirty.delete_many(doc! { "_id": { "$in": settled } }).session(session).await?;
    }
    Ok(count)
}

fn is_touched(found: &Found, made: &Made) -> bool {
    let (start, end) = (made.key.b, made.key.b + MINUTE);
    let spans = found.since.get(&made.key.h);
    spans.is_some_and(|spans| spans.iter().any(|(min, max)| *min < end && *max >= start))
}

async fn look(
    server: &Server,
    session: &mut ClientSession,
    level: Level,
    made: &[Made],
) -> Result<Found, Failure> {
    let hem_nos: BTreeSet<i64> = made.iter().map(|one| one.key.h).collect();
    let of_hems = doc! { "_id": { "$in": hem_nos.into_iter().collect::<Vec<i64>>() } };
    // First, so that of this and a commit for one of the HEMs the later one notices at once.
    let counted =
        doc! { "q": of_hems.clone(), "u": { "$inc": { "rolled": 1_i64 } }, "multi": true };
    update(server, session, HEMS, vec![counted]).await?;
    let hems: Vec<HemDocument> = find(server, session, HEMS, of_hems).await?;
    let keys: Vec<Document> = made.iter().map(|one| one.key.document()).collect();
    let marks = doc! { "_id": { "$in": keys } };
    let marks: Vec<DirtyDocument> = find(server, session, DIRTY, marks).await?;
    let mut since = HashMap::new();
    if level == Level::Minute {
        let seen: BTreeMap<i64, i64> =
            made.iter().map(|one| (one.key.h, one.seen_through)).collect();
        for hem in &hems {
            let seen = seen.get(&hem.hem_no).copied().unwrap_or(hem.mark);
            if hem.mark > seen {
                since.insert(hem.hem_no, came_since(server, session, hem.hem_no, seen).await?);
            }
        }
    }
    Ok(Found {
        stamps: marks.into_iter().map(|one| (one.key, one.stamp)).collect(),
        hems: hems.into_iter().map(|one| (one.hem_no, one)).collect(),
        since,
    })
}

/// The times of what came after a number, whether it lies hot or was sealed already.
async fn came_since(
    server: &Server,
    session: &mut ClientSession,
    hem_no: i64,
    seen: i64,
) -> Result<Vec<(i64, i64)>, Failure> {
    #[derive(Deserialize)]
    struct Times {
        min_ts: i64,
        max_ts: i64,
    }
    let runs = doc! { "_id": numbers(hem_no, seen + 1, i64::MAX) };
    let mut times: Vec<Times> = find(server, session, RUNS, runs).await?;
    let chunks = doc! { "_id.h": hem_no, "last_seq": { "$gt": seen } };
    times.extend(find::<Times>(server, session, CHUNKS, chunks).await?);
    Ok(times.into_iter().map(|one| (one.min_ts, one.max_ts)).collect())
}

pub(super) async fn find<T: serde::de::DeserializeOwned + Send + Sync>(
    server: &Server,
    session: &mut ClientSession,
    collection: &str,
    filter: Document,
) -> Result<Vec<T>, Failure> {
    let collection = server.database.collection::<T>(collection);
    let mut cursor = collection.find(filter).session(&mut *session).await?;
    let mut found = Vec::new();
    while let Some(one) = cursor.next(&mut *session).await {
        found.push(one?);
    }
    Ok(found)
}
