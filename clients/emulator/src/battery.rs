//! The home battery and the board's built-in rule for it: self-consumption.
//!
//! 6.4 kWh and 5 kW; 0.9 round-trip efficiency, half of the loss on the way in and half on the way
//! out. It charges from what would be exported, discharges into what would be imported, keeps a
//! reserve of 10 %, and tapers its charging above 95 % as lithium cells must.

/// Capacity, Wh.
pub const CAPACITY_WH: f64 = 6_400.0;
/// Greatest power in either direction, W, at the home's bus.
pub const POWER_WATTS: f64 = 5_000.0;
/// The share of the energy put in that comes out again.
pub const ROUND_TRIP_EFFICIENCY: f64 = 0.9;
/// What it keeps back, Wh.
pub const RESERVE_WH: f64 = CAPACITY_WH * 0.1;

/// Below this the inverter does not bother, W.
const DEAD_BAND_WATTS: f64 = 10.0;
/// Where charging begins to taper, and the share of the power that is left at the top.
const TAPER_FROM: f64 = 0.95;
const TAPER_FLOOR: f64 = 0.1;

/// How much of the energy is left after one way through the battery.
fn one_way_efficiency() -> f64 {
    ROUND_TRIP_EFFICIENCY.sqrt()
}

/// The power that a wish becomes within the battery's limits, held for `hours`; positive charges.
#[must_use]
pub fn within_limits(wished_watts: f64, stored_wh: f64, hours: f64) -> f64 {
    if wished_watts.abs() < DEAD_BAND_WATTS || hours <= 0.0 {
        return 0.0;
    }
    if wished_watts > 0.0 {
        let room_wh = (CAPACITY_WH - stored_wh).max(0.0);
        let until_full = room_wh / one_way_efficiency() / hours;
        let share = stored_wh / CAPACITY_WH;
        let taper = ((1.0 - share) / (1.0 - TAPER_FROM)).clamp(TAPER_FLOOR, 1.0);
        wished_watts.min(POWER_WATTS * taper).min(until_full)
    } else {
        let until_reserve = (stored_wh - RESERVE_WH).max(0.0) * one_way_efficiency() / hours;
        wished_watts.max(-POWER_WATTS).max(-until_reserve)
    }
}

/// What is stored after a power was held for `hours`.
#[must_use]
pub fn stored_after(stored_wh: f64, watts: f64, hours: f64) -> f64 {
    let through = if watts > 0.0 { one_way_efficiency() } else { 1.0 / one_way_efficiency() };
    (stored_wh + watts * hours * through).clamp(0.0, CAPACITY_WH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_turn_gives_back_nine_tenths() {
        let after_charging = stored_after(1_000.0, 2_000.0, 1.0);
        let mut taken_out = 0.0;
        let mut stored = after_charging;
        while stored > 1_000.0 + 1e-6 {
            let watts = within_limits(-1_000.0, stored, 0.01)
                .max(-(stored - 1_000.0) * one_way_efficiency() / 0.01);
            stored = stored_after(stored, watts, 0.01);
            taken_out -= watts * 0.01;
        }
        assert!((taken_out / 2_000.0 - ROUND_TRIP_EFFICIENCY).abs() < 1e-6, "{taken_out}");
    }

    proptest! {
        #[test]
        fn no_wish_leaves_the_limits(
            wished in -50_000.0..50_000.0_f64,
            stored in RESERVE_WH..=CAPACITY_WH,
            hours in 0.0001..1.0_f64,
        ) {
            let watts = within_limits(wished, stored, hours);
            prop_assert!(watts.abs() <= POWER_WATTS && watts * wished >= 0.0);
            let after = stored_after(stored, watts, hours);
            prop_assert!((RESERVE_WH - 1e-6..=CAPACITY_WH + 1e-6).contains(&after), "{after}");
        }
    }
}
