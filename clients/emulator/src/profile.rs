//! What a home uses and produces in each hour: a recorded home as it was, or, beyond those, a
//! seeded blend of two of them with habits and roof of its own.

use std::sync::Arc;

use memcloud_domain::{WattHours, Watts};

use crate::battery::Battery;
use crate::calendar::LocalHour;
use crate::dataset::Dataset;
use crate::noise::{below, between, mix, unit};

/// What a home uses and produces in an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HourEnergy {
    /// What its loads take together.
    pub load: WattHours,
    /// What its PV feeds.
    pub solar: WattHours,
    /// Outdoor temperature, °C; decides which load takes how much.
    pub temperature_celsius: f64,
}

/// One of the homes that a generated home is blended from.
#[derive(Debug, Clone, Copy)]
struct Ingredient {
    home: usize,
    weight: f64,
    /// How many hours later its people live, and how many days its year is turned.
    later_hours: i64,
}

#[derive(Debug, Clone)]
enum Recipe {
    Recorded,
    Blended { loads: [Ingredient; 2], roof: usize, roof_scale: f64 },
}

/// A home: where its energies come from, and what it has.
#[derive(Debug, Clone)]
pub struct HomeProfile {
    dataset: Arc<Dataset>,
    index: usize,
    key: u64,
    recipe: Recipe,
    battery: Battery,
    pv_scale: f64,
}

impl HomeProfile {
    /// Home `index`, from 0. The first ones are the recorded homes, unchanged; the seed decides how
    /// the further ones are blended, and the sub-hour detail of all.
    #[must_use]
    pub fn new(dataset: Arc<Dataset>, index: usize, seed: u64) -> Self {
        let wide_index = u64::try_from(index).unwrap_or(u64::MAX);
        let key = mix(seed, wide_index.wrapping_add(1));
        let recipe =
            if index < dataset.home_count() { Recipe::Recorded } else { blend(&dataset, key) };
        Self { dataset, index, key, recipe, battery: Battery::default(), pv_scale: 1.0 }
    }

    /// The same home with another battery.
    #[must_use]
    pub fn with_battery(self, battery: Battery) -> Self {
        Self { battery, ..self }
    }

    /// The same home with PV of another rating, under the same sky. Where none was recorded there stays
    /// none.
    #[must_use]
    pub fn with_pv_rated(self, rated: Watts) -> Self {
        let recorded = Self { pv_scale: 1.0, ..self.clone() }.pv_rated().value();
        let pv_scale = if recorded > 0.0 { rated.value().max(0.0) / recorded } else { 1.0 };
        Self { pv_scale, ..self }
    }

    /// Its battery.
    #[must_use]
    pub fn battery(&self) -> Battery {
        self.battery
    }

    /// Its number in the fleet, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The data that it comes from.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Its own key for everything random about it.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// Rated power of its PV.
    #[must_use]
    pub fn pv_rated(&self) -> Watts {
        let rated = match &self.recipe {
            Recipe::Recorded => self.dataset.pv_rated(self.index).value(),
            Recipe::Blended { roof, roof_scale, .. } => {
                let scaled = self.dataset.pv_rated(*roof).value() * roof_scale;
                (scaled / 100.0).ceil() * 100.0
            }
        };
        Watts(rated * self.pv_scale)
    }

    /// Whether a car is charged here: at two of three homes.
    #[must_use]
    pub fn has_car(&self) -> bool {
        if self.index < self.dataset.home_count() {
            self.index % 3 != 1
        } else {
            below(self.key, 0xca7, 3) > 0
        }
    }

    /// What it uses and produces in an hour, if nobody interferes.
    #[must_use]
    pub fn energy(&self, hour: LocalHour) -> HourEnergy {
        let temperature_celsius = self.dataset.conditions(hour).temperature_celsius;
        let load = match &self.recipe {
            Recipe::Recorded => self.dataset.load(self.index, hour),
            Recipe::Blended { loads, .. } => loads
                .iter()
                .map(|part| {
                    let lived = self.dataset.load(part.home, hour.plus(-part.later_hours));
                    WattHours(lived.value() * part.weight)
                })
                .sum(),
        };
        HourEnergy { load, solar: WattHours(self.energy_of_sun(hour)), temperature_celsius }
    }

    /// What the PV would produce in this hour of the day under the clearest sky of the weeks around.
    pub(crate) fn clear_sky(&self, hour: LocalHour) -> WattHours {
        let around = (-8..=8).map(|days| self.energy_of_sun(hour.plus(days * 24)));
        WattHours(around.fold(0.0, f64::max))
    }

    fn energy_of_sun(&self, hour: LocalHour) -> f64 {
        let recorded = match &self.recipe {
            Recipe::Recorded => self.dataset.solar(self.index, hour).value(),
            Recipe::Blended { roof, roof_scale, .. } => {
                self.dataset.solar(*roof, hour).value() * roof_scale
            }
        };
        recorded * self.pv_scale
    }
}

/// Two homes, each lived a few weeks and up to two hours apart from its record, and a roof.
fn blend(dataset: &Dataset, key: u64) -> Recipe {
    let count = u32::try_from(dataset.home_count()).unwrap_or(u32::MAX);
    let pick = |step| usize::try_from(below(key, step, count)).unwrap_or(0);
    let later_hours = |step| {
        let weeks = i64::from(below(key, step, 7)) - 3;
        let hours = i64::from(below(key, step + 1, 5)) - 2;
        weeks * 7 * 24 + hours
    };
    let size = between(key, 1, 0.6, 1.35);
    let share = unit(key, 2);
    let ingredient = |home_step, weight, later_step| Ingredient {
        home: pick(home_step),
        weight,
        later_hours: later_hours(later_step),
    };
    Recipe::Blended {
        loads: [ingredient(3, size * share, 5), ingredient(4, size * (1.0 - share), 7)],
        roof: pick(9),
        roof_scale: between(key, 10, 0.6, 1.4),
    }
}
