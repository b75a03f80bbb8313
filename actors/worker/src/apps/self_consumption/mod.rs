//! Each home's battery follows the home's surplus and deficit, so that as little as may be is exported
//! and bought: it charges with what would be exported and discharges into what would be imported.
//!
//! What it aims at is computed from the grid's power and the battery's together, which no wish of ours
//! changes: so the loop that its own wishes close cannot swing.

mod configuration;
mod day;

use std::collections::BTreeMap;
use std::time::Duration;

use memcloud_domain::{HemId, NodeDeclaration, NodeKind, Setting, Timestamp, Watts};
use serde::{Deserialize, Serialize};

pub use self::configuration::{HomeSettings, SelfConsumptionConfiguration};
use self::configuration::{HomeTerms, Terms};
use self::day::HomeDay;
use crate::apps::calendar::day_of;
use crate::apps::steering::{
    Battery, Room, Sight, Standing, reads_as_battery, rounded_down, share,
};
use crate::{About, EnergyApp, HomeNow, Latest, Outcome, Start, View};

/// What it keeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelfConsumptionState {
    days: BTreeMap<HemId, HomeDay>,
    reported: Timestamp,
    #[serde(skip)]
    latest: Latest,
    #[serde(skip)]
    standing: Standing,
    #[serde(skip)]
    sight: Sight,
    #[serde(skip)]
    decided: Option<Timestamp>,
}

/// Steers each home's battery to the home's own use.
#[derive(Debug)]
pub struct SelfConsumption {
    terms: Terms,
}

/// A home at a moment: its batteries, and what its grid nodes take together.
struct Home<'a> {
    hem: &'a HemId,
    grid_watts: f64,
    batteries: Vec<Battery<'a>>,
}

/// A battery's power to come, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The power of each battery, W, in the order they were given.
    pub watts: Vec<f64>,
    /// Why.
    pub reason: String,
}

/// What a decision on a home is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// What all its grid nodes take, W; negative is import.
    pub grid_watts: f64,
    /// The import that is aimed at, W.
    pub target_watts: f64,
    /// What its batteries do now, W.
    pub battery_watts: Vec<f64>,
    /// What each was told last, W, while that holds.
    pub told_watts: Vec<Option<f64>>,
    /// What each can do.
    pub rooms: Vec<Room>,
    /// How far the power may move, W.
    pub ramp_watts: f64,
    /// A change below this is none, W.
    pub deadband_watts: f64,
    /// Whether it is to be decided anew although nothing changed.
    pub anew: bool,
}

impl Situation {
    /// The powers to be wished: within every battery's room, in whole steps.
    #[must_use]
    pub fn decide(&self) -> Decision {
        let measured: f64 = self.battery_watts.iter().sum();
        // Grid and battery together are what the rest of the home takes or leaves over.
        let left_over = self.grid_watts + measured;
        let charge: f64 = self.rooms.iter().map(|room| room.charge_watts).sum();
        let discharge: f64 = self.rooms.iter().map(|room| room.discharge_watts).sum();
        let wanted = (left_over + self.target_watts).clamp(-discharge, charge);
        let told: Option<Vec<f64>> = self.told_watts.iter().copied().collect();
        if let Some(told) = told.as_ref()
            && self.still_holds(told, wanted)
        {
            return Decision { watts: told.clone(), reason: self.reason(left_over, told) };
        }
        let from = told.map_or(measured, |told| told.iter().sum());
        let ramped = wanted.clamp(from - self.ramp_watts, from + self.ramp_watts);
        // The ramp gives way to a limit that came nearer.
        let watts = self.split(ramped.clamp(-discharge, charge));
        Decision { reason: self.reason(left_over, &watts), watts }
    }

    fn still_holds(&self, told: &[f64], wanted: f64) -> bool {
        let within = |(told, room): (&f64, &Room)| {
            (-room.discharge_watts - 1e-6..=room.charge_watts + 1e-6).contains(told)
        };
        !self.anew
            && (told.iter().sum::<f64>() - wanted).abs() <= self.deadband_watts
            && told.iter().zip(&self.rooms).all(within)
    }

    fn split(&self, total: f64) -> Vec<f64> {
        let is_charging = total > 0.0;
        let units: Vec<(f64, f64)> = self
            .rooms
            .iter()
            .map(|room| {
                if is_charging {
                    (room.charge_watts, room.charge_wh)
                } else {
                    (room.discharge_watts, room.discharge_wh)
                }
            })
            .collect();
        let sign = if is_charging { 1.0 } else { -1.0 };
        share(total.abs(), &units).into_iter().map(|part| rounded_down(sign * part)).collect()
    }

    fn reason(&self, left_over: f64, watts: &[f64]) -> String {
        let told: f64 = watts.iter().sum();
        if left_over >= 0.0 && told > 0.0 {
            format!("stores the home's surplus of {left_over:.0} W")
        } else if told < 0.0 {
            format!("covers the home's demand of {:.0} W", -left_over)
        } else if left_over > self.deadband_watts {
            format!("the home has a surplus of {left_over:.0} W, but the battery is full")
        } else if left_over < -self.deadband_watts {
            format!(
                "the home needs {:.0} W, but the battery is down to what it keeps back",
                -left_over
            )
        } else {
            "the home needs nothing and has nothing over".to_owned()
        }
    }
}

impl SelfConsumption {
    /// The kind of its results.
    pub const DAY: &'static str = "self-consumption-day";
    /// How often a day that goes on is reported.
    const REPORT_EVERY: Duration = Duration::from_secs(900);

    fn home<'a>(
        &self,
        hem: &'a HemId,
        nodes: &'a [NodeDeclaration],
        known: Option<&HomeNow>,
        now: Timestamp,
    ) -> Option<Home<'a>> {
        let known = known?;
        let within = self.terms.stale_after;
        let mut home = Home { hem, grid_watts: 0.0, batteries: Vec::new() };
        for declaration in nodes {
            if declaration.kind == NodeKind::Grid {
                home.grid_watts += known.node(declaration.node).watts(now, within)?;
            } else if reads_as_battery(declaration) {
                home.batteries.push(Battery::of(hem, declaration, known, now, within)?);
            }
        }
        Some(home)
    }

    fn steer(
        &self,
        state: &mut SelfConsumptionState,
        now: Timestamp,
        since_last: Duration,
        home: &Home<'_>,
        terms: &HomeTerms,
        outcome: &mut Outcome,
    ) {
        let told: Vec<Option<f64>> = home
            .batteries
            .iter()
            .map(|battery| state.standing.power(home.hem, battery.node, now))
            .collect();
        let rooms = home
            .batteries
            .iter()
            .zip(&told)
            .map(|(battery, told)| battery.room(terms.window, *told))
            .collect();
        let is_due = |battery: &Battery<'_>| state.standing.is_due(home.hem, battery.node, now);
        let situation = Situation {
            grid_watts: home.grid_watts,
            target_watts: terms.target_watts,
            battery_watts: home.batteries.iter().map(|battery| battery.watts).collect(),
            told_watts: told,
            rooms,
            ramp_watts: self.terms.ramp_watts_per_second * since_last.as_secs_f64(),
            deadband_watts: self.terms.deadband_watts,
            anew: home.batteries.len() > 1 && home.batteries.iter().any(is_due),
        };
        let decision = situation.decide();
        for (battery, watts) in home.batteries.iter().zip(decision.watts) {
            let setting = Setting::Power { watts: Watts(watts) };
            let reason = || decision.reason.clone();
            let lease = self.terms.lease;
            state.standing.wish(outcome, now, home.hem, battery.node, setting, lease, reason);
        }
    }
}

impl EnergyApp for SelfConsumption {
    type Configuration = SelfConsumptionConfiguration;
    type State = SelfConsumptionState;

    const ABOUT: About = About {
        name: "self-consumption",
        version: "1.0.0",
        title: "Self-consumption",
        description: "Each home's battery stores what the home would export and covers what it would \
                      import, within its power and state of charge.",
        start: Start::Now,
        tick: Some(Duration::from_secs(1)),
    };

    fn new(configuration: SelfConsumptionConfiguration) -> Result<Self, String> {
        Ok(Self { terms: Terms::read(configuration)? })
    }

    fn step(&self, state: &mut SelfConsumptionState, now: Timestamp, view: &View) -> Outcome {
        let mut outcome = Outcome::default();
        state.latest.take_in(view);
        let since_last = state.decided.map_or(self.terms.every, |decided| now.since(decided));
        if since_last < self.terms.every {
            return outcome;
        }
        state.decided = Some(now);
        let roster = view.roster();
        let latest = std::mem::take(&mut state.latest);
        state.standing.retain_homes(|hem| roster.has(hem));
        state.days.retain(|hem, _| roster.has(hem));
        let day = day_of(roster.time_zone(), now.0);
        let reports = now.since(state.reported) >= Self::REPORT_EVERY;
        let mut dark = Vec::new();
        for (hem, nodes) in roster.homes() {
            let terms = self.terms.of(hem);
            let has_grid = nodes.iter().any(|node| node.kind == NodeKind::Grid);
            if !terms.steers || !has_grid || !nodes.iter().any(reads_as_battery) {
                state.standing.forget_home(hem);
                continue;
            }
            let Some(home) = self.home(hem, nodes, latest.home(hem), now) else {
                // What was wished ends with its lease.
                state.standing.forget_home(hem);
                dark.push(hem);
                continue;
            };
            self.steer(state, now, since_last, &home, terms, &mut outcome);
            let battery_watts = home.batteries.iter().map(|battery| battery.watts).sum();
            let soc = home.batteries.first().map(|battery| battery.soc);
            let kept = state.days.entry(hem.clone()).or_default();
            let span = since_last.min(self.terms.stale_after);
            kept.accept(hem, day, span, home.grid_watts, battery_watts, soc, &mut outcome);
            if reports {
                kept.report(hem, &mut outcome);
            }
        }
        if reports {
            state.reported = now;
        }
        let patience = self.terms.stale_after;
        state.sight.judge(now, patience, roster, dark.into_iter(), &mut outcome);
        state.latest = latest;
        outcome
    }
}
