//! How an hour's energy is spread over the hour, in slots of five seconds: compressors and
//! thermostats cycle, kettles boil, cars charge in one go, clouds pass. Whatever the shape, its
//! slots add up to the hour's energy.

use crate::noise::{below, between, mix, signed, unit};

/// Slots of an hour.
pub(crate) const SLOTS: u32 = 720;
/// Milliseconds of a slot.
pub(crate) const SLOT_MS: i64 = 5_000;

const MOST_PULSES: usize = 4;

/// A stretch of slots: from `start` on, before `end`.
#[derive(Debug, Clone, Copy, Default)]
struct Pulse {
    start: u32,
    end: u32,
    height: f64,
}

impl Pulse {
    fn at(&self, slot: u32) -> f64 {
        if self.start <= slot && slot < self.end { self.height } else { 0.0 }
    }
}

/// The power of one load, or of the PV, through one hour. All sizes are W.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    base: f64,
    slope: f64,
    pulses: [Pulse; MOST_PULSES],
    /// Whether the pulses are shares taken away (clouds) rather than watts put on top.
    shading: bool,
    noise: f64,
    key: u64,
    scale: f64,
}

impl Shape {
    /// The power in a slot, W, never negative.
    pub(crate) fn watts(&self, slot: u32) -> f64 {
        if self.scale == 0.0 {
            return 0.0;
        }
        self.relative(slot) * self.scale
    }

    fn relative(&self, slot: u32) -> f64 {
        let trend = self.base + self.slope * (middle_of(slot) - 0.5);
        let pulses: f64 = self.pulses.iter().map(|pulse| pulse.at(slot)).sum();
        let level = if self.shading { trend * (1.0 - pulses) } else { trend + pulses };
        let noise =
            if self.noise > 0.0 { self.noise * signed(self.key, u64::from(slot)) } else { 0.0 };
        (level * (1.0 + noise)).max(0.0)
    }

    /// Sets the scale so that the slots add up to an hour's energy.
    fn adding_up_to(mut self, energy_wh: f64) -> Self {
        let sum: f64 = (0..SLOTS).map(|slot| self.relative(slot)).sum();
        self.scale = if sum > 0.0 { energy_wh * f64::from(SLOTS) / sum } else { 0.0 };
        self
    }

    fn most_watts(&self) -> f64 {
        (0..SLOTS).map(|slot| self.watts(slot)).fold(0.0, f64::max)
    }

    /// The same power all hour.
    fn steady(watts: f64) -> Self {
        Self { base: watts, scale: if watts > 0.0 { 1.0 } else { 0.0 }, ..Self::default() }
    }
}

/// Where a slot's middle lies in the hour, 0 to 1.
fn middle_of(slot: u32) -> f64 {
    (f64::from(slot) + 0.5) / f64::from(SLOTS)
}

/// A base, and a compressor that comes on three times an hour.
pub(crate) fn refrigerator(energy_wh: f64, key: u64) -> Shape {
    let phase = below(key, 1, 60);
    let mut pulses = [Pulse::default(); MOST_PULSES];
    for (pulse, cycle) in pulses.iter_mut().zip(0_u32..3) {
        let start = cycle * 240 + phase;
        *pulse = Pulse { start, end: start + 100, height: energy_wh * 1.1 };
    }
    Shape { base: energy_wh * 0.5, pulses, noise: 0.02, key, ..Shape::default() }
        .adding_up_to(energy_wh)
}

/// A thermostat: on at about `on_watts` in up to `cycles` stretches, never shorter than `least`
/// slots each; where the energy is small the power is.
pub(crate) fn thermostat(
    energy_wh: f64,
    on_watts: f64,
    cycles: u32,
    least: u32,
    key: u64,
) -> Shape {
    if energy_wh <= 0.0 {
        return Shape::default();
    }
    let slots = slots_on(energy_wh, on_watts, least);
    let cycles = (slots / least.max(1)).clamp(1, cycles);
    if slots >= SLOTS {
        return Shape::steady(energy_wh);
    }
    let window = SLOTS / cycles;
    let each = slots / cycles;
    let mut pulses = [Pulse::default(); MOST_PULSES];
    for (pulse, cycle) in pulses.iter_mut().zip(0..cycles) {
        // The first stretch takes what does not divide evenly.
        let length = if cycle == 0 { each + slots % cycles } else { each }.min(window);
        let start = cycle * window + below(key, u64::from(cycle), window - length + 1);
        *pulse = Pulse { start, end: start + length, height: 1.0 };
    }
    Shape { pulses, ..Shape::default() }.adding_up_to(energy_wh)
}

/// Whether charging goes on into the hour from the one before, and out of it into the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neighbours {
    /// The hour before has energy, too.
    pub(crate) before: bool,
    /// The hour after has energy, too.
    pub(crate) after: bool,
}

/// One stretch of charging, joined to the hours before and after.
pub(crate) fn charging(energy_wh: f64, on_watts: f64, neighbours: Neighbours, key: u64) -> Shape {
    if energy_wh <= 0.0 {
        return Shape::default();
    }
    let slots = slots_on(energy_wh, on_watts, 24);
    if slots >= SLOTS || (neighbours.before && neighbours.after) {
        return Shape::steady(energy_wh);
    }
    let start = match neighbours {
        Neighbours { before: true, .. } => 0,
        Neighbours { after: true, .. } => SLOTS - slots,
        _ => below(key, 1, SLOTS - slots + 1),
    };
    let mut pulses = [Pulse::default(); MOST_PULSES];
    if let Some(first) = pulses.first_mut() {
        *first = Pulse { start, end: start + slots, height: 1.0 };
    }
    Shape { pulses, ..Shape::default() }.adding_up_to(energy_wh)
}

/// A restless base with a few short uses on top, each at most 1.8 kW.
pub(crate) fn household(energy_wh: f64, key: u64) -> Shape {
    if energy_wh <= 0.0 {
        return Shape::default();
    }
    let count = 1 + below(key, 1, 4);
    let mut pulses = [Pulse::default(); MOST_PULSES];
    let mut in_pulses = 0.0;
    for (pulse, use_) in pulses.iter_mut().zip(0..count) {
        let step = u64::from(use_);
        let length = 12 + below(key, 10 + step, 100);
        let start = below(key, 20 + step, SLOTS - length);
        let share_of_hour = f64::from(length) / f64::from(SLOTS);
        let height = (energy_wh * 0.4 / f64::from(count) / share_of_hour).min(1_800.0);
        *pulse = Pulse { start, end: start + length, height };
        in_pulses += height * share_of_hour;
    }
    Shape {
        base: (energy_wh - in_pulses).max(0.0),
        slope: energy_wh * 0.2 * signed(key, 2),
        pulses,
        noise: 0.06,
        key,
        ..Shape::default()
    }
    .adding_up_to(energy_wh)
}

/// What the sun does in an hour, beside the energy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sky {
    /// The energy of the hour before, Wh.
    pub(crate) before_wh: f64,
    /// The energy of the hour after, Wh.
    pub(crate) after_wh: f64,
    /// What a clear sky would give, Wh.
    pub(crate) clear_wh: f64,
    /// What the inverter passes at most, W.
    pub(crate) rated_watts: f64,
}

/// The sun: rising or falling with its neighbours, with clouds where the hour fell short of a
/// clear sky, and never above the rating.
pub(crate) fn sunshine(energy_wh: f64, sky: Sky, key: u64) -> Shape {
    if energy_wh <= 0.0 {
        return Shape::default();
    }
    let steepest = (2.0 * energy_wh).min(2.0 * (sky.rated_watts - energy_wh)).max(0.0);
    let slope = ((sky.after_wh - sky.before_wh) / 2.0).clamp(-steepest, steepest);
    let missing = (1.0 - energy_wh / sky.clear_wh.max(energy_wh)).clamp(0.0, 1.0);
    let clear = Shape { base: energy_wh, slope, key, ..Shape::default() };
    // A thin veil gives a few short dips, a broken sky many deep ones, an overcast one only murmurs.
    let (count, depth) = match missing {
        ..0.03 => (0, 0.0),
        ..0.12 => (2, 0.35),
        ..0.6 => (4, 0.65),
        _ => (3, 0.25),
    };
    let mut pulses = [Pulse::default(); MOST_PULSES];
    for (pulse, cloud) in pulses.iter_mut().zip(0_u32..count) {
        let step = u64::from(cloud);
        let window = SLOTS / count;
        let length = 8 + below(key, 30 + step, window * 2 / 3);
        let start = cloud * window + below(key, 40 + step, (window - length).max(1));
        let height = depth * between(key, 50 + step, 0.5, 1.0);
        *pulse = Pulse { start, end: start + length, height };
    }
    let clouded = Shape { pulses, shading: true, noise: 0.01, ..clear.clone() };
    let clouded = clouded.adding_up_to(energy_wh);
    if clouded.most_watts() <= sky.rated_watts { clouded } else { clear.adding_up_to(energy_wh) }
}

/// How many slots an appliance must be on to take the energy at no more than `on_watts`, at least
/// `least`; `SLOTS` where the hour is too short.
fn slots_on(energy_wh: f64, on_watts: f64, least: u32) -> u32 {
    let needed = (energy_wh / on_watts.max(1.0) * f64::from(SLOTS)).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=SLOTS just before"
    )]
    let slots = needed.clamp(0.0, f64::from(SLOTS)) as u32;
    slots.max(least).min(SLOTS)
}

/// The key of a load's shape in an hour.
pub(crate) fn hour_key(home_key: u64, hour: i64, node: u8) -> u64 {
    mix(home_key ^ (u64::from(node) << 56), u64::from_ne_bytes(hour.to_ne_bytes()))
}

/// A home's own size of an appliance.
pub(crate) fn appliance_watts(home_key: u64, node: u8, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(home_key, 0xa9_9000 + u64::from(node))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn energy_of(shape: &Shape) -> f64 {
        (0..SLOTS).map(|slot| shape.watts(slot)).sum::<f64>() / f64::from(SLOTS)
    }

    proptest! {
        #[test]
        fn every_shape_adds_up_to_its_energy_and_is_never_negative(
            energy in prop_oneof![Just(0.0), 0.001..7_000.0_f64],
            on in 1_500.0..7_200.0_f64,
            before in any::<bool>(),
            after in any::<bool>(),
            around in 0.0..4_000.0_f64,
            key in any::<u64>(),
        ) {
            let sky = Sky {
                before_wh: around,
                after_wh: around / 2.0,
                clear_wh: energy * 1.5,
                rated_watts: energy.max(4_000.0),
            };
            for shape in [
                refrigerator(energy, key),
                thermostat(energy, on, 3, 36, key),
                charging(energy, on, Neighbours { before, after }, key),
                household(energy, key),
                sunshine(energy, sky, key),
            ] {
                prop_assert!((energy_of(&shape) - energy).abs() < 1e-6, "{shape:?}");
                prop_assert!((0..SLOTS).all(|slot| shape.watts(slot) >= 0.0));
            }
            prop_assert!(sunshine(energy, sky, key).most_watts() <= sky.rated_watts + 1e-6);
        }

        #[test]
        fn a_thermostat_keeps_to_its_appliance(energy in 1.0..2_000.0_f64, key in any::<u64>()) {
            prop_assert!(thermostat(energy, 2_500.0, 3, 36, key).most_watts() <= 2_500.0 + 1e-6);
        }
    }
}
