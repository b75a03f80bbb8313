//! A home at any moment: what its eight nodes do, in balance to the watt.
//!
//! Time runs in slots of five seconds within which every power stands still (but for a ripple that
//! adds up to nothing), so that counters are exact sums and not estimates: however densely or
//! sparsely a home is sampled, it is the same home. No clock, no I/O.

use chrono::FixedOffset;
use memcloud_domain::{NodeId, NodeReading, StateOfCharge, Timestamp, WattHours};
use serde::{Deserialize, Serialize};

use crate::battery;
use crate::calendar::{HOUR_MS, LocalHour};
use crate::measurement::{self, Feeder};
use crate::nodes::{
    BATTERY, CHARGER, ESSENTIALS, GRID, HEAT_PUMP, LOAD_COUNT, LOAD_RATED, NODE_COUNT, PLUGS,
    SOLAR, WATER_HEATER,
};
use crate::noise::{between, signed};
use crate::profile::HomeProfile;
use crate::shape::{self, Neighbours, SLOT_MS, Shape, Sky};
use crate::split::split;

/// How many earlier states are kept, so that the past can be sampled without starting over.
const MOST_CHECKPOINTS: usize = 32;
/// How many switchings are remembered for the same purpose.
const MOST_SWITCHINGS: usize = 256;

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
}

/// Someone flipped a switch.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Switching {
    at: Timestamp,
    node: NodeId,
    on: bool,
}

/// The shapes of one hour.
#[derive(Debug, Clone)]
struct HourPlan {
    hour: LocalHour,
    loads: [Shape; LOAD_COUNT],
    solar: Shape,
}

/// Every node's power through a segment of a slot.
#[derive(Debug, Clone, Copy)]
struct Segment {
    watts: [f64; NODE_COUNT],
    net_watts: f64,
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
    switchings: Vec<Switching>,
    /// How many of the switchings the state has seen.
    switched: usize,
}

impl Home {
    /// A home whose board was put into service at a moment: counters at zero, everything on.
    #[must_use]
    pub fn new(profile: HomeProfile, in_service: Timestamp) -> Self {
        let share = between(profile.key(), 0xba7, 0.25, 0.6);
        let state = HomeState {
            at: in_service,
            stored_wh: battery::CAPACITY_WH * share,
            net_watts: 0.0,
            wh_in: [0.0; NODE_COUNT],
            wh_out: [0.0; NODE_COUNT],
            on: [true; NODE_COUNT],
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
            origin: state.clone(),
            state,
            checkpoints: Vec::new(),
            switchings: Vec::new(),
            switched: 0,
        }
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
                let share = now.stored_wh / battery::CAPACITY_WH;
                reading.soc = Some(StateOfCharge(measurement::charge(share)));
            }
        }
    }

    /// Switches a node at a moment. The connection to the grid has no switch: it closes the
    /// balance; false for that, and for a node that does not exist.
    pub fn switch(&mut self, moment: Timestamp, node: NodeId, on: bool) -> bool {
        if node == GRID || usize::from(node.0) >= NODE_COUNT {
            return false;
        }
        if moment <= self.origin.at {
            return self.switch_from_the_start(node, on);
        }
        if self.switchings.len() >= MOST_SWITCHINGS {
            self.forget_the_past();
        }
        self.checkpoints.retain(|checkpoint| checkpoint.at < moment);
        if self.state.at >= moment {
            self.rewind_before(moment);
        }
        let place = self.switchings.partition_point(|earlier| earlier.at <= moment);
        self.switchings.insert(place, Switching { at: moment, node, on });
        self.advance(moment);
        true
    }

    /// Whether a node is switched on, as of the last sample.
    #[must_use]
    pub fn is_on(&self, node: NodeId) -> bool {
        self.state.on.get(usize::from(node.0)).copied().unwrap_or(false)
    }

    fn switch_from_the_start(&mut self, node: NodeId, on: bool) -> bool {
        if let Some(switch) = self.origin.on.get_mut(usize::from(node.0)) {
            *switch = on;
        }
        self.checkpoints.clear();
        self.rewind_before(self.origin.at);
        true
    }

    fn forget_the_past(&mut self) {
        self.origin = self.state.clone();
        self.checkpoints.clear();
        self.switchings.drain(..self.switched);
        self.switched = 0;
    }

    /// Goes back to the newest kept state before a moment.
    fn rewind_before(&mut self, moment: Timestamp) {
        let place = self.checkpoints.partition_point(|checkpoint| checkpoint.at < moment);
        let kept = place.checked_sub(1).and_then(|newest| self.checkpoints.get(newest));
        self.state = kept.unwrap_or(&self.origin).clone();
        self.switched = self.switchings.partition_point(|earlier| earlier.at <= self.state.at);
    }

    /// Carries the state over every slot and switching that lies whole before a moment.
    fn advance(&mut self, moment: Timestamp) {
        loop {
            let segment = self.segment();
            if segment.end > moment {
                return;
            }
            segment.carry(&mut self.state, segment.end, self.profile.key());
            self.state.net_watts = segment.net_watts;
            while let Some(switching) = self.switchings.get(self.switched)
                && switching.at <= self.state.at
            {
                if let Some(on) = self.state.on.get_mut(usize::from(switching.node.0)) {
                    *on = switching.on;
                }
                self.switched += 1;
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

    /// What happens from the state's moment until its slot ends or a switch is flipped.
    fn segment(&mut self) -> Segment {
        let (hour, into_hour) = LocalHour::of(self.state.at, self.offset);
        if self.plan.hour != hour {
            self.plan = HourPlan::of(&self.profile, hour);
        }
        let slot = u32::try_from(into_hour / SLOT_MS).unwrap_or(0);
        let slot_start = Timestamp(self.state.at.as_millis() - into_hour % SLOT_MS);
        let slot_end = Timestamp(slot_start.as_millis().saturating_add(SLOT_MS));
        let switching = self.switchings.get(self.switched).map(|switching| switching.at);
        let end = switching.map_or(slot_end, |switching| switching.min(slot_end));

        let [_, solar_on, battery_on, loads_on @ ..] = self.state.on;
        let solar = if solar_on { -self.plan.solar.watts(slot) } else { 0.0 };
        let mut loads = [0.0; LOAD_COUNT];
        for ((watts, shape), on) in loads.iter_mut().zip(&self.plan.loads).zip(loads_on) {
            *watts = if on { shape.watts(slot) } else { 0.0 };
        }
        let net_watts = loads.iter().sum::<f64>() + solar;
        let hours = hours_between(self.state.at, end);
        let stored = if battery_on {
            battery::within_limits(-self.state.net_watts, self.state.stored_wh, hours)
        } else {
            0.0
        };
        let grid = -(net_watts + stored);
        let [essentials, heat_pump, water_heater, charger, plugs] = loads;
        Segment {
            watts: [grid, solar, stored, essentials, heat_pump, water_heater, charger, plugs],
            net_watts,
            slot_start,
            end,
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
        state.stored_wh = battery::stored_after(state.stored_wh, battery_watts, hours);
        let counters = state.wh_in.iter_mut().zip(&mut state.wh_out);
        for (energy, (wh_in, wh_out)) in energies.iter().zip(counters) {
            *wh_in += energy.max(0.0);
            *wh_out += (-energy).max(0.0);
        }
        state.at = moment;
    }
}

/// The small unrest of a household's meter, second by second: what the plugs take more, the grid
/// feeds more. It adds up to nothing over a slot and is too small to turn either around.
#[derive(Debug, Clone, Copy)]
struct Ripple {
    first: f64,
    second: f64,
}

impl Ripple {
    fn of(home_key: u64, slot_start: Timestamp, plugs: f64, grid: f64) -> Self {
        let step = u64::from_ne_bytes(slot_start.as_millis().to_ne_bytes());
        let most = (1.0 + 0.015 * plugs).min(0.5 * plugs).min(0.5 * grid.abs());
        Self {
            first: most * signed(home_key, step),
            second: most * signed(home_key, step.wrapping_add(1)),
        }
    }

    fn watts(self) -> [f64; 5] {
        [self.first, self.second, 0.0, -self.first, -self.second]
    }

    fn shift(self, watts: &mut [f64; NODE_COUNT], into_slot_ms: i64) {
        let second = usize::try_from(into_slot_ms / 1_000).unwrap_or(0);
        let ripple = self.watts().get(second).copied().unwrap_or(0.0);
        let [grid, .., plugs] = watts;
        *plugs += ripple;
        *grid -= ripple;
    }

    /// What it adds to the plugs from the slot's start on, Wh.
    fn energy_wh(self, into_slot_ms: i64) -> f64 {
        let mut left = into_slot_ms;
        let mut energy = 0.0;
        for watts in self.watts() {
            let span = left.clamp(0, 1_000);
            energy += watts * hours_between(Timestamp(0), Timestamp(span));
            left -= span;
        }
        energy
    }
}

impl HourPlan {
    fn of(profile: &HomeProfile, hour: LocalHour) -> Self {
        let home = profile.key();
        let key = |node: NodeId| shape::hour_key(home, hour.0, node.0);
        let size = |node: NodeId, low, high| shape::appliance_watts(home, node.0, low, high);
        let [essentials, heat_pump, water_heater, charger, plugs] = split(profile, hour);
        let [_, _, _, charger_rated, _] = LOAD_RATED;
        let charger = if profile.has_car() {
            let has_charging = |hours| {
                let [.., charger, _] = split(profile, hour.plus(hours));
                charger > 0.0
            };
            let neighbours = Neighbours { before: has_charging(-1), after: has_charging(1) };
            shape::charging(charger, charger_rated * 0.97, neighbours, key(CHARGER))
        } else {
            shape::household(charger, key(CHARGER))
        };
        let energy = profile.energy(hour);
        let sky = Sky {
            before_wh: profile.energy(hour.plus(-1)).solar.value(),
            after_wh: profile.energy(hour.plus(1)).solar.value(),
            clear_wh: profile.clear_sky(hour).value(),
            rated_watts: profile.pv_rated().value(),
        };
        Self {
            hour,
            loads: [
                shape::refrigerator(essentials, key(ESSENTIALS)),
                shape::thermostat(
                    heat_pump,
                    size(HEAT_PUMP, 2_200.0, 3_400.0),
                    3,
                    36,
                    key(HEAT_PUMP),
                ),
                shape::thermostat(
                    water_heater,
                    size(WATER_HEATER, 3_600.0, 4_400.0),
                    2,
                    30,
                    key(WATER_HEATER),
                ),
                charger,
                shape::household(plugs, key(PLUGS)),
            ],
            solar: shape::sunshine(energy.solar.value(), sky, key(SOLAR)),
        }
    }
}

fn hours_between(from: Timestamp, to: Timestamp) -> f64 {
    let ms = i32::try_from(to.as_millis().saturating_sub(from.as_millis())).unwrap_or(i32::MAX);
    f64::from(ms) / f64::from(i32::try_from(HOUR_MS).unwrap_or(i32::MAX))
}
