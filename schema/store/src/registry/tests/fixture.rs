//! Fresh registries for tests: each in a file, or in a database on the server, of its own.

use std::ops::Deref;
use std::path::PathBuf;

use diesel::connection::SimpleConnection;
use tempfile::TempDir;

use crate::registry::{SqlRegistry, WebStoreAddress};
use crate::sqlite::Location;

/// A registry in a database of its own, which goes with it.
pub(super) struct Fixture {
    registry: SqlRegistry,
    pub(super) database: Database,
}

impl Deref for Fixture {
    type Target = SqlRegistry;

    fn deref(&self) -> &SqlRegistry {
        &self.registry
    }
}

/// A registry in a SQLite file.
pub(super) fn sqlite() -> Fixture {
    Fixture::new(Database::File(tempfile::tempdir().unwrap()))
}

/// A registry on the MySQL server of `MEMCLOUD_TEST_MYSQL_URL`, if there is one.
#[cfg(feature = "mysql")]
pub(super) fn mysql() -> Option<Fixture> {
    Some(Fixture::new(Database::Server(ServerDatabase::on(&server_url()?))))
}

/// The server's address, without a database.
#[cfg(feature = "mysql")]
pub(super) fn server_url() -> Option<String> {
    const NAME: &str = "MEMCLOUD_TEST_MYSQL_URL";
    let url = std::env::var(NAME).ok().filter(|url| !url.is_empty());
    if url.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{NAME} names no server: in CI nothing is left out"
        );
        println!("left out: {NAME} names no server, e.g. mysql://root@127.0.0.1:3306");
    }
    url.map(|url| url.trim_end_matches('/').to_owned())
}

impl Fixture {
    fn new(database: Database) -> Self {
        let registry = SqlRegistry::open_at(&database.address()).unwrap();
        Self { registry, database }
    }

    /// The same database, as another process opens it.
    pub(super) fn opened_again(&self) -> SqlRegistry {
        SqlRegistry::open_at(&self.database.address()).unwrap()
    }

    /// The file, of a registry in one.
    pub(super) fn file(&self) -> PathBuf {
        self.database.file()
    }

    /// Deletes all that is kept: quicker than another database.
    pub(super) fn empty(&self) {
        const TABLES: [&str; 15] = [
            "microgrid_owner",
            "process",
            "command_order",
            "command_in_force",
            "open_command",
            "command",
            "idempotency",
            "job_result",
            "job_log",
            "job_checkpoint",
            "api_token",
            "enrolment_token",
            "job",
            "hem",
            "microgrid",
        ];
        self.say(&TABLES.map(|table| format!("DELETE FROM {table};")).concat());
    }

    /// Says something to the database.
    pub(super) fn say(&self, sql: &str) {
        self.write(|connection| Ok(connection.batch_execute(sql)?)).unwrap();
    }
}

/// A database of its own, which goes with it.
pub(super) enum Database {
    File(TempDir),
    #[cfg(feature = "mysql")]
    Server(ServerDatabase),
}

impl Database {
    pub(super) fn address(&self) -> WebStoreAddress {
        match self {
            Self::File(_) => Location::new(self.file()).into(),
            #[cfg(feature = "mysql")]
            Self::Server(database) => database.address(),
        }
    }

    fn file(&self) -> PathBuf {
        match self {
            Self::File(folder) => folder.path().join("web.db"),
            #[cfg(feature = "mysql")]
            Self::Server(_) => panic!("it is in no file"),
        }
    }

    /// Another one of the same engine, in which there is nothing yet.
    pub(super) fn another(&self) -> Self {
        match self {
            Self::File(_) => Self::File(tempfile::tempdir().unwrap()),
            #[cfg(feature = "mysql")]
            Self::Server(database) => Self::Server(ServerDatabase::on(&database.server)),
        }
    }
}

/// A database on a server, with a random name.
#[cfg(feature = "mysql")]
pub(super) struct ServerDatabase {
    server: String,
    name: String,
}

#[cfg(feature = "mysql")]
impl ServerDatabase {
    pub(super) fn on(server: &str) -> Self {
        let name = format!("memcloud_test_{}", uuid::Uuid::new_v4().simple());
        let database = Self { server: server.to_owned(), name };
        // Another collation than ours: the tables do not depend on it.
        database.say_to_server(&format!(
            "CREATE DATABASE {} CHARACTER SET latin1 COLLATE latin1_general_ci",
            database.name
        ));
        database
    }

    pub(super) fn address(&self) -> WebStoreAddress {
        self.address_on(&self.server)
    }

    /// As it is found through another address of the server.
    pub(super) fn address_on(&self, server: &str) -> WebStoreAddress {
        let url = format!("{server}/{}", self.name);
        WebStoreAddress::from_url(&url, std::path::Path::new(".")).unwrap()
    }

    fn say_to_server(&self, sql: &str) {
        let mut connection = diesel::Connection::establish(&self.server).unwrap();
        let connection: &mut diesel::MysqlConnection = &mut connection;
        connection.batch_execute(sql).unwrap();
    }
}

#[cfg(feature = "mysql")]
impl Drop for ServerDatabase {
    fn drop(&mut self) {
        self.say_to_server(&format!("DROP DATABASE {}", self.name));
    }
}
