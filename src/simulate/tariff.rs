//! What energy costs, earns and carries in a simulation, at any moment.

use chrono::{Datelike, Timelike, Weekday};
use chrono_tz::Tz;
use memcloud_domain::Timestamp;
use memcloud_emulator::Dataset;
use memcloud_emulator::calendar::LocalHour;
use memcloud_worker::apps::energy_accounting::{Day, Period};

/// A day has so many minutes.
const DAY_MINUTES: u32 = 24 * 60;

/// A price per kWh.
#[derive(Debug, Clone, PartialEq)]
pub enum Price {
    /// The data's own, hour by hour.
    Data,
    /// Always the same.
    Flat(f64),
    /// By the time of day and the day of the week; the first period that fits counts.
    TimeOfUse {
        /// The price where no period fits.
        otherwise: f64,
        /// The periods.
        periods: Vec<PricePeriod>,
    },
}

/// A span of the local day with a price of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct PricePeriod {
    days: Vec<Weekday>,
    from_minute: u32,
    to_minute: u32,
    per_kwh: f64,
}

impl PricePeriod {
    /// Reads a period as energy-accounting writes it.
    ///
    /// # Errors
    /// Which field is wrong, and what it may be.
    pub fn read(period: &Period) -> Result<Self, String> {
        let from_minute = minute("from", &period.from)?;
        if from_minute == DAY_MINUTES {
            return Err("`from` is 24:00; say 00:00 of the next day".to_owned());
        }
        Ok(Self {
            days: period.days.iter().map(|day| weekday(*day)).collect(),
            from_minute,
            to_minute: minute("to", &period.to)?,
            per_kwh: finite("per_kwh", period.per_kwh)?,
        })
    }

    /// A period over midnight belongs to the day on which it begins.
    fn holds(&self, weekday: Weekday, minute: u32) -> bool {
        let on = |weekday| self.days.is_empty() || self.days.contains(&weekday);
        if self.from_minute < self.to_minute {
            on(weekday) && (self.from_minute..self.to_minute).contains(&minute)
        } else {
            (on(weekday) && minute >= self.from_minute)
                || (on(weekday.pred()) && minute < self.to_minute)
        }
    }
}

/// How much carbon an imported kWh carries, g.
#[derive(Debug, Clone, PartialEq)]
pub enum Carbon {
    /// The data's own, hour by hour.
    Data,
    /// Always the same.
    Flat(f64),
    /// One for each hour of the local day.
    ByHour(Vec<f64>),
}

/// What a kWh is worth at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// What importing it costs.
    pub import_per_kwh: f64,
    /// What exporting it earns.
    pub export_per_kwh: f64,
    /// What an imported one carries, g.
    pub carbon_grams: f64,
}

/// What energy costs, earns and carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Tariff {
    /// Where the numbers come from, or that they are examples.
    pub source: String,
    /// The currency that prices are in.
    pub currency: String,
    /// What import costs.
    pub import: Price,
    /// What export earns.
    pub export: Price,
    /// What import carries.
    pub carbon: Carbon,
}

impl Tariff {
    /// What a kWh is worth at a moment.
    #[must_use]
    pub fn at(&self, moment: Timestamp, zone: Tz, dataset: &Dataset) -> Rates {
        let local = moment.to_datetime().with_timezone(&zone);
        let minute = local.hour() * 60 + local.minute();
        let (hour, _) = LocalHour::of(moment, dataset.offset());
        let recorded = dataset.conditions(hour);
        let price = |price: &Price| match price {
            Price::Data => recorded.price_usd_per_kwh,
            Price::Flat(per_kwh) => *per_kwh,
            Price::TimeOfUse { otherwise, periods } => periods
                .iter()
                .find(|period| period.holds(local.weekday(), minute))
                .map_or(*otherwise, |period| period.per_kwh),
        };
        let carbon_grams = match &self.carbon {
            Carbon::Data => recorded.carbon_kg_per_kwh * 1_000.0,
            Carbon::Flat(grams) => *grams,
            Carbon::ByHour(grams) => {
                let hour = usize::try_from(local.hour()).unwrap_or(0);
                grams.get(hour).copied().unwrap_or(0.0)
            }
        };
        Rates {
            import_per_kwh: price(&self.import),
            export_per_kwh: price(&self.export),
            carbon_grams,
        }
    }
}

/// Refuses what no price and no intensity is.
///
/// # Errors
/// What it may be.
pub(super) fn finite(name: &str, value: f64) -> Result<f64, String> {
    if value.is_finite() && value.abs() <= 1e6 {
        return Ok(value);
    }
    Err(format!("`{name}` is {value}; it may be -1000000 to 1000000"))
}

fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Mon,
        Day::Tue => Weekday::Tue,
        Day::Wed => Weekday::Wed,
        Day::Thu => Weekday::Thu,
        Day::Fri => Weekday::Fri,
        Day::Sat => Weekday::Sat,
        Day::Sun => Weekday::Sun,
    }
}

fn minute(field: &str, text: &str) -> Result<u32, String> {
    let wrong =
        || format!("`{field}` is \"{text}\"; write HH:MM on a quarter of an hour, 00:00 to 24:00");
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let digits = |part: &str| {
        let is_good = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_good.then(|| part.parse::<u32>().ok()).flatten().ok_or_else(wrong)
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let total = hours * 60 + minutes;
    if minutes > 59 || minutes % 15 != 0 || total > DAY_MINUTES {
        return Err(wrong());
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().to_utc().into()
    }

    #[test]
    fn prices_follow_the_local_clock_in_summer_and_winter_and_the_data_its_own() {
        let dataset = Dataset::fontana().unwrap();
        let evening = Period {
            days: vec![Day::Mon, Day::Tue],
            from: "16:00".to_owned(),
            to: "21:00".to_owned(),
            per_kwh: 0.54,
        };
        let tariff = Tariff {
            source: "examples".to_owned(),
            currency: "USD".to_owned(),
            import: Price::TimeOfUse {
                otherwise: 0.2,
                periods: vec![PricePeriod::read(&evening).unwrap()],
            },
            export: Price::Flat(0.05),
            carbon: Carbon::Data,
        };
        let zone = chrono_tz::America::Los_Angeles;
        let at = |text| tariff.at(moment(text), zone, &dataset);
        // 2026-06-22 and 2026-01-05 are Mondays.
        assert_eq!(at("2026-06-22T16:00:00-07:00").import_per_kwh, 0.54);
        assert_eq!(at("2026-06-22T15:59:00-07:00").import_per_kwh, 0.2);
        assert_eq!(at("2026-01-05T16:00:00-08:00").import_per_kwh, 0.54);
        assert_eq!(at("2026-06-24T16:00:00-07:00").import_per_kwh, 0.2, "a Wednesday");
        let carbon = at("2026-08-01T00:00:00-08:00").carbon_grams;
        assert!((carbon - 157.3).abs() < 1e-9, "{carbon}");
    }

    #[test]
    fn a_time_that_no_clock_shows_is_refused() {
        for text in ["7:00", "07:10", "24:15", "noon", "23:75"] {
            assert!(minute("from", text).is_err(), "{text}");
        }
        assert_eq!(minute("to", "24:00"), Ok(DAY_MINUTES));
    }
}
