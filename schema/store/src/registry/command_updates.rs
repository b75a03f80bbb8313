//! The updates of the command ledger. Diesel takes its own updates apart anew every time, which costs
//! more than carrying them out; these are prepared once per connection, and then only bound.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Integer, Nullable, Text};

use super::connection::{Backend, WebConnection};

/// How far a command is.
#[derive(Debug)]
pub(super) struct MoveCommand<'a> {
    pub(super) id: &'a str,
    pub(super) progress: &'a Progress,
}

/// What changes of a command in its life.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) expires: i64,
    pub(super) lease_ms: Option<i64>,
    pub(super) ordered: Option<String>,
    pub(super) hem_order: Option<i64>,
    pub(super) acted_at: Option<i64>,
    pub(super) state: &'static str,
    pub(super) history: String,
}

/// Until when an open command is open.
#[derive(Debug)]
pub(super) struct MoveOpenCommand<'a> {
    pub(super) microgrid: &'a str,
    pub(super) id: &'a str,
    pub(super) until: i64,
    pub(super) waits_until: i64,
}

/// An open command holds no more; it is open as long as it waits.
#[derive(Debug)]
pub(super) struct LoseForce<'a> {
    pub(super) microgrid: &'a str,
    pub(super) id: &'a str,
}

/// Another command holds at a node.
#[derive(Debug)]
pub(super) struct TakeForce<'a> {
    pub(super) hem: &'a str,
    pub(super) node: i32,
    pub(super) kind: &'a str,
    pub(super) command: &'a str,
    pub(super) order: i64,
}

/// A HEM's highest order, where it is higher than the one that is kept.
#[derive(Debug)]
pub(super) struct RaiseOrder<'a> {
    pub(super) hem: &'a str,
    pub(super) order: i64,
}

/// A piece of the statement, and the value that follows it.
fn with<'b, SqlType, Value>(
    out: &mut AstPass<'_, 'b, Backend>,
    sql: &str,
    value: &'b Value,
) -> QueryResult<()>
where
    Backend: HasSqlType<SqlType>,
    Value: ToSql<SqlType, Backend>,
{
    out.push_sql(sql);
    out.push_bind_param::<SqlType, Value>(value)
}

impl QueryFragment<Backend> for MoveCommand<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        let progress = self.progress;
        with::<BigInt, _>(&mut out, "UPDATE command SET expires = ", &progress.expires)?;
        with::<Nullable<BigInt>, _>(&mut out, ", lease_ms = ", &progress.lease_ms)?;
        with::<Nullable<Text>, _>(&mut out, ", ordered = ", &progress.ordered)?;
        with::<Nullable<BigInt>, _>(&mut out, ", hem_order = ", &progress.hem_order)?;
        with::<Nullable<BigInt>, _>(&mut out, ", acted_at = ", &progress.acted_at)?;
        with::<Text, _>(&mut out, ", state = ", &progress.state)?;
        with::<Text, _>(&mut out, ", history = ", &progress.history)?;
        with::<Text, _>(&mut out, " WHERE id = ", &self.id)
    }
}

impl QueryFragment<Backend> for MoveOpenCommand<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        with::<BigInt, _>(&mut out, "UPDATE open_command SET until = ", &self.until)?;
        with::<BigInt, _>(&mut out, ", waits_until = ", &self.waits_until)?;
        with::<Text, _>(&mut out, " WHERE microgrid_id = ", &self.microgrid)?;
        with::<Text, _>(&mut out, " AND id = ", &self.id)
    }
}

impl QueryFragment<Backend> for LoseForce<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        let lose = "UPDATE open_command SET until = waits_until WHERE microgrid_id = ";
        with::<Text, _>(&mut out, lose, &self.microgrid)?;
        with::<Text, _>(&mut out, " AND id = ", &self.id)
    }
}

impl QueryFragment<Backend> for TakeForce<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        with::<Text, _>(&mut out, "UPDATE command_in_force SET command_id = ", &self.command)?;
        with::<BigInt, _>(&mut out, ", hem_order = ", &self.order)?;
        with::<Text, _>(&mut out, " WHERE hem_id = ", &self.hem)?;
        with::<Integer, _>(&mut out, " AND node = ", &self.node)?;
        with::<Text, _>(&mut out, " AND kind = ", &self.kind)
    }
}

impl QueryFragment<Backend> for RaiseOrder<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        with::<BigInt, _>(&mut out, "UPDATE command_order SET highest = ", &self.order)?;
        with::<Text, _>(&mut out, " WHERE hem_id = ", &self.hem)?;
        with::<BigInt, _>(&mut out, " AND highest < ", &self.order)
    }
}

macro_rules! prepared_once {
    ($($update:ident),+) => {
        $(
            impl QueryId for $update<'_> {
                type QueryId = $update<'static>;
                const HAS_STATIC_QUERY_ID: bool = true;
            }

            impl RunQueryDsl<WebConnection> for $update<'_> {}
        )+
    };
}

prepared_once!(MoveCommand, MoveOpenCommand, LoseForce, TakeForce, RaiseOrder);
