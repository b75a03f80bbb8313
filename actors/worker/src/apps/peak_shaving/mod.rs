//! Holds a microgrid's import under a limit, and if wanted its export, with all its batteries and
//! deferrable loads together. The batteries share what is to be done by the energy they have; loads go
//! only where batteries do not suffice, the least important first.
//!
//! It plans by what the community would draw without its batteries, which its own wishes do not
//! change: so the loop that they close cannot swing. It does not look ahead.

mod configuration;
mod following;
mod plan;

use std::time::Duration;

use memcloud_domain::{HemId, Setting, Timestamp, Watts};
use serde::{Deserialize, Serialize};

use self::configuration::Terms;
pub use self::configuration::{BetweenPeaks, PeakShavingConfiguration};
use self::following::{Following, Fresh, Reliance};
pub use self::plan::{Aim, Plan, Purpose, Unit};
use crate::apps::calendar::day_of;
use crate::apps::limit_watch::{Hysteresis, Phase, Transition};
use crate::apps::steering::{
    Battery, Darkness, Lens, MICROGRID, Measured, PEAK_DAY, PeakDay, Picture, ShedOrders, Shedding,
    Sight, Standing, named,
};
use crate::{About, EnergyApp, Latest, Outcome, Roster, Start, View};

/// What it keeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeakShavingState {
    shedding: Shedding,
    alarm: Phase,
    engaged: Option<Engaged>,
    day: PeakDay,
    reported: Timestamp,
    #[serde(skip)]
    latest: Latest,
    #[serde(skip)]
    standing: Standing,
    #[serde(skip)]
    sight: Sight,
    #[serde(skip)]
    following: Following,
    #[serde(skip)]
    decided: Option<Timestamp>,
    #[serde(skip)]
    darkness: Darkness,
    /// Whether it was said that there is no limit.
    #[serde(skip)]
    no_limit_said: bool,
}

/// The batteries are being steered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Engaged {
    /// Since when no limit is near.
    calm_since: Option<Timestamp>,
}

/// Holds a community's import under its limit.
#[derive(Debug)]
pub struct PeakShaving {
    terms: Terms,
}

/// The limits that hold now, W, without margin.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Limits {
    import_watts: Option<f64>,
    export_watts: Option<f64>,
}

impl PeakShaving {
    /// The kind of its daily results.
    pub const DAY: &'static str = PEAK_DAY;
    /// The subject of its daily results.
    pub const SUBJECT: &'static str = MICROGRID;
    /// How often a day that goes on is reported.
    const REPORT_EVERY: Duration = Duration::from_secs(300);
    /// How long the import must be over its limit, and under it again, before that is said.
    const SAID_AFTER: Duration = Duration::from_secs(60);
    /// How many batteries a line of log names.
    const NAMED: usize = 20;

    fn limits(&self, roster: &Roster) -> Limits {
        let own = roster.limits();
        let usable = |watts: f64| (watts.is_finite() && watts >= 0.0).then_some(watts);
        let of =
            |set: Option<f64>, own: Option<Watts>| set.or(own.map(Watts::value)).and_then(usable);
        Limits {
            import_watts: of(self.terms.given.import_limit_watts, own.import_watts),
            export_watts: of(self.terms.given.export_limit_watts, own.export_watts),
        }
    }

    fn aim(&self, limits: Limits) -> Aim {
        let given = &self.terms.given;
        let holds_ready = given.between_peaks == BetweenPeaks::HoldReady;
        let recharge = limits.import_watts.filter(|_| holds_ready);
        let margin = 1.0 - given.margin;
        Aim {
            import_watts: limits.import_watts.map(|limit| limit * margin),
            export_watts: limits.export_watts.map(|limit| limit * margin),
            recharge_watts: recharge.map(|limit| limit * given.recharge_below.min(margin)),
            deadband_watts: given.deadband_watts,
        }
    }

    /// Lets all loads go.
    fn release(
        &self,
        state: &mut PeakShavingState,
        now: Timestamp,
        why: &str,
        roster: &Roster,
        outcome: &mut Outcome,
    ) {
        state.engaged = None;
        let changes = state.shedding.release_all();
        let orders = ShedOrders { now, lease: self.terms.lease, why };
        orders.carry_out(&changes, &state.shedding, &mut state.standing, roster, outcome);
    }

    /// The batteries that can be counted on.
    fn reliable<'a>(
        &self,
        state: &mut PeakShavingState,
        now: Timestamp,
        batteries: &[Battery<'a>],
        outcome: &mut Outcome,
    ) -> Vec<Battery<'a>> {
        let mut counted = Vec::with_capacity(batteries.len());
        let mut astray: Vec<HemId> = Vec::new();
        for battery in batteries {
            let power = state.standing.power(battery.hem, battery.node, now);
            let told = power.zip(state.standing.since(battery.hem, battery.node));
            match state.following.accept(battery, told, now, self.terms.every) {
                (Reliance::Counts, _) => counted.push(*battery),
                (Reliance::Astray, fresh) => {
                    state.standing.forget(battery.hem, battery.node);
                    if fresh == Fresh::Yes {
                        astray.push(battery.hem.clone());
                    }
                }
            }
        }
        if !astray.is_empty() {
            outcome.warn(format!(
                "batteries that do not discharge as told, and are not counted on for five minutes: {}",
                named(&astray, Self::NAMED)
            ));
        }
        counted
    }

    /// Whether the batteries are steered now.
    fn engages(
        &self,
        engaged: &mut Option<Engaged>,
        now: Timestamp,
        import_watts: f64,
        residual: f64,
        aim: &Aim,
    ) -> Changed {
        if aim.recharge_watts.is_some() {
            *engaged = Some(Engaged::default());
            return Changed::No;
        }
        let over = |watts: f64, spare: f64| {
            aim.import_watts.is_some_and(|limit| watts > limit - spare)
                || aim.export_watts.is_some_and(|limit| -watts > limit - spare)
        };
        match engaged {
            None if over(import_watts, 0.0) => {
                *engaged = Some(Engaged::default());
                Changed::No
            }
            None => Changed::No,
            Some(_) if over(residual, aim.deadband_watts) => {
                *engaged = Some(Engaged::default());
                Changed::No
            }
            Some(Engaged { calm_since }) => {
                let since = *calm_since.get_or_insert(now);
                if now.since(since) < self.terms.release {
                    return Changed::No;
                }
                *engaged = None;
                Changed::Released
            }
        }
    }

    fn steer(
        &self,
        state: &mut PeakShavingState,
        now: Timestamp,
        batteries: &[Battery<'_>],
        residual: f64,
        aim: &Aim,
        outcome: &mut Outcome,
    ) -> Plan {
        let units: Vec<Unit> = batteries
            .iter()
            .map(|battery| {
                let told_watts = state.standing.power(battery.hem, battery.node, now);
                let room = battery.room(self.terms.window, told_watts);
                let to_ready = battery.room(self.terms.ready, told_watts);
                Unit { told_watts, room, to_ready }
            })
            .collect();
        let is_due = |battery: &Battery<'_>| state.standing.is_due(battery.hem, battery.node, now);
        let plan = Plan::make(residual, &units, aim, batteries.iter().any(is_due));
        let reason = match plan.purpose {
            Purpose::Shaving => format!(
                "the community would import {residual:.0} W, and may {:.0} W",
                aim.import_watts.unwrap_or_default()
            ),
            Purpose::Storing => format!(
                "the community would export {:.0} W, and may {:.0} W",
                -residual,
                aim.export_watts.unwrap_or_default()
            ),
            Purpose::Recharging => "made ready for the next peak".to_owned(),
            Purpose::Waiting => "kept for the next peak".to_owned(),
        };
        for (battery, watts) in batteries.iter().zip(&plan.watts) {
            let setting = Setting::Power { watts: Watts(*watts) };
            let lease = self.terms.lease;
            let why = || reason.clone();
            state.standing.wish(outcome, now, battery.hem, battery.node, setting, lease, why);
        }
        plan
    }

    fn judge_import(
        &self,
        state: &mut PeakShavingState,
        now: Timestamp,
        import_watts: f64,
        limit: Option<f64>,
        help: Help,
        outcome: &mut Outcome,
    ) {
        let Some(limit) = limit else { return };
        // A single reading says little, however seldom they come.
        let span = Self::SAID_AFTER.max(self.terms.every * 3);
        let rule =
            Hysteresis { raise_above: limit, clear_below: limit, hold: span, clear_after: span };
        match rule.accept(&mut state.alarm, now, import_watts) {
            Some(Transition::Began(since)) => {
                let help = match help {
                    Help::Exhausted => ", although batteries and loads help as far as they can",
                    Help::Enough => "",
                };
                outcome.warn(format!(
                    "the import is over the limit of {limit:.0} W since {since}{help}: \
                     {import_watts:.0} W now"
                ));
                outcome.urgent = true;
            }
            Some(Transition::Ended(_, peak)) => {
                outcome.info(format!(
                    "the import is under the limit of {limit:.0} W again; its peak was {peak:.0} W"
                ));
                outcome.urgent = true;
            }
            None => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of one situation")]
    fn decide(
        &self,
        state: &mut PeakShavingState,
        now: Timestamp,
        since_last: Duration,
        picture: &Picture<'_>,
        limits: Limits,
        roster: &Roster,
        outcome: &mut Outcome,
    ) {
        let aim = self.aim(limits);
        let import = picture.import_watts;
        let counted = self.reliable(state, now, &picture.batteries, outcome);
        let battery_watts: f64 = counted.iter().map(|battery| battery.watts).sum();
        // What the community draws but for the batteries that can be told: no wish changes it.
        let residual = import - battery_watts;
        if self.engages(&mut state.engaged, now, import, residual, &aim) == Changed::Released {
            state.standing.withdraw_all(outcome);
            outcome.info("no limit is near any more: the batteries are left to others");
        }
        let mut help = Help::Enough;
        let excess = if state.engaged.is_some() {
            let plan = self.steer(state, now, &counted, residual, &aim, outcome);
            let room = aim.import_watts.map_or(0.0, |limit| (limit - residual).max(0.0));
            if plan.uncovered_watts > 0.0 {
                help = Help::Exhausted;
                plan.uncovered_watts
            } else {
                -room
            }
        } else {
            aim.import_watts.map_or(0.0, |limit| import - limit)
        };
        let off_before: f64 = state.shedding.off().map(|(_, _, shed)| shed.watts).sum();
        let changes = state.shedding.accept(now, excess, &picture.loads, &self.terms.shed);
        let why = format!(
            "the import would be over its limit of {:.0} W",
            limits.import_watts.unwrap_or_default()
        );
        let orders = ShedOrders { now, lease: self.terms.lease, why: &why };
        orders.carry_out(&changes, &state.shedding, &mut state.standing, roster, outcome);
        self.judge_import(state, now, import, limits.import_watts, help, outcome);
        let measured = Measured {
            import_watts: import,
            without_watts: residual + off_before,
            battery_watts,
            limit_watts: limits.import_watts,
            loads_off: state.shedding.count(),
        };
        let day = day_of(roster.time_zone(), now.0);
        let span = since_last.min(self.terms.stale_after);
        state.day.accept(day, now, span, measured, outcome);
        if now.since(state.reported) >= Self::REPORT_EVERY {
            state.day.report(outcome);
            state.reported = now;
        }
    }
}

/// Whether the batteries suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Help {
    Enough,
    Exhausted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    Released,
    No,
}

impl EnergyApp for PeakShaving {
    type Configuration = PeakShavingConfiguration;
    type State = PeakShavingState;

    const ABOUT: About = About {
        name: "peak-shaving",
        version: "1.0.0",
        title: "Peak shaving",
        description: "Holds the microgrid's import under a limit with all batteries and deferrable loads \
                      together, shared fairly; its export too, if wanted.",
        start: Start::Now,
        tick: Some(Duration::from_secs(1)),
    };

    fn new(configuration: PeakShavingConfiguration) -> Result<Self, String> {
        Ok(Self { terms: Terms::read(configuration)? })
    }

    fn step(&self, state: &mut PeakShavingState, now: Timestamp, view: &View) -> Outcome {
        let mut outcome = Outcome::default();
        state.latest.take_in(view);
        let since_last = state.decided.map_or(self.terms.every, |decided| now.since(decided));
        if since_last < self.terms.every {
            return outcome;
        }
        state.decided = Some(now);
        let roster = view.roster();
        state.standing.retain_homes(|hem| roster.has(hem));
        state.following.retain(|hem| roster.has(hem));
        let lens = Lens {
            stale_after: self.terms.stale_after,
            shed_up_to: self.terms.given.shed_up_to_priority,
        };
        let picture = lens.look(roster, &state.latest, now);
        for hem in &picture.dark {
            // What was wished of it ends with its lease.
            state.standing.forget_home(hem);
        }
        for (hem, node) in &picture.unreadable {
            state.standing.forget(hem, *node);
        }
        let patience = self.terms.stale_after;
        let unreadable = picture.unreadable.iter().map(|(hem, _)| *hem);
        let dark = picture.dark.iter().copied().chain(unreadable);
        state.sight.judge(now, patience, roster, dark, &mut outcome);
        let limits = self.limits(roster);
        if limits.import_watts.is_none() && limits.export_watts.is_none() {
            self.release(state, now, "there is no limit any more", roster, &mut outcome);
            state.standing.withdraw_all(&mut outcome);
            if !std::mem::replace(&mut state.no_limit_said, true) {
                outcome.warn(
                    "nothing is shaved: neither the job nor the microgrid has a limit; set \
                     import_limit_watts",
                );
            }
            return outcome;
        }
        state.no_limit_said = false;
        if picture.is_too_dark(self.terms.given.max_stale_share) {
            // What stands ends with its lease.
            state.standing.forget_all();
            self.release(state, now, "too little is known", roster, &mut outcome);
            state.darkness.falls(now, patience, &mut outcome);
        } else {
            state.darkness.lifts(&mut outcome);
            self.decide(state, now, since_last, &picture, limits, roster, &mut outcome);
        }
        outcome
    }
}
