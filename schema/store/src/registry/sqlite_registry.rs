//! The registry in a SQLite file, `web.db`: one writer, and a few readers beside it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::result::Error as DieselError;
use diesel::{Connection, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use memcloud_domain::{
    CommandId, CommandRecord, HemId, JobCheckpoint, JobId, JobRecord, JobState, MicrogridId,
    Timestamp,
};
use uuid::Uuid;

use super::{
    ApiToken, Arrival, ArrivalAnswer, Beginning, CheckpointToSave, CommandFilter, CommandStore,
    EnrolmentToken, Hem, HemChange, IdempotencyLimits, IdempotencyScope, IdempotentAnswer,
    IdempotentRequest, JobChange, Listing, Microgrid, MicrogridChange, NewApiToken,
    NewEnrolmentToken, NewHem, NewJob, NumberedLogLine, PageRequest, Registry, RegistryError,
    ResultPage, ResultQuery, SecretHash, admission, api_token, command, enrolment_token, hem,
    idempotency, job, job_log, job_result, microgrid,
};
use crate::StoreError;
use crate::sqlite::{Access, Location, connect, open};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/web");
const WHAT: &str = "web store";
/// Another process (the command line beside a server) may hold the writer for as long as a commit takes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: usize = 4;

/// What the models speak to. With another engine it becomes a `MultiConnection`.
pub(super) type WebConnection = SqliteConnection;

/// The registry in a SQLite file. Several processes may have the same file open.
///
/// A connection on which anything went wrong, or anyone panicked, is closed (which rolls back what
/// it was in) and opened again for the next caller: so it recovers by itself when the disk does.
pub struct SqliteRegistry {
    location: Location,
    busy_timeout: Duration,
    writer: Mutex<Option<WebConnection>>,
    /// Idle readers; `None` is one to be opened again.
    readers: Mutex<Vec<Option<WebConnection>>>,
    returned: Condvar,
    /// Carries the log over; opened when it is first used.
    checkpointer: Mutex<Option<WebConnection>>,
    /// Whether something was written since.
    has_written: AtomicBool,
}

impl std::fmt::Debug for SqliteRegistry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SqliteRegistry({})", self.location)
    }
}

/// The right to read, given back when dropped, on a panic too.
struct ReaderSlot<'a> {
    registry: &'a SqliteRegistry,
    connection: Option<WebConnection>,
}

impl Drop for ReaderSlot<'_> {
    fn drop(&mut self) {
        lock(&self.registry.readers).push(self.connection.take());
        self.registry.returned.notify_one();
    }
}

/// Whoever panicked while holding the lock left an empty slot: there is nothing half done to fear.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SqliteRegistry {
    /// Opens the file, makes it where there is none, and brings it up to date.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be opened or brought up to date.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_at(&Location::new(path))
    }

    /// Opens it where the configuration says.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be opened or brought up to date.
    pub fn open_at(location: &Location) -> Result<Self, StoreError> {
        Self::open_with(location, BUSY_TIMEOUT)
    }

    /// Opens it, to wait so long for another process that writes.
    pub(super) fn open_with(
        location: &Location,
        busy_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let writer = open_writer(location, busy_timeout)?;
        Ok(Self {
            location: location.clone(),
            busy_timeout,
            writer: Mutex::new(Some(writer)),
            readers: Mutex::new((0..READERS).map(|_| None).collect()),
            returned: Condvar::new(),
            checkpointer: Mutex::new(None),
            has_written: AtomicBool::new(true),
        })
    }

    fn reader(&self) -> ReaderSlot<'_> {
        let mut readers = lock(&self.readers);
        loop {
            if let Some(connection) = readers.pop() {
                return ReaderSlot { registry: self, connection };
            }
            readers = self.returned.wait(readers).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reads: everything in `work` sees the same state of the database.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&mut WebConnection) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        if self.location == Location::Memory {
            // What is in memory has this one connection.
            return self.write(work);
        }
        let mut slot = self.reader();
        let mut connection = match slot.connection.take() {
            Some(connection) => connection,
            None => connect(WHAT, &self.location, Access::ReadOnly, self.busy_timeout)?,
        };
        let mut failure = None;
        let outcome = connection.transaction(noting(&mut failure, work));
        let outcome = concluded(outcome, failure);
        if !is_unavailable(&outcome) {
            slot.connection = Some(connection);
        }
        outcome
    }

    /// Writes: `work` happens whole or not at all.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&mut WebConnection) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut slot = lock(&self.writer);
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => open_writer(&self.location, self.busy_timeout)?,
        };
        let mut failure = None;
        let outcome = connection.immediate_transaction(noting(&mut failure, work));
        let outcome = concluded(outcome, failure);
        self.has_written.store(true, Ordering::Relaxed);
        if !is_unavailable(&outcome) || self.location == Location::Memory {
            *slot = Some(connection);
        }
        outcome
    }
}

/// The command ledger writes many pages in little time: the writer keeps them in memory. It carries the
/// log over by itself only where that is not done beside it, and the log has grown to this many pages.
const WRITER_PRAGMAS: &str = "PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 6000;
     PRAGMA journal_size_limit = 67108864;";

fn open_writer(location: &Location, busy_timeout: Duration) -> Result<WebConnection, StoreError> {
    let mut connection = open(WHAT, location, busy_timeout, MIGRATIONS)?;
    connection.batch_execute(WRITER_PRAGMAS)?;
    Ok(connection)
}

/// Keeps the reason why `work` failed. After some errors (a full disk) the engine itself rolls back, and
/// Diesel then says only that there was nothing to roll back.
fn noting<'a, T>(
    failure: &'a mut Option<RegistryError>,
    work: impl FnOnce(&mut WebConnection) -> Result<T, RegistryError> + 'a,
) -> impl FnOnce(&mut WebConnection) -> Result<T, DieselError> + 'a {
    move |connection| {
        work(connection).map_err(|error| {
            *failure = Some(error);
            DieselError::RollbackTransaction
        })
    }
}

fn concluded<T>(
    outcome: Result<T, DieselError>,
    failure: Option<RegistryError>,
) -> Result<T, RegistryError> {
    match (outcome, failure) {
        (Err(DieselError::RollbackTransaction), Some(failure))
        | (Err(_), Some(failure @ RegistryError::Unavailable { .. })) => Err(failure),
        (Ok(done), _) => Ok(done),
        // It could not even be rolled back: that is about the database.
        (Err(error), _) => Err(error.into()),
    }
}

fn is_unavailable<T>(outcome: &Result<T, RegistryError>) -> bool {
    matches!(outcome, Err(RegistryError::Unavailable { .. }))
}

impl Registry for SqliteRegistry {
    fn check(&self) -> Result<(), RegistryError> {
        self.read(|connection| microgrid::list(connection, &PageRequest::first(1)))?;
        self.write(|_| Ok(()))
    }

    fn carry_log_over(&self) -> Result<bool, RegistryError> {
        if self.location == Location::Memory {
            return Ok(false);
        }
        if !self.has_written.swap(false, Ordering::Relaxed) {
            return Ok(true);
        }
        let mut place = lock(&self.checkpointer);
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => connect(WHAT, &self.location, Access::ReadWrite, self.busy_timeout)?,
        };
        connection.batch_execute("PRAGMA wal_checkpoint(PASSIVE)")?;
        *place = Some(connection);
        Ok(true)
    }

    fn create_microgrid(&self, new: &Microgrid) -> Result<(), RegistryError> {
        self.write(|connection| microgrid::insert(connection, new))
    }

    fn microgrid(&self, id: &MicrogridId) -> Result<Microgrid, RegistryError> {
        self.read(|connection| microgrid::find(connection, id))
    }

    fn microgrids(&self, page: &PageRequest) -> Result<Listing<Microgrid>, RegistryError> {
        self.read(|connection| microgrid::list(connection, page))
    }

    fn update_microgrid(
        &self,
        id: &MicrogridId,
        change: &MicrogridChange,
    ) -> Result<Microgrid, RegistryError> {
        self.write(|connection| microgrid::update(connection, id, change))
    }

    fn delete_microgrid(&self, id: &MicrogridId) -> Result<(), RegistryError> {
        self.write(|connection| microgrid::delete(connection, id))
    }

    fn register_hem(&self, new: &NewHem) -> Result<Hem, RegistryError> {
        self.write(|connection| hem::register(connection, new))
    }

    fn hem(&self, id: &HemId) -> Result<Hem, RegistryError> {
        self.read(|connection| hem::find(connection, id))
    }

    fn hems(
        &self,
        microgrid: Option<&MicrogridId>,
        page: &PageRequest,
    ) -> Result<Listing<Hem>, RegistryError> {
        self.read(|connection| hem::list(connection, microgrid, page))
    }

    fn roster(&self, id: &MicrogridId) -> Result<(Microgrid, Vec<Hem>), RegistryError> {
        self.read(|connection| {
            Ok((microgrid::find(connection, id)?, hem::list_all_of(connection, id)?))
        })
    }

    fn update_hem(&self, id: &HemId, change: &HemChange) -> Result<Hem, RegistryError> {
        self.write(|connection| hem::update(connection, id, change))
    }

    fn delete_hem(&self, id: &HemId) -> Result<Hem, RegistryError> {
        self.write(|connection| hem::delete(connection, id))
    }

    fn rotate_key(&self, id: &HemId, key: &SecretHash) -> Result<Hem, RegistryError> {
        self.write(|connection| hem::rotate_key(connection, id, key))
    }

    fn revoke_key(&self, id: &HemId) -> Result<Hem, RegistryError> {
        self.write(|connection| hem::revoke_key(connection, id))
    }

    fn look_up_arrival(
        &self,
        arrival: &Arrival,
        now: Timestamp,
    ) -> Result<ArrivalAnswer, RegistryError> {
        self.read(|connection| admission::look_up(connection, arrival, now))
    }

    fn record_arrivals(
        &self,
        arrivals: &[Arrival],
        now: Timestamp,
    ) -> Result<Vec<ArrivalAnswer>, RegistryError> {
        self.write(|connection| {
            arrivals.iter().map(|arrival| admission::record(connection, arrival, now)).collect()
        })
    }

    fn create_enrolment_token(
        &self,
        token: &NewEnrolmentToken,
    ) -> Result<EnrolmentToken, RegistryError> {
        self.write(|connection| enrolment_token::insert(connection, token))
    }

    fn enrolment_tokens(
        &self,
        microgrid: &MicrogridId,
        page: &PageRequest,
    ) -> Result<Listing<EnrolmentToken>, RegistryError> {
        self.read(|connection| enrolment_token::list(connection, microgrid, page))
    }

    fn delete_enrolment_tokens(
        &self,
        microgrid: &MicrogridId,
        id: Option<Uuid>,
    ) -> Result<usize, RegistryError> {
        self.write(|connection| enrolment_token::delete(connection, microgrid, id))
    }

    fn create_api_token(&self, token: &NewApiToken) -> Result<ApiToken, RegistryError> {
        self.write(|connection| api_token::insert(connection, token))
    }

    fn api_tokens(&self, page: &PageRequest) -> Result<Listing<ApiToken>, RegistryError> {
        self.read(|connection| api_token::list(connection, page))
    }

    fn revoke_api_token(&self, id: Uuid) -> Result<ApiToken, RegistryError> {
        self.write(|connection| api_token::revoke(connection, id))
    }

    fn revoke_tokens_of_job(&self, job: &JobId) -> Result<Vec<Uuid>, RegistryError> {
        self.write(|connection| api_token::revoke_of_job(connection, job))
    }

    fn api_token_by_hash(&self, hash: &SecretHash) -> Result<Option<ApiToken>, RegistryError> {
        self.read(|connection| api_token::find_by_hash(connection, hash))
    }

    fn create_job(&self, new: &NewJob) -> Result<JobRecord, RegistryError> {
        self.write(|connection| job::insert(connection, new))
    }

    fn job(&self, id: &JobId) -> Result<JobRecord, RegistryError> {
        self.read(|connection| job::find(connection, id))
    }

    fn jobs(
        &self,
        microgrid: Option<&MicrogridId>,
        page: &PageRequest,
    ) -> Result<Listing<JobRecord>, RegistryError> {
        self.read(|connection| job::list(connection, microgrid, page))
    }

    fn jobs_of(&self, microgrid: &MicrogridId) -> Result<Vec<JobRecord>, RegistryError> {
        self.read(|connection| job::list_all_of(connection, microgrid))
    }

    fn microgrids_with_jobs(&self) -> Result<Vec<MicrogridId>, RegistryError> {
        self.read(job::microgrids_with_jobs)
    }

    fn update_job(&self, id: &JobId, change: &JobChange) -> Result<JobRecord, RegistryError> {
        self.write(|connection| job::update(connection, id, change))
    }

    fn record_job_state(&self, id: &JobId, state: &JobState) -> Result<(), RegistryError> {
        self.write(|connection| job::record_state(connection, id, state))
    }

    fn delete_job(&self, id: &JobId) -> Result<JobRecord, RegistryError> {
        self.write(|connection| job::delete(connection, id))
    }

    fn checkpoint(&self, id: &JobId) -> Result<Option<JobCheckpoint>, RegistryError> {
        self.read(|connection| job::checkpoint(connection, id))
    }

    fn save_checkpoints(&self, checkpoints: &[CheckpointToSave]) -> Result<(), RegistryError> {
        self.write(|connection| {
            checkpoints.iter().try_for_each(|to_save| job::save_checkpoint(connection, to_save))
        })
    }

    fn results(&self, query: &ResultQuery) -> Result<ResultPage, RegistryError> {
        self.read(|connection| job_result::list(connection, query))
    }

    fn log(
        &self,
        id: &JobId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedLogLine>, RegistryError> {
        self.read(|connection| job_log::list(connection, id, after, limit))
    }

    fn begin_idempotent(
        &self,
        request: &IdempotentRequest,
        now: Timestamp,
        limits: &IdempotencyLimits,
    ) -> Result<Beginning, RegistryError> {
        self.write(|connection| idempotency::begin(connection, request, now, limits))
    }

    fn finish_idempotent(
        &self,
        scope: &IdempotencyScope,
        answer: Option<&IdempotentAnswer>,
        now: Timestamp,
        limits: &IdempotencyLimits,
    ) -> Result<(), RegistryError> {
        self.write(|connection| idempotency::finish(connection, scope, answer, now, limits))
    }

    fn sweep_idempotent(
        &self,
        now: Timestamp,
        limits: &IdempotencyLimits,
    ) -> Result<usize, RegistryError> {
        self.write(|connection| idempotency::sweep(connection, now, limits))
    }
}

impl CommandStore for SqliteRegistry {
    fn write_commands(&self, commands: &[Arc<CommandRecord>]) -> Result<(), RegistryError> {
        self.write(|connection| command::write(connection, commands.iter().map(Arc::as_ref)))
    }

    fn command(&self, id: &CommandId) -> Result<Option<CommandRecord>, RegistryError> {
        self.read(|connection| command::find(connection, id))
    }

    fn commands(
        &self,
        filter: &CommandFilter,
        after: Option<&CommandId>,
        limit: usize,
    ) -> Result<Vec<CommandRecord>, RegistryError> {
        self.read(|connection| command::list(connection, filter, after, limit))
    }

    fn open_commands(
        &self,
        microgrid: Option<&MicrogridId>,
        now: Timestamp,
    ) -> Result<Vec<CommandRecord>, RegistryError> {
        self.read(|connection| command::list_open(connection, microgrid, now))
    }

    fn highest_orders(&self) -> Result<Vec<(HemId, u64)>, RegistryError> {
        self.read(command::highest_orders)
    }

    fn delete_commands(
        &self,
        issued_before: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, RegistryError> {
        self.write(|connection| command::delete(connection, issued_before, now, limit))
    }
}
