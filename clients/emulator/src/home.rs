//! A home at any moment: what its eight nodes do, in balance to the watt.
//!
//! Time runs in slots of five seconds within which every power stands still (but for a ripple that
//! adds up to nothing), so that counters are exact sums and not estimates: however densely or
//! sparsely a home is sampled, it is the same home. No clock, no I/O.

use std::time::Duration;

use chrono::FixedOffset;
use memcloud_domain::{
    CommandAction, CommandOutcome, NodeDeclaration, NodeId, NodeReading, StateOfCharge, Timestamp,
    WattHours,
};
use serde::{Deserialize, Serialize};

use crate::battery::Battery;
use crate::calendar::{HOUR_MS, LocalHour};
use crate::hour_plan::{HourPlan, MOST_MADE_UP};
use crate::measurement::{self, Feeder};
use crate::nodes::{self, BATTERY, ESSENTIALS, GRID, LOAD_COUNT, NODE_COUNT, SOLAR};
use crate::noise::between;
use crate::orders::{Deed, Orders};
use crate::profile::HomeProfile;
use crate::ripple::Ripple;
use crate::shape::SLOT_MS;

/// How many earlier states are kept, so that the past can be sampled without starting over.
const MOST_CHECKPOINTS: usize = 32;
/// How many changes are remembered for the same purpose.
const MOST_CHANGES: usize = 256;
/// How many times a schedule may name.
const MOST_SCHEDULED: usize = 100;
/// The longest time between two readings that can be ordered, s.
const LONGEST_INTERVAL: u32 = 86_400;
/// So many watts beyond a declared limit are rounding.
const ROUNDING_WATTS: f64 = 0.05;

/// All that a home carries from one moment to the next. Whoever keeps it can go on from there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HomeState {
    /// The moment that it is true of.
    pub at: Timestamp,
    /// What the battery holds, Wh.
    pub stored_wh: f64,
    /// What loads and PV last took together, W: what the battery's rule answers.
    pub net_watts: f64,
    /// What each node has taken from the home's bus since its counters began, Wh.
    pub wh_in: [f64; NODE_COUNT],
    /// What each node has fed to the home's bus since its counters began, Wh.
    pub wh_out: [f64; NODE_COUNT],
    /// Which nodes are switched on.
    pub on: [bool; NODE_COUNT],
    /// What was ordered and still holds.
    #[serde(default)]
    pub orders: Orders,
    /// What each load did not get and will take later, Wh.
    #[serde(default)]
    pub missed_wh: [f64; LOAD_COUNT],
}

/// Something that changed the home at a moment.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    at: Timestamp,
    deed: Deed,
}

/// Every node's power through a segment of a slot.
#[derive(Debug, Clone, Copy)]
struct Segment {
    watts: [f64; NODE_COUNT],
    net_watts: f64,
    /// What each load falls behind, or makes up for where it is negative.
    missing_watts: [f64; LOAD_COUNT],
    battery: Battery,
    slot_start: Timestamp,
    end: Timestamp,
}

/// A home.
#[derive(Debug, Clone)]
pub struct Home {
    profile: HomeProfile,
    offset: FixedOffset,
    plan: HourPlan,
    state: HomeState,
    origin: HomeState,
    checkpoints: Vec<HomeState>,
    changes: Vec<Change>,
    /// How many of the changes the state has seen.
    changed: usize,
    /// The newest moment that was sampled.
    seen: Timestamp,
    /// How far the battery misses its set-point, as a share of it.
    drift: f64,
}

impl Home {
    /// A home whose board was put into service at a moment: counters at zero, everything on.
    #[must_use]
    pub fn new(profile: HomeProfile, in_service: Timestamp) -> Self {
        let share = between(profile.key(), 0xba7, 0.25, 0.6);
        let state = HomeState {
            at: in_service,
            stored_wh: profile.battery().capacity_wh() * share,
            net_watts: 0.0,
            wh_in: [0.0; NODE_COUNT],
            wh_out: [0.0; NODE_COUNT],
            on: [true; NODE_COUNT],
            orders: Orders::default(),
            missed_wh: [0.0; LOAD_COUNT],
        };
        Self::resume(profile, state)
    }

    /// A home that goes on from a kept state. The time before it cannot be sampled.
    #[must_use]
    pub fn resume(profile: HomeProfile, state: HomeState) -> Self {
        let offset = profile.dataset().offset();
        let (hour, _) = LocalHour::of(state.at, offset);
        let plan = HourPlan::of(&profile, hour);
        Self {
            profile,
            offset,
            plan,
            seen: state.at,
            origin: state.clone(),
            state,
            checkpoints: Vec::new(),
            changes: Vec::new(),
            changed: 0,
            drift: 0.0,
        }
    }

    /// The same home with a battery that misses its set-point by a share of it: at 0.2 it does 1,200 W
    /// where 1,000 W were ordered.
    #[must_use]
    pub fn with_battery_drift(self, share: f64) -> Self {
        Self { drift: share, ..self }
    }

    /// Where its energies come from.
    #[must_use]
    pub fn profile(&self) -> &HomeProfile {
        &self.profile
    }

    /// What to keep so that the home can go on after a restart: true of a moment at most one slot
    /// before the last sample.
    #[must_use]
    pub fn state(&self) -> &HomeState {
        &self.state
    }

    /// The readings of all nodes at a moment. A moment before the home was in service counts as
    /// the moment it was. Samples in ascending order are cheap; one far back costs up to a day of
    /// slots, some milliseconds.
    pub fn sample(&mut self, moment: Timestamp) -> Vec<NodeReading> {
        let mut readings = Vec::with_capacity(NODE_COUNT);
        self.sample_into(moment, &mut readings);
        readings
    }

    /// As [`Home::sample`], into a buffer that is used again and again.
    pub fn sample_into(&mut self, moment: Timestamp, readings: &mut Vec<NodeReading>) {
        let moment = moment.max(self.origin.at);
        self.seen = self.seen.max(moment);
        if moment < self.state.at {
            self.rewind_before(Timestamp(moment.as_millis().saturating_add(1)));
        }
        self.advance(moment);

        let segment = self.segment();
        let key = self.profile.key();
        let mut now = self.state.clone();
        segment.carry(&mut now, moment, key);
        let mut watts = segment.watts;
        segment.ripple(key).shift(&mut watts, segment.ms_of_slot(moment));
        let [grid_watts, ..] = watts;
        let feeder = Feeder::at(moment, key, -grid_watts);
        measurement::measure(&watts, &feeder, readings);
        let counters = now.wh_in.iter().zip(&now.wh_out).zip(&now.on);
        for (reading, ((wh_in, wh_out), on)) in readings.iter_mut().zip(counters) {
            reading.wh_in = Some(WattHours(measurement::counter(*wh_in)));
            reading.wh_out = Some(WattHours(measurement::counter(*wh_out)));
            reading.on = Some(*on);
            if reading.node == BATTERY {
                let share = self.profile.battery().share(now.stored_wh);
                reading.soc = Some(StateOfCharge(measurement::charge(share)));
            }
        }
    }

    /// Lets the time up to a moment pass, so that what ends by then has ended.
    pub fn live_through(&mut self, moment: Timestamp) {
        self.advance(moment);
    }

    /// Someone at home switches a node at a moment. That wins for two hours, and ends what was
    /// ordered of the node's power. The connection to the grid has no switch: it closes the
    /// balance; false for that, and for a node that does not exist.
    pub fn switch(&mut self, moment: Timestamp, node: NodeId, on: bool) -> bool {
        if node == GRID || usize::from(node.0) >= NODE_COUNT {
            return false;
        }
        self.change(moment, Deed::Pressed { node, on });
        true
    }

    /// Carries out an action: at once and with all its consequences, in the sum of the nodes, the
    /// counters and the battery's charge. A moment before the last sample counts as that sample's.
    /// When the lease ends the node falls back to what it declares as its default, by itself; without
    /// a lease it stays until it is ordered otherwise.
    ///
    /// Answered is whether it was done, or why it was refused: an action or a power that the node does
    /// not declare, or what someone at home has decided and still holds. What has effect is another
    /// matter: a battery that is full takes no more, whatever its set-point.
    pub fn carry_out(
        &mut self,
        node: Option<NodeId>,
        action: &CommandAction,
        lease: Option<Duration>,
        now: Timestamp,
    ) -> (CommandOutcome, Option<String>) {
        let now = now.max(self.seen).max(self.state.at);
        self.advance(now);
        if let Err(reason) = self.check(node, action) {
            return (CommandOutcome::Refused, Some(reason));
        }
        self.change(now, Deed::Ordered { node, action: action.clone(), lease });
        (CommandOutcome::Done, None)
    }

    /// The meters are exchanged at a moment: all counters begin again at zero.
    pub fn reset_counters(&mut self, moment: Timestamp) {
        self.change(moment.max(self.seen), Deed::CountersReset);
    }

    /// What the home's HEM declares of its nodes, the importance that it was told included.
    #[must_use]
    pub fn declarations(&self) -> Vec<NodeDeclaration> {
        let mut nodes = nodes::declarations(&self.profile);
        for node in &mut nodes {
            node.priority = self.state.orders.priority(node.node).or(node.priority);
        }
        nodes
    }

    /// What was ordered and still holds, as of the last sample or action.
    #[must_use]
    pub fn orders(&self) -> &Orders {
        &self.state.orders
    }

    /// Whether a node is switched on, as of the last sample or action.
    #[must_use]
    pub fn is_on(&self, node: NodeId) -> bool {
        self.state.on.get(usize::from(node.0)).copied().unwrap_or(false)
    }

    /// Why an action cannot be carried out now.
    fn check(&self, node: Option<NodeId>, action: &CommandAction) -> Result<(), String> {
        let Some(control) = action.control() else {
            return match action {
                CommandAction::ReportEvery { seconds } if *seconds == 0 => {
                    Err("a reading every 0 s cannot be; 1 s is the least".to_owned())
                }
                CommandAction::ReportEvery { seconds } if *seconds > LONGEST_INTERVAL => {
                    Err(format!(
                        "a reading every {seconds} s is too seldom; {LONGEST_INTERVAL} s is the most"
                    ))
                }
                _ if node.is_some() => {
                    Err(format!("{} is for the HEM, not for one of its nodes", action.name()))
                }
                _ => Ok(()),
            };
        };
        let Some(node) = node else {
            return Err(format!("{} needs a node", action.name()));
        };
        if usize::from(node.0) >= NODE_COUNT {
            return Err(format!("there is no node {node}"));
        }
        if !nodes::controls(node).contains(&control) {
            return Err(format!("node {node} does not do {}", action.name()));
        }
        self.check_arguments(node, action)?;
        let is_on = self.is_on(node);
        let overridden = self.state.orders.override_until(node);
        match (action, overridden) {
            (CommandAction::SetPriority { .. }, _) => Ok(()),
            (CommandAction::Switch { on }, Some(_)) if *on == is_on => Ok(()),
            (_, Some(until)) => {
                let position = if is_on { "on" } else { "off" };
                Err(format!(
                    "someone at home switched node {node} {position}; that holds until {until}"
                ))
            }
            (CommandAction::SetPower { .. }, None) if !is_on => {
                Err(format!("node {node} is switched off"))
            }
            (_, None) => Ok(()),
        }
    }

    fn check_arguments(&self, node: NodeId, action: &CommandAction) -> Result<(), String> {
        let (least, greatest) = nodes::power_range(&self.profile, node);
        match action {
            CommandAction::SetPower { watts } => {
                let (least, greatest) = (least.value(), greatest.value());
                let is_within =
                    (least - ROUNDING_WATTS..=greatest + ROUNDING_WATTS).contains(&watts.value());
                if is_within {
                    return Ok(());
                }
                Err(format!("{watts} is beyond what node {node} does: {least} to {greatest} W"))
            }
            CommandAction::LimitPower { watts }
                if watts.value() < 0.0 || watts.value().is_nan() =>
            {
                Err("a limit is given without a sign, 0 W or more".to_owned())
            }
            CommandAction::SetSchedule { on_at, off_at }
                if on_at.len() + off_at.len() > MOST_SCHEDULED =>
            {
                Err(format!("a schedule has at most {MOST_SCHEDULED} times"))
            }
            _ => Ok(()),
        }
    }

    /// Enters a change, in the order of time, and lives through it.
    fn change(&mut self, moment: Timestamp, deed: Deed) {
        if self.changes.len() >= MOST_CHANGES {
            self.forget_the_past();
        }
        if moment <= self.origin.at {
            self.origin.take(&deed);
            self.checkpoints.clear();
            self.rewind_before(self.origin.at);
            return;
        }
        self.checkpoints.retain(|checkpoint| checkpoint.at < moment);
        if self.state.at > moment {
            self.rewind_before(moment);
        }
        let place = self.changes.partition_point(|earlier| earlier.at <= moment);
        if self.state.at == moment {
            // Lived through up to this very moment: it follows what else happened then.
            self.state.take(&deed);
            self.changed += 1;
        }
        self.changes.insert(place, Change { at: moment, deed });
        self.advance(moment);
    }

    fn forget_the_past(&mut self) {
        self.origin = self.state.clone();
        self.checkpoints.clear();
        self.changes.drain(..self.changed);
        self.changed = 0;
    }

    /// Goes back to the newest kept state before a moment.
    fn rewind_before(&mut self, moment: Timestamp) {
        let place = self.checkpoints.partition_point(|checkpoint| checkpoint.at < moment);
        let kept = place.checked_sub(1).and_then(|newest| self.checkpoints.get(newest));
        self.state = kept.unwrap_or(&self.origin).clone();
        self.changed = self.changes.partition_point(|earlier| earlier.at <= self.state.at);
    }

    /// Carries the state over every slot and change that lies whole before a moment.
    fn advance(&mut self, moment: Timestamp) {
        loop {
            let segment = self.segment();
            if segment.end > moment {
                return;
            }
            segment.carry(&mut self.state, segment.end, self.profile.key());
            self.state.net_watts = segment.net_watts;
            self.state.fall_due();
            while let Some(change) = self.changes.get(self.changed)
                && change.at <= self.state.at
            {
                self.state.take(&change.deed);
                self.changed += 1;
            }
            self.keep_checkpoint();
        }
    }

    fn keep_checkpoint(&mut self) {
        let (hour, into_hour) = LocalHour::of(self.state.at, self.offset);
        let midnight = into_hour == 0 && hour.of_day() == 0;
        let newest = self.checkpoints.last().map_or(self.origin.at, |newest| newest.at);
        if !midnight || newest >= self.state.at {
            return;
        }
        if self.checkpoints.len() >= MOST_CHECKPOINTS {
            let mut odd = false;
            self.checkpoints.retain(|_| {
                odd = !odd;
                odd
            });
        }
        self.checkpoints.push(self.state.clone());
    }

    /// What happens from the state's moment until its slot ends or something changes.
    fn segment(&mut self) -> Segment {
        let (hour, into_hour) = LocalHour::of(self.state.at, self.offset);
        if self.plan.hour != hour {
            self.plan = HourPlan::of(&self.profile, hour);
        }
        let slot = u32::try_from(into_hour / SLOT_MS).unwrap_or(0);
        let slot_start = Timestamp(self.state.at.as_millis() - into_hour % SLOT_MS);
        let slot_end = Timestamp(slot_start.as_millis().saturating_add(SLOT_MS));
        let state = &self.state;
        let change = self.changes.get(self.changed).map(|change| change.at);
        let end =
            [change, state.orders.next_due()].into_iter().flatten().fold(slot_end, Timestamp::min);
        let hours = hours_between(state.at, end);

        let limited = |node: NodeId, watts: f64| match state.orders.limit_power(node) {
            Some(limit) => watts.clamp(-limit, limit),
            None => watts,
        };
        let [_, solar_on, battery_on, loads_on @ ..] = state.on;
        let solar = if solar_on { limited(SOLAR, -self.plan.solar.watts(slot)) } else { 0.0 };
        let mut loads = [0.0; LOAD_COUNT];
        let mut missing_watts = [0.0; LOAD_COUNT];
        let nodes = (ESSENTIALS.0..).map(NodeId).zip(loads_on);
        let plans = self.plan.loads.iter().zip(&self.plan.backlogs);
        for (index, ((node, on), (shape, backlog))) in nodes.zip(plans).enumerate() {
            let natural = shape.watts(slot);
            let missed_wh = state.missed_wh.get(index).copied().unwrap_or(0.0);
            let wanted = backlog.wanted(natural, missed_wh, hours);
            let got = if on { limited(node, wanted) } else { 0.0 };
            if let (Some(load), Some(missing)) =
                (loads.get_mut(index), missing_watts.get_mut(index))
            {
                *load = got;
                *missing = backlog.remembered(natural - got);
            }
        }
        let net_watts = loads.iter().sum::<f64>() + solar;
        let battery = self.profile.battery();
        let stored = if battery_on {
            let wish = match state.orders.set_power(BATTERY) {
                Some(watts) => watts * (1.0 + self.drift),
                None => battery.wish(state.net_watts),
            };
            battery.within_limits(limited(BATTERY, wish), state.stored_wh, hours)
        } else {
            0.0
        };
        let grid = -(net_watts + stored);
        let [essentials, heat_pump, water_heater, charger, plugs] = loads;
        Segment {
            watts: [grid, solar, stored, essentials, heat_pump, water_heater, charger, plugs],
            net_watts,
            missing_watts,
            battery,
            slot_start,
            end,
        }
    }
}

impl HomeState {
    fn take(&mut self, deed: &Deed) {
        if *deed == Deed::CountersReset {
            self.wh_in = [0.0; NODE_COUNT];
            self.wh_out = [0.0; NODE_COUNT];
        }
        self.orders.take(deed, &mut self.on, self.at);
    }

    fn fall_due(&mut self) {
        if self.orders.next_due().is_some_and(|due| due <= self.at) {
            self.orders.fall_due(&mut self.on, self.at);
        }
    }
}

impl Segment {
    fn ms_of_slot(&self, moment: Timestamp) -> i64 {
        moment.as_millis() - self.slot_start.as_millis()
    }

    fn ripple(&self, home_key: u64) -> Ripple {
        let [grid, .., plugs] = self.watts;
        Ripple::of(home_key, self.slot_start, plugs, grid)
    }

    /// Carries a state of this segment on to a moment within it.
    fn carry(&self, state: &mut HomeState, moment: Timestamp, home_key: u64) {
        let hours = hours_between(state.at, moment);
        let mut energies = self.watts.map(|watts| watts * hours);
        let (from, to) = (self.ms_of_slot(state.at), self.ms_of_slot(moment));
        if from > 0 || to < SLOT_MS {
            let ripple = self.ripple(home_key);
            let rippled = ripple.energy_wh(to) - ripple.energy_wh(from);
            let [grid, .., plugs] = &mut energies;
            *plugs += rippled;
            *grid -= rippled;
        }
        let [_, _, battery_watts, ..] = self.watts;
        state.stored_wh = self.battery.stored_after(state.stored_wh, battery_watts, hours);
        for (missed, (watts, most)) in
            state.missed_wh.iter_mut().zip(self.missing_watts.iter().zip(MOST_MADE_UP))
        {
            *missed = (*missed + watts * hours).clamp(0.0, most);
        }
        let counters = state.wh_in.iter_mut().zip(&mut state.wh_out);
        for (energy, (wh_in, wh_out)) in energies.iter().zip(counters) {
            *wh_in += energy.max(0.0);
            *wh_out += (-energy).max(0.0);
        }
        state.at = moment;
    }
}

pub(crate) fn hours_between(from: Timestamp, to: Timestamp) -> f64 {
    let ms = i32::try_from(to.as_millis().saturating_sub(from.as_millis())).unwrap_or(i32::MAX);
    f64::from(ms) / f64::from(i32::try_from(HOUR_MS).unwrap_or(i32::MAX))
}
