//! What a person sets of self-consumption.

use std::collections::BTreeMap;
use std::time::Duration;

use memcloud_domain::HemId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::apps::steering::SocWindow;
use crate::apps::terms::{check, seconds};

/// What a person sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SelfConsumptionConfiguration {
    /// The import that each home is held at, W; below zero: the export.
    #[schemars(range(min = -1e6, max = 1e6))]
    pub target_watts: f64,
    /// A change of a battery's power below this is not made, W.
    #[schemars(range(min = 0.0, max = 1e5))]
    pub deadband_watts: f64,
    /// How fast a battery's power moves at most, W per second.
    #[schemars(range(min = 1.0, max = 1e6))]
    pub ramp_watts_per_second: f64,
    /// The state of charge, 0 to 1, below which no battery is discharged.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_soc: f64,
    /// The state of charge, 0 to 1, above which no battery is charged.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_soc: f64,
    /// What is kept back beyond that, for an outage or another app: a state of charge, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub reserve_soc: Option<f64>,
    /// What is different in some homes, by the HEM's id.
    pub homes: BTreeMap<String, HomeSettings>,
    /// The time between two decisions on a home, s.
    #[schemars(range(min = 1, max = 3_600))]
    pub every_seconds: u32,
    /// For how long a wish holds if it is not wished again, s.
    #[schemars(range(min = 60, max = 86_400))]
    pub lease_seconds: u32,
    /// From which age on a home's readings are stale, s.
    #[schemars(range(min = 5, max = 3_600))]
    pub stale_seconds: u32,
}

/// What is different in one home.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HomeSettings {
    /// Whether its battery is left alone.
    pub left_alone: bool,
    /// The import that it is held at, W.
    #[schemars(range(min = -1e6, max = 1e6))]
    pub target_watts: Option<f64>,
    /// What is kept back in its battery: a state of charge, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub reserve_soc: Option<f64>,
}

impl Default for SelfConsumptionConfiguration {
    fn default() -> Self {
        Self {
            target_watts: 0.0,
            deadband_watts: 50.0,
            ramp_watts_per_second: 500.0,
            min_soc: 0.1,
            max_soc: 1.0,
            reserve_soc: None,
            homes: BTreeMap::new(),
            every_seconds: 10,
            lease_seconds: 300,
            stale_seconds: 120,
        }
    }
}

/// What holds in a home.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HomeTerms {
    pub(super) steers: bool,
    pub(super) target_watts: f64,
    pub(super) window: SocWindow,
}

/// A configuration that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terms {
    usual: HomeTerms,
    homes: BTreeMap<HemId, HomeTerms>,
    pub(super) deadband_watts: f64,
    pub(super) ramp_watts_per_second: f64,
    pub(super) every: Duration,
    pub(super) lease: Duration,
    pub(super) stale_after: Duration,
}

impl Terms {
    /// How many homes may be different.
    const MOST_HOMES: usize = 10_000;

    pub(super) fn read(given: SelfConsumptionConfiguration) -> Result<Self, String> {
        check("target_watts", given.target_watts, -1e6, 1e6)?;
        check("deadband_watts", given.deadband_watts, 0.0, 1e5)?;
        check("ramp_watts_per_second", given.ramp_watts_per_second, 1.0, 1e6)?;
        check("min_soc", given.min_soc, 0.0, 1.0)?;
        check("max_soc", given.max_soc, given.min_soc, 1.0)?;
        let reserve = given.reserve_soc.unwrap_or(given.min_soc);
        check("reserve_soc", reserve, 0.0, 1.0)?;
        let window =
            |reserve: f64| SocWindow { least: given.min_soc.max(reserve), most: given.max_soc };
        let usual =
            HomeTerms { steers: true, target_watts: given.target_watts, window: window(reserve) };
        if given.homes.len() > Self::MOST_HOMES {
            return Err(format!("homes may have at most {} entries", Self::MOST_HOMES));
        }
        let mut homes = BTreeMap::new();
        for (name, settings) in &given.homes {
            let hem = HemId::new(name).map_err(|error| format!("homes: {error}"))?;
            let target_watts = settings.target_watts.unwrap_or(usual.target_watts);
            let own = settings.reserve_soc.unwrap_or(reserve);
            check(&format!("homes.{name}.target_watts"), target_watts, -1e6, 1e6)?;
            check(&format!("homes.{name}.reserve_soc"), own, 0.0, 1.0)?;
            let steers = !settings.left_alone;
            homes.insert(hem, HomeTerms { steers, target_watts, window: window(own) });
        }
        Ok(Self {
            usual,
            homes,
            deadband_watts: given.deadband_watts,
            ramp_watts_per_second: given.ramp_watts_per_second,
            every: seconds("every_seconds", given.every_seconds, 1, 3_600)?,
            lease: seconds("lease_seconds", given.lease_seconds, 60, 86_400)?,
            stale_after: seconds("stale_seconds", given.stale_seconds, 5, 3_600)?,
        })
    }

    pub(super) fn of(&self, hem: &HemId) -> &HomeTerms {
        self.homes.get(hem).unwrap_or(&self.usual)
    }
}
