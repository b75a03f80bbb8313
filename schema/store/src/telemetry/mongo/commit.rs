//! The hot path: sessions, and the one transaction that stores what HEMs handed over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use memcloud_domain::{Epoch, HemId, Seq, SessionOpened, Timestamp};
use mongodb::ClientSession;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;
use serde::Serialize;

use super::documents::{
    BucketKey, COUNTERS, DIRTY, EVENTS, EventDocument, HEMS, HemDocument, MICROGRIDS,
    MicrogridDocument, REFUSALS, RUNS, RefusalDocument, RunDocument, SeqKey, binary,
};
use super::marked_minutes::MarkedMinutes;
use super::server::{Server, is_duplicate};
use super::transaction::{Failure, update};
use crate::StoreError;
use crate::telemetry::buckets::{Level, MINUTE, floor};
use crate::telemetry::fresh::Fresh;
use crate::telemetry::making::minute_due;
use crate::telemetry::row::encode_event;
use crate::telemetry::rows::{from_signed, microgrid_of, to_signed};
use crate::telemetry::run::Run;
use crate::telemetry::{CommitOutcome, HemEntries, NewSession, lock};

/// The documents of those HEMs that are known.
async fn known(
    server: &Server,
    session: &mut ClientSession,
    hems: impl Iterator<Item = &HemId>,
) -> Result<HashMap<HemId, HemDocument>, Failure> {
    let ids: BTreeSet<&str> = hems.map(HemId::as_str).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    // All in one answer.
    let at_once = u32::try_from(ids.len() + 1).unwrap_or(u32::MAX);
    let collection = server.database.collection::<HemDocument>(HEMS);
    let named = collection.find(doc! { "hem": { "$in": ids } }).batch_size(at_once);
    let mut found = named.session(&mut *session).await?;
    let mut known = HashMap::new();
    while let Some(one) = found.next(&mut *session).await {
        let one = one?;
        let hem = HemId::new(&one.hem).map_err(|error| StoreError::Damaged {
            what: "the id of a HEM".to_owned(),
            reason: error.to_string(),
        })?;
        known.insert(hem, one);
    }
    Ok(known)
}

/// Raises epochs; makes the documents of HEMs that come for the first time.
pub(super) async fn open_sessions(
    server: &Server,
    session: &mut ClientSession,
    sessions: &[NewSession],
) -> Result<Vec<SessionOpened>, Failure> {
    let mut hems = known(server, session, sessions.iter().map(|one| &one.hem)).await?;
    let comes_anew = |one: &&NewSession| {
        hems.get(&one.hem).is_none_or(|known| known.microgrid != one.microgrid.as_str())
    };
    let joined: BTreeSet<&str> =
        sessions.iter().filter(comes_anew).map(|one| one.microgrid.as_str()).collect();
    let mut zones = HashMap::new();
    for microgrid in joined {
        zones.insert(microgrid, join(server, session, microgrid).await?);
    }
    let new: BTreeSet<&HemId> =
        sessions.iter().map(|one| &one.hem).filter(|hem| !hems.contains_key(*hem)).collect();
    let mut numbers = new_numbers(server, session, new.len()).await?;
    let mut made = BTreeSet::new();
    let mut opened = Vec::with_capacity(sessions.len());
    for one in sessions {
        if !hems.contains_key(&one.hem) {
            let zone = zones.get(one.microgrid.as_str()).map_or("UTC", String::as_str);
            let hem_no = numbers.next().ok_or(Failure::Again)?;
            made.insert(hem_no);
            hems.insert(one.hem.clone(), new_hem(hem_no, one, zone));
        }
        let Some(known) = hems.get_mut(&one.hem) else { return Err(Failure::Again) };
        known.epoch += 1;
        one.microgrid.as_str().clone_into(&mut known.microgrid);
        let (epoch, mark) = (Epoch(from_signed(known.epoch)), Seq(from_signed(known.mark)));
        opened.push(SessionOpened { epoch, mark });
    }
    let (new, old): (Vec<&HemDocument>, Vec<&HemDocument>) =
        hems.values().partition(|one| made.contains(&one.hem_no));
    insert(server, session, HEMS, &new).await?;
    let raised: Vec<Document> = old
        .iter()
        .map(|one| {
            let change = doc! { "$set": { "epoch": one.epoch, "microgrid": &one.microgrid } };
            doc! { "q": { "_id": one.hem_no }, "u": change }
        })
        .collect();
    if update(server, session, HEMS, raised).await? != old.len() {
        return Err(Failure::Again);
    }
    Ok(opened)
}

fn new_hem(hem_no: i64, session: &NewSession, zone: &str) -> HemDocument {
    HemDocument {
        hem_no,
        hem: session.hem.to_string(),
        microgrid: session.microgrid.to_string(),
        day_zone: zone.to_owned(),
        mark: 0,
        epoch: 0,
        hot: 0,
        sealable: false,
        rolled: 0,
        chunks: 0,
        sealed: 0,
        sealed_bytes: 0,
    }
}

/// The time zone of a microgrid that gets a HEM. Written, so that it cannot change unseen meanwhile;
/// a HEM that comes from another one may have to move its days.
async fn join(
    server: &Server,
    session: &mut ClientSession,
    microgrid: &str,
) -> Result<String, Failure> {
    let change = doc! {
        "$set": { "moving": true },
        "$inc": { "joined": 1_i64 },
        "$setOnInsert": { "time_zone": "UTC" },
    };
    let joined = server
        .database
        .collection::<MicrogridDocument>(MICROGRIDS)
        .find_one_and_update(doc! { "_id": microgrid }, change)
        .upsert(true)
        .return_document(ReturnDocument::After)
        .session(session)
        .await;
    match joined {
        Ok(Some(joined)) => Ok(joined.time_zone),
        Ok(None) => Err(Failure::Again),
        // Another process made it at the same time.
        Err(error) if is_duplicate(&error) => Err(Failure::Again),
        Err(error) => Err(error.into()),
    }
}

/// Short numbers that no HEM has.
async fn new_numbers(
    server: &Server,
    session: &mut ClientSession,
    count: usize,
) -> Result<std::ops::RangeInclusive<i64>, Failure> {
    #[derive(serde::Deserialize)]
    struct Counter {
        last: i64,
    }
    #[expect(clippy::reversed_empty_ranges, reason = "none are wanted")]
    if count == 0 {
        return Ok(1..=0);
    }
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let counted = server
        .database
        .collection::<Counter>(COUNTERS)
        .find_one_and_update(doc! { "_id": HEMS }, doc! { "$inc": { "last": count } })
        .upsert(true)
        .return_document(ReturnDocument::After)
        .session(session)
        .await;
    match counted {
        Ok(Some(Counter { last })) => Ok(last - count + 1..=last),
        Ok(None) => Err(Failure::Again),
        Err(error) if is_duplicate(&error) => Err(Failure::Again),
        Err(error) => Err(error.into()),
    }
}

async fn insert<T: Serialize + Send + Sync>(
    server: &Server,
    session: &mut ClientSession,
    collection: &str,
    documents: &[T],
) -> Result<(), Failure> {
    if documents.is_empty() {
        return Ok(());
    }
    let collection = server.database.collection::<T>(collection);
    collection.insert_many(documents).session(session).await?;
    Ok(())
}

/// What a commit goes by.
pub(super) struct Context<'a> {
    pub(super) server: &'a Server,
    pub(super) marked: &'a Mutex<MarkedMinutes>,
    pub(super) now: Timestamp,
    /// Readings in a run, at most.
    pub(super) run_readings: usize,
    /// With so many hot readings a HEM may be sealed.
    pub(super) sealable: i64,
}

/// A HEM as it is after what was taken of it so far.
struct State {
    document: HemDocument,
    mark_before: i64,
    /// Dirty minutes, each with the first number that came into it.
    minutes: BTreeMap<i64, i64>,
}

/// What is to be written.
#[derive(Default)]
struct Writes {
    runs: Vec<RunDocument>,
    events: Vec<EventDocument>,
    refusals: Vec<RefusalDocument>,
}

/// The minutes of a HEM that are marked after a commit, where its count was at `rolled`.
pub(super) struct Touched {
    pub(super) hem_no: i64,
    pub(super) rolled: i64,
    pub(super) minutes: Vec<i64>,
}

/// Stores a batch; says which minutes it touched.
pub(super) async fn commit(
    session: &mut ClientSession,
    batch: &[HemEntries],
    context: &Context<'_>,
) -> Result<(Vec<CommitOutcome>, Vec<Touched>), Failure> {
    let server = context.server;
    let mut hems: HashMap<HemId, State> =
        known(server, session, batch.iter().map(|element| &element.hem))
            .await?
            .into_iter()
            .map(|(hem, document)| {
                let mark_before = document.mark;
                (hem, State { document, mark_before, minutes: BTreeMap::new() })
            })
            .collect();
    let mut writes = Writes::default();
    let mut outcomes = Vec::with_capacity(batch.len());
    for element in batch {
        outcomes.push(take(element, hems.get_mut(&element.hem), context, &mut writes)?);
    }
    let changed: Vec<&State> =
        hems.values().filter(|one| one.document.mark > one.mark_before).collect();
    if !changed.is_empty() {
        // First, so that of two transactions for a HEM the later one notices at once.
        move_marks(server, session, &changed).await?;
        insert(server, session, RUNS, &writes.runs).await?;
        insert(server, session, EVENTS, &writes.events).await?;
        insert(server, session, REFUSALS, &writes.refusals).await?;
        mark_minutes(session, &changed, context).await?;
    }
    let touched = changed.iter().map(|one| Touched {
        hem_no: one.document.hem_no,
        rolled: one.document.rolled,
        minutes: one.minutes.keys().copied().collect(),
    });
    Ok((outcomes, touched.collect()))
}

/// What is to be written of one element.
fn take(
    element: &HemEntries,
    state: Option<&mut State>,
    context: &Context<'_>,
    writes: &mut Writes,
) -> Result<CommitOutcome, StoreError> {
    let Some(state) = state else { return Ok(CommitOutcome::Fenced) };
    let document = &mut state.document;
    if Epoch(from_signed(document.epoch)) != element.epoch {
        return Ok(CommitOutcome::Fenced);
    }
    let (h, before) = (document.hem_no, document.mark);
    let Fresh { readings, events, refusals, mark } = Fresh::of(&element.entries, before);
    for event in events {
        let mut payload = Vec::new();
        encode_event(&mut payload, event);
        let key = SeqKey { h, s: to_signed(event.seq.0) };
        writes.events.push(EventDocument { key, ts: event.ts.0, payload: binary(payload) });
    }
    for refusal in refusals {
        let key = SeqKey { h, s: to_signed(refusal.seq.0) };
        let (received, code) = (refusal.received.0, refusal.code.as_str().to_owned());
        writes.refusals.push(RefusalDocument { key, received, code });
    }
    for part in readings.chunks(context.run_readings) {
        writes.runs.extend(Run::of(part).map(|run| RunDocument::new(h, run)));
    }
    for reading in &readings {
        let seq = to_signed(reading.seq.0);
        state.minutes.entry(floor(reading.taken().0, MINUTE)).or_insert(seq);
    }
    document.mark = mark;
    document.hot += i64::try_from(readings.len()).unwrap_or(i64::MAX);
    document.sealable = document.hot >= context.sealable;
    Ok(CommitOutcome::Stored {
        microgrid: microgrid_of(&element.hem, &document.microgrid)?,
        after: Seq(from_signed(before)),
        through: Seq(from_signed(mark)),
    })
}

/// Moves the marks of those HEMs whose epoch and mark are what they were: the guard, and the only
/// write that makes the rest of the transaction count.
async fn move_marks(
    server: &Server,
    session: &mut ClientSession,
    changed: &[&State],
) -> Result<(), Failure> {
    let moved: Vec<Document> = changed
        .iter()
        .map(|one| {
            let after = &one.document;
            let guard = doc! { "_id": after.hem_no, "epoch": after.epoch, "mark": one.mark_before };
            let change = doc! {
                "mark": after.mark, "hot": after.hot, "sealable": after.sealable,
            };
            doc! { "q": guard, "u": { "$set": change } }
        })
        .collect();
    if update(server, session, HEMS, moved).await? == changed.len() {
        Ok(())
    } else {
        Err(Failure::Again)
    }
}

async fn mark_minutes(
    session: &mut ClientSession,
    changed: &[&State],
    context: &Context<'_>,
) -> Result<(), Failure> {
    let mut marks = Vec::new();
    for one in changed {
        let (hem_no, rolled) = (one.document.hem_no, one.document.rolled);
        for (minute, from_seq) in &one.minutes {
            if lock(context.marked).holds(hem_no, rolled, *minute) {
                continue;
            }
            let key = BucketKey::new(hem_no, Level::Minute, *minute).document();
            let mark = doc! {
                "from_seq": from_seq,
                "due": minute_due(*minute, context.now),
                "stamp": ObjectId::new(),
            };
            // One that is there stays: it counts from an earlier number.
            let change = doc! { "$setOnInsert": mark };
            marks.push(doc! { "q": { "_id": key }, "u": change, "upsert": true });
        }
    }
    update(context.server, session, DIRTY, marks).await?;
    Ok(())
}
