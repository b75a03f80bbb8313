//! What the models speak to: SQLite and, with the feature `mysql`, MySQL or MariaDB. A model is written
//! once; where the two differ in words stands in `dialect`, where they differ in transactions here.

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::{Connection, QueryResult, SqliteConnection};

#[cfg(feature = "mysql")]
pub(super) use multi::{MultiBackend as Backend, WebConnection};

/// What the models speak to.
#[cfg(not(feature = "mysql"))]
pub(super) type WebConnection = SqliteConnection;
/// Its dialect.
#[cfg(not(feature = "mysql"))]
pub(super) type Backend = diesel::sqlite::Sqlite;

#[cfg(feature = "mysql")]
mod multi {
    use diesel::{MysqlConnection, SqliteConnection};

    /// What the models speak to.
    #[derive(diesel::MultiConnection)]
    pub(in crate::registry) enum WebConnection {
        Sqlite(SqliteConnection),
        Mysql(MysqlConnection),
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It reads, and sees one state of the database all along.
    Read,
    /// It writes, whole or not at all.
    Write,
}

/// SQLite has one writer: it is one from its first statement on, so that what it reads stays true.
fn begin_on_sqlite(connection: &mut SqliteConnection, purpose: Purpose) -> QueryResult<()> {
    let sql = match purpose {
        Purpose::Read => "BEGIN",
        Purpose::Write => "BEGIN IMMEDIATE",
    };
    AnsiTransactionManager::begin_transaction_sql(connection, sql)
}

/// Begins a transaction. How it is isolated was said to MySQL when it was connected.
#[cfg(not(feature = "mysql"))]
pub(super) fn begin(connection: &mut WebConnection, purpose: Purpose) -> QueryResult<()> {
    begin_on_sqlite(connection, purpose)
}

/// Begins a transaction. How it is isolated was said to MySQL when it was connected.
#[cfg(feature = "mysql")]
pub(super) fn begin(connection: &mut WebConnection, purpose: Purpose) -> QueryResult<()> {
    match connection {
        WebConnection::Sqlite(connection) => begin_on_sqlite(connection, purpose),
        WebConnection::Mysql(connection) => {
            let sql = match purpose {
                Purpose::Read => "START TRANSACTION READ ONLY",
                Purpose::Write => "START TRANSACTION",
            };
            AnsiTransactionManager::begin_transaction_sql(connection, sql)
        }
    }
}

/// Makes what was written last.
pub(super) fn commit(connection: &mut WebConnection) -> QueryResult<()> {
    <WebConnection as Connection>::TransactionManager::commit_transaction(connection)
}

/// Undoes what was written since the beginning.
pub(super) fn roll_back(connection: &mut WebConnection) -> QueryResult<()> {
    <WebConnection as Connection>::TransactionManager::rollback_transaction(connection)
}
