//! Telemetry in a MongoDB replica set, which several processes may share.
//!
//! Every write is a transaction: all of it or nothing, on the disks of a majority before it is
//! answered. Every read is of one snapshot that a majority holds. So for this store holds what holds
//! for a file, with other reasons:
//!
//! - **A number is stored once, and none is lost.** A commit reads the documents of its HEMs, writes
//!   what is above their marks, and moves the marks, in one transaction. It is acknowledged only after
//!   a majority has it. Should its answer be lost, it is told to be away; asked again, the mark says
//!   whether it is there. The unique key (HEM, first number) would refuse a run that is there already.
//! - **An old epoch can neither be counted nor acknowledged.** Opening a session raises the epoch in
//!   the HEM's document, and a commit writes the same document where it still has the epoch and the mark
//!   that it read. Two transactions that write one document cannot both succeed: either the commit was
//!   first, and the welcome tells its mark; or the epoch was, and the commit fails, is done again, and
//!   finds itself fenced. Its readings are in the same transaction, so none is left behind. This also
//!   holds for a process that hangs in the middle of it and wakes hours later.
//! - **A welcome's mark is not behind.** It is read by a transaction that writes the document: its
//!   commit, on a majority, proves that the server was still primary and had all that was acknowledged.
//!   A read alone would need the read concern `linearizable` for that; all others (marks, pages, series)
//!   may be a moment old, and take the newest snapshot that a majority holds.
//! - **Upkeep may run anywhere, also twice at a time.** Each of its transactions writes the HEM's
//!   document first and checks that what it computed from is still there: the runs that become a chunk,
//!   the stamp of a dirty mark. Whoever is late writes nothing.
//!
//! Within a process one transaction runs at a time, so that upkeep and commits do not meet. Between
//! processes they may: then the later one is done again. See [`transaction`] for processes that die.

mod commit;
mod documents;
mod layout;
mod marked_minutes;
mod retain;
mod roll_up;
mod rows;
mod seal;
mod server;
mod transaction;
mod zones;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono_tz::Tz;
use memcloud_domain::{
    HemBatch, HemEvent, HemId, HemMark, MicrogridId, Page, Reading, Refusal, Seq, Series,
    SessionOpened, Timestamp,
};
use mongodb::ClientSession;
use mongodb::bson::{Bson, doc};
use serde::Deserialize;

use super::left_out::{LeftOut, log_damage};
use super::rows::{Rows, from_signed};
use super::{
    CommitOutcome, HemEntries, NewSession, PageQuery, SeriesQuery, StoreFigures, TelemetryStore,
    Upkeep, UpkeepTask, chunk, history, lock, pages, run,
};
use crate::StoreError;
use documents::{DIRTY, HEMS, HemDocument};
use marked_minutes::MarkedMinutes;
use rows::Snapshot;
use server::Server;
use transaction::{Failure, transact};

const IOT_STORE: &str = "iot store";

/// How the adapter works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MongoOptions {
    /// Readings per chunk.
    pub chunk_readings: usize,
    /// So many of a HEM's newest readings stay hot when it is sealed.
    pub keep_hot: usize,
    /// How long a primary is looked for, and a connection tried.
    pub server_selection: Duration,
    /// How long one question or one transaction may take, all its tries together. Beyond it the store
    /// is away.
    pub patience: Duration,
}

impl Default for MongoOptions {
    fn default() -> Self {
        Self {
            chunk_readings: 600,
            keep_hot: 300,
            server_selection: Duration::from_secs(5),
            // A replica set elects a new primary in about this time.
            patience: Duration::from_secs(15),
        }
    }
}

impl MongoOptions {
    fn readings_in_chunk(&self) -> usize {
        self.chunk_readings.clamp(1, chunk::MAX_READINGS)
    }

    /// With so many hot readings a HEM has a chunk's worth beside what stays hot.
    fn sealable(&self) -> i64 {
        i64::try_from(self.readings_in_chunk() + self.keep_hot).unwrap_or(i64::MAX)
    }
}

/// Telemetry in MongoDB.
pub struct MongoTelemetry {
    server: Server,
    options: MongoOptions,
    /// Held by the one who writes; opened when it is first used, and after a failure.
    writer: Mutex<Option<ClientSession>>,
    marked: Mutex<MarkedMinutes>,
    not_rolled_up: Mutex<LeftOut>,
    not_sealed: Mutex<LeftOut>,
    /// HEMs that are sealed next.
    to_seal: Mutex<VecDeque<i64>>,
    /// Up to which HEM retention has looked in its present round.
    retained_through: AtomicI64,
}

impl std::fmt::Debug for MongoTelemetry {
    /// Without the URL: it may hold a password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let database = self.server.database.name();
        formatter
            .debug_struct("MongoTelemetry")
            .field("database", &database)
            .finish_non_exhaustive()
    }
}

impl MongoTelemetry {
    /// Connects, makes the collections where there are none, and brings them up to date. Not on a
    /// thread of an asynchronous runtime. The database is the URL's, or `memcloud`.
    ///
    /// # Errors
    /// [`StoreError::Away`] when no primary is reached in time, [`StoreError::Invalid`] when the URL,
    /// the user or the server is not right, [`StoreError::Migration`] when a newer version was here.
    pub fn open(url: &str, options: MongoOptions) -> Result<Self, StoreError> {
        let server = Server::connect(url, &options)?;
        layout::bring_up_to_date(&server)?;
        Ok(Self {
            server,
            options,
            writer: Mutex::new(None),
            marked: Mutex::new(MarkedMinutes::default()),
            not_rolled_up: Mutex::new(LeftOut::default()),
            not_sealed: Mutex::new(LeftOut::default()),
            to_seal: Mutex::new(VecDeque::new()),
            retained_through: AtomicI64::new(0),
        })
    }

    fn retained_through(&self) -> i64 {
        self.retained_through.load(Ordering::Relaxed)
    }

    fn retained(&self, through: i64) {
        self.retained_through.store(through, Ordering::Relaxed);
    }

    /// Writes in one transaction; all of it, or nothing.
    fn write<T>(
        &self,
        work: impl AsyncFn(&mut ClientSession) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let mut writer = lock(&self.writer);
        let mut session = match writer.take() {
            Some(session) => session,
            None => self.server.writing()?,
        };
        let result = transact(&self.server, &mut session, work);
        if result.is_ok() {
            *writer = Some(session);
        }
        result
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&mut Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        work(&mut Snapshot::open(&self.server)?)
    }

    /// From now on a HEM is left out of a kind of upkeep.
    fn leave_out(
        &self,
        of: &Mutex<LeftOut>,
        hem_no: i64,
        error: &StoreError,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let hem: Option<HemDocument> =
            self.read(|snapshot| snapshot.one(HEMS, doc! { "_id": hem_no }, doc! {}))?;
        log_damage(&hem.map(|hem| hem.hem).unwrap_or_default(), error);
        lock(of).leave_out(hem_no, now);
        Ok(())
    }

    /// What the database takes up on disk, indexes included.
    fn bytes(&self) -> Result<u64, StoreError> {
        let told = self
            .server
            .wait(async { self.server.database.run_command(doc! { "dbStats": 1 }).await })?;
        let bytes = |key: &str| match told.get(key) {
            Some(Bson::Int32(bytes)) => u64::try_from(*bytes).unwrap_or(0),
            Some(Bson::Int64(bytes)) => from_signed(*bytes),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the server counts bytes in a double: the cast saturates"
            )]
            Some(Bson::Double(bytes)) => *bytes as u64,
            _ => 0,
        };
        Ok(bytes("storageSize").saturating_add(bytes("indexSize")))
    }
}

impl TelemetryStore for MongoTelemetry {
    fn open_sessions(&self, sessions: &[NewSession]) -> Result<Vec<SessionOpened>, StoreError> {
        if sessions.is_empty() {
            return Ok(Vec::new());
        }
        self.write(async |session| commit::open_sessions(&self.server, session, sessions).await)
    }

    fn commit(
        &self,
        batch: &[HemEntries],
        now: Timestamp,
    ) -> Result<Vec<CommitOutcome>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let (outcomes, touched) = self.write(async |session| {
            let context = commit::Context {
                server: &self.server,
                marked: &self.marked,
                now,
                run_readings: self.options.chunk_readings.clamp(1, run::MAX_READINGS),
                sealable: self.options.sealable(),
            };
            commit::commit(session, batch, &context).await
        })?;
        let mut marked = lock(&self.marked);
        for one in touched {
            marked.remember(one.hem_no, one.rolled, &one.minutes);
        }
        Ok(outcomes)
    }

    fn marks(&self, microgrid: Option<&MicrogridId>) -> Result<Vec<HemMark>, StoreError> {
        self.read(|snapshot| snapshot.marks(microgrid))
    }

    fn entries_after(&self, hem: &HemId, after: Seq, limit: usize) -> Result<HemBatch, StoreError> {
        self.read(|snapshot| pages::entries_after(snapshot, hem, after, limit))
    }

    fn readings(&self, query: &PageQuery) -> Result<Page<Reading>, StoreError> {
        self.read(|snapshot| pages::readings(snapshot, query))
    }

    fn events(&self, query: &PageQuery) -> Result<Page<HemEvent>, StoreError> {
        self.read(|snapshot| pages::events(snapshot, query))
    }

    fn refusals(&self, query: &PageQuery) -> Result<Page<Refusal>, StoreError> {
        self.read(|snapshot| pages::refusals(snapshot, query))
    }

    fn latest_reading(&self, hem: &HemId) -> Result<Option<Reading>, StoreError> {
        self.read(|snapshot| pages::latest_reading(snapshot, hem))
    }

    fn series(&self, query: &SeriesQuery) -> Result<Series, StoreError> {
        self.read(|snapshot| history::series(snapshot, query))
    }

    fn set_time_zone(&self, microgrid: &MicrogridId, time_zone: Tz) -> Result<(), StoreError> {
        self.record_zone(microgrid, time_zone)
    }

    fn upkeep(&self, task: UpkeepTask, now: Timestamp) -> Result<Upkeep, StoreError> {
        match task {
            UpkeepTask::RollUp => self.roll_up(now),
            UpkeepTask::Seal => self.seal(now),
            UpkeepTask::Retain(retention) => self.retain(retention, now),
            // The server does that by itself.
            UpkeepTask::Checkpoint => Ok(Upkeep::default()),
        }
    }

    fn figures(&self) -> Result<StoreFigures, StoreError> {
        #[derive(Default, Deserialize)]
        struct Sums {
            hems: i64,
            hot: i64,
            chunks: i64,
            sealed: i64,
            sealed_bytes: i64,
        }
        #[derive(Deserialize)]
        struct Count {
            count: i64,
        }
        let (sums, dirty) = self.read(|snapshot| {
            let sum = doc! { "$group": {
                "_id": null,
                "hems": { "$sum": 1_i64 },
                "hot": { "$sum": "$hot" },
                "chunks": { "$sum": "$chunks" },
                "sealed": { "$sum": "$sealed" },
                "sealed_bytes": { "$sum": "$sealed_bytes" },
            } };
            let sums: Vec<Sums> = snapshot.aggregate(HEMS, vec![sum])?;
            let count = doc! { "$group": { "_id": null, "count": { "$sum": 1_i64 } } };
            let dirty: Vec<Count> = snapshot.aggregate(DIRTY, vec![count])?;
            Ok((sums.into_iter().next().unwrap_or_default(), dirty))
        })?;
        Ok(StoreFigures {
            hems: from_signed(sums.hems),
            hot_readings: from_signed(sums.hot),
            chunks: from_signed(sums.chunks),
            sealed_readings: from_signed(sums.sealed),
            sealed_bytes: from_signed(sums.sealed_bytes),
            dirty_buckets: dirty.first().map_or(0, |dirty| from_signed(dirty.count)),
            file_bytes: self.bytes()?,
        })
    }
}

#[cfg(test)]
mod tests;
