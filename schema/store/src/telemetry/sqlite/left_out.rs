//! HEMs whose upkeep is left out for a while, because something stored of them is damaged: one damaged
//! row must not stop the upkeep of all others.

use std::collections::BTreeMap;
use std::sync::Mutex;

use diesel::prelude::*;
use memcloud_domain::Timestamp;

use super::{SqliteTelemetry, lock};
use crate::StoreError;
use crate::telemetry::schema::hems;

/// After so long a HEM is tried again, milliseconds: someone may have mended the file.
const TRY_AGAIN: i64 = 600_000;
/// Beyond so many all are tried again at once; a file with so much damage is past upkeep.
const CAPACITY: usize = 1_000;

/// Until when which HEM is left out.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    until: BTreeMap<i64, i64>,
}

impl LeftOut {
    /// Those that are left out now.
    pub(super) fn now(&mut self, now: Timestamp) -> Vec<i64> {
        self.until.retain(|_, until| now.0 < *until);
        self.until.keys().copied().collect()
    }

    fn leave_out(&mut self, hem_no: i64, now: Timestamp) {
        if self.until.len() >= CAPACITY {
            self.until.clear();
        }
        self.until.insert(hem_no, now.0.saturating_add(TRY_AGAIN));
    }
}

/// Whether an error says that what is stored is at fault, and not the store.
pub(super) fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. } | StoreError::Invalid { .. })
}

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
        let (hem, reason) = (hem.unwrap_or_default(), error.to_string());
        log::error!(
            "hem.id" = hem.as_str(), reason = reason.as_str();
            "what is stored of a HEM is damaged: its upkeep is left out, and tried again later"
        );
        lock(of).leave_out(hem_no, now);
        Ok(())
    }
}
