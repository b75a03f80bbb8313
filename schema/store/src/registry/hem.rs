//! HEMs, their device keys and what they declared.

use diesel::prelude::*;
use memcloud_domain::{HemId, MicrogridId, NodeDeclaration, PowerLimits, Timestamp, Watts};

use super::connection::WebConnection;
use super::dialect::for_update;
use super::schema::hem;
use super::{Listing, PageRequest, RegistryError, SecretHash, microgrid};

/// How a HEM's device key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Made, but never used: an enrolment of the same id may still replace it.
    Pending,
    /// The HEM has shown who it is at least once: only an admin changes its key.
    Established,
    /// Revoked: until it is rotated nobody comes in under this id, not by certificate either.
    Revoked,
}

impl KeyState {
    /// The state's name in REST.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Established => "established",
            Self::Revoked => "revoked",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Established, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// A HEM, as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Hem {
    /// Its id.
    pub id: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// Its name, for people.
    pub name: String,
    /// When it was registered or enrolled.
    pub created: Timestamp,
    /// Its firmware, as it named it last.
    pub firmware: Option<String>,
    /// Its nodes, as it declared them last.
    pub nodes: Vec<NodeDeclaration>,
    /// How its key stands.
    pub key: KeyState,
    /// What its home may draw and feed.
    pub limits: PowerLimits,
}

/// A HEM to be registered.
#[derive(Debug, Clone)]
pub struct NewHem {
    /// Its id.
    pub id: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// Its name, for people; absent: its id.
    pub name: Option<String>,
    /// The hash of its new key.
    pub key: SecretHash,
    /// When.
    pub created: Timestamp,
}

/// What is to change of a HEM; absent: stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HemChange {
    /// Its name.
    pub name: Option<String>,
    /// The most its home may import; `Some(None)` lifts the limit.
    pub import_watts: Option<Option<Watts>>,
    /// The most its home may export; `Some(None)` lifts the limit.
    pub export_watts: Option<Option<Watts>>,
}

/// A HEM with what only the rules of admission look at.
#[derive(Debug, Clone)]
pub(super) struct KeptHem {
    /// The HEM.
    pub(super) hem: Hem,
    /// Its key's hash; empty when revoked.
    pub(super) key_hash: Vec<u8>,
    /// The enrolment token that made its key, if one did.
    pub(super) enrolled_by: Option<String>,
}

/// A row of `hem`.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = hem, treat_none_as_null = true)]
struct Row {
    id: String,
    microgrid_id: String,
    name: String,
    created: i64,
    firmware: Option<String>,
    nodes: String,
    key_state: String,
    key_hash: Vec<u8>,
    enrolled_by: Option<String>,
    import_limit_watts: Option<f64>,
    export_limit_watts: Option<f64>,
}

impl TryFrom<Row> for KeptHem {
    type Error = RegistryError;

    fn try_from(row: Row) -> Result<Self, RegistryError> {
        let corrupt = |reason: String| RegistryError::corrupt("hem", &row.id, reason);
        Ok(Self {
            hem: Hem {
                id: HemId::new(&row.id).map_err(|error| corrupt(error.to_string()))?,
                microgrid: MicrogridId::new(&row.microgrid_id)
                    .map_err(|error| corrupt(error.to_string()))?,
                nodes: serde_json::from_str(&row.nodes)
                    .map_err(|error| corrupt(format!("its nodes: {error}")))?,
                key: KeyState::parse(&row.key_state)
                    .ok_or_else(|| corrupt(format!("its key's state \"{}\"", row.key_state)))?,
                name: row.name,
                created: Timestamp(row.created),
                firmware: row.firmware,
                limits: PowerLimits {
                    import_watts: row.import_limit_watts.map(Watts),
                    export_watts: row.export_limit_watts.map(Watts),
                },
            },
            key_hash: row.key_hash,
            enrolled_by: row.enrolled_by,
        })
    }
}

impl KeptHem {
    fn to_row(&self) -> Result<Row, RegistryError> {
        Ok(Row {
            id: self.hem.id.to_string(),
            microgrid_id: self.hem.microgrid.to_string(),
            name: self.hem.name.clone(),
            created: self.hem.created.as_millis(),
            firmware: self.hem.firmware.clone(),
            nodes: serde_json::to_string(&self.hem.nodes).map_err(|error| {
                RegistryError::Invalid { what: "nodes", reason: error.to_string() }
            })?,
            key_state: self.hem.key.as_str().to_owned(),
            key_hash: self.key_hash.clone(),
            enrolled_by: self.enrolled_by.clone(),
            import_limit_watts: self.hem.limits.import_watts.map(Watts::value),
            export_limit_watts: self.hem.limits.export_watts.map(Watts::value),
        })
    }
}

pub(super) fn insert(connection: &mut WebConnection, kept: &KeptHem) -> Result<(), RegistryError> {
    let row = kept.to_row()?;
    diesel::insert_into(hem::table).values(&row).execute(connection).map_err(|error| {
        RegistryError::of_insert(error, "hem", &row.id, Some(&row.microgrid_id))
    })?;
    Ok(())
}

/// Writes a HEM that was read, to change it, in the same transaction.
pub(super) fn save(connection: &mut WebConnection, kept: &KeptHem) -> Result<(), RegistryError> {
    let row = kept.to_row()?;
    diesel::update(hem::table.find(&row.id)).set(&row).execute(connection)?;
    Ok(())
}

pub(super) fn register(connection: &mut WebConnection, new: &NewHem) -> Result<Hem, RegistryError> {
    let kept = KeptHem {
        hem: Hem {
            id: new.id.clone(),
            microgrid: new.microgrid.clone(),
            name: new.name.clone().unwrap_or_else(|| new.id.to_string()),
            created: new.created,
            firmware: None,
            nodes: Vec::new(),
            key: KeyState::Pending,
            limits: PowerLimits::default(),
        },
        key_hash: new.key.as_bytes().to_vec(),
        enrolled_by: None,
    };
    insert(connection, &kept)?;
    Ok(kept.hem)
}

pub(super) fn find_kept(
    connection: &mut WebConnection,
    id: &HemId,
) -> Result<Option<KeptHem>, RegistryError> {
    hem::table
        .find(id.as_str())
        .select(Row::as_select())
        .get_result(connection)
        .optional()?
        .map(KeptHem::try_from)
        .transpose()
}

/// A HEM that nobody else changes until the transaction ends.
pub(super) fn find_kept_to_change(
    connection: &mut WebConnection,
    id: &HemId,
) -> Result<Option<KeptHem>, RegistryError> {
    for_update(hem::table.find(id.as_str()).select(Row::as_select()))
        .get_result(connection)
        .optional()?
        .map(KeptHem::try_from)
        .transpose()
}

fn find_to_change(connection: &mut WebConnection, id: &HemId) -> Result<KeptHem, RegistryError> {
    find_kept_to_change(connection, id)?.ok_or_else(|| RegistryError::not_found("hem", id))
}

pub(super) fn find(connection: &mut WebConnection, id: &HemId) -> Result<Hem, RegistryError> {
    match find_kept(connection, id)? {
        Some(kept) => Ok(kept.hem),
        None => Err(RegistryError::not_found("hem", id)),
    }
}

pub(super) fn list(
    connection: &mut WebConnection,
    microgrid: Option<&MicrogridId>,
    page: &PageRequest,
) -> Result<Listing<Hem>, RegistryError> {
    let mut query = hem::table
        .filter(hem::id.gt(page.beyond()))
        .order(hem::id)
        .limit(page.rows())
        .select(Row::as_select())
        .into_boxed();
    if let Some(microgrid) = microgrid {
        microgrid::find(connection, microgrid)?;
        query = query.filter(hem::microgrid_id.eq(microgrid.as_str()));
    }
    let items = hems_of_rows(query.load(connection)?)?;
    Ok(Listing::of(items, page, |item| item.id.to_string()))
}

pub(super) fn list_all_of(
    connection: &mut WebConnection,
    microgrid: &MicrogridId,
) -> Result<Vec<Hem>, RegistryError> {
    let rows = hem::table
        .filter(hem::microgrid_id.eq(microgrid.as_str()))
        .order(hem::id)
        .select(Row::as_select())
        .load(connection)?;
    hems_of_rows(rows)
}

fn hems_of_rows(rows: Vec<Row>) -> Result<Vec<Hem>, RegistryError> {
    rows.into_iter().map(|row| Ok(KeptHem::try_from(row)?.hem)).collect()
}

pub(super) fn update(
    connection: &mut WebConnection,
    id: &HemId,
    change: &HemChange,
) -> Result<Hem, RegistryError> {
    let mut kept = find_to_change(connection, id)?;
    if let Some(name) = &change.name {
        kept.hem.name.clone_from(name);
    }
    if let Some(limit) = change.import_watts {
        kept.hem.limits.import_watts = limit;
    }
    if let Some(limit) = change.export_watts {
        kept.hem.limits.export_watts = limit;
    }
    if *change != HemChange::default() {
        save(connection, &kept)?;
    }
    Ok(kept.hem)
}

pub(super) fn delete(connection: &mut WebConnection, id: &HemId) -> Result<Hem, RegistryError> {
    let kept = find_to_change(connection, id)?;
    diesel::delete(hem::table.find(id.as_str())).execute(connection)?;
    Ok(kept.hem)
}

pub(super) fn rotate_key(
    connection: &mut WebConnection,
    id: &HemId,
    key: &SecretHash,
) -> Result<Hem, RegistryError> {
    let mut kept = find_to_change(connection, id)?;
    kept.key_hash = key.as_bytes().to_vec();
    kept.hem.key = match kept.hem.key {
        KeyState::Pending => KeyState::Pending,
        // Else a token could take over the id of a HEM that has long been here.
        KeyState::Established | KeyState::Revoked => KeyState::Established,
    };
    save(connection, &kept)?;
    Ok(kept.hem)
}

pub(super) fn revoke_key(connection: &mut WebConnection, id: &HemId) -> Result<Hem, RegistryError> {
    let mut kept = find_to_change(connection, id)?;
    kept.key_hash.clear();
    kept.hem.key = KeyState::Revoked;
    save(connection, &kept)?;
    Ok(kept.hem)
}
