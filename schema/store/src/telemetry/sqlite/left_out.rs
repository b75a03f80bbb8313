//! Leaves a HEM's upkeep out for a while.

use std::sync::Mutex;

use diesel::prelude::*;
use memcloud_domain::Timestamp;

use super::{SqliteTelemetry, lock};
use crate::StoreError;
use crate::telemetry::left_out::{LeftOut, log_damage};
use crate::telemetry::schema::hems;

impl SqliteTelemetry {
    /// From now on a HEM is left out of a kind of upkeep. Not within a transaction.
    pub(super) fn leave_out(
        &self,
        of: &Mutex<LeftOut>,
        hem_no: i64,
        error: &StoreError,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let hem = self.read(|connection| {
            Ok(hems::table
                .find(hem_no)
                .select(hems::hem)
                .get_result::<String>(connection)
                .optional()?)
        })?;
        log_damage(&hem.unwrap_or_default(), error);
        lock(of).leave_out(hem_no, now);
        Ok(())
    }
}
