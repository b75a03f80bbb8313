//! What every load wants and what the sun gives through one hour, if nobody interferes; and what each
//! load can make up for.

use memcloud_domain::NodeId;

use crate::calendar::LocalHour;
use crate::nodes::{
    CHARGER, ESSENTIALS, HEAT_PUMP, LOAD_COUNT, LOAD_RATED, PLUGS, SOLAR, WATER_HEATER,
};
use crate::profile::HomeProfile;
use crate::shape::{self, Neighbours, Shape, Sky};
use crate::split::{car_is_home, split};

/// Of what a load did not get, the share that it takes later. What the essentials and the plugs missed is
/// gone; a house that cooled down has also lost less heat; a car waits with its charge.
const MADE_UP_WITH_CAR: [f64; LOAD_COUNT] = [0.0, 0.7, 0.95, 1.0, 0.0];
const MADE_UP_WITHOUT_CAR: [f64; LOAD_COUNT] = [0.0, 0.7, 0.95, 0.5, 0.0];
/// More than this, Wh, is never made up: the tank is cold, the car's battery was full before.
pub(crate) const MOST_MADE_UP: [f64; LOAD_COUNT] = [0.0, 8_000.0, 10_000.0, 50_000.0, 3_000.0];
/// What kitchen and laundry take at a time to catch up, W.
const LAUNDRY_WATTS: f64 = 2_000.0;

/// One hour of a home.
#[derive(Debug, Clone)]
pub(crate) struct HourPlan {
    pub(crate) hour: LocalHour,
    pub(crate) loads: [Shape; LOAD_COUNT],
    pub(crate) solar: Shape,
    pub(crate) backlogs: [Backlog; LOAD_COUNT],
}

/// How a load makes up for what it did not get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    share: f64,
    /// The power that it takes while it catches up, W; 0: not in this hour.
    catching_up_watts: f64,
}

impl HourPlan {
    pub(crate) fn of(profile: &HomeProfile, hour: LocalHour) -> Self {
        let home = profile.key();
        let key = |node: NodeId| shape::hour_key(home, hour.0, node.0);
        let size = |node: NodeId, low, high| shape::appliance_watts(home, node.0, low, high);
        let heat_pump_watts = size(HEAT_PUMP, 2_200.0, 3_400.0);
        let water_heater_watts = size(WATER_HEATER, 3_600.0, 4_400.0);
        let [essentials, heat_pump, water_heater, charger, plugs] = split(profile, hour);
        let [_, _, _, charger_rated, _] = LOAD_RATED;
        let charger_watts = charger_rated * 0.97;
        let (charger, charger_catches_up) = if profile.has_car() {
            let has_charging = |hours| {
                let [.., charger, _] = split(profile, hour.plus(hours));
                charger > 0.0
            };
            let neighbours = Neighbours { before: has_charging(-1), after: has_charging(1) };
            (
                shape::charging(charger, charger_watts, neighbours, key(CHARGER)),
                if car_is_home(hour) { charger_watts } else { 0.0 },
            )
        } else {
            (shape::household(charger, key(CHARGER)), LAUNDRY_WATTS)
        };
        let energy = profile.energy(hour);
        let sky = Sky {
            before_wh: profile.energy(hour.plus(-1)).solar.value(),
            after_wh: profile.energy(hour.plus(1)).solar.value(),
            clear_wh: profile.clear_sky(hour).value(),
            rated_watts: profile.pv_rated().value(),
        };
        let catching_up = [0.0, heat_pump_watts, water_heater_watts, charger_catches_up, 0.0];
        let shares = if profile.has_car() { MADE_UP_WITH_CAR } else { MADE_UP_WITHOUT_CAR };
        Self {
            hour,
            loads: [
                shape::refrigerator(essentials, key(ESSENTIALS)),
                shape::thermostat(heat_pump, heat_pump_watts, 3, 36, key(HEAT_PUMP)),
                shape::thermostat(water_heater, water_heater_watts, 2, 30, key(WATER_HEATER)),
                charger,
                shape::household(plugs, key(PLUGS)),
            ],
            solar: shape::sunshine(energy.solar.value(), sky, key(SOLAR)),
            backlogs: backlogs(shares, catching_up),
        }
    }
}

fn backlogs(shares: [f64; LOAD_COUNT], catching_up: [f64; LOAD_COUNT]) -> [Backlog; LOAD_COUNT] {
    let mut backlogs = [Backlog { share: 0.0, catching_up_watts: 0.0 }; LOAD_COUNT];
    for (backlog, (share, watts)) in backlogs.iter_mut().zip(shares.into_iter().zip(catching_up)) {
        *backlog = Backlog { share, catching_up_watts: watts };
    }
    backlogs
}

impl Backlog {
    /// What the load wants, W, for `hours`: what it would take anyway, and what it missed before.
    pub(crate) fn wanted(&self, natural_watts: f64, missed_wh: f64, hours: f64) -> f64 {
        if missed_wh <= 0.0 || hours <= 0.0 {
            return natural_watts;
        }
        let room = (self.catching_up_watts - natural_watts).max(0.0);
        natural_watts + room.min(missed_wh / hours)
    }

    /// How fast what it will make up for grows, W, while it gets so much less than it would take.
    pub(crate) fn remembered(&self, short_watts: f64) -> f64 {
        if short_watts > 0.0 { short_watts * self.share } else { short_watts }
    }
}
