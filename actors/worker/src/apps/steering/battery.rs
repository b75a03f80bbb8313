//! What a battery can do now: within its declared power, and so that its state of charge stays in its
//! window.

use memcloud_domain::{HemId, NodeAction, NodeDeclaration, NodeId, NodeKind, Timestamp};
use std::time::Duration;

use crate::HomeNow;

/// The states of charge between which an app keeps a battery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SocWindow {
    /// It is not discharged below this, 0 to 1.
    pub least: f64,
    /// It is not charged above this, 0 to 1.
    pub most: f64,
}

/// How much power a battery can take and give, W, and the energy behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Room {
    /// The most that it can be charged with.
    pub charge_watts: f64,
    /// The most that it can be discharged with.
    pub discharge_watts: f64,
    /// How much it can still take, Wh; where its capacity is not declared, what it takes in an hour.
    pub charge_wh: f64,
    /// How much it can still give, Wh.
    pub discharge_wh: f64,
}

impl Room {
    /// Near the end of the window the power falls, so that what is left lasts for so long. A set-point
    /// that nobody corrects runs on; this bounds by how much it can overrun.
    const LASTS_HOURS: f64 = 1.0 / 30.0;
    /// How far inside the window it must be to begin: at its edge a battery's reading trembles.
    const BEGINS_INSIDE: f64 = 0.01;
}

/// A battery that can be told a power, and its newest values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Battery<'a> {
    /// Whose.
    pub hem: &'a HemId,
    /// Which node.
    pub node: NodeId,
    /// The least power that it may be told, W; not above 0.
    pub least_watts: f64,
    /// The greatest, W; not below 0.
    pub most_watts: f64,
    /// Its capacity, Wh, where that is declared.
    pub capacity_wh: Option<f64>,
    /// Its power now, W; positive charges.
    pub watts: f64,
    /// Its state of charge now, 0 to 1.
    pub soc: f64,
    /// When its power was taken.
    pub at: Timestamp,
}

impl<'a> Battery<'a> {
    /// The battery of a declaration, if it can be steered and its values are fresh.
    #[must_use]
    pub fn of(
        hem: &'a HemId,
        declaration: &NodeDeclaration,
        home: &HomeNow,
        now: Timestamp,
        within: Duration,
    ) -> Option<Self> {
        let (least_watts, most_watts) = power_range(declaration)?;
        let node = home.node(declaration.node);
        let capacity = declaration.capacity_wh.map(|capacity| capacity.value());
        Some(Self {
            hem,
            node: declaration.node,
            least_watts,
            most_watts,
            capacity_wh: capacity.filter(|capacity| *capacity > 0.0 && capacity.is_finite()),
            watts: node.watts(now, within)?,
            soc: node.soc(now, within)?,
            at: node.watts?.at,
        })
    }

    /// What it can do within a window. `told` is the power that it is told now, if any.
    #[must_use]
    pub fn room(&self, window: SocWindow, told: Option<f64>) -> Room {
        let told = told.unwrap_or(0.0);
        let above = self.soc - window.least;
        let below = window.most - self.soc;
        let gives = above > if told < 0.0 { 0.0 } else { Room::BEGINS_INSIDE };
        let takes = below > if told > 0.0 { 0.0 } else { Room::BEGINS_INSIDE };
        let (charge, discharge) = (self.most_watts, -self.least_watts);
        let mut room = Room::default();
        if takes {
            room.charge_wh = self.capacity_wh.map_or(charge, |capacity| below * capacity);
            room.charge_watts = charge.min(self.lasting(room.charge_wh));
        }
        if gives {
            room.discharge_wh = self.capacity_wh.map_or(discharge, |capacity| above * capacity);
            room.discharge_watts = discharge.min(self.lasting(room.discharge_wh));
        }
        room
    }

    fn lasting(&self, wh: f64) -> f64 {
        if self.capacity_wh.is_some() { wh / Room::LASTS_HOURS } else { f64::INFINITY }
    }
}

/// Whether a node is a battery that can be told a power within declared limits.
#[must_use]
pub fn reads_as_battery(declaration: &NodeDeclaration) -> bool {
    power_range(declaration).is_some()
}

/// The powers that a battery may be told, W: from its declared least and greatest, or else its rated
/// power both ways. Absent where it cannot be told a power, or where nothing bounds it.
#[must_use]
pub fn power_range(declaration: &NodeDeclaration) -> Option<(f64, f64)> {
    let controls = declaration.controls.as_deref().unwrap_or_default();
    if declaration.kind != NodeKind::Storage || !controls.contains(&NodeAction::SetPower) {
        return None;
    }
    let rated = declaration.rated_watts.map(|watts| watts.value().abs());
    let least = declaration.min_watts.map(|watts| watts.value()).or(rated.map(|rated| -rated))?;
    let most = declaration.max_watts.map(|watts| watts.value()).or(rated)?;
    if !least.is_finite() || !most.is_finite() || least > most {
        return None;
    }
    // A battery that cannot stand still is not for us to steer.
    (least <= 0.0 && most >= 0.0).then_some((least, most))
}
