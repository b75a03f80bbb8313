//! What a person sets of load priority.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::apps::steering::ShedRules;
use crate::apps::terms::{check, seconds};

/// Whether the microgrid runs without the grid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IslandSense {
    /// As the homes' events `islanded` and `grid-restored` say.
    #[default]
    ByEvents,
    /// It does, whatever they say.
    Islanded,
    /// It does not, whatever they say.
    Connected,
}

/// What a person sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoadPriorityConfiguration {
    /// The import of the whole microgrid that is not to be exceeded, W; by default the microgrid's own
    /// limit.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub import_limit_watts: Option<f64>,
    /// What the island's own source gives at most, W; holds instead of the import limit while the
    /// microgrid is islanded. An `islanded` event that says less wins.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub islanded_source_watts: Option<f64>,
    /// Whether the microgrid is islanded.
    pub island: IslandSense,
    /// Loads up to this priority may be shed; absent: every one that is not critical.
    pub shed_up_to_priority: Option<i32>,
    /// How long the limit must be exceeded before loads are shed, s.
    #[schemars(range(min = 0, max = 3_600))]
    pub hold_seconds: u32,
    /// How far below the limit the import must stay, with what comes back, as a share of the limit.
    #[schemars(range(min = 0.0, max = 0.9))]
    pub hysteresis: f64,
    /// How long there must be room before a load comes back, s.
    #[schemars(range(min = 0, max = 86_400))]
    pub restore_after_seconds: u32,
    /// How long a load stays off at least, s.
    #[schemars(range(min = 0, max = 86_400))]
    pub min_off_seconds: u32,
    /// The time between two loads that come back, s.
    #[schemars(range(min = 0, max = 3_600))]
    pub stagger_seconds: u32,
    /// The time between two decisions, s.
    #[schemars(range(min = 1, max = 3_600))]
    pub every_seconds: u32,
    /// For how long a wish holds if it is not wished again, s.
    #[schemars(range(min = 60, max = 86_400))]
    pub lease_seconds: u32,
    /// From which age on a home's readings are stale, s.
    #[schemars(range(min = 5, max = 3_600))]
    pub stale_seconds: u32,
    /// Above which share of stale homes (0 to 1) nothing is judged.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_stale_share: f64,
}

impl Default for LoadPriorityConfiguration {
    fn default() -> Self {
        Self {
            import_limit_watts: None,
            islanded_source_watts: None,
            island: IslandSense::ByEvents,
            shed_up_to_priority: None,
            hold_seconds: 10,
            hysteresis: 0.1,
            restore_after_seconds: 60,
            min_off_seconds: 300,
            stagger_seconds: 30,
            every_seconds: 5,
            lease_seconds: 300,
            stale_seconds: 120,
            max_stale_share: 0.5,
        }
    }
}

/// A configuration that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terms {
    pub(super) given: LoadPriorityConfiguration,
    hold: Duration,
    restore_after: Duration,
    min_off: Duration,
    stagger: Duration,
    pub(super) every: Duration,
    pub(super) lease: Duration,
    pub(super) stale_after: Duration,
}

impl Terms {
    /// How long it may take until readings show a switching.
    const SETTLE: Duration = Duration::from_secs(20);

    pub(super) fn read(given: LoadPriorityConfiguration) -> Result<Self, String> {
        for (name, limit) in [
            ("import_limit_watts", given.import_limit_watts),
            ("islanded_source_watts", given.islanded_source_watts),
        ] {
            if let Some(limit) = limit {
                check(name, limit, 0.0, 1e9)?;
            }
        }
        check("hysteresis", given.hysteresis, 0.0, 0.9)?;
        check("max_stale_share", given.max_stale_share, 0.0, 1.0)?;
        Ok(Self {
            hold: seconds("hold_seconds", given.hold_seconds, 0, 3_600)?,
            restore_after: seconds(
                "restore_after_seconds",
                given.restore_after_seconds,
                0,
                86_400,
            )?,
            min_off: seconds("min_off_seconds", given.min_off_seconds, 0, 86_400)?,
            stagger: seconds("stagger_seconds", given.stagger_seconds, 0, 3_600)?,
            every: seconds("every_seconds", given.every_seconds, 1, 3_600)?,
            lease: seconds("lease_seconds", given.lease_seconds, 60, 86_400)?,
            stale_after: seconds("stale_seconds", given.stale_seconds, 5, 3_600)?,
            given,
        })
    }

    /// How loads are shed and restored under a limit.
    pub(super) fn rules(&self, limit_watts: f64) -> ShedRules {
        ShedRules {
            settle: Self::SETTLE.max(self.every * 2),
            hold: self.hold,
            min_off: self.min_off,
            restore_after: self.restore_after,
            stagger: self.stagger,
            spare_watts: limit_watts * self.given.hysteresis,
        }
    }
}
