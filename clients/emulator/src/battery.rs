//! The home battery and the board's built-in rule for it: self-consumption.
//!
//! Usually 6.4 kWh and 5 kW; 0.9 round-trip efficiency, half of the loss on the way in and half on the way
//! out. It charges from what would be exported, discharges into what would be imported, keeps a
//! reserve of 10 %, and tapers its charging above 95 % as lithium cells must.

/// The usual capacity, Wh.
pub const CAPACITY_WH: f64 = 6_400.0;
/// The usual greatest power in either direction, W, at the home's bus.
pub const POWER_WATTS: f64 = 5_000.0;
/// The share of the energy put in that comes out again.
pub const ROUND_TRIP_EFFICIENCY: f64 = 0.9;
/// The share of the capacity that it keeps back.
const RESERVE_SHARE: f64 = 0.1;
/// What the usual one keeps back, Wh.
pub const RESERVE_WH: f64 = CAPACITY_WH * RESERVE_SHARE;

/// Below this the inverter does not bother, W.
const DEAD_BAND_WATTS: f64 = 10.0;
/// Where charging begins to taper, and the share of the power that is left at the top.
const TAPER_FROM: f64 = 0.95;
const TAPER_FLOOR: f64 = 0.1;

/// A home battery: how much it holds, how strong it is, and what it does when nobody orders anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Battery {
    capacity_wh: f64,
    power_watts: f64,
    rule: BatteryRule,
}

/// What a battery does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatteryRule {
    /// It charges from what would be exported and discharges into what would be imported.
    SelfConsumption,
    /// It rests.
    Rest,
}

impl Default for Battery {
    fn default() -> Self {
        Self::new(CAPACITY_WH, POWER_WATTS)
    }
}

impl Battery {
    /// A battery of a size, Wh and W; a size that is not above 0 is no battery.
    #[must_use]
    pub fn new(capacity_wh: f64, power_watts: f64) -> Self {
        let exists = capacity_wh > 0.0 && power_watts > 0.0;
        Self {
            capacity_wh: if exists { capacity_wh } else { 0.0 },
            power_watts: if exists { power_watts } else { 0.0 },
            rule: BatteryRule::SelfConsumption,
        }
    }

    /// The same battery with another rule of its own.
    #[must_use]
    pub fn with_rule(self, rule: BatteryRule) -> Self {
        Self { rule, ..self }
    }

    /// What it does by itself.
    #[must_use]
    pub fn rule(&self) -> BatteryRule {
        self.rule
    }

    /// Capacity, Wh.
    #[must_use]
    pub fn capacity_wh(&self) -> f64 {
        self.capacity_wh
    }

    /// Greatest power in either direction, W, at the home's bus.
    #[must_use]
    pub fn power_watts(&self) -> f64 {
        self.power_watts
    }

    /// What it keeps back, Wh.
    #[must_use]
    pub fn reserve_wh(&self) -> f64 {
        self.capacity_wh * RESERVE_SHARE
    }

    /// How full it is, 0 to 1.
    #[must_use]
    pub fn share(&self, stored_wh: f64) -> f64 {
        if self.capacity_wh > 0.0 { stored_wh / self.capacity_wh } else { 0.0 }
    }

    /// What it does by itself while the rest of the home takes a power, W; positive charges.
    #[must_use]
    pub fn wish(&self, net_watts: f64) -> f64 {
        match self.rule {
            BatteryRule::SelfConsumption => -net_watts,
            BatteryRule::Rest => 0.0,
        }
    }

    /// The power that a wish becomes within the battery's limits, held for `hours`; positive charges.
    #[must_use]
    pub fn within_limits(&self, wished_watts: f64, stored_wh: f64, hours: f64) -> f64 {
        if wished_watts.abs() < DEAD_BAND_WATTS || hours <= 0.0 || self.capacity_wh <= 0.0 {
            return 0.0;
        }
        if wished_watts > 0.0 {
            let room_wh = (self.capacity_wh - stored_wh).max(0.0);
            let until_full = room_wh / one_way_efficiency() / hours;
            let share = self.share(stored_wh);
            let taper = ((1.0 - share) / (1.0 - TAPER_FROM)).clamp(TAPER_FLOOR, 1.0);
            wished_watts.min(self.power_watts * taper).min(until_full)
        } else {
            let usable_wh = (stored_wh - self.reserve_wh()).max(0.0);
            let until_reserve = usable_wh * one_way_efficiency() / hours;
            wished_watts.max(-self.power_watts).max(-until_reserve)
        }
    }

    /// What is stored after a power was held for `hours`.
    #[must_use]
    pub fn stored_after(&self, stored_wh: f64, watts: f64, hours: f64) -> f64 {
        let through = if watts > 0.0 { one_way_efficiency() } else { 1.0 / one_way_efficiency() };
        (stored_wh + watts * hours * through).clamp(0.0, self.capacity_wh)
    }
}

/// How much of the energy is left after one way through the battery.
fn one_way_efficiency() -> f64 {
    ROUND_TRIP_EFFICIENCY.sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_turn_gives_back_nine_tenths() {
        let after_charging = Battery::default().stored_after(1_000.0, 2_000.0, 1.0);
        let mut taken_out = 0.0;
        let mut stored = after_charging;
        while stored > 1_000.0 + 1e-6 {
            let watts = Battery::default()
                .within_limits(-1_000.0, stored, 0.01)
                .max(-(stored - 1_000.0) * one_way_efficiency() / 0.01);
            stored = Battery::default().stored_after(stored, watts, 0.01);
            taken_out -= watts * 0.01;
        }
        assert!((taken_out / 2_000.0 - ROUND_TRIP_EFFICIENCY).abs() < 1e-6, "{taken_out}");
    }

    #[test]
    fn no_battery_does_nothing() {
        for none in [Battery::new(0.0, 5_000.0), Battery::new(6_400.0, 0.0)] {
            assert_eq!(none.within_limits(1_000.0, 0.0, 1.0), 0.0);
            assert_eq!((none.share(0.0), none.stored_after(0.0, 0.0, 1.0)), (0.0, 0.0));
        }
    }

    proptest! {
        #[test]
        fn no_wish_leaves_the_limits(
            wished in -50_000.0..50_000.0_f64,
            stored in RESERVE_WH..=CAPACITY_WH,
            hours in 0.0001..1.0_f64,
        ) {
            let watts = Battery::default().within_limits(wished, stored, hours);
            prop_assert!(watts.abs() <= POWER_WATTS && watts * wished >= 0.0);
            let after = Battery::default().stored_after(stored, watts, hours);
            prop_assert!((RESERVE_WH - 1e-6..=CAPACITY_WH + 1e-6).contains(&after), "{after}");
        }
    }
}
