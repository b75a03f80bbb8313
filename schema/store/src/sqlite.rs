//! Opening a SQLite file the one right way: a busy time-out before anything else, write-ahead log,
//! every commit on the disk, foreign keys checked, migrations run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::result::Error as DieselError;
use diesel::{Connection, SqliteConnection};
use diesel_migrations::EmbeddedMigrations;

use crate::StoreError;
use crate::migrating::bring_up_to_date;

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a file.
    File(PathBuf),
    /// In memory, for tests: gone with its connection, and never shared between two.
    Memory,
}

impl Location {
    /// A file, or memory for `:memory:`.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        if path.as_ref() == Path::new(":memory:") {
            Self::Memory
        } else {
            Self::File(path.as_ref().to_owned())
        }
    }

    /// Reads a `sqlite:` address as in the configuration; a relative path lies in the data folder.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for another scheme or an empty path.
    pub fn from_url(url: &str, data_dir: &Path) -> Result<Self, StoreError> {
        let invalid = |reason: &str| StoreError::Invalid {
            what: "the store's address",
            reason: format!("\"{url}\" {reason}"),
        };
        let Some(path) = url.strip_prefix("sqlite:") else {
            return Err(invalid("does not begin with sqlite:"));
        };
        // A relative `sqlite://iot.db` is what people type who know other products.
        let path = path.strip_prefix("//").unwrap_or(path);
        match path {
            "" => Err(invalid("names no file")),
            ":memory:" => Ok(Self::Memory),
            path => Ok(Self::File(data_dir.join(path))),
        }
    }

    fn as_uri(&self) -> String {
        match self {
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Memory => ":memory:".to_owned(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.as_uri())
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads and writes; makes the file where there is none.
    Create,
    /// Reads and writes a file that is there.
    ReadWrite,
    /// Only reads a file that is there: a write is an error.
    ReadOnly,
}

/// Of processes that switch a new file to WAL at the same moment one is turned away at once, whatever the
/// time-out: it tries again.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// Opens a connection; migrations are not run.
///
/// # Errors
/// [`StoreError::Away`] when the file cannot be opened or its log not be used.
pub fn connect(
    what: &'static str,
    location: &Location,
    access: Access,
    busy_timeout: Duration,
) -> Result<SqliteConnection, StoreError> {
    let away = |reason: String| StoreError::Away {
        what,
        reason: format!("{location}: {reason}"),
        source: None,
    };
    if let (Location::File(path), false) = (location, access == Access::Create)
        && !path.exists()
    {
        // SQLite would make an empty file of it, and hide that the data is gone.
        return Err(away("the file is not there any more".to_owned()));
    }
    let mut connection =
        SqliteConnection::establish(&location.as_uri()).map_err(|error| away(error.to_string()))?;
    let query_only = match access {
        Access::Create | Access::ReadWrite => "OFF",
        Access::ReadOnly => "ON",
    };
    // The time-out comes first: switching to WAL itself may have to wait for a lock.
    let pragmas = format!(
        "PRAGMA busy_timeout = {};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA query_only = {query_only};",
        busy_timeout.as_millis()
    );
    let mut tries_left = TRIES;
    while let Err(error) = connection.batch_execute(&pragmas) {
        tries_left -= 1;
        if tries_left == 0 || !error.to_string().contains("database is locked") {
            return Err(away(error.to_string()));
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    Ok(connection)
}

/// Opens a connection for reading and writing, and brings the file up to date: of several processes that
/// start at once, one does it.
///
/// # Errors
/// [`StoreError::Away`] when it cannot be opened, [`StoreError::Migration`] when a migration fails, or a
/// newer program has used the file.
pub fn open(
    what: &'static str,
    location: &Location,
    busy_timeout: Duration,
    migrations: EmbeddedMigrations,
) -> Result<SqliteConnection, StoreError> {
    let mut connection = connect(what, location, Access::Create, busy_timeout)?;
    let mut failure = None;
    let done = connection.immediate_transaction(|connection| {
        bring_up_to_date(connection, migrations, &location.to_string()).map_err(|error| {
            failure = Some(error);
            DieselError::RollbackTransaction
        })
    });
    match (done, failure) {
        (Ok(()), _) => Ok(connection),
        (Err(_), Some(failure)) => Err(failure),
        (Err(error), None) => Err(StoreError::from_diesel(what, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_file_in_the_data_folder_or_memory() {
        let data = Path::new("data");
        let file = |path: &str| Ok::<_, String>(Location::File(PathBuf::from(path)));
        let parse = |url| Location::from_url(url, data).map_err(|error| error.to_string());
        assert_eq!(parse("sqlite:iot.db"), file("data/iot.db"));
        assert_eq!(parse("sqlite://iot.db"), file("data/iot.db"));
        assert_eq!(parse("sqlite:/var/iot.db"), file("/var/iot.db"));
        assert_eq!(parse("sqlite::memory:"), Ok(Location::Memory));
        assert!(parse("sqlite:").is_err() && parse("mysql://host/db").is_err());
    }

    #[test]
    fn a_file_that_is_gone_is_away_and_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path().join("gone.db"));
        let result = connect("store", &location, Access::ReadWrite, Duration::ZERO);
        assert!(result.is_err_and(|error| error.is_temporary()));
        assert!(!folder.path().join("gone.db").exists());
    }
}
