//! One snapshot of MongoDB's, as rows.

use std::ops::ControlFlow;

use memcloud_domain::{HemId, HemMark, MicrogridId};
use mongodb::ClientSession;
use mongodb::bson::{Document, doc};
use mongodb::options::FindOptions;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::documents::{
    BucketKey, CHUNKS, ChunkDocument, DIRTY, DirtyDocument, EVENTS, EventDocument, HEMS,
    HemDocument, REFUSALS, ROLLUPS, RUNS, RefusalDocument, RollupDocument, RunDocument, SeqKey,
    buckets, numbers,
};
use super::server::Server;
use crate::StoreError;
use crate::telemetry::buckets::Level;
use crate::telemetry::rows::{
    ChunkRow, DirtyRow, End, EventRow, HemRow, RefusalRow, RollupRow, Rows, Wanting, Window,
    mark_of, parse_zone,
};
use crate::telemetry::run::Run;

/// Documents that the server sends at a time, where not all may be wanted.
const AT_ONCE: u32 = 16;

/// All reads of it see the same moment, at which every write that was acknowledged before it was
/// opened is there: so a reading is never seen twice, or not at all, while it is sealed.
pub(super) struct Snapshot<'a> {
    server: &'a Server,
    session: ClientSession,
}

/// How much of what was asked for.
fn options(sort: Document, limit: Option<usize>) -> FindOptions {
    let limit = limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
    FindOptions::builder().sort(sort).limit(limit).build()
}

fn direction(end: End) -> i32 {
    match end {
        End::Oldest => 1,
        End::Newest => -1,
    }
}

impl<'a> Snapshot<'a> {
    pub(super) fn open(server: &'a Server) -> Result<Self, StoreError> {
        Ok(Self { server, session: server.snapshot()? })
    }

    /// Goes through what is found, as long as `take` wants more.
    fn each<T: DeserializeOwned + Send + Sync>(
        &mut self,
        collection: &str,
        filter: Document,
        mut options: FindOptions,
        take: &mut dyn FnMut(T) -> Wanting,
    ) -> Result<(), StoreError> {
        options.max_time = Some(self.server.patience);
        let collection = self.server.database.collection::<T>(collection);
        let session = &mut self.session;
        let mut cursor = self.server.wait(async {
            collection.find(filter).with_options(options).session(&mut *session).await
        })?;
        loop {
            let next = self.server.wait(async { cursor.next(session).await.transpose() })?;
            let Some(one) = next else { return Ok(()) };
            if take(one)?.is_break() {
                return Ok(());
            }
        }
    }

    /// All that is found.
    pub(super) fn all<T: DeserializeOwned + Send + Sync>(
        &mut self,
        collection: &str,
        filter: Document,
        options: FindOptions,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        self.each(collection, filter, options, &mut |one| {
            found.push(one);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// The first that is found.
    pub(super) fn one<T: DeserializeOwned + Send + Sync>(
        &mut self,
        collection: &str,
        filter: Document,
        sort: Document,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.all(collection, filter, options(sort, Some(1)))?.pop())
    }

    /// So many of them.
    pub(super) fn some<T: DeserializeOwned + Send + Sync>(
        &mut self,
        collection: &str,
        filter: Document,
        sort: Document,
        limit: usize,
    ) -> Result<Vec<T>, StoreError> {
        self.all(collection, filter, options(sort, Some(limit)))
    }

    /// Only some fields of all that is found, or of so many.
    pub(super) fn parts<T: DeserializeOwned + Send + Sync>(
        &mut self,
        collection: &str,
        filter: Document,
        fields: Document,
        limit: Option<usize>,
    ) -> Result<Vec<T>, StoreError> {
        let mut options = options(doc! { "_id": 1 }, limit);
        options.projection = Some(fields);
        self.all(collection, filter, options)
    }

    /// What an aggregation makes.
    pub(super) fn aggregate<T: DeserializeOwned + Send + Sync>(
        &mut self,
        collection: &str,
        stages: Vec<Document>,
    ) -> Result<Vec<T>, StoreError> {
        let collection = self.server.database.collection::<Document>(collection);
        let (session, patience) = (&mut self.session, self.server.patience);
        self.server.wait(async {
            let cursor = collection.aggregate(stages).max_time(patience).session(&mut *session);
            let mut cursor = cursor.await?.with_type::<T>();
            let mut found = Vec::new();
            while let Some(one) = cursor.next(session).await {
                found.push(one?);
            }
            Ok(found)
        })
    }
}

/// Nothing but the key of a document.
#[derive(Debug, Deserialize)]
pub(super) struct Keyed<K> {
    #[serde(rename = "_id")]
    pub(super) key: K,
}

/// Which runs touch a window, of those that do not end before `first_seq`.
pub(super) fn runs_in(window: &Window, first_seq: i64) -> Document {
    doc! {
        "_id": numbers(window.hem_no, first_seq, window.last_seq),
        "last_seq": { "$gte": window.first_seq },
        "min_ts": { "$lte": window.max_ts },
        "max_ts": { "$gte": window.min_ts },
    }
}

/// Which chunks touch a window. By the parts of the key: the index on them holds the times too, so
/// that chunks are chosen without being read.
pub(super) fn chunks_in(window: &Window) -> Document {
    doc! {
        "_id.h": window.hem_no,
        "_id.s": { "$lte": window.last_seq },
        "last_seq": { "$gte": window.first_seq },
        "min_ts": { "$lte": window.max_ts },
        "max_ts": { "$gte": window.min_ts },
    }
}

impl Rows for Snapshot<'_> {
    fn hem(&mut self, hem: &HemId) -> Result<Option<HemRow>, StoreError> {
        let found: Option<HemDocument> = self.one(HEMS, doc! { "hem": hem.as_str() }, doc! {})?;
        Ok(found.map(|found| HemRow {
            hem_no: found.hem_no,
            mark: found.mark,
            epoch: found.epoch,
            day_zone: parse_zone(&found.day_zone),
        }))
    }

    fn marks(&mut self, microgrid: Option<&MicrogridId>) -> Result<Vec<HemMark>, StoreError> {
        #[derive(Deserialize)]
        struct Mark {
            hem: String,
            mark: i64,
            epoch: i64,
        }
        let filter = match microgrid {
            Some(microgrid) => doc! { "microgrid": microgrid.as_str() },
            None => doc! {},
        };
        let found: Vec<Mark> = self.all(HEMS, filter, options(doc! { "hem": 1 }, None))?;
        found.into_iter().map(|one| mark_of(&one.hem, one.mark, one.epoch)).collect()
    }

    fn runs(
        &mut self,
        window: &Window,
        end: End,
        take: &mut dyn FnMut(Run) -> Wanting,
    ) -> Result<(), StoreError> {
        // Runs never overlap: none that begins before the last one that begins before the window does.
        let mut first_seq = window.first_seq;
        if first_seq > i64::MIN {
            let before = doc! { "_id": numbers(window.hem_no, i64::MIN, first_seq) };
            let last: Option<Keyed<SeqKey>> = self.one(RUNS, before, doc! { "_id": -1 })?;
            first_seq = last.map_or(first_seq, |last| last.key.s);
        }
        let filter = runs_in(window, first_seq);
        let mut options = options(doc! { "_id": direction(end) }, None);
        options.batch_size = Some(AT_ONCE);
        self.each(RUNS, filter, options, &mut |found: RunDocument| take(found.into_run()))
    }

    fn chunk(&mut self, window: &Window, end: End) -> Result<Option<ChunkRow>, StoreError> {
        let sort = doc! { "_id.s": direction(end) };
        let found: Option<ChunkDocument> = self.one(CHUNKS, chunks_in(window), sort)?;
        Ok(found.map(|found| ChunkRow {
            first_seq: found.key.s,
            last_seq: found.last_seq,
            payload: found.payload.bytes,
        }))
    }

    fn events(
        &mut self,
        window: &Window,
        end: End,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        let filter = doc! {
            "_id": numbers(window.hem_no, window.first_seq, window.last_seq),
            "ts": { "$gte": window.min_ts, "$lte": window.max_ts },
        };
        let sort = doc! { "_id": direction(end) };
        let found: Vec<EventDocument> = self.some(EVENTS, filter, sort, limit)?;
        let row = |one: EventDocument| EventRow {
            seq: one.key.s,
            ts: one.ts,
            payload: one.payload.bytes,
        };
        Ok(found.into_iter().map(row).collect())
    }

    fn refusals(
        &mut self,
        window: &Window,
        end: End,
        limit: usize,
    ) -> Result<Vec<RefusalRow>, StoreError> {
        let filter = doc! {
            "_id": numbers(window.hem_no, window.first_seq, window.last_seq),
            "received": { "$gte": window.min_ts, "$lte": window.max_ts },
        };
        let sort = doc! { "_id": direction(end) };
        let found: Vec<RefusalDocument> = self.some(REFUSALS, filter, sort, limit)?;
        let row = |one: RefusalDocument| RefusalRow {
            seq: one.key.s,
            received: one.received,
            code: one.code,
        };
        Ok(found.into_iter().map(row).collect())
    }

    fn rollups(
        &mut self,
        hem_no: i64,
        level: Level,
        from: i64,
        to: i64,
    ) -> Result<Vec<RollupRow>, StoreError> {
        let filter = doc! { "_id": buckets(hem_no, level, from, to) };
        let found: Vec<RollupDocument> =
            self.all(ROLLUPS, filter, options(doc! { "_id": 1 }, None))?;
        Ok(found.into_iter().map(|one| (one.key.b, one.payload.bytes)).collect())
    }

    fn rollups_before(
        &mut self,
        hem_no: i64,
        level: Level,
        moment: i64,
        limit: usize,
    ) -> Result<Vec<RollupRow>, StoreError> {
        let filter = doc! { "_id": buckets(hem_no, level, i64::MIN, moment) };
        let found: Vec<RollupDocument> = self.some(ROLLUPS, filter, doc! { "_id": -1 }, limit)?;
        Ok(found.into_iter().map(|one| (one.key.b, one.payload.bytes)).collect())
    }

    fn first_rollup(&mut self, hem_no: i64, level: Level) -> Result<Option<i64>, StoreError> {
        let filter = doc! { "_id": buckets(hem_no, level, i64::MIN, i64::MAX) };
        let found: Option<Keyed<BucketKey>> = self.one(ROLLUPS, filter, doc! { "_id": 1 })?;
        Ok(found.map(|first| first.key.b))
    }

    fn minute_spans(
        &mut self,
        hem_no: i64,
        minutes: &[i64],
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        #[derive(Deserialize)]
        struct Span {
            first_seq: i64,
            last_seq: i64,
        }
        let key = |minute: &i64| BucketKey::new(hem_no, Level::Minute, *minute).document();
        let keys: Vec<Document> = minutes.iter().map(key).collect();
        let filter = doc! { "_id": { "$in": keys } };
        let fields = doc! { "first_seq": 1, "last_seq": 1 };
        let found: Vec<Span> = self.parts(ROLLUPS, filter, fields, None)?;
        Ok(found.into_iter().map(|one| (one.first_seq, one.last_seq)).collect())
    }

    fn dirty(
        &mut self,
        hem_no: i64,
        level: Level,
        from: i64,
        to: i64,
    ) -> Result<Vec<DirtyRow>, StoreError> {
        let filter = doc! { "_id": buckets(hem_no, level, from, to) };
        let found: Vec<DirtyDocument> =
            self.all(DIRTY, filter, options(doc! { "_id": 1 }, None))?;
        let row = |one: DirtyDocument| DirtyRow { bucket: one.key.b, from_seq: one.from_seq };
        Ok(found.into_iter().map(row).collect())
    }

    fn newest_dirty_before(
        &mut self,
        hem_no: i64,
        level: Level,
        moment: i64,
    ) -> Result<Option<i64>, StoreError> {
        let filter = doc! { "_id": buckets(hem_no, level, i64::MIN, moment) };
        let found: Option<DirtyDocument> = self.one(DIRTY, filter, doc! { "_id": -1 })?;
        Ok(found.map(|newest| newest.key.b))
    }
}
