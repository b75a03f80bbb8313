//! The collections, and what lies in them.
//!
//! Keys are documents, compared field by field: all of a HEM lies together, in the order of its numbers
//! or buckets, and the one index that every collection has is the unique key that refuses a replay.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, doc};
use serde::{Deserialize, Serialize};

use crate::telemetry::buckets::Level;
use crate::telemetry::run::Run;

pub(super) const HEMS: &str = "hems";
pub(super) const MICROGRIDS: &str = "microgrids";
pub(super) const RUNS: &str = "hot_runs";
pub(super) const CHUNKS: &str = "chunks";
pub(super) const EVENTS: &str = "events";
pub(super) const REFUSALS: &str = "refusals";
pub(super) const ROLLUPS: &str = "rollups";
pub(super) const DIRTY: &str = "dirty";
pub(super) const COUNTERS: &str = "counters";
pub(super) const SCHEMA: &str = "schema";

/// Who hands readings over. Every transaction that changes anything of a HEM writes this document, so
/// that of two at a time one fails and is done again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HemDocument {
    #[serde(rename = "_id")]
    pub(super) hem_no: i64,
    pub(super) hem: String,
    pub(super) microgrid: String,
    /// The time zone in which its day roll-ups were made.
    pub(super) day_zone: String,
    pub(super) mark: i64,
    pub(super) epoch: i64,
    /// Readings in hot runs.
    pub(super) hot: i64,
    /// Whether there are enough of them for a chunk.
    pub(super) sealable: bool,
    /// Counts the transactions that took dirty marks away: while it stands still, none was.
    pub(super) rolled: i64,
    pub(super) chunks: i64,
    pub(super) sealed: i64,
    pub(super) sealed_bytes: i64,
}

/// A microgrid's time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MicrogridDocument {
    #[serde(rename = "_id")]
    pub(super) microgrid: String,
    pub(super) time_zone: String,
    /// Whether some of its HEMs may have days in another one.
    #[serde(default)]
    pub(super) moving: bool,
    /// Counts the HEMs that came to it.
    #[serde(default)]
    pub(super) joined: i64,
}

/// The key of what has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct SeqKey {
    pub(super) h: i64,
    pub(super) s: i64,
}

/// The key of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct BucketKey {
    pub(super) h: i64,
    pub(super) l: i32,
    pub(super) b: i64,
}

impl BucketKey {
    pub(super) fn new(hem_no: i64, level: Level, bucket: i64) -> Self {
        Self { h: hem_no, l: level.number(), b: bucket }
    }

    pub(super) fn document(self) -> Document {
        doc! { "h": self.h, "l": self.l, "b": self.b }
    }
}

/// The numbers of a HEM between two, both inclusive.
pub(super) fn numbers(hem_no: i64, first: i64, last: i64) -> Document {
    doc! { "$gte": { "h": hem_no, "s": first }, "$lte": { "h": hem_no, "s": last } }
}

/// The buckets of a level that begin in `from..to`.
pub(super) fn buckets(hem_no: i64, level: Level, from: i64, to: i64) -> Document {
    let key = |bucket: i64| BucketKey::new(hem_no, level, bucket).document();
    doc! { "$gte": key(from), "$lt": key(to) }
}

pub(super) fn binary(bytes: Vec<u8>) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes }
}

/// What one commit brought of a HEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunDocument {
    #[serde(rename = "_id")]
    pub(super) key: SeqKey,
    pub(super) last_seq: i64,
    pub(super) min_ts: i64,
    pub(super) max_ts: i64,
    pub(super) readings: i64,
    pub(super) payload: Binary,
}

impl RunDocument {
    pub(super) fn new(hem_no: i64, run: Run) -> Self {
        let Run { first_seq, last_seq, min_ts, max_ts, readings, payload } = run;
        let key = SeqKey { h: hem_no, s: first_seq };
        Self { key, last_seq, min_ts, max_ts, readings, payload: binary(payload) }
    }

    pub(super) fn into_run(self) -> Run {
        let Self { key, last_seq, min_ts, max_ts, readings, payload } = self;
        Run { first_seq: key.s, last_seq, min_ts, max_ts, readings, payload: payload.bytes }
    }
}

/// A sealed chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChunkDocument {
    #[serde(rename = "_id")]
    pub(super) key: SeqKey,
    pub(super) last_seq: i64,
    pub(super) min_ts: i64,
    pub(super) max_ts: i64,
    pub(super) readings: i64,
    pub(super) bytes: i64,
    pub(super) payload: Binary,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EventDocument {
    #[serde(rename = "_id")]
    pub(super) key: SeqKey,
    pub(super) ts: i64,
    pub(super) payload: Binary,
}

/// A refused number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RefusalDocument {
    #[serde(rename = "_id")]
    pub(super) key: SeqKey,
    pub(super) received: i64,
    pub(super) code: String,
}

/// A roll-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RollupDocument {
    #[serde(rename = "_id")]
    pub(super) key: BucketKey,
    /// Between which numbers the readings of a minute lie.
    pub(super) first_seq: i64,
    pub(super) last_seq: i64,
    pub(super) payload: Binary,
}

/// A bucket that must be made anew once it is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DirtyDocument {
    #[serde(rename = "_id")]
    pub(super) key: BucketKey,
    /// Of a minute, from which number on readings came.
    pub(super) from_seq: i64,
    pub(super) due: i64,
    /// Another one each time that the mark is made or renewed: it is taken away only by whoever
    /// computed from this very mark.
    pub(super) stamp: ObjectId,
}
