//! What can be set of the status monitor. `src/config.rs` fills it in from the section `status`.

use std::time::Duration;

/// What can be set of the status monitor.
#[derive(Debug, Clone)]
pub struct StatusSettings {
    /// A HEM is active for so long after a reading arrived.
    pub active_window: Duration,
    /// A clock may be so far off.
    pub skew_tolerance: Duration,
    /// So long a quality flag is shown after what raised it.
    pub flag_lifetime: Duration,
    /// At most one status change per HEM in this time, but for transitions.
    pub change_interval: Duration,
    /// At most so many HEMs are kept; beyond it those offline the longest are forgotten.
    pub max_hems: usize,
    /// So many questions to the historian at a time.
    pub max_lookups: usize,
    /// The historian's answer is awaited so long.
    pub lookup_deadline: Duration,
}

impl Default for StatusSettings {
    fn default() -> Self {
        Self {
            active_window: Duration::from_secs(60),
            skew_tolerance: Duration::from_secs(60),
            flag_lifetime: Duration::from_secs(3600),
            change_interval: Duration::from_secs(1),
            max_hems: 200_000,
            max_lookups: 8,
            lookup_deadline: Duration::from_secs(10),
        }
    }
}
