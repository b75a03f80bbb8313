//! How much the batteries of a community are to do together, and each of them: a pure function of what
//! the community would draw without them.

use crate::apps::steering::{Room, rounded_down, rounded_up, share};

/// A battery as the plan sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// The power that it is told now, W, if that holds.
    pub told_watts: Option<f64>,
    /// What it can do between the least and the greatest charge.
    pub room: Room,
    /// How much it can be charged until it is ready for the next peak, W and Wh.
    pub to_ready: Room,
}

/// What is aimed at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Aim {
    /// The import that is not to be exceeded, W.
    pub import_watts: Option<f64>,
    /// The export that is not to be exceeded, W.
    pub export_watts: Option<f64>,
    /// Up to which import batteries are charged again, W; absent: not by us.
    pub recharge_watts: Option<f64>,
    /// A change of the total below this is not made, W.
    pub deadband_watts: f64,
}

/// What the batteries are for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// They hold the import under its limit.
    Shaving,
    /// They hold the export under its limit.
    Storing,
    /// They are made ready for the next peak.
    Recharging,
    /// They wait.
    Waiting,
}

/// What the batteries are to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The power of each, W, in their order.
    pub watts: Vec<f64>,
    /// What for.
    pub purpose: Purpose,
    /// By how much the import exceeds the aim although they help, W.
    pub uncovered_watts: f64,
}

/// A battery's power in whole steps, within what it can do.
fn whole(watts: f64) -> f64 {
    rounded_down(watts)
}

impl Plan {
    /// Plans for a community that would import `residual` watts without the batteries. `anew`: share
    /// anew although the total holds, so that the shares follow the charge.
    #[must_use]
    pub fn make(residual: f64, units: &[Unit], aim: &Aim, anew: bool) -> Self {
        let sum = |of: fn(&Unit) -> f64| units.iter().map(|unit| whole(of(unit))).sum::<f64>();
        let discharge = sum(|unit| unit.room.discharge_watts);
        let charge = sum(|unit| unit.room.charge_watts);
        let over = aim.import_watts.map_or(0.0, |limit| residual - limit);
        let under = aim.export_watts.map_or(0.0, |limit| -limit - residual);
        let mut purpose = Purpose::Waiting;
        let mut total = 0.0;
        let mut to_ready = false;
        if over > 0.0 {
            purpose = Purpose::Shaving;
            total = -over.min(discharge);
        } else if under > 0.0 {
            purpose = Purpose::Storing;
            total = under.min(charge);
        } else if let Some(recharge) = aim.recharge_watts {
            let by_grid = (recharge - residual).clamp(0.0, sum(|unit| unit.to_ready.charge_watts));
            let by_surplus = (-residual).clamp(0.0, charge);
            to_ready = by_grid > by_surplus;
            total = by_grid.max(by_surplus);
            if total > 0.0 {
                purpose = Purpose::Recharging;
            }
        }
        let uncovered_watts = if over > discharge { over - discharge } else { 0.0 };
        let told: Option<Vec<f64>> = units.iter().map(|unit| unit.told_watts).collect();
        if let Some(told) = told
            && !anew
            && still_holds(&told, units, total, purpose, aim.deadband_watts)
        {
            return Self { watts: told, purpose, uncovered_watts };
        }
        let bearing: Vec<(f64, f64)> = units
            .iter()
            .map(|unit| match (total < 0.0, to_ready) {
                (true, _) => (whole(unit.room.discharge_watts), unit.room.discharge_wh),
                (false, true) => (whole(unit.to_ready.charge_watts), unit.to_ready.charge_wh),
                (false, false) => (whole(unit.room.charge_watts), unit.room.charge_wh),
            })
            .collect();
        let sign = if total < 0.0 { -1.0 } else { 1.0 };
        // Where a limit is to be held, rather a step more than a step less.
        let holds_a_limit = matches!(purpose, Purpose::Shaving | Purpose::Storing);
        let watts = share(total.abs(), &bearing)
            .into_iter()
            .zip(&bearing)
            .map(|(part, (cap, _))| {
                let rounded = if holds_a_limit { rounded_up(part) } else { rounded_down(part) };
                sign * rounded.min(*cap) + 0.0
            })
            .collect();
        Self { watts, purpose, uncovered_watts }
    }
}

/// While batteries are made ready, so much less than could be is good enough to leave them as they are:
/// what follows every flicker costs commands and brings little.
const GOOD_ENOUGH: f64 = 0.8;

fn still_holds(told: &[f64], units: &[Unit], total: f64, purpose: Purpose, deadband: f64) -> bool {
    let within = |(told, unit): (&f64, &Unit)| {
        (-unit.room.discharge_watts - 1e-6..=unit.room.charge_watts + 1e-6).contains(told)
    };
    let sum = told.iter().sum::<f64>();
    let least = if purpose == Purpose::Recharging { total * GOOD_ENOUGH } else { total };
    (least - deadband..=total + deadband).contains(&sum) && told.iter().zip(units).all(within)
}
