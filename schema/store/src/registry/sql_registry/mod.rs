//! The registry in a SQL database: a SQLite file, `web.db`, with one writer and a few readers beside it;
//! or a database on a MySQL or MariaDB server, which several processes share.

mod cluster;
mod ledger;
mod web_data;

use std::path::Path;
use std::time::Duration;

use super::connection::{Purpose, WebConnection, begin, commit, roll_back};
use super::engine::{BUSY_TIMEOUT, Engine, Opened, Wait};
use super::log_carrier::LogCarrier;
use super::pool::{Place, Pool};
use super::{RegistryError, WebStoreAddress};
use crate::StoreError;
use crate::sqlite::Location;

const READERS: usize = 4;
/// How long a free connection is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The registry in a SQL database. Several processes may have the same one open.
///
/// A connection on which anything went wrong, or anyone panicked, is closed (which rolls back what
/// it was in) and opened again for the next caller: so it recovers by itself when the disk, or the
/// server, does.
pub struct SqlRegistry {
    engine: Engine,
    writers: Pool<Opened>,
    readers: Pool<Opened>,
    /// Of an engine whose log is to be carried over.
    log: Option<LogCarrier>,
}

impl std::fmt::Debug for SqlRegistry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SqlRegistry({})", self.engine)
    }
}

impl SqlRegistry {
    /// Opens a SQLite file, makes it where there is none, and brings it up to date.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be opened or brought up to date.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_at(&Location::new(path).into())
    }

    /// Opens it where the configuration says, and brings it up to date.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be opened or brought up to date.
    pub fn open_at(address: &WebStoreAddress) -> Result<Self, StoreError> {
        Self::open_with(address, BUSY_TIMEOUT)
    }

    /// Opens it, to wait so long for another process that writes the file.
    pub(super) fn open_with(
        address: &WebStoreAddress,
        busy_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let (engine, writer) = Engine::open(address, busy_timeout)?;
        Ok(Self {
            writers: Pool::new(engine.writers(), Some(writer), PATIENCE),
            readers: Pool::new(READERS, None, PATIENCE),
            log: LogCarrier::of(&engine),
            engine,
        })
    }

    /// Reads: everything in `work` sees the same state of the database.
    pub(super) fn read<T>(
        &self,
        mut work: impl FnMut(&mut WebConnection) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        if self.engine.is_in_memory() {
            // What is in memory has this one connection.
            return self.write(work);
        }
        self.run(&mut self.readers.take()?, Purpose::Read, &mut work)
            .map_err(RegistryError::said_to_callers)
    }

    /// Writes: `work` happens whole or not at all. Where others were in its way it is undone, and done
    /// again from the start.
    pub(super) fn write<T>(
        &self,
        mut work: impl FnMut(&mut WebConnection) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut place = self.writers.take()?;
        let mut tried = 1;
        loop {
            let outcome = self.run(&mut place, Purpose::Write, &mut work);
            if let Some(log) = &self.log {
                log.note_write();
            }
            match outcome {
                Err(RegistryError::Contended { reason }) if tried < self.engine.attempts() => {
                    log::debug!(tried, reason; "others were in a transaction's way: it is done again");
                    tried += 1;
                }
                outcome => return outcome.map_err(RegistryError::said_to_callers),
            }
        }
    }

    /// One transaction, on the connection of a place.
    fn run<T>(
        &self,
        place: &mut Place<'_, Opened>,
        purpose: Purpose,
        work: &mut impl FnMut(&mut WebConnection) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let (mut opened, wait) = self.begun(place.connection.take(), purpose)?;
        let connection = &mut opened.connection;
        let outcome = work(connection).and_then(|done| {
            commit(connection)?;
            Ok(done)
        });
        let outcome = outcome.map_err(|error| said_why(error, &wait));
        let is_whole = match &outcome {
            Ok(_) => true,
            // Some errors (a full disk, a deadlock) have rolled it back already; then this says so.
            Err(RegistryError::Unavailable { .. }) => {
                let _ = roll_back(connection);
                self.engine.is_in_memory()
            }
            Err(_) => roll_back(connection).is_ok(),
        };
        if is_whole {
            place.connection = Some(opened);
        }
        outcome
    }

    /// A connection in a transaction. A server may have closed an idle one: that shows here, where
    /// nothing was done on it yet.
    fn begun(
        &self,
        idle: Option<Opened>,
        purpose: Purpose,
    ) -> Result<(Opened, Wait), RegistryError> {
        if let Some(mut opened) = idle {
            let wait = opened.wait();
            match begin(&mut opened.connection, purpose) {
                Ok(()) => return Ok((opened, wait)),
                Err(error) if self.engine.is_remote() && !wait.was_cut() => {
                    log::debug!("a connection to the web store was lost: {error}");
                }
                Err(error) => return Err(said_why(error.into(), &wait)),
            }
        }
        let mut opened = self.engine.connect(purpose)?;
        let wait = opened.wait();
        begin(&mut opened.connection, purpose)?;
        Ok((opened, wait))
    }
}

fn said_why(error: RegistryError, wait: &Wait) -> RegistryError {
    match error {
        RegistryError::Unavailable { reason } if wait.was_cut() => {
            RegistryError::Unavailable { reason: format!("it has fallen silent: {reason}") }
        }
        other => other,
    }
}
