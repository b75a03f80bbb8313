//! What a person sets of peak shaving.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::apps::steering::{ShedRules, SocWindow};
use crate::apps::terms::{check, seconds};

/// What batteries do while no limit is near.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BetweenPeaks {
    /// They are held ready: charged with surplus, and from the grid where there is room, and otherwise
    /// at rest.
    #[default]
    HoldReady,
    /// They are left to other apps and to their homes.
    LeaveToOthers,
}

/// What a person sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PeakShavingConfiguration {
    /// The import of the whole microgrid that is not to be exceeded, W; by default the microgrid's own
    /// limit.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub import_limit_watts: Option<f64>,
    /// The export that is not to be exceeded, W; by default the microgrid's own limit.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub export_limit_watts: Option<f64>,
    /// How far below a limit is aimed, as a share of it.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub margin: f64,
    /// A change of all batteries' power together below this is not made, W.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub deadband_watts: f64,
    /// The state of charge, 0 to 1, below which no battery is discharged.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_soc: f64,
    /// The state of charge, 0 to 1, above which no battery is charged.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_soc: f64,
    /// What batteries do while no limit is near.
    pub between_peaks: BetweenPeaks,
    /// Up to which state of charge batteries are charged from the grid while there is room.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ready_soc: f64,
    /// Up to which share of the import limit they are charged from the grid.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub recharge_below: f64,
    /// How long no limit must be near before batteries are left to others, s.
    #[schemars(range(min = 0, max = 86_400))]
    pub release_seconds: u32,
    /// Loads up to this priority are switched off where the batteries do not suffice; absent: none.
    pub shed_up_to_priority: Option<i32>,
    /// How long the batteries must not suffice before, s.
    #[schemars(range(min = 0, max = 3_600))]
    pub shed_after_seconds: u32,
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
    /// Above which share of stale homes (0 to 1) nothing is steered.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_stale_share: f64,
}

impl Default for PeakShavingConfiguration {
    fn default() -> Self {
        Self {
            import_limit_watts: None,
            export_limit_watts: None,
            margin: 0.03,
            deadband_watts: 100.0,
            min_soc: 0.1,
            max_soc: 1.0,
            between_peaks: BetweenPeaks::HoldReady,
            ready_soc: 0.9,
            recharge_below: 0.8,
            release_seconds: 300,
            shed_up_to_priority: Some(40),
            shed_after_seconds: 15,
            min_off_seconds: 300,
            stagger_seconds: 30,
            every_seconds: 10,
            lease_seconds: 300,
            stale_seconds: 120,
            max_stale_share: 0.5,
        }
    }
}

/// A configuration that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terms {
    pub(super) given: PeakShavingConfiguration,
    pub(super) window: SocWindow,
    pub(super) ready: SocWindow,
    pub(super) shed: ShedRules,
    pub(super) release: Duration,
    pub(super) every: Duration,
    pub(super) lease: Duration,
    pub(super) stale_after: Duration,
}

impl Terms {
    /// How long it may take until readings show a switching.
    const SETTLE: Duration = Duration::from_secs(20);

    pub(super) fn read(given: PeakShavingConfiguration) -> Result<Self, String> {
        if let Some(limit) = given.import_limit_watts {
            check("import_limit_watts", limit, 0.0, 1e9)?;
        }
        if let Some(limit) = given.export_limit_watts {
            check("export_limit_watts", limit, 0.0, 1e9)?;
        }
        check("margin", given.margin, 0.0, 0.5)?;
        check("deadband_watts", given.deadband_watts, 0.0, 1e6)?;
        check("min_soc", given.min_soc, 0.0, 1.0)?;
        check("max_soc", given.max_soc, given.min_soc, 1.0)?;
        check("ready_soc", given.ready_soc, 0.0, 1.0)?;
        check("recharge_below", given.recharge_below, 0.0, 1.0)?;
        check("max_stale_share", given.max_stale_share, 0.0, 1.0)?;
        let every = seconds("every_seconds", given.every_seconds, 1, 3_600)?;
        let hold = seconds("shed_after_seconds", given.shed_after_seconds, 0, 3_600)?;
        let shed = ShedRules {
            settle: Self::SETTLE.max(every * 2),
            hold,
            min_off: seconds("min_off_seconds", given.min_off_seconds, 0, 86_400)?,
            restore_after: every * 3,
            stagger: seconds("stagger_seconds", given.stagger_seconds, 0, 3_600)?,
            spare_watts: given.deadband_watts,
        };
        Ok(Self {
            window: SocWindow { least: given.min_soc, most: given.max_soc },
            ready: SocWindow { least: given.min_soc, most: given.ready_soc.min(given.max_soc) },
            shed,
            release: seconds("release_seconds", given.release_seconds, 0, 86_400)?,
            every,
            lease: seconds("lease_seconds", given.lease_seconds, 60, 86_400)?,
            stale_after: seconds("stale_seconds", given.stale_seconds, 5, 3_600)?,
            given,
        })
    }
}
