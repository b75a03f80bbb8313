//! Telemetry in SQLite: one connection that writes, a few that read beside it (write-ahead log).
//!
//! A connection on which anything failed is thrown away and opened anew
//! with the next call: so a full, locked or vanished disk heals by itself, and no half transaction
//! survives.

mod commit;
mod dirty_cache;
mod known_hems;
mod left_out;
mod retain;
mod roll_up;
mod rows;
mod seal;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use chrono_tz::Tz;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use memcloud_domain::{
    HemBatch, HemEvent, HemId, HemMark, MicrogridId, Page, Reading, Refusal, Seq, Series,
    SessionOpened, Timestamp,
};

use super::left_out::LeftOut;
use super::rows::{Rows, from_signed};
use super::schema::{dirty, marks, microgrids};
use super::{
    CommitOutcome, HemEntries, NewSession, PageQuery, SeriesQuery, StoreFigures, TelemetryStore,
    Upkeep, UpkeepTask, history, lock, pages, run,
};
use crate::StoreError;
use crate::sqlite::{Access, Location, connect, open};
use dirty_cache::DirtyCache;
use known_hems::KnownHems;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/telemetry");
const IOT_STORE: &str = "iot store";
/// So long a connection waits for another process to let go of the file.
const BUSY: Duration = Duration::from_secs(2);

/// Beyond so many pages of its log a commit carries over what the upkeep has left: the bound of the
/// log where upkeep does not keep up, or is not done.
const LONGEST_LOG: u32 = 6_000;

/// How the adapter works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Connections that read.
    pub readers: usize,
    /// The writer's page cache, KiB.
    pub writer_cache_kib: u32,
    /// Readings per chunk.
    pub chunk_readings: usize,
    /// So many of a HEM's newest readings stay hot when it is sealed.
    pub keep_hot: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { readers: 4, writer_cache_kib: 32 * 1_024, chunk_readings: 600, keep_hot: 300 }
    }
}

/// Telemetry in a SQLite file.
pub struct SqliteTelemetry {
    location: Location,
    options: SqliteOptions,
    writer: Mutex<Option<SqliteConnection>>,
    readers: Mutex<ReaderPool>,
    reader_free: Condvar,
    dirty_cache: Mutex<DirtyCache>,
    /// Changed under the writer's lock alone.
    known_hems: Mutex<KnownHems>,
    not_rolled_up: Mutex<LeftOut>,
    not_sealed: Mutex<LeftOut>,
    /// HEMs that are sealed next.
    to_seal: Mutex<VecDeque<i64>>,
    /// Carries the log over; opened when it is first used.
    checkpointer: Mutex<Option<SqliteConnection>>,
    /// Counts successful commits: what was touched up to one is in every later snapshot.
    commits: AtomicU64,
    /// Up to which HEM retention has looked in its present round.
    retained_through: AtomicI64,
}

/// When a transaction is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syncing {
    /// Before whoever wrote it goes on.
    AtOnce,
    /// With the next one that is synced.
    WithTheNext,
}

struct ReaderPool {
    idle: Vec<SqliteConnection>,
    busy: usize,
}

impl std::fmt::Debug for SqliteTelemetry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SqliteTelemetry").field("location", &self.location).finish()
    }
}

impl SqliteTelemetry {
    /// Opens the file, makes it where there is none, and brings it up to date.
    ///
    /// # Errors
    /// [`StoreError::Away`] when it cannot be opened, [`StoreError::Migration`] when it cannot be
    /// brought up to date.
    pub fn open(location: Location, options: SqliteOptions) -> Result<Self, StoreError> {
        let mut writer = open(IOT_STORE, &location, BUSY, MIGRATIONS)?;
        Self::tune_writer(&mut writer, &options)?;
        Ok(Self {
            location,
            options,
            writer: Mutex::new(Some(writer)),
            readers: Mutex::new(ReaderPool { idle: Vec::new(), busy: 0 }),
            reader_free: Condvar::new(),
            dirty_cache: Mutex::new(DirtyCache::default()),
            known_hems: Mutex::new(KnownHems::default()),
            not_rolled_up: Mutex::new(LeftOut::default()),
            not_sealed: Mutex::new(LeftOut::default()),
            to_seal: Mutex::new(VecDeque::new()),
            checkpointer: Mutex::new(None),
            commits: AtomicU64::new(0),
            retained_through: AtomicI64::new(0),
        })
    }

    fn retained_through(&self) -> i64 {
        self.retained_through.load(Ordering::Relaxed)
    }

    fn retained(&self, through: i64) {
        self.retained_through.store(through, Ordering::Relaxed);
    }

    fn tune_writer(
        writer: &mut SqliteConnection,
        options: &SqliteOptions,
    ) -> Result<(), StoreError> {
        let pragmas = format!(
            "PRAGMA cache_size = -{}; PRAGMA wal_autocheckpoint = {LONGEST_LOG};
             PRAGMA journal_size_limit = 67108864;",
            options.writer_cache_kib
        );
        writer.batch_execute(&pragmas)?;
        Ok(())
    }

    /// Writes in one transaction; all of it, or nothing.
    fn write<T>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.transact(work, Syncing::AtOnce, |_| {})
    }

    /// Writes in one transaction, and does something once it is on disk, before any other write.
    fn write_then<T>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
        then: impl FnOnce(&T),
    ) -> Result<T, StoreError> {
        self.transact(work, Syncing::AtOnce, then)
    }

    /// Writes in one transaction what nobody was promised, such as a chunk in place of its rows: should
    /// the machine fail before the next write that is synced, it may be as if this had not been. The
    /// log keeps the order, so that nothing is on disk without what was written before it. A commit
    /// then waits for the writing of upkeep alone, not for its disk.
    fn write_lazily<T>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.transact(work, Syncing::WithTheNext, |_| {})
    }

    fn transact<T>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
        syncing: Syncing,
        then: impl FnOnce(&T),
    ) -> Result<T, StoreError> {
        let mut writer = lock(&self.writer);
        let mut connection = match writer.take() {
            Some(connection) => connection,
            None => {
                let mut connection = connect(IOT_STORE, &self.location, Access::ReadWrite, BUSY)?;
                Self::tune_writer(&mut connection, &self.options)?;
                // The one before may have gone with a panic, half way through a transaction.
                lock(&self.known_hems).clear();
                connection
            }
        };
        if syncing == Syncing::WithTheNext {
            connection.batch_execute("PRAGMA synchronous = NORMAL")?;
        }
        let mut result = keep_cause(work, |work| connection.immediate_transaction(work));
        if syncing == Syncing::WithTheNext
            && let Err(error) = connection.batch_execute("PRAGMA synchronous = FULL")
        {
            // No commit may go over a connection that does not sync.
            result = result.and(Err(error.into()));
        }
        match &result {
            Ok(written) => then(written),
            Err(_) => lock(&self.known_hems).clear(),
        }
        // In memory the data is gone with the connection, and nothing can go away.
        if result.is_ok() || self.location == Location::Memory {
            *writer = Some(connection);
        }
        result.map_err(name_it)
    }

    /// Reads in one snapshot.
    fn read<T>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.location == Location::Memory {
            return self.write(work);
        }
        let mut pool = lock(&self.readers);
        while pool.busy >= self.options.readers.max(1) {
            pool = self.reader_free.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        pool.busy += 1;
        let idle = pool.idle.pop();
        drop(pool);
        let mut place = ReaderPlace { store: self, connection: None };
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect(IOT_STORE, &self.location, Access::ReadOnly, BUSY)?,
        };
        let result = keep_cause(work, |work| connection.transaction(work));
        if result.is_ok() {
            place.connection = Some(connection);
        }
        drop(place);
        result.map_err(name_it)
    }

    /// Carries over what lies in the log, beside commits: none of them waits for it, and where it ends
    /// between two, the log begins anew.
    fn checkpoint(&self) -> Result<Upkeep, StoreError> {
        if self.location != Location::Memory {
            let mut place = lock(&self.checkpointer);
            let mut connection = match place.take() {
                Some(connection) => connection,
                None => connect(IOT_STORE, &self.location, Access::ReadWrite, BUSY)?,
            };
            connection.batch_execute("PRAGMA wal_checkpoint(PASSIVE)").map_err(StoreError::from)?;
            *place = Some(connection);
        }
        Ok(Upkeep::default())
    }
}

/// A reader's place in the pool, given back even by a panic.
struct ReaderPlace<'a> {
    store: &'a SqliteTelemetry,
    connection: Option<SqliteConnection>,
}

impl Drop for ReaderPlace<'_> {
    fn drop(&mut self) {
        let mut pool = lock(&self.store.readers);
        pool.busy = pool.busy.saturating_sub(1);
        pool.idle.extend(self.connection.take());
        drop(pool);
        self.store.reader_free.notify_one();
    }
}

type Work<'a, T> = &'a mut dyn FnMut(&mut SqliteConnection) -> Result<T, StoreError>;

/// Runs work in a transaction. Where the work fails, its own error counts: a full disk has rolled the
/// transaction back already, and that it cannot be rolled back again says nothing.
fn keep_cause<T>(
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    transaction: impl FnOnce(Work<'_, T>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut work = Some(work);
    let mut cause = None;
    let result = transaction(&mut |connection| {
        let Some(work) = work.take() else {
            return Err(diesel::result::Error::AlreadyInTransaction.into());
        };
        work(connection).map_err(|error| {
            cause = Some(error);
            diesel::result::Error::RollbackTransaction.into()
        })
    });
    match cause {
        Some(cause) => Err(cause),
        None => result,
    }
}

/// Errors inside a transaction do not know which store they are of.
fn name_it(error: StoreError) -> StoreError {
    match error {
        StoreError::Away { reason, source, .. } => {
            StoreError::Away { what: IOT_STORE, reason, source }
        }
        other => other,
    }
}

impl TelemetryStore for SqliteTelemetry {
    fn open_sessions(&self, sessions: &[NewSession]) -> Result<Vec<SessionOpened>, StoreError> {
        self.write(|connection| {
            commit::open_sessions(connection, sessions, &mut lock(&self.known_hems))
        })
    }

    fn commit(
        &self,
        batch: &[HemEntries],
        now: Timestamp,
    ) -> Result<Vec<CommitOutcome>, StoreError> {
        let (outcomes, _) = self.write_then(
            |connection| {
                let mut touched = Vec::new();
                let context = commit::Context {
                    hems: &mut lock(&self.known_hems),
                    dirty: &lock(&self.dirty_cache),
                    now,
                    run_readings: self.options.chunk_readings.clamp(1, run::MAX_READINGS),
                };
                let outcomes = commit::commit(connection, batch, context, &mut touched)?;
                Ok((outcomes, touched))
            },
            |(_, touched)| {
                let mut cache = lock(&self.dirty_cache);
                let commit = self.commits.load(Ordering::Acquire) + 1;
                cache.touch(touched, commit);
                // Raised last: whoever reads it finds in a later snapshot all that it counts.
                self.commits.store(commit, Ordering::Release);
            },
        )?;
        Ok(outcomes)
    }

    fn marks(&self, microgrid: Option<&MicrogridId>) -> Result<Vec<HemMark>, StoreError> {
        self.read(|connection| connection.marks(microgrid))
    }

    fn entries_after(&self, hem: &HemId, after: Seq, limit: usize) -> Result<HemBatch, StoreError> {
        self.read(|connection| pages::entries_after(connection, hem, after, limit))
    }

    fn readings(&self, query: &PageQuery) -> Result<Page<Reading>, StoreError> {
        self.read(|connection| pages::readings(connection, query))
    }

    fn events(&self, query: &PageQuery) -> Result<Page<HemEvent>, StoreError> {
        self.read(|connection| pages::events(connection, query))
    }

    fn refusals(&self, query: &PageQuery) -> Result<Page<Refusal>, StoreError> {
        self.read(|connection| pages::refusals(connection, query))
    }

    fn latest_reading(&self, hem: &HemId) -> Result<Option<Reading>, StoreError> {
        self.read(|connection| pages::latest_reading(connection, hem))
    }

    fn series(&self, query: &SeriesQuery) -> Result<Series, StoreError> {
        self.read(|connection| history::series(connection, query))
    }

    fn set_time_zone(&self, microgrid: &MicrogridId, time_zone: Tz) -> Result<(), StoreError> {
        let row = (
            microgrids::microgrid.eq(microgrid.as_str()),
            microgrids::time_zone.eq(time_zone.name()),
        );
        self.write(|connection| {
            diesel::replace_into(microgrids::table).values(row).execute(connection)?;
            Ok(())
        })
    }

    fn upkeep(&self, task: UpkeepTask, now: Timestamp) -> Result<Upkeep, StoreError> {
        match task {
            UpkeepTask::RollUp => self.roll_up(now),
            UpkeepTask::Seal => self.seal(now),
            UpkeepTask::Retain(retention) => self.retain(retention, now),
            UpkeepTask::Checkpoint => self.checkpoint(),
        }
    }

    fn figures(&self) -> Result<StoreFigures, StoreError> {
        #[derive(QueryableByName)]
        struct Bytes {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            bytes: i64,
        }
        self.read(|connection| {
            let rows: Vec<(i64, i64, i64, i64)> = marks::table
                .select((marks::hot, marks::chunks, marks::sealed, marks::sealed_bytes))
                .load(connection)?;
            let mut figures = StoreFigures { hems: rows.len() as u64, ..StoreFigures::default() };
            for (hot, chunks, sealed, bytes) in rows {
                figures.hot_readings += from_signed(hot);
                figures.chunks += from_signed(chunks);
                figures.sealed_readings += from_signed(sealed);
                figures.sealed_bytes += from_signed(bytes);
            }
            figures.dirty_buckets = from_signed(dirty::table.count().get_result(connection)?);
            let size = "SELECT (page_count - freelist_count) * page_size AS bytes
                 FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
            figures.file_bytes =
                from_signed(diesel::sql_query(size).get_result::<Bytes>(connection)?.bytes);
            Ok(figures)
        })
    }
}

#[cfg(test)]
mod tests;
