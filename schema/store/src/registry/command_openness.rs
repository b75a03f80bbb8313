//! Which commands are open: what whoever starts must know of, kept beside the ledger so that it is
//! found without looking through years of it.

use std::time::Duration;

use diesel::prelude::*;
use memcloud_domain::{CommandRecord, CommandState, Timestamp};

use super::RegistryError;
use super::command_updates::{LoseForce, MoveOpenCommand, TakeForce};
use super::connection::WebConnection;
use super::dialect::{Becomes, Conflict, for_update, upsert};
use super::schema::{command_in_force, open_command};

/// An answer, or the sight of an effect, is waited for so long; and so long after its lease a command is
/// still open, so that its end is seen.
const PATIENCE: Duration = Duration::from_hours(24);
const NEVER: Timestamp = Timestamp(i64::MAX);

/// Until when a command is open, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Openness {
    /// As long as it is under way: until it is answered, or its effect seen.
    waits_until: Option<Timestamp>,
    /// As long as it holds at its node, if it is the one that does.
    holds_until: Option<Timestamp>,
}

impl Openness {
    fn of(record: &CommandRecord) -> Self {
        let nothing = Self { waits_until: None, holds_until: None };
        match record.state {
            CommandState::Accepted | CommandState::Sent => {
                Self { waits_until: Some(NEVER), ..nothing }
            }
            CommandState::Unconfirmed => {
                Self { waits_until: Some(record.issued.plus(PATIENCE)), ..nothing }
            }
            CommandState::Acknowledged | CommandState::Effective | CommandState::Ineffective => {
                Self::of_carried_out(record)
            }
            _ => nothing,
        }
    }

    fn of_carried_out(record: &CommandRecord) -> Self {
        let is_acknowledgement = |state| state == CommandState::Acknowledged;
        let acted = record
            .history
            .iter()
            .find(|step| is_acknowledgement(step.state))
            .or(record.history.last())
            .map_or(record.issued, |step| step.at);
        let shows = record.as_sent().setting().is_some();
        let waits = shows && is_acknowledgement(record.state);
        Self {
            waits_until: waits.then(|| acted.plus(PATIENCE)),
            holds_until: match record.lease_ms {
                Some(lease) => Some(acted.plus(Duration::from_millis(lease)).plus(PATIENCE)),
                None => shows.then_some(NEVER),
            },
        }
    }
}

/// Writes whether a command is open.
pub(super) fn write(
    connection: &mut WebConnection,
    record: &CommandRecord,
) -> Result<(), RegistryError> {
    let openness = Openness::of(record);
    let holds_until = match (openness.holds_until, record.order) {
        (Some(until), Some(order)) if takes_force(connection, record, order)? => Some(until),
        _ => None,
    };
    let (microgrid, id) = (record.microgrid.as_str(), record.id.as_str());
    let Some(until) = openness.waits_until.max(holds_until) else {
        diesel::delete(open_command::table.find((microgrid, id))).execute(connection)?;
        return Ok(());
    };
    let until = until.as_millis();
    let waits_until = openness.waits_until.map_or(0, Timestamp::as_millis);
    let is_known = record.history.len() > 1
        && MoveOpenCommand { microgrid, id, until, waits_until }.execute(connection)? > 0;
    if !is_known {
        let insert = diesel::insert_into(open_command::table).values((
            open_command::microgrid_id.eq(microgrid),
            open_command::id.eq(id),
            open_command::until.eq(until),
            open_command::waits_until.eq(waits_until),
        ));
        upsert::<LaterOpenness, _>(insert).execute(connection)?;
    }
    Ok(())
}

/// It is there already: the record of a command that was written last says until when.
struct LaterOpenness;

impl Conflict for LaterOpenness {
    const KEY: &'static str = "microgrid_id, id";
    const COLUMNS: &'static [(&'static str, Becomes)] =
        &[("until", Becomes::New), ("waits_until", Becomes::New)];
}

/// Whether a command that was carried out is the last of its kind at its node. The one before it holds
/// no more.
fn takes_force(
    connection: &mut WebConnection,
    record: &CommandRecord,
    order: u64,
) -> Result<bool, RegistryError> {
    let order = i64::try_from(order).unwrap_or(i64::MAX);
    let node = record.node.map_or(-1, |node| i32::from(node.0));
    let (hem, kind, command) = (record.hem.as_str(), record.as_sent().name(), record.id.as_str());
    let in_force = command_in_force::table
        .find((hem, node, kind))
        .select((command_in_force::command_id, command_in_force::hem_order));
    let before: Option<(String, i64)> = for_update(in_force).get_result(connection).optional()?;
    match before {
        None => {
            diesel::insert_into(command_in_force::table)
                .values((
                    command_in_force::hem_id.eq(hem),
                    command_in_force::node.eq(node),
                    command_in_force::kind.eq(kind),
                    command_in_force::command_id.eq(command),
                    command_in_force::hem_order.eq(order),
                ))
                .execute(connection)?;
            Ok(true)
        }
        Some((id, _)) if id == command => Ok(true),
        Some((_, earlier)) if earlier > order => Ok(false),
        Some((id, _)) => {
            TakeForce { hem, node, kind, command, order }.execute(connection)?;
            let microgrid = record.microgrid.as_str();
            LoseForce { microgrid, id: &id }.execute(connection)?;
            Ok(true)
        }
    }
}
