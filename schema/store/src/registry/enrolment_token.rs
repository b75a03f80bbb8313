//! Enrolment tokens: with one, HEMs without a key join a microgrid.

use diesel::prelude::*;
use memcloud_domain::{MicrogridId, Timestamp};
use uuid::Uuid;

use super::connection::WebConnection;
use super::dialect::for_update;
use super::schema::enrolment_token;
use super::{Listing, PageRequest, RegistryError, SecretHash, microgrid};

/// An enrolment token, as kept: without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    /// Its id.
    pub id: Uuid,
    /// Which microgrid it leads into.
    pub microgrid: MicrogridId,
    /// How many HEMs may enrol with it.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// From when on it is worthless.
    pub expires: Timestamp,
    /// When it was made.
    pub created: Timestamp,
}

/// An enrolment token to be made.
#[derive(Debug, Clone)]
pub struct NewEnrolmentToken {
    /// Its id.
    pub id: Uuid,
    /// Which microgrid it leads into.
    pub microgrid: MicrogridId,
    /// The token's hash.
    pub hash: SecretHash,
    /// How many HEMs may enrol with it.
    pub uses: u32,
    /// From when on it is worthless.
    pub expires: Timestamp,
    /// When.
    pub created: Timestamp,
}

/// How many enrolment tokens a microgrid may have.
const MOST_PER_MICROGRID: usize = 1_000;

/// A row of `enrolment_token`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = enrolment_token)]
struct Row {
    id: String,
    microgrid_id: String,
    hash: Vec<u8>,
    uses: i64,
    used: i64,
    expires: i64,
    created: i64,
}

impl TryFrom<Row> for EnrolmentToken {
    type Error = RegistryError;

    fn try_from(row: Row) -> Result<Self, RegistryError> {
        let corrupt = |reason: String| RegistryError::corrupt("enrolment token", &row.id, reason);
        let count = |count: i64| u32::try_from(count).map_err(|error| corrupt(error.to_string()));
        Ok(Self {
            id: Uuid::parse_str(&row.id).map_err(|error| corrupt(error.to_string()))?,
            microgrid: MicrogridId::new(&row.microgrid_id)
                .map_err(|error| corrupt(error.to_string()))?,
            uses: count(row.uses)?,
            used: count(row.used)?,
            expires: Timestamp(row.expires),
            created: Timestamp(row.created),
        })
    }
}

pub(super) fn insert(
    connection: &mut WebConnection,
    new: &NewEnrolmentToken,
) -> Result<EnrolmentToken, RegistryError> {
    microgrid::find_to_change(connection, &new.microgrid)?;
    let of_microgrid =
        enrolment_token::table.filter(enrolment_token::microgrid_id.eq(new.microgrid.as_str()));
    if count_of(connection, &new.microgrid)? >= MOST_PER_MICROGRID {
        // Those that are worthless make room.
        diesel::delete(of_microgrid.filter(enrolment_token::expires.le(new.created.as_millis())))
            .execute(connection)?;
        if count_of(connection, &new.microgrid)? >= MOST_PER_MICROGRID {
            return Err(RegistryError::TooMany {
                what: "enrolment tokens of this microgrid",
                limit: MOST_PER_MICROGRID,
            });
        }
    }
    let row = Row {
        id: new.id.to_string(),
        microgrid_id: new.microgrid.to_string(),
        hash: new.hash.as_bytes().to_vec(),
        uses: i64::from(new.uses),
        used: 0,
        expires: new.expires.as_millis(),
        created: new.created.as_millis(),
    };
    diesel::insert_into(enrolment_token::table).values(&row).execute(connection).map_err(
        |error| {
            RegistryError::of_insert(error, "enrolment token", &row.id, Some(&row.microgrid_id))
        },
    )?;
    row.try_into()
}

fn count_of(
    connection: &mut WebConnection,
    microgrid: &MicrogridId,
) -> Result<usize, RegistryError> {
    let count: i64 = enrolment_token::table
        .filter(enrolment_token::microgrid_id.eq(microgrid.as_str()))
        .count()
        .get_result(connection)?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

pub(super) fn list(
    connection: &mut WebConnection,
    microgrid: &MicrogridId,
    page: &PageRequest,
) -> Result<Listing<EnrolmentToken>, RegistryError> {
    microgrid::find(connection, microgrid)?;
    let rows: Vec<Row> = enrolment_token::table
        .filter(enrolment_token::microgrid_id.eq(microgrid.as_str()))
        .filter(enrolment_token::id.gt(page.beyond()))
        .order(enrolment_token::id)
        .limit(page.rows())
        .select(Row::as_select())
        .load(connection)?;
    let items = rows.into_iter().map(EnrolmentToken::try_from).collect::<Result<_, _>>()?;
    Ok(Listing::of(items, page, |item| item.id.to_string()))
}

pub(super) fn delete(
    connection: &mut WebConnection,
    microgrid: &MicrogridId,
    id: Option<Uuid>,
) -> Result<usize, RegistryError> {
    microgrid::find(connection, microgrid)?;
    let of_microgrid =
        enrolment_token::table.filter(enrolment_token::microgrid_id.eq(microgrid.as_str()));
    let Some(id) = id else { return Ok(diesel::delete(of_microgrid).execute(connection)?) };
    match diesel::delete(of_microgrid.filter(enrolment_token::id.eq(id.to_string())))
        .execute(connection)?
    {
        0 => Err(RegistryError::not_found("enrolment token", id)),
        deleted => Ok(deleted),
    }
}

pub(super) fn find_by_hash(
    connection: &mut WebConnection,
    hash: &SecretHash,
) -> Result<Option<EnrolmentToken>, RegistryError> {
    // What the index's comparison takes tells of a SHA-256 that nobody can aim; the last word has a
    // comparison in constant time.
    let row: Option<Row> = enrolment_token::table
        .filter(enrolment_token::hash.eq(hash.as_bytes().as_slice()))
        .select(Row::as_select())
        .get_result(connection)
        .optional()?;
    row.filter(|row| hash.matches(&row.hash)).map(EnrolmentToken::try_from).transpose()
}

/// The same, when its uses are to be counted: nobody else does so until the transaction ends.
pub(super) fn find_by_hash_to_change(
    connection: &mut WebConnection,
    hash: &SecretHash,
) -> Result<Option<EnrolmentToken>, RegistryError> {
    let by_hash = enrolment_token::table
        .filter(enrolment_token::hash.eq(hash.as_bytes().as_slice()))
        .select(Row::as_select());
    let row: Option<Row> = for_update(by_hash).get_result(connection).optional()?;
    row.filter(|row| hash.matches(&row.hash)).map(EnrolmentToken::try_from).transpose()
}

pub(super) fn count_use(
    connection: &mut WebConnection,
    token: &EnrolmentToken,
) -> Result<(), RegistryError> {
    diesel::update(enrolment_token::table.find(token.id.to_string()))
        .set(enrolment_token::used.eq(enrolment_token::used + 1))
        .execute(connection)?;
    Ok(())
}
