//! Carries the log of a SQLite file over into it, beside whoever reads and writes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;

use super::RegistryError;
use super::engine::{Engine, WHAT};
use super::pool::lock;
use crate::sqlite::{Access, Location, connect};

/// Carries the log of a SQLite file over into it.
pub(super) struct LogCarrier {
    location: Location,
    busy_timeout: Duration,
    /// Opened when it is first used.
    connection: Mutex<Option<SqliteConnection>>,
    /// Whether something was written since.
    has_written: AtomicBool,
}

impl LogCarrier {
    /// Of an engine that has such a log.
    pub(super) fn of(engine: &Engine) -> Option<Self> {
        match engine {
            Engine::Sqlite { location: location @ Location::File(_), busy_timeout } => Some(Self {
                location: location.clone(),
                busy_timeout: *busy_timeout,
                connection: Mutex::new(None),
                has_written: AtomicBool::new(true),
            }),
            _ => None,
        }
    }

    /// Somebody has written: there is something in the log.
    pub(super) fn note_write(&self) {
        self.has_written.store(true, Ordering::Relaxed);
    }

    /// Carries over what lies in the log.
    pub(super) fn carry_over(&self) -> Result<(), RegistryError> {
        if !self.has_written.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let mut place = lock(&self.connection);
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => connect(WHAT, &self.location, Access::ReadWrite, self.busy_timeout)?,
        };
        connection.batch_execute("PRAGMA wal_checkpoint(PASSIVE)")?;
        *place = Some(connection);
        Ok(())
    }
}
