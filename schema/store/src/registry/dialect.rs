//! Where SQLite and MySQL differ in words: the insert of a row that may be there already, and a row that
//! is read to be changed, or to be relied on, and the time. Everything else that the models say, both understand.

use std::marker::PhantomData;

use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};

use super::connection::{Backend, WebConnection};

/// How a dialect says what the other says differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    #[cfg(feature = "mysql")]
    Mysql,
}

#[cfg(not(feature = "mysql"))]
fn dialect_of(_: &Backend) -> Dialect {
    Dialect::Sqlite
}

#[cfg(feature = "mysql")]
fn dialect_of(backend: &Backend) -> Dialect {
    match backend {
        Backend::Sqlite(_) => Dialect::Sqlite,
        Backend::Mysql(_) => Dialect::Mysql,
    }
}

/// What becomes of a row's column when another row with its key is inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Becomes {
    /// What the other row says.
    New,
    /// The greater of the two.
    Greater,
}

/// What an insert does where the key is taken.
pub(super) trait Conflict: 'static {
    /// The columns of the primary key.
    const KEY: &'static str;
    /// What becomes of which other column.
    const COLUMNS: &'static [(&'static str, Becomes)];
}

/// An insert that changes the row which has its key already. Neither dialect's `REPLACE`: that is a
/// deletion, and takes more locks.
#[derive(Debug)]
pub(super) struct Upsert<Insert, Rule> {
    insert: Insert,
    rule: PhantomData<Rule>,
}

/// Makes an insert into one that changes the row which has its key already.
pub(super) fn upsert<Rule: Conflict, Insert>(insert: Insert) -> Upsert<Insert, Rule> {
    Upsert { insert, rule: PhantomData }
}

impl<Insert, Rule> QueryFragment<Backend> for Upsert<Insert, Rule>
where
    Insert: QueryFragment<Backend>,
    Rule: Conflict,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        self.insert.walk_ast(out.reborrow())?;
        let dialect = dialect_of(out.backend());
        match dialect {
            Dialect::Sqlite => {
                out.push_sql(" ON CONFLICT (");
                out.push_sql(Rule::KEY);
                out.push_sql(") DO UPDATE SET ");
            }
            #[cfg(feature = "mysql")]
            Dialect::Mysql => out.push_sql(" ON DUPLICATE KEY UPDATE "),
        }
        for (number, (column, becomes)) in Rule::COLUMNS.iter().enumerate() {
            if number > 0 {
                out.push_sql(", ");
            }
            out.push_sql(&assignment(dialect, column, *becomes));
        }
        Ok(())
    }
}

fn assignment(dialect: Dialect, column: &str, becomes: Becomes) -> String {
    match (dialect, becomes) {
        (Dialect::Sqlite, Becomes::New) => format!("{column} = excluded.{column}"),
        (Dialect::Sqlite, Becomes::Greater) => {
            format!("{column} = max({column}, excluded.{column})")
        }
        #[cfg(feature = "mysql")]
        (Dialect::Mysql, Becomes::New) => format!("{column} = VALUES({column})"),
        #[cfg(feature = "mysql")]
        (Dialect::Mysql, Becomes::Greater) => {
            format!("{column} = GREATEST({column}, VALUES({column}))")
        }
    }
}

impl<Insert: QueryId, Rule: 'static> QueryId for Upsert<Insert, Rule> {
    type QueryId = Upsert<Insert::QueryId, Rule>;
    const HAS_STATIC_QUERY_ID: bool = Insert::HAS_STATIC_QUERY_ID;
}

impl<Insert, Rule> RunQueryDsl<WebConnection> for Upsert<Insert, Rule> {}

/// Rows that are read to be changed, or so that what depends on them does not change meanwhile.
#[derive(Debug)]
pub(super) struct ForUpdate<Select>(Select);

/// Reads rows to change them, or what depends on them, in the same transaction: nobody else does so
/// until it ends. SQLite's one writer is alone anyway; MySQL locks these rows.
pub(super) fn for_update<Select>(select: Select) -> ForUpdate<Select> {
    ForUpdate(select)
}

impl<Select: QueryFragment<Backend>> QueryFragment<Backend> for ForUpdate<Select> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        self.0.walk_ast(out.reborrow())?;
        match dialect_of(out.backend()) {
            Dialect::Sqlite => {}
            #[cfg(feature = "mysql")]
            Dialect::Mysql => out.push_sql(" FOR UPDATE"),
        }
        Ok(())
    }
}

impl<Select: Query> Query for ForUpdate<Select> {
    type SqlType = Select::SqlType;
}

impl<Select: QueryId> QueryId for ForUpdate<Select> {
    type QueryId = ForUpdate<Select::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Select::HAS_STATIC_QUERY_ID;
}

impl<Select> RunQueryDsl<WebConnection> for ForUpdate<Select> {}

/// Rows on which what is written in the same transaction depends.
#[derive(Debug)]
pub(super) struct ForShare<Select>(Select);

/// Reads rows so that nobody changes them until the transaction ends; others may read them so too.
/// SQLite's one writer is alone anyway; MySQL locks these rows.
pub(super) fn for_share<Select>(select: Select) -> ForShare<Select> {
    ForShare(select)
}

impl<Select: QueryFragment<Backend>> QueryFragment<Backend> for ForShare<Select> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        self.0.walk_ast(out.reborrow())?;
        match dialect_of(out.backend()) {
            Dialect::Sqlite => {}
            // Both MySQL and MariaDB know it by this name.
            #[cfg(feature = "mysql")]
            Dialect::Mysql => out.push_sql(" LOCK IN SHARE MODE"),
        }
        Ok(())
    }
}

impl<Select: Query> Query for ForShare<Select> {
    type SqlType = Select::SqlType;
}

impl<Select: QueryId> QueryId for ForShare<Select> {
    type QueryId = ForShare<Select::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Select::HAS_STATIC_QUERY_ID;
}

impl<Select> RunQueryDsl<WebConnection> for ForShare<Select> {}

/// The database's clock.
#[derive(Debug, Clone, Copy, QueryId)]
pub(super) struct DatabaseNow;

/// Asks what time it is to the database: Unix milliseconds.
pub(super) fn database_now() -> DatabaseNow {
    DatabaseNow
}

impl QueryFragment<Backend> for DatabaseNow {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        match dialect_of(out.backend()) {
            Dialect::Sqlite => out.push_sql(
                "SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)",
            ),
            #[cfg(feature = "mysql")]
            Dialect::Mysql => out.push_sql("SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"),
        }
        Ok(())
    }
}

impl Query for DatabaseNow {
    type SqlType = diesel::sql_types::BigInt;
}

impl RunQueryDsl<WebConnection> for DatabaseNow {}
