//! Which load takes how much of a home's energy in an hour. The record only knows the sum; the
//! split follows hour and weather, and adds up to the sum exactly.

use crate::calendar::LocalHour;
use crate::nodes::LOAD_COUNT;
use crate::noise::between;
use crate::profile::HomeProfile;

/// What heat pump, water heater and charger take at most in an hour, Wh: a little below rating.
const MOST_HEAT_PUMP: f64 = 3_300.0;
const MOST_WATER_HEATER: f64 = 4_200.0;
const MOST_CHARGER: f64 = 6_900.0;
/// Of an hour's load, what lies above this is a big appliance or the car, Wh.
const BIG_FROM: f64 = 1_700.0;

/// The energy of each load in an hour, Wh, from the essentials to the plugs.
pub(crate) fn split(profile: &HomeProfile, hour: LocalHour) -> [f64; LOAD_COUNT] {
    let energy = profile.energy(hour);
    let total = energy.load.value();
    let key = profile.key();
    let step = u64::from_ne_bytes(hour.0.to_ne_bytes());
    let of_day = hour.of_day();

    let essentials = (total * 0.4).min(between(key, 0xe55, 85.0, 150.0));
    let rest = total - essentials;

    let big = (rest - BIG_FROM).max(0.0);
    let charger = if !profile.has_car() {
        let meal = matches!(of_day, 6..=8 | 11..=13 | 17..=20);
        rest.min(MOST_CHARGER) * if meal { 0.22 } else { 0.05 } + 0.5 * big.min(4_000.0)
    } else {
        (big * if car_is_home(hour) { 0.85 } else { 0.4 }).min(MOST_CHARGER)
    };
    let rest = rest - charger;

    let cooling = (energy.temperature_celsius - 22.0).max(0.0) * 0.09;
    let heating = (15.0 - energy.temperature_celsius).max(0.0) * 0.08;
    let dark = of_day <= 6 || of_day >= 18;
    let weights = [
        0.12 + cooling + heating,
        if matches!(of_day, 5..=8 | 19..=22) { 0.55 } else { 0.12 },
        if dark && of_day >= 5 { 0.75 } else { 0.5 },
    ];
    let [heat, water, plug] = weights;
    let varied_heat = heat * between(key ^ 0x4ea7, step, 0.6, 1.4);
    let varied_water = water * between(key ^ 0x3a7e, step, 0.4, 1.6);
    let sum = varied_heat + varied_water + plug;
    let heat_pump = (rest * varied_heat / sum).min(MOST_HEAT_PUMP);
    let water_heater = (rest * varied_water / sum).min(MOST_WATER_HEATER);
    let plugs = (rest - heat_pump - water_heater).max(0.0);
    [essentials, heat_pump, water_heater, charger, plugs]
}

/// Whether the car stands at its charging point: it is away in the middle of most days.
pub(crate) fn car_is_home(hour: LocalHour) -> bool {
    !(9..=15).contains(&hour.of_day()) || hour.0.div_euclid(24).rem_euclid(7) >= 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    #[test]
    fn the_loads_of_every_hour_of_the_year_add_up_to_the_record() {
        let fontana = Dataset::fontana().unwrap();
        for home in 0..8 {
            let profile = HomeProfile::new(fontana.clone(), home, 7);
            for hour in (0..366 * 24).map(|hour| LocalHour(490_000 + hour)) {
                let parts = split(&profile, hour);
                let sum: f64 = parts.iter().sum();
                assert!((sum - profile.energy(hour).load.value()).abs() < 1e-6);
                assert!(parts.iter().all(|part| *part >= 0.0), "{parts:?}");
            }
        }
    }
}
