//! Opens the database, whichever it is, and connections to it.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::connection::{Purpose, WebConnection};
#[cfg(feature = "mysql")]
use super::mysql::{Connected, MysqlServer, WatchedSocket};
#[cfg(feature = "mysql")]
use super::silence_watch::Conversation;
use super::web_store_address::{Place, WebStoreAddress};
use crate::StoreError;
use crate::sqlite::{self, Access, Location};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/web");
pub(super) const WHAT: &str = "web store";
/// Another process (the command line beside a server) may hold the writer for as long as a commit takes.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The command ledger writes many pages in little time: the writer keeps them in memory. It carries the
/// log over by itself only where that is not done beside it, and the log has grown to this many pages.
const WRITER_PRAGMAS: &str = "PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 6000;
     PRAGMA journal_size_limit = 67108864;";

/// An open connection.
pub(super) struct Opened {
    pub(super) connection: WebConnection,
    #[cfg(feature = "mysql")]
    watched: Option<WatchedSocket>,
}

/// Somebody waits for the database, until this is dropped: before the connection is.
pub(super) struct Wait {
    #[cfg(feature = "mysql")]
    conversation: Option<Conversation>,
}

impl Opened {
    fn file(connection: diesel::SqliteConnection) -> Self {
        Self {
            connection: of_sqlite(connection),
            #[cfg(feature = "mysql")]
            watched: None,
        }
    }

    #[cfg(feature = "mysql")]
    fn server(connected: Connected) -> Self {
        let Connected { connection, watched } = connected;
        Self { connection: WebConnection::Mysql(connection), watched }
    }

    /// Whoever speaks to the database now does not wait without end.
    pub(super) fn wait(&self) -> Wait {
        Wait {
            #[cfg(feature = "mysql")]
            conversation: self.watched.as_ref().map(WatchedSocket::listen),
        }
    }
}

impl Wait {
    /// Whether it took so long that the connection was cut.
    pub(super) fn was_cut(&self) -> bool {
        #[cfg(feature = "mysql")]
        if let Some(conversation) = &self.conversation {
            return conversation.was_cut();
        }
        false
    }
}

/// The database.
pub(super) enum Engine {
    Sqlite {
        location: Location,
        busy_timeout: Duration,
    },
    #[cfg(feature = "mysql")]
    Mysql(MysqlServer),
}

impl Engine {
    /// Brings the database up to date, and opens the first connection that writes.
    pub(super) fn open(
        address: &WebStoreAddress,
        busy_timeout: Duration,
    ) -> Result<(Self, Opened), StoreError> {
        match &address.0 {
            Place::Sqlite(location) => {
                let connection = open_file(location, busy_timeout)?;
                let engine = Self::Sqlite { location: location.clone(), busy_timeout };
                Ok((engine, Opened::file(connection)))
            }
            #[cfg(feature = "mysql")]
            Place::Mysql(address) => {
                let server = MysqlServer::new(address.clone())?;
                server.bring_up_to_date()?;
                let opened = Opened::server(server.connect(Purpose::Write)?);
                Ok((Self::Mysql(server), opened))
            }
        }
    }

    /// Opens another connection to what is up to date.
    pub(super) fn connect(&self, purpose: Purpose) -> Result<Opened, StoreError> {
        match self {
            // With its one connection, what is in memory is gone.
            Self::Sqlite { location: Location::Memory, busy_timeout } => {
                open_file(&Location::Memory, *busy_timeout).map(Opened::file)
            }
            Self::Sqlite { location, busy_timeout } => {
                let access = match purpose {
                    Purpose::Read => Access::ReadOnly,
                    Purpose::Write => Access::ReadWrite,
                };
                let mut connection = sqlite::connect(WHAT, location, access, *busy_timeout)?;
                if purpose == Purpose::Write {
                    connection.batch_execute(WRITER_PRAGMAS)?;
                }
                Ok(Opened::file(connection))
            }
            #[cfg(feature = "mysql")]
            Self::Mysql(server) => server.connect(purpose).map(Opened::server),
        }
    }

    /// Whether all that there is hangs on one connection.
    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self, Self::Sqlite { location: Location::Memory, .. })
    }

    /// How many connections may write at a time: SQLite has one writer.
    pub(super) fn writers(&self) -> usize {
        match self {
            Self::Sqlite { .. } => 1,
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => 4,
        }
    }

    /// Whether a connection may have been lost while nobody used it.
    pub(super) fn is_remote(&self) -> bool {
        match self {
            Self::Sqlite { .. } => false,
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => true,
        }
    }

    /// How often a transaction is tried in all when others were in its way. Nobody is in the way of
    /// SQLite's one writer.
    pub(super) fn attempts(&self) -> usize {
        match self {
            Self::Sqlite { .. } => 1,
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => super::mysql::ATTEMPTS,
        }
    }
}

impl std::fmt::Display for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite { location, .. } => location.fmt(formatter),
            #[cfg(feature = "mysql")]
            Self::Mysql(server) => server.fmt(formatter),
        }
    }
}

fn open_file(
    location: &Location,
    busy_timeout: Duration,
) -> Result<diesel::SqliteConnection, StoreError> {
    let mut connection = sqlite::open(WHAT, location, busy_timeout, MIGRATIONS)?;
    connection.batch_execute(WRITER_PRAGMAS)?;
    Ok(connection)
}

#[cfg(not(feature = "mysql"))]
fn of_sqlite(connection: diesel::SqliteConnection) -> WebConnection {
    connection
}

#[cfg(feature = "mysql")]
fn of_sqlite(connection: diesel::SqliteConnection) -> WebConnection {
    WebConnection::Sqlite(connection)
}
