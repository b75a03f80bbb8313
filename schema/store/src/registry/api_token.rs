//! API tokens: what programs and the command line sign in with.

use diesel::prelude::*;
use memcloud_domain::{Access, JobId, MicrogridId, Role, Timestamp};
use uuid::Uuid;

use super::connection::WebConnection;
use super::dialect::for_update;
use super::schema::api_token;
use super::{Listing, PageRequest, RegistryError, SecretHash, job};

/// An API token, as kept: without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id.
    pub id: Uuid,
    /// Its name, for people.
    pub name: String,
    /// What it may do.
    pub access: Access,
    /// The one job that it wishes for; absent: it is no job's.
    pub job: Option<JobId>,
    /// When it was made.
    pub created: Timestamp,
}

/// An API token to be made.
#[derive(Debug, Clone)]
pub struct NewApiToken {
    /// Its id.
    pub id: Uuid,
    /// Its name, for people.
    pub name: String,
    /// The token's hash.
    pub hash: SecretHash,
    /// What it may do.
    pub access: Access,
    /// The one job that it wishes for.
    pub job: Option<JobId>,
    /// When.
    pub created: Timestamp,
}

/// How many API tokens there may be.
const MOST: usize = 10_000;

/// A row of `api_token`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = api_token)]
struct Row {
    id: String,
    name: String,
    hash: Vec<u8>,
    role: String,
    microgrid_id: Option<String>,
    created: i64,
    job_id: Option<String>,
}

impl TryFrom<Row> for ApiToken {
    type Error = RegistryError;

    fn try_from(row: Row) -> Result<Self, RegistryError> {
        let corrupt = |reason: String| RegistryError::corrupt("API token", &row.id, reason);
        let role = [Role::Viewer, Role::Job, Role::Operator, Role::Admin]
            .into_iter()
            .find(|role| role.as_str() == row.role)
            .ok_or_else(|| corrupt(format!("its role \"{}\"", row.role)))?;
        let microgrid = row
            .microgrid_id
            .as_deref()
            .map(MicrogridId::new)
            .transpose()
            .map_err(|error| corrupt(error.to_string()))?;
        let job = row
            .job_id
            .as_deref()
            .map(JobId::new)
            .transpose()
            .map_err(|error| corrupt(error.to_string()))?;
        Ok(Self {
            id: Uuid::parse_str(&row.id).map_err(|error| corrupt(error.to_string()))?,
            name: row.name,
            access: Access { role, microgrid },
            job,
            created: Timestamp(row.created),
        })
    }
}

pub(super) fn insert(
    connection: &mut WebConnection,
    new: &NewApiToken,
) -> Result<ApiToken, RegistryError> {
    // Processes that make tokens at the same moment may exceed the bound by one each.
    let count: i64 = api_token::table.count().get_result(connection)?;
    if usize::try_from(count).is_ok_and(|count| count >= MOST) {
        return Err(RegistryError::TooMany { what: "API tokens", limit: MOST });
    }
    if let Some(job) = &new.job {
        job::find_to_change(connection, job)?;
    }
    let row = Row {
        id: new.id.to_string(),
        name: new.name.clone(),
        hash: new.hash.as_bytes().to_vec(),
        role: new.access.role.as_str().to_owned(),
        microgrid_id: new.access.microgrid.as_ref().map(MicrogridId::to_string),
        created: new.created.as_millis(),
        job_id: new.job.as_ref().map(JobId::to_string),
    };
    diesel::insert_into(api_token::table).values(&row).execute(connection).map_err(|error| {
        RegistryError::of_insert(error, "API token", &row.id, row.microgrid_id.as_deref())
    })?;
    row.try_into()
}

pub(super) fn list(
    connection: &mut WebConnection,
    page: &PageRequest,
) -> Result<Listing<ApiToken>, RegistryError> {
    let rows: Vec<Row> = api_token::table
        .filter(api_token::id.gt(page.beyond()))
        .order(api_token::id)
        .limit(page.rows())
        .select(Row::as_select())
        .load(connection)?;
    let items = rows.into_iter().map(ApiToken::try_from).collect::<Result<_, _>>()?;
    Ok(Listing::of(items, page, |item| item.id.to_string()))
}

pub(super) fn revoke(connection: &mut WebConnection, id: Uuid) -> Result<ApiToken, RegistryError> {
    let row: Row = for_update(api_token::table.find(id.to_string()).select(Row::as_select()))
        .get_result(connection)
        .optional()?
        .ok_or_else(|| RegistryError::not_found("API token", id))?;
    diesel::delete(api_token::table.find(id.to_string())).execute(connection)?;
    row.try_into()
}

pub(super) fn revoke_of_job(
    connection: &mut WebConnection,
    job: &JobId,
) -> Result<Vec<Uuid>, RegistryError> {
    let of_job = api_token::job_id.eq(job.as_str());
    let ids: Vec<String> =
        for_update(api_token::table.filter(of_job).select(api_token::id)).load(connection)?;
    diesel::delete(api_token::table.filter(of_job)).execute(connection)?;
    ids.iter()
        .map(|id| {
            Uuid::parse_str(id).map_err(|error| RegistryError::corrupt("API token", id, error))
        })
        .collect()
}

pub(super) fn find_by_hash(
    connection: &mut WebConnection,
    hash: &SecretHash,
) -> Result<Option<ApiToken>, RegistryError> {
    // As for enrolment tokens, the last word has a comparison in constant time.
    let row: Option<Row> = api_token::table
        .filter(api_token::hash.eq(hash.as_bytes().as_slice()))
        .select(Row::as_select())
        .get_result(connection)
        .optional()?;
    row.filter(|row| hash.matches(&row.hash)).map(ApiToken::try_from).transpose()
}
