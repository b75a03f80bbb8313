//! What HEMs measured: the port [`TelemetryStore`], and its adapters for SQLite and, with the feature
//! `mongodb`, for MongoDB.
//!
//! Readings lie hot in runs, a row for what one commit brought of a HEM, until they are sealed into
//! compressed chunks; whoever reads never notices which. Roll-ups (1 min, 15 min, 1 h, 1 day) are recomputed for dirty buckets and
//! replaced whole, so that retries and late data are harmless.

pub mod buckets;
pub mod chunk;
pub mod decimal;
mod fresh;
mod history;
mod left_out;
mod making;
#[cfg(feature = "mongodb")]
pub mod mongo;
mod pages;
mod raw;
pub mod rollup;
pub mod rollup_codec;
pub mod row;
mod rows;
pub mod run;
mod schema;
mod sealed;
pub mod series;
pub mod sqlite;
#[cfg(test)]
mod suite;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono_tz::Tz;
use memcloud_domain::{
    Entry, Epoch, HemBatch, HemEvent, HemId, HemMark, MicrogridId, Order, Page, Quantity, Reading,
    Refusal, Seq, Series, SeriesSubject, SessionOpened, TimeRange, Timestamp,
};

use crate::StoreError;
#[cfg(feature = "mongodb")]
pub use mongo::MongoTelemetry;
pub use sqlite::SqliteTelemetry;

/// A connection of a HEM that is about to be welcomed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Which HEM.
    pub hem: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
}

/// What a HEM handed over, ascending by number.
#[derive(Debug, Clone, PartialEq)]
pub struct HemEntries {
    /// Which HEM.
    pub hem: HemId,
    /// The epoch of the connection that handed it over.
    pub epoch: Epoch,
    /// The entries.
    pub entries: Vec<Entry>,
}

impl HemEntries {
    /// Those entries that a commit stores where the mark stood at `after`: each above all before it.
    /// The rest are replays.
    #[must_use]
    pub fn into_fresh(self, after: Seq) -> Vec<Entry> {
        let mut mark = after;
        let mut entries = self.entries;
        entries.retain(|entry| {
            let fresh = entry.seq() > mark;
            mark = mark.max(entry.seq());
            fresh
        });
        entries
    }
}

/// What became of one [`HemEntries`] of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Everything is on disk, was there before, or is recorded as refused. What was written is
    /// [`HemEntries::into_fresh`]`(after)`.
    Stored {
        /// Whose HEM it is.
        microgrid: MicrogridId,
        /// The mark before.
        after: Seq,
        /// The mark now.
        through: Seq,
    },
    /// A later connection has taken over (or none was ever opened): nothing was written.
    Fenced,
}

/// Which page of a HEM's readings, events or refusals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// Which HEM.
    pub hem: HemId,
    /// By the time at the HEM.
    pub range: TimeRange,
    /// Beyond this number, in the order's direction.
    pub after: Option<Seq>,
    /// At most so many; never more than [`MAX_PAGE`].
    pub limit: usize,
    /// Which end first.
    pub order: Order,
}

/// No page holds more, whatever is asked for: so a long answer streams in constant memory.
pub const MAX_PAGE: usize = 1_000;

/// Which series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesQuery {
    /// Of whom.
    pub subject: SeriesSubject,
    /// Which quantity.
    pub quantity: Quantity,
    /// From this moment on.
    pub from: Timestamp,
    /// Before this moment.
    pub to: Timestamp,
    /// At most so many points.
    pub points: usize,
    /// The time zone that days are in.
    pub time_zone: Tz,
}

/// What a bounded step of upkeep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Buckets rolled up, readings sealed or rows deleted.
    pub done: usize,
    /// Whether there is more to do at once.
    pub more: bool,
    /// HEMs that were left out because something stored of them is damaged. That is logged, and they
    /// are tried again later.
    pub damaged: usize,
}

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Raw readings, events and refusals.
    pub raw: Duration,
    /// One-minute roll-ups; coarser ones are kept.
    pub minute: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self { raw: DAY * 90, minute: DAY * 730 }
    }
}

/// Which upkeep a store is asked to do; each call is one bounded step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpkeepTask {
    /// Recompute roll-ups of buckets that are dirty and due, of one HEM after another.
    RollUp,
    /// Seal the older hot readings of a few HEMs into chunks.
    Seal,
    /// Delete what is older than it is kept for.
    Retain(Retention),
    /// Carry over what lies in a log into the store itself, where it has one, so that a commit need
    /// not. Counts no work.
    Checkpoint,
}

/// How much there is, for `/metrics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// HEMs that were ever welcomed.
    pub hems: u64,
    /// Readings that lie hot.
    pub hot_readings: u64,
    /// Sealed chunks.
    pub chunks: u64,
    /// Readings in chunks.
    pub sealed_readings: u64,
    /// Bytes of the chunks' payloads.
    pub sealed_bytes: u64,
    /// Buckets that wait to be rolled up.
    pub dirty_buckets: u64,
    /// Bytes of the whole store on disk, its log not counted.
    pub file_bytes: u64,
}

/// A lock whose holder panicked guards nothing half done: what was half written is rolled back, and
/// caches may be empty at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where telemetry is kept. Calls block. Of a process at most one commit (or opening of sessions) runs
/// at a time; reads run beside it. A store that several processes share fences by epochs between them.
///
/// After [`StoreError::Away`] nothing of the call was written, or all of it: a server may be lost after
/// it wrote and before it said so. Asked again, what is there counts as stored. The store recovers by
/// itself once its cause is gone.
pub trait TelemetryStore: Send + Sync + 'static {
    /// Raises the epoch of each HEM beside its mark, and records whose it is; all of them or none, on
    /// disk before this returns. A HEM named twice is raised twice, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    fn open_sessions(&self, sessions: &[NewSession]) -> Result<Vec<SessionOpened>, StoreError>;

    /// Stores what HEMs handed over, all of it or nothing, on disk before this returns; answers for
    /// each element in order. What lies at or below a HEM's mark is a replay and not written again;
    /// an element of a lower epoch than the HEM's is fenced.
    ///
    /// # Errors
    /// [`StoreError`].
    fn commit(
        &self,
        batch: &[HemEntries],
        now: Timestamp,
    ) -> Result<Vec<CommitOutcome>, StoreError>;

    /// Marks and epochs of a microgrid's HEMs, or of all, by id.
    ///
    /// # Errors
    /// [`StoreError`].
    fn marks(&self, microgrid: Option<&MicrogridId>) -> Result<Vec<HemMark>, StoreError>;

    /// At most so many entries of a HEM above a number, ascending. Its `through` is the mark when all
    /// was read, else the last entry's number. Of a HEM that is not known: nothing, through 0.
    ///
    /// # Errors
    /// [`StoreError`].
    fn entries_after(&self, hem: &HemId, after: Seq, limit: usize) -> Result<HemBatch, StoreError>;

    /// A page of raw readings.
    ///
    /// # Errors
    /// [`StoreError`].
    fn readings(&self, query: &PageQuery) -> Result<Page<Reading>, StoreError>;

    /// A page of events.
    ///
    /// # Errors
    /// [`StoreError`].
    fn events(&self, query: &PageQuery) -> Result<Page<HemEvent>, StoreError>;

    /// A page of what was refused; its range is by the time of receipt.
    ///
    /// # Errors
    /// [`StoreError`].
    fn refusals(&self, query: &PageQuery) -> Result<Page<Refusal>, StoreError>;

    /// The newest value of each quantity of each node, with the newest reading's number and times;
    /// looks back over a bounded number of readings.
    ///
    /// # Errors
    /// [`StoreError`].
    fn latest_reading(&self, hem: &HemId) -> Result<Option<Reading>, StoreError>;

    /// A quantity over time, from roll-ups; what is not yet rolled up is computed on the way.
    ///
    /// # Errors
    /// [`StoreError`].
    fn series(&self, query: &SeriesQuery) -> Result<Series, StoreError>;

    /// Records the time zone of a microgrid's days. Where it changes, its days are built anew.
    ///
    /// # Errors
    /// [`StoreError`].
    fn set_time_zone(&self, microgrid: &MicrogridId, time_zone: Tz) -> Result<(), StoreError>;

    /// Does one bounded step of upkeep. Computes beside commits and holds them up only for short
    /// writes.
    ///
    /// # Errors
    /// [`StoreError`].
    fn upkeep(&self, task: UpkeepTask, now: Timestamp) -> Result<Upkeep, StoreError>;

    /// How much there is.
    ///
    /// # Errors
    /// [`StoreError`].
    fn figures(&self) -> Result<StoreFigures, StoreError>;
}
