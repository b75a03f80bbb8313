//! The command ledger's rows. A command is one row, its history a column of it: a transition is one
//! update, and a group of several hundred is one short transaction.

use std::collections::BTreeMap;

use diesel::dsl::{exists, not};
use diesel::prelude::*;
use memcloud_domain::{
    CommandAction, CommandId, CommandRecord, CommandState, HemId, MicrogridId, NodeId, Seq,
    Timestamp,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::command_updates::{MoveCommand, Progress, RaiseOrder};
use super::connection::WebConnection;
use super::dialect::{Becomes, Conflict, upsert};
use super::schema::{command, command_order, open_command};
use super::{CommandFilter, PageRequest, RegistryError, command_openness};

/// A row of `command`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = command)]
struct Row {
    id: String,
    microgrid_id: String,
    hem_id: String,
    node: Option<i32>,
    action: String,
    asker: String,
    reason: String,
    priority: i32,
    issued: i64,
    expires: i64,
    lease_ms: Option<i64>,
    ordered: Option<String>,
    hem_order: Option<i64>,
    acted_at: Option<i64>,
    state: String,
    history: String,
}

impl Progress {
    fn of(record: &CommandRecord) -> Result<Self, RegistryError> {
        Ok(Self {
            expires: record.expires.as_millis(),
            lease_ms: record.lease_ms.map(|span| signed("lease", span)).transpose()?,
            ordered: record.ordered.as_ref().map(|action| json("ordered", action)).transpose()?,
            hem_order: record.order.map(|order| signed("order", order)).transpose()?,
            acted_at: record.acted_at.map(|seq| signed("seq", seq.0)).transpose()?,
            state: record.state.as_str(),
            history: json("history", &record.history)?,
        })
    }

    fn into_row(self, record: &CommandRecord) -> Result<Row, RegistryError> {
        Ok(Row {
            id: record.id.to_string(),
            microgrid_id: record.microgrid.to_string(),
            hem_id: record.hem.to_string(),
            node: record.node.map(|node| i32::from(node.0)),
            action: json("action", &record.action)?,
            asker: json("asker", &record.asker)?,
            reason: record.reason.clone(),
            priority: record.priority,
            issued: record.issued.as_millis(),
            expires: self.expires,
            lease_ms: self.lease_ms,
            ordered: self.ordered,
            hem_order: self.hem_order,
            acted_at: self.acted_at,
            state: self.state.to_owned(),
            history: self.history,
        })
    }
}

fn json(what: &'static str, value: &impl Serialize) -> Result<String, RegistryError> {
    serde_json::to_string(value)
        .map_err(|error| RegistryError::Invalid { what, reason: error.to_string() })
}

fn signed(what: &'static str, number: u64) -> Result<i64, RegistryError> {
    i64::try_from(number).map_err(|_| RegistryError::Invalid {
        what,
        reason: format!("{number} is more than the ledger can keep"),
    })
}

impl TryFrom<Row> for CommandRecord {
    type Error = RegistryError;

    fn try_from(row: Row) -> Result<Self, RegistryError> {
        let reader = RowReader { id: &row.id };
        let node = row.node.map(|node| reader.parsed("node", u8::try_from(node))).transpose()?;
        Ok(Self {
            id: reader.parsed("id", CommandId::new(&row.id))?,
            microgrid: reader.parsed("microgrid", MicrogridId::new(&row.microgrid_id))?,
            hem: reader.parsed("HEM", HemId::new(&row.hem_id))?,
            node: node.map(NodeId),
            action: reader.json("action", &row.action)?,
            asker: reader.json("asker", &row.asker)?,
            priority: row.priority,
            issued: Timestamp(row.issued),
            expires: Timestamp(row.expires),
            lease_ms: reader.unsigned("lease", row.lease_ms)?,
            ordered: row
                .ordered
                .as_deref()
                .map(|ordered| reader.json::<CommandAction>("order", ordered))
                .transpose()?,
            order: reader.unsigned("order", row.hem_order)?,
            acted_at: reader.unsigned("number", row.acted_at)?.map(Seq),
            state: CommandState::parse(&row.state).ok_or_else(|| {
                RegistryError::corrupt("command", &row.id, format!("its state \"{}\"", row.state))
            })?,
            history: reader.json("history", &row.history)?,
            reason: row.reason,
        })
    }
}

/// Says which row, and what of it, cannot be read.
struct RowReader<'a> {
    id: &'a str,
}

impl RowReader<'_> {
    fn parsed<T, E: std::fmt::Display>(
        &self,
        what: &str,
        parsed: Result<T, E>,
    ) -> Result<T, RegistryError> {
        parsed.map_err(|error| {
            RegistryError::corrupt("command", self.id, format!("its {what}: {error}"))
        })
    }

    fn json<T: DeserializeOwned>(&self, what: &str, text: &str) -> Result<T, RegistryError> {
        self.parsed(what, serde_json::from_str(text))
    }

    fn unsigned(&self, what: &str, number: Option<i64>) -> Result<Option<u64>, RegistryError> {
        number.map(|number| self.parsed(what, u64::try_from(number))).transpose()
    }
}

/// Writes commands as they now are.
pub(super) fn write<'a>(
    connection: &mut WebConnection,
    records: impl Iterator<Item = &'a CommandRecord>,
) -> Result<(), RegistryError> {
    let mut orders = BTreeMap::new();
    for record in records {
        write_row(connection, record)?;
        if let Some(order) = record.order {
            let highest = orders.entry(&record.hem).or_insert(order);
            *highest = order.max(*highest);
        }
        command_openness::write(connection, record)?;
    }
    for (hem, order) in orders {
        raise_order(connection, hem, signed("order", order)?)?;
    }
    Ok(())
}

fn write_row(connection: &mut WebConnection, record: &CommandRecord) -> Result<(), RegistryError> {
    let progress = Progress::of(record)?;
    if record.history.len() > 1 && update(connection, record, &progress)? {
        return Ok(());
    }
    let row = progress.into_row(record)?;
    let insert = diesel::insert_into(command::table).values(&row);
    upsert::<LaterRecord, _>(insert).execute(connection)?;
    Ok(())
}

/// It is there already: written before an answer was lost. What it asks for stays.
struct LaterRecord;

impl Conflict for LaterRecord {
    const KEY: &'static str = "id";
    const COLUMNS: &'static [(&'static str, Becomes)] = &[
        ("expires", Becomes::New),
        ("lease_ms", Becomes::New),
        ("ordered", Becomes::New),
        ("hem_order", Becomes::New),
        ("acted_at", Becomes::New),
        ("state", Becomes::New),
        ("history", Becomes::New),
    ];
}

/// Of two orders of a HEM the higher one stands, whoever writes last.
struct HigherOrder;

impl Conflict for HigherOrder {
    const KEY: &'static str = "hem_id";
    const COLUMNS: &'static [(&'static str, Becomes)] = &[("highest", Becomes::Greater)];
}

fn update(
    connection: &mut WebConnection,
    record: &CommandRecord,
    progress: &Progress,
) -> Result<bool, RegistryError> {
    let id = record.id.as_str();
    Ok(MoveCommand { id, progress }.execute(connection)? > 0)
}

fn raise_order(
    connection: &mut WebConnection,
    hem: &HemId,
    order: i64,
) -> Result<(), RegistryError> {
    let hem = hem.as_str();
    if (RaiseOrder { hem, order }).execute(connection)? == 0 {
        // It is not there, or as high.
        let insert = diesel::insert_into(command_order::table)
            .values((command_order::hem_id.eq(hem), command_order::highest.eq(order)));
        upsert::<HigherOrder, _>(insert).execute(connection)?;
    }
    Ok(())
}

pub(super) fn find(
    connection: &mut WebConnection,
    id: &CommandId,
) -> Result<Option<CommandRecord>, RegistryError> {
    let row: Option<Row> = command::table
        .find(id.as_str())
        .select(Row::as_select())
        .get_result(connection)
        .optional()?;
    row.map(CommandRecord::try_from).transpose()
}

pub(super) fn list(
    connection: &mut WebConnection,
    filter: &CommandFilter,
    after: Option<&CommandId>,
    limit: usize,
) -> Result<Vec<CommandRecord>, RegistryError> {
    let limit = i64::try_from(limit.min(PageRequest::MAX_LIMIT + 1)).unwrap_or(i64::MAX);
    let mut query =
        command::table.order(command::id.desc()).limit(limit).select(Row::as_select()).into_boxed();
    if let Some(microgrid) = &filter.microgrid {
        query = query.filter(command::microgrid_id.eq(microgrid.as_str()));
    }
    if let Some(hem) = &filter.hem {
        query = query.filter(command::hem_id.eq(hem.as_str()));
    }
    if let Some(state) = filter.state {
        query = query.filter(command::state.eq(state.as_str()));
    }
    if let Some(after) = after {
        query = query.filter(command::id.lt(after.as_str()));
    }
    query.load(connection)?.into_iter().map(CommandRecord::try_from).collect()
}

pub(super) fn list_open(
    connection: &mut WebConnection,
    microgrid: Option<&MicrogridId>,
    now: Timestamp,
) -> Result<Vec<CommandRecord>, RegistryError> {
    let mut query = open_command::table
        .inner_join(command::table.on(command::id.eq(open_command::id)))
        .filter(open_command::until.gt(now.as_millis()))
        .order(open_command::id)
        .select(Row::as_select())
        .into_boxed();
    if let Some(microgrid) = microgrid {
        query = query.filter(open_command::microgrid_id.eq(microgrid.as_str()));
    }
    let records = query.load(connection)?.into_iter().filter_map(|row| {
        CommandRecord::try_from(row)
            .inspect_err(|error| log::error!("an open command is left out: {error}"))
            .ok()
    });
    Ok(records.collect())
}

pub(super) fn highest_orders(
    connection: &mut WebConnection,
) -> Result<Vec<(HemId, u64)>, RegistryError> {
    let rows: Vec<(String, i64)> =
        command_order::table.order(command_order::hem_id).load(connection)?;
    rows.into_iter().map(read_order).collect()
}

pub(super) fn highest_orders_of(
    connection: &mut WebConnection,
    hems: &[HemId],
) -> Result<Vec<(HemId, u64)>, RegistryError> {
    let mut orders = Vec::with_capacity(hems.len());
    for hem in hems {
        let row: Option<(String, i64)> =
            command_order::table.find(hem.as_str()).get_result(connection).optional()?;
        orders.extend(row.map(read_order).transpose()?);
    }
    Ok(orders)
}

fn read_order((hem, order): (String, i64)) -> Result<(HemId, u64), RegistryError> {
    let corrupt = |reason: String| RegistryError::corrupt("order of hem", &hem, reason);
    let id = HemId::new(&hem).map_err(|error| corrupt(error.to_string()))?;
    let order = u64::try_from(order).map_err(|error| corrupt(error.to_string()))?;
    Ok((id, order))
}

pub(super) fn delete(
    connection: &mut WebConnection,
    issued_before: Timestamp,
    now: Timestamp,
    limit: usize,
) -> Result<usize, RegistryError> {
    diesel::delete(open_command::table.filter(open_command::until.le(now.as_millis())))
        .execute(connection)?;
    let its_place = open_command::table.find((command::microgrid_id, command::id));
    // Ids grow with time: nothing beyond the first young one is old.
    let oldest: Vec<(String, i64)> = command::table
        .filter(not(exists(its_place)))
        .order(command::id)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select((command::id, command::issued))
        .load(connection)?;
    let is_old = |(_, issued): &&(String, i64)| *issued < issued_before.as_millis();
    let mut deleted = 0;
    for (id, _) in oldest.iter().take_while(is_old) {
        deleted += diesel::delete(command::table.find(id)).execute(connection)?;
    }
    Ok(deleted)
}
