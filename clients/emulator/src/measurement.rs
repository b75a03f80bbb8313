//! What meters add to the watts: voltage, current, reactive power and frequency, all plausible for
//! a Californian split-phase connection, none of it needed by the energy balance.

use memcloud_domain::{Amps, Hertz, NodeId, NodeReading, Timestamp, Vars, Volts, Watts};

use crate::nodes::{CHARGER, ESSENTIALS, GRID, HEAT_PUMP, NODE_COUNT, PLUGS};
use crate::noise::signed;

/// The feeder's own keys: the same for all homes, as they share it.
const FEEDER_VOLTS: u64 = 0xfeed_0001;
const FEEDER_HERTZ: u64 = 0xfeed_0002;

/// Reactive over active power of a node: the tangent of its phase angle.
fn reactive_ratio(node: NodeId) -> f64 {
    match node {
        ESSENTIALS => 0.55,
        HEAT_PUMP => 0.45,
        CHARGER => 0.08,
        PLUGS => 0.2,
        _ => 0.0,
    }
}

fn nominal_volts(node: NodeId) -> f64 {
    if node == ESSENTIALS || node == PLUGS { 120.0 } else { 240.0 }
}

/// Noise that runs smoothly from one step of `period_ms` to the next.
fn smooth(key: u64, moment: Timestamp, period_ms: i64) -> f64 {
    let step = moment.as_millis().div_euclid(period_ms);
    let into = moment.as_millis().rem_euclid(period_ms);
    let share = f64::from(i32::try_from(into).unwrap_or(0))
        / f64::from(i32::try_from(period_ms).unwrap_or(1));
    let at = |step: i64| signed(key, u64::from_ne_bytes(step.to_ne_bytes()));
    at(step) + (at(step + 1) - at(step)) * share
}

fn rounded(value: f64, steps_per_unit: f64) -> f64 {
    // Adding zero turns a negative zero into a plain one, which JSON would otherwise show.
    (value * steps_per_unit).round() / steps_per_unit + 0.0
}

/// The feeder's state at a home at a moment.
pub(crate) struct Feeder {
    relative_volts: f64,
    hertz: f64,
}

impl Feeder {
    /// What a home with a key sees while it takes `import_watts`.
    pub(crate) fn at(moment: Timestamp, home_key: u64, import_watts: f64) -> Self {
        let second = u64::from_ne_bytes(moment.as_millis().div_euclid(1_000).to_ne_bytes());
        let sag = import_watts / 24_000.0 * 0.02;
        let relative_volts = 1.0 + 0.012 * smooth(FEEDER_VOLTS, moment, 900_000) - sag
            + 0.000_8 * signed(home_key, second);
        let hertz = 60.0 + 0.018 * smooth(FEEDER_HERTZ, moment, 12_000);
        Self { relative_volts, hertz }
    }
}

/// Makes the readings of all nodes from their watts: rounded as a meter does, the grid closing the
/// sum of both active and reactive power.
pub(crate) fn measure(watts: &[f64; NODE_COUNT], feeder: &Feeder, readings: &mut Vec<NodeReading>) {
    readings.clear();
    let mut sum_watts = 0.0;
    let mut sum_vars = 0.0;
    for (node, exact) in (0_u8..).map(NodeId).zip(watts) {
        let (active, reactive) = if node == GRID {
            (0.0, 0.0)
        } else {
            let active = rounded(*exact, 10.0);
            (active, rounded(active.abs() * reactive_ratio(node), 10.0))
        };
        sum_watts += active;
        sum_vars += reactive;
        readings.push(reading(node, active, reactive, feeder));
    }
    if let Some(grid) = readings.first_mut() {
        *grid = reading(GRID, rounded(-sum_watts, 10.0), rounded(-sum_vars, 10.0), feeder);
    }
}

fn reading(node: NodeId, active: f64, reactive: f64, feeder: &Feeder) -> NodeReading {
    let volts = nominal_volts(node) * feeder.relative_volts;
    NodeReading {
        watts: Some(Watts(active)),
        volts: Some(Volts(rounded(volts, 10.0))),
        amps: Some(Amps(rounded(active.hypot(reactive) / volts, 100.0))),
        vars: Some(Vars(reactive)),
        hertz: Some(Hertz(rounded(feeder.hertz, 1_000.0))),
        ..NodeReading::empty(node)
    }
}

/// Rounds a counter to a hundredth of a watt-hour, as a meter shows it. Rounding keeps order, so a
/// counter that only grows still does.
pub(crate) fn counter(wh: f64) -> f64 {
    rounded(wh, 100.0)
}

/// Rounds a state of charge to a hundredth of a percent.
pub(crate) fn charge(share: f64) -> f64 {
    rounded(share, 10_000.0)
}
