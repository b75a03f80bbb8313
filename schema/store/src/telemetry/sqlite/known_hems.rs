//! What the writer remembers of HEMs between commits, so that a commit need not look each of them up.
//! Valid as long as nobody but this writer has written, which SQLite says; see [`KnownHems::renew`].

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use memcloud_domain::{HemId, MicrogridId};

use crate::StoreError;
use crate::telemetry::rows::microgrid_of;
use crate::telemetry::schema::{hems, marks};

/// Beyond so many HEMs it starts anew: it is only a cache.
const CAPACITY: usize = 100_000;

/// A row of `marks`. It is written whole, by REPLACE: Diesel prepares every UPDATE anew, which costs
/// more than the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = marks)]
pub(super) struct MarkRow {
    pub(super) hem_no: i64,
    pub(super) mark: i64,
    pub(super) epoch: i64,
    pub(super) hot: i64,
    pub(super) chunks: i64,
    pub(super) sealed: i64,
    pub(super) sealed_bytes: i64,
}

impl MarkRow {
    pub(super) fn write(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        diesel::replace_into(marks::table).values(self).execute(connection)?;
        Ok(())
    }
}

/// A HEM's short number, and whose it is.
#[derive(Debug, Clone)]
struct Home {
    hem_no: i64,
    microgrid: MicrogridId,
}

/// The HEMs that the writer knows. It is changed with what is written, so that it must be cleared when
/// a transaction fails, or a connection is gone.
#[derive(Debug, Default)]
pub(super) struct KnownHems {
    homes: HashMap<HemId, Home>,
    rows: HashMap<i64, MarkRow>,
    /// SQLite's count of what other connections have written.
    version: i64,
}

impl KnownHems {
    /// Forgets all if another connection has written. Within a transaction that writes, so that none
    /// can after this.
    pub(super) fn renew(&mut self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        #[derive(QueryableByName)]
        struct Version {
            #[diesel(sql_type = BigInt)]
            data_version: i64,
        }
        let found = diesel::sql_query("PRAGMA data_version").get_result::<Version>(connection)?;
        if found.data_version != self.version || self.homes.len() > CAPACITY {
            self.clear();
            self.version = found.data_version;
        }
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.homes.clear();
        self.rows.clear();
    }

    /// Whose a HEM is that was ever welcomed, and its row. After [`KnownHems::renew`] in the same
    /// transaction; what is changed in the row is to be written.
    pub(super) fn find(
        &mut self,
        connection: &mut SqliteConnection,
        hem: &HemId,
    ) -> Result<Option<(MicrogridId, &mut MarkRow)>, StoreError> {
        let known = self.homes.get(hem).filter(|home| self.rows.contains_key(&home.hem_no));
        let home = match known {
            Some(home) => home.clone(),
            None => {
                let Some((home, row)) = look_up(connection, hem)? else { return Ok(None) };
                self.homes.insert(hem.clone(), home.clone());
                self.rows.insert(row.hem_no, row);
                home
            }
        };
        Ok(self.rows.get_mut(&home.hem_no).map(|row| (home.microgrid, row)))
    }

    /// Its row, or whose it is, was written by other means.
    pub(super) fn forget(&mut self, hem_no: i64) {
        self.rows.remove(&hem_no);
    }
}

/// `get_result`, not `first`: SQLite plans a statement anew each time its LIMIT is bound.
fn look_up(
    connection: &mut SqliteConnection,
    hem: &HemId,
) -> Result<Option<(Home, MarkRow)>, StoreError> {
    let found = hems::table
        .inner_join(marks::table)
        .filter(hems::hem.eq(hem.as_str()))
        .select((hems::microgrid, MarkRow::as_select()))
        .get_result::<(String, MarkRow)>(connection)
        .optional()?;
    let Some((microgrid, row)) = found else { return Ok(None) };
    let microgrid = microgrid_of(hem, &microgrid)?;
    Ok(Some((Home { hem_no: row.hem_no, microgrid }, row)))
}
