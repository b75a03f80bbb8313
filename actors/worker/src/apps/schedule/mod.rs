//! Switches nodes on and off at local times and days of the week. What a home's readings show
//! otherwise is told again; but a person's button at home goes before it, as before every job.

mod configuration;
mod timetable;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono_tz::Tz;
use memcloud_domain::{HemId, NodeAction, NodeDeclaration, NodeId, Setting, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::configuration::Terms;
pub use self::configuration::{NodeSchedule, ScheduleConfiguration, SwitchingTime};
pub use self::timetable::{Slot, Switching, Timetable, instant_of};
use crate::apps::steering::{Sight, Standing};
use crate::{About, EnergyApp, Latest, NodeNow, Outcome, Roster, Start, View};

/// How a node has followed its schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Watch {
    slot: Slot,
    /// Whether a reading has shown it since.
    seen: bool,
    /// Since when readings show otherwise.
    otherwise_since: Option<Timestamp>,
    /// When it was told again last for that.
    told_again: Option<Timestamp>,
}

/// What it keeps: nothing that must be saved, a schedule goes by the clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleState {
    #[serde(skip)]
    latest: Latest,
    #[serde(skip)]
    standing: Standing,
    #[serde(skip)]
    sight: Sight,
    #[serde(skip)]
    slots: Slots,
    #[serde(skip)]
    watches: BTreeMap<HemId, BTreeMap<NodeId, Watch>>,
    #[serde(skip)]
    complained: BTreeSet<(HemId, NodeId)>,
    #[serde(skip)]
    decided: Option<Timestamp>,
}

/// What holds now of each timetable, until it changes.
#[derive(Debug, Clone, Default, PartialEq)]
struct Slots {
    zone: Option<Tz>,
    slots: Vec<Option<Slot>>,
}

impl Slots {
    fn refresh(&mut self, timetables: &[Timetable], now: Timestamp, zone: Tz) {
        if self.zone != Some(zone) || self.slots.len() != timetables.len() {
            *self = Self { zone: Some(zone), slots: vec![None; timetables.len()] };
        }
        for (slot, timetable) in self.slots.iter_mut().zip(timetables) {
            if slot.is_none_or(|slot| now < slot.from || slot.until <= now) {
                *slot = timetable.at(now, zone);
            }
        }
    }

    fn get(&self, place: usize) -> Option<Slot> {
        self.slots.get(place).copied().flatten()
    }
}

/// Switches nodes by the clock.
#[derive(Debug)]
pub struct Schedule {
    terms: Terms,
}

/// What a node's readings say of its switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    On,
    Off,
    /// It draws nothing and does not say whether it is on, or has said nothing since it was told.
    Unclear,
    /// Nothing is fresh.
    Nothing,
}

impl Schedule {
    /// The kind of its results: a switching, and whether readings showed it.
    pub const SWITCHING: &'static str = "switching";
    /// A decision is made at most so often.
    const EVERY: Duration = Duration::from_secs(1);
    /// A node that is seen otherwise in spite of being told is told again so often.
    const TELLS_AGAIN_EVERY: Duration = Duration::from_secs(300);
    /// How long a home may take to do what it is told.
    const SETTLES_IN: Duration = Duration::from_secs(5);
    /// What draws more is on, W.
    const DRAWS_WATTS: f64 = 20.0;
    /// How many complaints are remembered.
    const COMPLAINTS: usize = 1_000;

    /// What readings that were taken after `since` show; older ones are of before it was told.
    fn shows(&self, node: NodeNow, now: Timestamp, since: Option<Timestamp>) -> Shows {
        let within = self.terms.stale_after;
        let newest = node.on.map(|on| on.at).max(node.watts.map(|watts| watts.at));
        let settled = since.map(|since| since.plus(Self::SETTLES_IN));
        if newest.is_some_and(|newest| now.since(newest) <= within) && newest < settled {
            return Shows::Unclear;
        }
        match (node.on(now, within), node.watts(now, within)) {
            (Some(true), _) => Shows::On,
            (Some(false), _) => Shows::Off,
            (None, Some(watts)) if watts.abs() > Self::DRAWS_WATTS => Shows::On,
            (None, Some(_)) => Shows::Unclear,
            (None, None) => Shows::Nothing,
        }
    }

    fn complain(
        state: &mut ScheduleState,
        hem: &HemId,
        node: NodeId,
        why: &str,
        outcome: &mut Outcome,
    ) {
        let has_room = state.complained.len() < Self::COMPLAINTS;
        if has_room && state.complained.insert((hem.clone(), node)) {
            outcome.warn(format!("node {node} of {hem} is not switched: {why}"));
        }
    }

    fn look_for_the_named(
        &self,
        state: &mut ScheduleState,
        roster: &Roster,
        outcome: &mut Outcome,
    ) {
        for (hem, node) in self.terms.named.keys() {
            if roster.node(hem, *node).is_none() {
                Self::complain(state, hem, *node, "there is no such node", outcome);
            }
        }
    }

    /// Whether a node can be switched by a schedule.
    fn obstacle(declaration: &NodeDeclaration, slot: Slot) -> Option<&'static str> {
        let controls = declaration.controls.as_deref().unwrap_or_default();
        if !controls.contains(&NodeAction::Switch) {
            return Some("it has no switch");
        }
        (declaration.critical == Some(true) && !slot.on)
            .then_some("it is critical and never switched off")
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of one situation")]
    fn steer(
        &self,
        state: &mut ScheduleState,
        now: Timestamp,
        hem: &HemId,
        node: NodeId,
        slot: Slot,
        shows: Shows,
        outcome: &mut Outcome,
    ) {
        let fresh = Watch { slot, seen: false, otherwise_since: None, told_again: None };
        let watches = state.watches.entry(hem.clone()).or_default();
        let watch = watches.entry(node).or_insert(fresh);
        if watch.slot != slot {
            *watch = fresh;
        }
        let is_new = state.standing.since(hem, node).is_none() || watch == &fresh;
        let differs = match shows {
            Shows::On => !slot.on,
            Shows::Off => slot.on,
            Shows::Unclear | Shows::Nothing => false,
        };
        if matches!(shows, Shows::On | Shows::Off) && !differs {
            watch.otherwise_since = None;
            watch.told_again = None;
            if !watch.seen {
                watch.seen = true;
                report(hem, node, slot, Some(now), outcome);
            }
        } else if differs {
            let since = *watch.otherwise_since.get_or_insert(now);
            let told = watch.told_again.unwrap_or(since);
            let patience = if watch.told_again.is_some() {
                Self::TELLS_AGAIN_EVERY
            } else {
                self.terms.drift_after
            };
            if !is_new && now.since(told) >= patience {
                if watch.told_again.is_none() {
                    let (is, should) = if slot.on { ("off", "on") } else { ("on", "off") };
                    outcome.warn(format!(
                        "node {node} of {hem} is {is}, although it is scheduled {should}: it is told again"
                    ));
                }
                watch.told_again = Some(now);
                // Dispatch sends nothing for a wish that stands already: it is taken back, and wished
                // anew in the next step.
                state.standing.withdraw(outcome, hem, node);
                return;
            }
        }
        let setting = Setting::Switch { on: slot.on };
        let why = || {
            let (since, until) = (slot.from, slot.until);
            format!("scheduled {} from {since} to {until}", if slot.on { "on" } else { "off" })
        };
        let changes = state.standing.setting(hem, node) != Some(setting);
        state.standing.wish(outcome, now, hem, node, setting, self.terms.lease, why);
        if changes && differs {
            report(hem, node, slot, None, outcome);
        }
    }
}

fn report(hem: &HemId, node: NodeId, slot: Slot, seen: Option<Timestamp>, outcome: &mut Outcome) {
    let body = json!({
        "node": node,
        "on": slot.on,
        "seen_at": seen.map(|seen| seen.to_string()),
        "after_seconds": seen.map(|seen| seen.since(slot.from).as_secs()),
    });
    outcome.report(Schedule::SWITCHING, &format!("{hem}/{node}"), slot.from, slot.until, body);
}

impl EnergyApp for Schedule {
    type Configuration = ScheduleConfiguration;
    type State = ScheduleState;

    const ABOUT: About = About {
        name: "schedule",
        version: "1.0.0",
        title: "Schedule",
        description: "Switches nodes on and off at local times and days of the week, and tells them again \
                      where readings show otherwise.",
        start: Start::Now,
        tick: Some(Duration::from_secs(1)),
    };

    fn new(configuration: ScheduleConfiguration) -> Result<Self, String> {
        Ok(Self { terms: Terms::read(&configuration)? })
    }

    fn step(&self, state: &mut ScheduleState, now: Timestamp, view: &View) -> Outcome {
        let mut outcome = Outcome::default();
        state.latest.take_in(view);
        if state.decided.is_some_and(|decided| now.since(decided) < Self::EVERY) {
            return outcome;
        }
        state.decided = Some(now);
        let roster = view.roster();
        state.slots.refresh(&self.terms.timetables, now, roster.time_zone());
        state.standing.retain_homes(|hem| roster.has(hem));
        state.watches.retain(|hem, _| roster.has(hem));
        self.look_for_the_named(state, roster, &mut outcome);
        let mut dark = Vec::new();
        for (hem, nodes) in roster.homes() {
            for declaration in nodes.iter().filter(|node| self.terms.concerns(node.node)) {
                let node = declaration.node;
                let place = self.terms.of(hem, node);
                let Some(slot) = place.and_then(|place| state.slots.get(place)) else { continue };
                if let Some(why) = Self::obstacle(declaration, slot) {
                    state.standing.withdraw(&mut outcome, hem, node);
                    Self::complain(state, hem, node, why, &mut outcome);
                    continue;
                }
                let since = state.standing.since(hem, node);
                let shows = self.shows(state.latest.node(hem, node), now, since);
                if shows == Shows::Nothing {
                    // What was wished ends with its lease.
                    state.standing.forget(hem, node);
                    dark.push(hem);
                    continue;
                }
                self.steer(state, now, hem, node, slot, shows, &mut outcome);
            }
        }
        let patience = self.terms.stale_after;
        state.sight.judge(now, patience, roster, dark.into_iter(), &mut outcome);
        outcome
    }
}
