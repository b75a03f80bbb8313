//! Which processes live, and which of them runs which microgrid; and the fence, by which what a former
//! owner writes counts for nothing. The moment is read after whatever is locked: who had to wait does not
//! judge a lease by an old clock.

use std::time::Duration;

use diesel::dsl::{count_star, exists, not};
use diesel::prelude::*;
use memcloud_domain::{Epoch, MicrogridId, ProcessId, Tenure};

use super::RegistryError;
use super::cluster_store::{Beat, Claimed, OwnerRow, ProcessRow, Pulse};
use super::connection::WebConnection;
use super::dialect::{Becomes, Conflict, database_now, for_share, for_update, upsert};
use super::schema::{microgrid_owner, process};

/// Rows of processes that were silent for so long are deleted.
const FORGOTTEN_AFTER: i64 = 24 * 3_600 * 1_000;

/// A row of `process`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = process)]
struct Row {
    id: String,
    address: String,
    version: String,
    first_beat: i64,
    last_beat: i64,
    expires: i64,
}

/// It lives on.
struct NextBeat;

impl Conflict for NextBeat {
    const KEY: &'static str = "id";
    const COLUMNS: &'static [(&'static str, Becomes)] = &[
        ("address", Becomes::New),
        ("version", Becomes::New),
        ("last_beat", Becomes::New),
        ("expires", Becomes::New),
    ];
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn span(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

fn process_id(text: &str) -> Result<ProcessId, RegistryError> {
    ProcessId::new(text).map_err(|error| RegistryError::corrupt("process", text, error))
}

fn microgrid_id(text: &str) -> Result<MicrogridId, RegistryError> {
    MicrogridId::new(text)
        .map_err(|error| RegistryError::corrupt("owner of microgrid", text, error))
}

fn epoch_of(microgrid: &str, number: i64) -> Result<Epoch, RegistryError> {
    u64::try_from(number)
        .map(Epoch)
        .map_err(|error| RegistryError::corrupt("owner of microgrid", microgrid, error))
}

// --------------------------------------------------------------------------------------- processes

pub(super) fn beat(connection: &mut WebConnection, beat: &Beat) -> Result<Pulse, RegistryError> {
    let id = beat.process.as_str();
    let its_lease = process::table.find(id).select(process::expires);
    let until: Option<i64> = for_update(its_lease).get_result(connection).optional()?;
    let now: i64 = database_now().get_result(connection)?;
    let row = Row {
        id: id.to_owned(),
        address: beat.address.clone(),
        version: beat.version.clone(),
        first_beat: now,
        last_beat: now,
        expires: now.saturating_add(millis(beat.lease)),
    };
    let insert = diesel::insert_into(process::table).values(&row);
    upsert::<NextBeat, _>(insert).execute(connection)?;
    let forgotten = process::table.filter(process::last_beat.lt(now - FORGOTTEN_AFTER));
    diesel::delete(forgotten).execute(connection)?;
    Ok(if until.is_some_and(|until| until > now) { Pulse::Kept } else { Pulse::Lapsed })
}

pub(super) fn say_goodbye(
    connection: &mut WebConnection,
    id: &ProcessId,
) -> Result<(), RegistryError> {
    diesel::delete(process::table.find(id.as_str())).execute(connection)?;
    Ok(())
}

pub(super) fn processes(connection: &mut WebConnection) -> Result<Vec<ProcessRow>, RegistryError> {
    let now: i64 = database_now().get_result(connection)?;
    let rows: Vec<Row> =
        process::table.order(process::id).select(Row::as_select()).load(connection)?;
    let read = |row: Row| {
        Ok(ProcessRow {
            process: process_id(&row.id)?,
            address: row.address,
            version: row.version,
            age: span(now - row.first_beat),
            silent_for: span(now - row.last_beat),
            lives: row.expires > now,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Whether a process's lease runs. Locked: it cannot be renewed before this transaction is over.
fn lives_for_sure(connection: &mut WebConnection, id: &str) -> Result<bool, RegistryError> {
    let its_lease = process::table.find(id).select(process::expires);
    let until: Option<i64> = for_update(its_lease).get_result(connection).optional()?;
    let now: i64 = database_now().get_result(connection)?;
    Ok(until.is_some_and(|until| until > now))
}

// ------------------------------------------------------------------------------------------ owners

pub(super) fn claim(
    connection: &mut WebConnection,
    microgrid: &MicrogridId,
    me: &ProcessId,
) -> Result<Claimed, RegistryError> {
    let until: Option<i64> = process::table
        .find(me.as_str())
        .select(process::expires)
        .get_result(connection)
        .optional()?;
    let its_owner = microgrid_owner::table
        .find(microgrid.as_str())
        .select((microgrid_owner::process_id, microgrid_owner::epoch));
    let known: Option<(Option<String>, i64)> =
        for_update(its_owner).get_result(connection).optional()?;
    let now: i64 = database_now().get_result(connection)?;
    if until.is_none_or(|until| until <= now) {
        return Ok(Claimed::NotAlive);
    }
    let tenure = |process: &ProcessId, epoch: i64| {
        let epoch = epoch_of(microgrid.as_str(), epoch)?;
        Ok::<_, RegistryError>(Tenure {
            microgrid: microgrid.clone(),
            process: process.clone(),
            epoch,
        })
    };
    let Some((owner, epoch)) = known else {
        // Another that inserts it at this moment makes this one be done again.
        diesel::insert_into(microgrid_owner::table)
            .values((
                microgrid_owner::microgrid_id.eq(microgrid.as_str()),
                microgrid_owner::process_id.eq(Some(me.as_str())),
                microgrid_owner::epoch.eq(1),
            ))
            .execute(connection)?;
        return Ok(Claimed::Taken(tenure(me, 1)?));
    };
    if let Some(owner) = owner {
        if owner == me.as_str() {
            return Ok(Claimed::Taken(tenure(me, epoch)?));
        }
        if lives_for_sure(connection, &owner)? {
            return Ok(Claimed::Held(tenure(&process_id(&owner)?, epoch)?));
        }
    }
    diesel::update(microgrid_owner::table.find(microgrid.as_str()))
        .set((
            microgrid_owner::process_id.eq(Some(me.as_str())),
            microgrid_owner::epoch.eq(epoch + 1),
        ))
        .execute(connection)?;
    Ok(Claimed::Taken(tenure(me, epoch + 1)?))
}

pub(super) fn release(
    connection: &mut WebConnection,
    tenure: &Tenure,
) -> Result<(), RegistryError> {
    let Ok(epoch) = i64::try_from(tenure.epoch.0) else { return Ok(()) };
    let is_it = microgrid_owner::table
        .find(tenure.microgrid.as_str())
        .filter(microgrid_owner::process_id.eq(tenure.process.as_str()))
        .filter(microgrid_owner::epoch.eq(epoch));
    diesel::update(is_it)
        .set(microgrid_owner::process_id.eq(None::<String>))
        .execute(connection)?;
    Ok(())
}

pub(super) fn tenures(
    connection: &mut WebConnection,
    process: &ProcessId,
) -> Result<Vec<Tenure>, RegistryError> {
    let rows: Vec<(String, i64)> = microgrid_owner::table
        .filter(microgrid_owner::process_id.eq(process.as_str()))
        .order(microgrid_owner::microgrid_id)
        .select((microgrid_owner::microgrid_id, microgrid_owner::epoch))
        .load(connection)?;
    let read = |(microgrid, epoch): (String, i64)| {
        Ok(Tenure {
            epoch: epoch_of(&microgrid, epoch)?,
            microgrid: microgrid_id(&microgrid)?,
            process: process.clone(),
        })
    };
    rows.into_iter().map(read).collect()
}

pub(super) fn ownerless(
    connection: &mut WebConnection,
    limit: usize,
) -> Result<Vec<MicrogridId>, RegistryError> {
    let now: i64 = database_now().get_result(connection)?;
    let its_process = process::table
        .filter(process::id.nullable().eq(microgrid_owner::process_id))
        .filter(process::expires.gt(now));
    let ids: Vec<String> = microgrid_owner::table
        .filter(not(exists(its_process)))
        .order(microgrid_owner::microgrid_id)
        .select(microgrid_owner::microgrid_id)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .load(connection)?;
    ids.iter().map(|id| microgrid_id(id)).collect()
}

pub(super) fn owner(
    connection: &mut WebConnection,
    microgrid: &MicrogridId,
) -> Result<Option<OwnerRow>, RegistryError> {
    let known: Option<(Option<String>, i64)> = microgrid_owner::table
        .find(microgrid.as_str())
        .select((microgrid_owner::process_id, microgrid_owner::epoch))
        .get_result(connection)
        .optional()?;
    let Some((process, epoch)) = known else { return Ok(None) };
    let now: i64 = database_now().get_result(connection)?;
    let mut lives = false;
    if let Some(process) = &process {
        let until: Option<i64> = process::table
            .find(process)
            .select(process::expires)
            .get_result(connection)
            .optional()?;
        lives = until.is_some_and(|until| until > now);
    }
    Ok(Some(OwnerRow {
        microgrid: microgrid.clone(),
        process: process.as_deref().map(process_id).transpose()?,
        epoch: epoch_of(microgrid.as_str(), epoch)?,
        lives,
    }))
}

pub(super) fn owned_counts(
    connection: &mut WebConnection,
) -> Result<Vec<(ProcessId, u64)>, RegistryError> {
    let rows: Vec<(Option<String>, i64)> = microgrid_owner::table
        .filter(microgrid_owner::process_id.is_not_null())
        .group_by(microgrid_owner::process_id)
        .select((microgrid_owner::process_id, count_star()))
        .load(connection)?;
    let named = rows.into_iter().filter_map(|(process, count)| Some((process?, count)));
    named.map(|(id, count)| Ok((process_id(&id)?, u64::try_from(count).unwrap_or(0)))).collect()
}

// ------------------------------------------------------------------------------------------- fence

/// Whether a tenure is still the newest. It stays so until this transaction is over: a take-over waits.
pub(super) fn holds(
    connection: &mut WebConnection,
    tenure: &Tenure,
) -> Result<bool, RegistryError> {
    let its_owner = microgrid_owner::table
        .find(tenure.microgrid.as_str())
        .select((microgrid_owner::process_id, microgrid_owner::epoch));
    let known: Option<(Option<String>, i64)> =
        for_share(its_owner).get_result(connection).optional()?;
    Ok(known.is_some_and(|(process, epoch)| {
        process.as_deref() == Some(tenure.process.as_str())
            && u64::try_from(epoch) == Ok(tenure.epoch.0)
    }))
}

/// Goes on only while all these tenures are the newest.
pub(super) fn fence(
    connection: &mut WebConnection,
    tenures: &[Tenure],
) -> Result<(), RegistryError> {
    for tenure in tenures {
        if !holds(connection, tenure)? {
            return Err(RegistryError::Fenced { microgrid: tenure.microgrid.clone() });
        }
    }
    Ok(())
}
