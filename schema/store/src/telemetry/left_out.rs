//! HEMs whose upkeep is left out for a while, because something stored of them is damaged: one damaged
//! row must not stop the upkeep of all others.

use std::collections::BTreeMap;

use memcloud_domain::Timestamp;

use crate::StoreError;

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

    pub(super) fn leave_out(&mut self, hem_no: i64, now: Timestamp) {
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

/// Says that a HEM's upkeep is left out.
pub(super) fn log_damage(hem: &str, error: &StoreError) {
    let reason = error.to_string();
    log::error!(
        "hem.id" = hem, reason = reason.as_str();
        "what is stored of a HEM is damaged: its upkeep is left out, and tried again later"
    );
}
