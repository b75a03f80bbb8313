//! MySQL and MariaDB: how they are connected to, what each connection is told, and how several processes
//! that start at once bring the database up to date one after the other.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::connection::Purpose;
use super::engine::WHAT;
use super::silence_watch::{Conversation, SilenceWatch, Socket};
use super::web_store_address::MysqlAddress;
use crate::StoreError;
use crate::migrating::bring_up_to_date;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/web_mysql");
/// A server that has not let us in by then is away.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// A server that has not answered in the midst of a transaction by then is away.
const PATIENCE: Duration = Duration::from_secs(20);
/// Connections that are tried at a time; those that were given up count until they end.
const MOST_TRIED: usize = 8;
/// Whoever migrates may take its time; the others wait for it.
const MIGRATION_PATIENCE_SECONDS: u32 = 120;
/// How often a transaction is tried when others were in its way: each time one of them has got on.
pub(super) const ATTEMPTS: usize = 8;

/// What every connection is told.
///
/// - Text that does not fit is an error, as in SQLite, and not cut; errors are in English, because we
///   read them (see `RegistryError`).
/// - A lock is waited for as long as a few commits take; a statement that takes longer than 10 s, and a
///   transaction that its process has left standing for 30 s, are ended (on MariaDB), so that neither a
///   slow statement nor a stopped process holds others up for long.
const SESSION: &str = "SET NAMES utf8mb4 COLLATE utf8mb4_bin,
     SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO',
     SESSION lc_messages = 'en_US',
     SESSION innodb_lock_wait_timeout = 3
     /*M! , SESSION max_statement_time = 10, SESSION idle_transaction_timeout = 30 */
     /*!50708 , SESSION max_execution_time = 10000 */;";

/// Whoever writes locks what it reads to change it (`dialect::for_update`), and nothing else needs to stay
/// as it is: with this it takes no locks on gaps between rows, which would set processes that write rows
/// of different homes against each other.
const WRITERS: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
/// Whoever reads sees one state of the database all along, and locks nothing.
const READERS: &str = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";

/// A database on a MySQL or MariaDB server.
pub(super) struct MysqlServer {
    address: MysqlAddress,
    /// How many connections are being tried.
    tried: Arc<AtomicUsize>,
    watch: Arc<SilenceWatch>,
}

/// A connection, and the socket by which it is watched.
pub(super) struct Connected {
    pub(super) connection: MysqlConnection,
    pub(super) watched: Option<WatchedSocket>,
}

/// The socket of a connection.
#[derive(Debug)]
pub(super) struct WatchedSocket {
    watch: Arc<SilenceWatch>,
    socket: Socket,
}

impl WatchedSocket {
    /// From now on the server's answers are waited for no longer than the patience lasts.
    pub(super) fn listen(&self) -> Conversation {
        self.watch.listen(self.socket)
    }
}

impl fmt::Display for MysqlServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(formatter)
    }
}

/// A connection that is being tried; it counts until it is dropped.
struct Attempt(Arc<AtomicUsize>);

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl MysqlServer {
    /// # Errors
    /// [`StoreError::Away`] where the machine has no thread to spare.
    pub(super) fn new(address: MysqlAddress) -> Result<Self, StoreError> {
        let watch = SilenceWatch::start(PATIENCE).map_err(|error| StoreError::Away {
            what: WHAT,
            reason: error.to_string(),
            source: None,
        })?;
        Ok(Self { address, tried: Arc::default(), watch })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`StoreError::Away`] when the server does not answer, or does not let us in.
    pub(super) fn connect(&self, purpose: Purpose) -> Result<Connected, StoreError> {
        let isolation = match purpose {
            Purpose::Read => READERS,
            Purpose::Write => WRITERS,
        };
        let server_port = self.address.port();
        let (connection, socket) = self.dial(move |connection| {
            connection.batch_execute(&format!("{SESSION}{isolation}"))?;
            let own_port = own_port(connection)?;
            Ok(own_port.and_then(|own_port| Socket::between(own_port, server_port)))
        })?;
        if socket.is_none() {
            log::debug!("no socket to {self} is found: it has only the system's time-outs");
        }
        let watch = Arc::clone(&self.watch);
        Ok(Connected { connection, watched: socket.map(|socket| WatchedSocket { watch, socket }) })
    }

    /// Connects, and says the first words. The client library waits for a silent server without end: it
    /// is called on a thread of its own, which is left behind when it does not come back.
    fn dial<T: Send + 'static>(
        &self,
        first_words: impl FnOnce(&mut MysqlConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<(MysqlConnection, T), StoreError> {
        let attempt = Attempt(Arc::clone(&self.tried));
        if self.tried.fetch_add(1, Ordering::AcqRel) >= MOST_TRIED {
            return Err(self.away("it does not answer those who try to connect"));
        }
        let url = self.address.secret_url().to_owned();
        let (hand_over, handed_over) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("mysql-connect".to_owned())
            .spawn(move || {
                let connected = MysqlConnection::establish(&url)
                    .map_err(|error| error.to_string())
                    .and_then(|mut connection| match first_words(&mut connection) {
                        Ok(answer) => Ok((connection, answer)),
                        Err(error) => Err(error.to_string()),
                    });
                drop(attempt);
                // Whoever does not wait any more has been told so.
                let _ = hand_over.send(connected);
            })
            .map_err(|error| self.away(&error.to_string()))?;
        match handed_over.recv_timeout(CONNECT_PATIENCE) {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(reason)) => Err(self.away(&reason)),
            Err(RecvTimeoutError::Timeout) => {
                Err(self.away(&format!("it did not answer in {CONNECT_PATIENCE:?}")))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.away("connecting was given up")),
        }
    }

    fn away(&self, reason: &str) -> StoreError {
        let advice = if reason.contains("Access denied") {
            "; check user and password, and that this user has all rights on the database"
                .to_owned()
        } else if reason.contains("Unknown database") {
            let database = self.address.database();
            format!(
                "; make it: CREATE DATABASE `{database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            )
        } else {
            String::new()
        };
        StoreError::Away {
            what: WHAT,
            reason: format!("{}: {reason}{advice}", self.address),
            source: None,
        }
    }

    /// Runs the migrations that the database lacks, if no other process does: then it waits for that one.
    ///
    /// # Errors
    /// [`StoreError::Away`] when the server does not answer, or another process has not finished in time;
    /// [`StoreError::Migration`] when a migration fails, or the database is ahead of this program.
    pub(super) fn bring_up_to_date(&self) -> Result<(), StoreError> {
        let (mut connection, ()) = self.dial(|_| Ok(()))?;
        let away = |error: diesel::result::Error| self.away(&error.to_string());
        // The lock is the whole server's, so the database is in its name; it ends with its connection.
        let lock = "CONCAT('memcloud ', SHA1(DATABASE()))";
        let taken: Option<i64> = diesel::dsl::sql::<Nullable<BigInt>>(&format!(
            "SELECT GET_LOCK({lock}, {MIGRATION_PATIENCE_SECONDS})"
        ))
        .get_result(&mut connection)
        .map_err(away)?;
        if taken != Some(1) {
            return Err(self.away("another process is still bringing it up to date"));
        }
        bring_up_to_date(&mut connection, MIGRATIONS, &self.address.to_string())
    }
}

/// The port on our side, as the server sees it; none by a Unix socket.
fn own_port(connection: &mut MysqlConnection) -> QueryResult<Option<u16>> {
    let host: Option<String> = diesel::dsl::sql::<Nullable<Text>>(
        "SELECT host FROM information_schema.processlist WHERE id = CONNECTION_ID()",
    )
    .get_result(connection)
    .optional()?
    .flatten();
    Ok(host.and_then(|host| host.rsplit_once(':')?.1.parse().ok()))
}
