//! Worker jobs and their checkpoints.

use diesel::prelude::*;
use memcloud_domain::{
    JobCheckpoint, JobId, JobLogLine, JobRecord, JobResult, JobState, MicrogridId, Tenure,
    Timestamp,
};

use super::connection::WebConnection;
use super::dialect::{Becomes, Conflict, for_update, upsert};
use super::schema::{job, job_checkpoint, job_log, job_result};
use super::{Listing, PageRequest, RegistryError, cluster, microgrid};

/// A job to be deployed; it starts as running.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Where it runs.
    pub microgrid: MicrogridId,
    /// The app that it runs.
    pub app: String,
    /// Its configuration, as validated by the app.
    pub configuration: serde_json::Value,
    /// Who wins where two jobs want different things; higher wins.
    pub priority: i32,
    /// When.
    pub created: Timestamp,
}

/// What is to change of a job; absent: stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobChange {
    /// Its configuration, as validated by the app.
    pub configuration: Option<serde_json::Value>,
    /// Its priority.
    pub priority: Option<i32>,
    /// Where it stands: `Stopped` stops it, `Running` starts it (again, after a failure).
    pub state: Option<JobState>,
}

/// A checkpoint with what goes into the same transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointToSave {
    /// Which job.
    pub job: JobId,
    /// Where it stands.
    pub checkpoint: JobCheckpoint,
    /// What it found since the last one; each replaces the one of the same kind, subject and start.
    pub results: Vec<JobResult>,
    /// What it said since the last one.
    pub log: Vec<JobLogLine>,
    /// In a cluster: under which tenure. What is written under one that is over counts for nothing.
    pub tenure: Option<Tenure>,
}

/// What became of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It is on disk; of a deleted job nothing had to be.
    Written,
    /// Its tenure is over: nothing of it was written.
    Fenced,
}

/// How many jobs a microgrid may have.
const MOST_PER_MICROGRID: usize = 256;

/// A row of `job`.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = job)]
struct Row {
    id: String,
    microgrid_id: String,
    app: String,
    configuration: String,
    priority: i32,
    created: i64,
    state: String,
}

impl TryFrom<Row> for JobRecord {
    type Error = RegistryError;

    fn try_from(row: Row) -> Result<Self, RegistryError> {
        let corrupt = |reason: String| RegistryError::corrupt("job", &row.id, reason);
        Ok(Self {
            id: JobId::new(&row.id).map_err(|error| corrupt(error.to_string()))?,
            microgrid: MicrogridId::new(&row.microgrid_id)
                .map_err(|error| corrupt(error.to_string()))?,
            configuration: serde_json::from_str(&row.configuration)
                .map_err(|error| corrupt(format!("its configuration: {error}")))?,
            state: serde_json::from_str(&row.state)
                .map_err(|error| corrupt(format!("its state: {error}")))?,
            app: row.app,
            priority: row.priority,
            created: Timestamp(row.created),
        })
    }
}

/// JSON, which everything that is kept as JSON can be written as.
pub(super) fn to_json(
    what: &'static str,
    value: &impl serde::Serialize,
) -> Result<String, RegistryError> {
    serde_json::to_string(value)
        .map_err(|error| RegistryError::Invalid { what, reason: error.to_string() })
}

pub(super) fn insert(
    connection: &mut WebConnection,
    new: &NewJob,
) -> Result<JobRecord, RegistryError> {
    microgrid::find_to_change(connection, &new.microgrid)?;
    let count: i64 = job::table
        .filter(job::microgrid_id.eq(new.microgrid.as_str()))
        .count()
        .get_result(connection)?;
    if usize::try_from(count).is_ok_and(|count| count >= MOST_PER_MICROGRID) {
        return Err(RegistryError::TooMany {
            what: "jobs in this microgrid",
            limit: MOST_PER_MICROGRID,
        });
    }
    let row = Row {
        id: new.id.to_string(),
        microgrid_id: new.microgrid.to_string(),
        app: new.app.clone(),
        configuration: to_json("configuration", &new.configuration)?,
        priority: new.priority,
        created: new.created.as_millis(),
        state: to_json("state", &JobState::Running)?,
    };
    diesel::insert_into(job::table).values(&row).execute(connection).map_err(|error| {
        RegistryError::of_insert(error, "job", &row.id, Some(&row.microgrid_id))
    })?;
    row.try_into()
}

pub(super) fn find(connection: &mut WebConnection, id: &JobId) -> Result<JobRecord, RegistryError> {
    job::table
        .find(id.as_str())
        .select(Row::as_select())
        .get_result(connection)
        .optional()?
        .ok_or_else(|| RegistryError::not_found("job", id))?
        .try_into()
}

/// A job of which nobody else changes anything, or what it has, until the transaction ends: its log can be
/// numbered, and it is not deleted meanwhile.
pub(super) fn find_to_change(
    connection: &mut WebConnection,
    id: &JobId,
) -> Result<JobRecord, RegistryError> {
    for_update(job::table.find(id.as_str()).select(Row::as_select()))
        .get_result(connection)
        .optional()?
        .ok_or_else(|| RegistryError::not_found("job", id))?
        .try_into()
}

pub(super) fn exists(connection: &mut WebConnection, id: &JobId) -> Result<bool, RegistryError> {
    let count: i64 = job::table.filter(job::id.eq(id.as_str())).count().get_result(connection)?;
    Ok(count > 0)
}

pub(super) fn list(
    connection: &mut WebConnection,
    microgrid: Option<&MicrogridId>,
    page: &PageRequest,
) -> Result<Listing<JobRecord>, RegistryError> {
    let mut query = job::table
        .filter(job::id.gt(page.beyond()))
        .order(job::id)
        .limit(page.rows())
        .select(Row::as_select())
        .into_boxed();
    if let Some(microgrid) = microgrid {
        microgrid::find(connection, microgrid)?;
        query = query.filter(job::microgrid_id.eq(microgrid.as_str()));
    }
    let rows: Vec<Row> = query.load(connection)?;
    let items = rows.into_iter().map(JobRecord::try_from).collect::<Result<_, _>>()?;
    Ok(Listing::of(items, page, |item| item.id.to_string()))
}

pub(super) fn list_all_of(
    connection: &mut WebConnection,
    microgrid: &MicrogridId,
) -> Result<Vec<JobRecord>, RegistryError> {
    let rows: Vec<Row> = job::table
        .filter(job::microgrid_id.eq(microgrid.as_str()))
        .order(job::id)
        .select(Row::as_select())
        .load(connection)?;
    rows.into_iter().map(JobRecord::try_from).collect()
}

pub(super) fn microgrids_with_jobs(
    connection: &mut WebConnection,
) -> Result<Vec<MicrogridId>, RegistryError> {
    let ids: Vec<String> = job::table
        .select(job::microgrid_id)
        .distinct()
        .order(job::microgrid_id)
        .load(connection)?;
    ids.iter()
        .map(|id| {
            MicrogridId::new(id).map_err(|error| RegistryError::corrupt("microgrid", id, error))
        })
        .collect()
}

pub(super) fn update(
    connection: &mut WebConnection,
    id: &JobId,
    change: &JobChange,
) -> Result<JobRecord, RegistryError> {
    let mut record = find_to_change(connection, id)?;
    if let Some(configuration) = &change.configuration {
        record.configuration.clone_from(configuration);
    }
    if let Some(priority) = change.priority {
        record.priority = priority;
    }
    if let Some(state) = &change.state {
        record.state.clone_from(state);
    }
    diesel::update(job::table.find(id.as_str()))
        .set((
            job::configuration.eq(to_json("configuration", &record.configuration)?),
            job::priority.eq(record.priority),
            job::state.eq(to_json("state", &record.state)?),
        ))
        .execute(connection)?;
    Ok(record)
}

pub(super) fn record_state(
    connection: &mut WebConnection,
    id: &JobId,
    state: &JobState,
    tenure: Option<&Tenure>,
) -> Result<(), RegistryError> {
    cluster::fence(connection, tenure.map_or(&[], std::slice::from_ref))?;
    diesel::update(job::table.find(id.as_str()))
        .set(job::state.eq(to_json("state", state)?))
        .execute(connection)?;
    Ok(())
}

pub(super) fn delete(
    connection: &mut WebConnection,
    id: &JobId,
) -> Result<JobRecord, RegistryError> {
    let record = find_to_change(connection, id)?;
    diesel::delete(job_checkpoint::table.find(id.as_str())).execute(connection)?;
    diesel::delete(job_log::table.filter(job_log::job_id.eq(id.as_str()))).execute(connection)?;
    diesel::delete(job_result::table.filter(job_result::job_id.eq(id.as_str())))
        .execute(connection)?;
    super::api_token::revoke_of_job(connection, id)?;
    diesel::delete(job::table.find(id.as_str())).execute(connection)?;
    Ok(record)
}

pub(super) fn checkpoint(
    connection: &mut WebConnection,
    id: &JobId,
) -> Result<Option<JobCheckpoint>, RegistryError> {
    let row: Option<(String, String)> = job_checkpoint::table
        .find(id.as_str())
        .select((job_checkpoint::cursors, job_checkpoint::state))
        .get_result(connection)
        .optional()?;
    let Some((cursors, state)) = row else { return Ok(None) };
    let corrupt =
        |error: serde_json::Error| RegistryError::corrupt("checkpoint", id.as_str(), error);
    Ok(Some(JobCheckpoint {
        cursors: serde_json::from_str(&cursors).map_err(corrupt)?,
        state: serde_json::from_str(&state).map_err(corrupt)?,
    }))
}

/// A checkpoint takes the place of the one before.
struct NextCheckpoint;

impl Conflict for NextCheckpoint {
    const KEY: &'static str = "job_id";
    const COLUMNS: &'static [(&'static str, Becomes)] =
        &[("cursors", Becomes::New), ("state", Becomes::New)];
}

/// Writes a checkpoint with its results and log lines; of a deleted job nothing.
pub(super) fn save_checkpoint(
    connection: &mut WebConnection,
    to_save: &CheckpointToSave,
) -> Result<Saved, RegistryError> {
    if let Some(tenure) = &to_save.tenure
        && !cluster::holds(connection, tenure)?
    {
        return Ok(Saved::Fenced);
    }
    let its_id = job::table.find(to_save.job.as_str()).select(job::id);
    let its_id: Option<String> = for_update(its_id).get_result(connection).optional()?;
    if its_id.is_none() {
        return Ok(Saved::Written);
    }
    let insert = diesel::insert_into(job_checkpoint::table).values((
        job_checkpoint::job_id.eq(to_save.job.as_str()),
        job_checkpoint::cursors.eq(to_json("cursors", &to_save.checkpoint.cursors)?),
        job_checkpoint::state.eq(to_json("state", &to_save.checkpoint.state)?),
    ));
    upsert::<NextCheckpoint, _>(insert).execute(connection)?;
    super::job_result::write(connection, &to_save.job, &to_save.results)?;
    super::job_log::append(connection, &to_save.job, &to_save.log)?;
    Ok(Saved::Written)
}
