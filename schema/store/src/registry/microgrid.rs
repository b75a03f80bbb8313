//! Microgrids.

use diesel::prelude::*;
use memcloud_domain::{MicrogridId, PowerLimits, Timestamp, Watts};

use super::connection::WebConnection;
use super::dialect::for_update;
use super::schema::{api_token, enrolment_token, hem, job, microgrid};
use super::{Listing, PageRequest, RegistryError};

/// A microgrid, as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Microgrid {
    /// Its id.
    pub id: MicrogridId,
    /// Its name, for people.
    pub name: String,
    /// Its time zone, an IANA name.
    pub time_zone: String,
    /// What it may draw and feed at its connection.
    pub limits: PowerLimits,
    /// When it was made.
    pub created: Timestamp,
}

/// A microgrid to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMicrogrid {
    /// Its id.
    pub id: MicrogridId,
    /// Its name, for people.
    pub name: String,
    /// Its time zone, an IANA name; absent: `UTC`.
    pub time_zone: Option<String>,
    /// What it may draw and feed at its connection.
    pub limits: PowerLimits,
}

/// What is to change of a microgrid; absent: stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MicrogridChange {
    /// Its name.
    pub name: Option<String>,
    /// Its time zone.
    pub time_zone: Option<String>,
    /// The most it may import; `Some(None)` lifts the limit.
    pub import_watts: Option<Option<Watts>>,
    /// The most it may export; `Some(None)` lifts the limit.
    pub export_watts: Option<Option<Watts>>,
}

/// A row of `microgrid`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = microgrid)]
struct Row {
    id: String,
    name: String,
    time_zone: String,
    import_limit_watts: Option<f64>,
    export_limit_watts: Option<f64>,
    created: i64,
}

impl TryFrom<Row> for Microgrid {
    type Error = RegistryError;

    fn try_from(row: Row) -> Result<Self, RegistryError> {
        Ok(Self {
            id: MicrogridId::new(&row.id)
                .map_err(|error| RegistryError::corrupt("microgrid", &row.id, error))?,
            name: row.name,
            time_zone: row.time_zone,
            limits: PowerLimits {
                import_watts: row.import_limit_watts.map(Watts),
                export_watts: row.export_limit_watts.map(Watts),
            },
            created: Timestamp(row.created),
        })
    }
}

#[derive(AsChangeset)]
#[diesel(table_name = microgrid)]
struct Changes<'a> {
    name: Option<&'a str>,
    time_zone: Option<&'a str>,
    import_limit_watts: Option<Option<f64>>,
    export_limit_watts: Option<Option<f64>>,
}

pub(super) fn insert(
    connection: &mut WebConnection,
    microgrid: &Microgrid,
) -> Result<(), RegistryError> {
    let row = Row {
        id: microgrid.id.to_string(),
        name: microgrid.name.clone(),
        time_zone: microgrid.time_zone.clone(),
        import_limit_watts: microgrid.limits.import_watts.map(Watts::value),
        export_limit_watts: microgrid.limits.export_watts.map(Watts::value),
        created: microgrid.created.as_millis(),
    };
    diesel::insert_into(microgrid::table).values(&row).execute(connection).map_err(|error| {
        RegistryError::of_insert(error, "microgrid", microgrid.id.as_str(), None)
    })?;
    Ok(())
}

pub(super) fn find(
    connection: &mut WebConnection,
    id: &MicrogridId,
) -> Result<Microgrid, RegistryError> {
    microgrid::table
        .find(id.as_str())
        .select(Row::as_select())
        .get_result(connection)
        .optional()?
        .ok_or_else(|| RegistryError::not_found("microgrid", id))?
        .try_into()
}

/// A microgrid of which nobody else changes anything, or what it has, until the transaction ends: HEMs, jobs
/// and tokens can be counted.
pub(super) fn find_to_change(
    connection: &mut WebConnection,
    id: &MicrogridId,
) -> Result<Microgrid, RegistryError> {
    for_update(microgrid::table.find(id.as_str()).select(Row::as_select()))
        .get_result(connection)
        .optional()?
        .ok_or_else(|| RegistryError::not_found("microgrid", id))?
        .try_into()
}

pub(super) fn list(
    connection: &mut WebConnection,
    page: &PageRequest,
) -> Result<Listing<Microgrid>, RegistryError> {
    let rows: Vec<Row> = microgrid::table
        .filter(microgrid::id.gt(page.beyond()))
        .order(microgrid::id)
        .limit(page.rows())
        .select(Row::as_select())
        .load(connection)?;
    let items = rows.into_iter().map(Microgrid::try_from).collect::<Result<_, _>>()?;
    Ok(Listing::of(items, page, |item| item.id.to_string()))
}

pub(super) fn update(
    connection: &mut WebConnection,
    id: &MicrogridId,
    change: &MicrogridChange,
) -> Result<Microgrid, RegistryError> {
    let changes = Changes {
        name: change.name.as_deref(),
        time_zone: change.time_zone.as_deref(),
        import_limit_watts: change.import_watts.map(|limit| limit.map(Watts::value)),
        export_limit_watts: change.export_watts.map(|limit| limit.map(Watts::value)),
    };
    if *change != MicrogridChange::default() {
        diesel::update(microgrid::table.find(id.as_str())).set(&changes).execute(connection)?;
    }
    find(connection, id)
}

pub(super) fn delete(
    connection: &mut WebConnection,
    id: &MicrogridId,
) -> Result<(), RegistryError> {
    find_to_change(connection, id)?;
    let hems: i64 =
        hem::table.filter(hem::microgrid_id.eq(id.as_str())).count().get_result(connection)?;
    let jobs: i64 =
        job::table.filter(job::microgrid_id.eq(id.as_str())).count().get_result(connection)?;
    if hems > 0 || jobs > 0 {
        let by = [counted(hems, "HEM"), counted(jobs, "job")].into_iter().flatten();
        return Err(RegistryError::InUse {
            what: "microgrid",
            id: id.to_string(),
            by: by.collect::<Vec<_>>().join(" and "),
        });
    }
    diesel::delete(enrolment_token::table.filter(enrolment_token::microgrid_id.eq(id.as_str())))
        .execute(connection)?;
    diesel::delete(api_token::table.filter(api_token::microgrid_id.eq(id.as_str())))
        .execute(connection)?;
    diesel::delete(microgrid::table.find(id.as_str())).execute(connection)?;
    Ok(())
}

fn counted(count: i64, noun: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {noun}")),
        many => Some(format!("{many} {noun}s")),
    }
}
