//! What import costs, what export earns and how much carbon import carries, at a local time.

use chrono::Weekday;
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::apps::calendar::local_minute;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// The same as the calendar has it.
    #[must_use]
    pub fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Mon,
            Self::Tue => Weekday::Tue,
            Self::Wed => Weekday::Wed,
            Self::Thu => Weekday::Thu,
            Self::Fri => Weekday::Fri,
            Self::Sat => Weekday::Sat,
            Self::Sun => Weekday::Sun,
        }
    }

    fn is(self, weekday: Weekday) -> bool {
        self.weekday() == weekday
    }
}

/// A span of the day with a price of its own, in the microgrid's time zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// On which days; every day if empty. A period over midnight belongs to the day it begins on.
    #[serde(default)]
    pub days: Vec<Day>,
    /// From `HH:MM`, on a quarter of an hour.
    pub from: String,
    /// To `HH:MM`, up to `24:00`; not after `from`: on the next day.
    pub to: String,
    /// The price per kWh.
    pub per_kwh: f64,
}

/// A price per kWh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Price {
    /// Always the same.
    Flat(f64),
    /// By the time of day and the day of the week; the first period that fits counts.
    TimeOfUse {
        /// The price where no period fits.
        otherwise: f64,
        /// The periods.
        periods: Vec<Period>,
    },
}

/// How much carbon an imported kWh carries, g.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Carbon {
    /// Always the same.
    Flat(f64),
    /// One for each hour of the local day, from 0 to 23.
    ByHour(Vec<f64>),
}

/// A price whose periods were read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PriceTable {
    otherwise: f64,
    periods: Vec<(Vec<Day>, u32, u32, f64)>,
}

const DAY_MINUTES: u32 = 24 * 60;
const MAX_PERIODS: usize = 100;

impl PriceTable {
    pub(super) fn read(name: &str, price: &Price) -> Result<Self, String> {
        let (otherwise, periods) = match price {
            Price::Flat(per_kwh) => (*per_kwh, [].as_slice()),
            Price::TimeOfUse { otherwise, periods } => (*otherwise, periods.as_slice()),
        };
        if periods.len() > MAX_PERIODS {
            return Err(format!("{name} has {} periods; it may have {MAX_PERIODS}", periods.len()));
        }
        finite(name, otherwise)?;
        let read = |(position, period): (usize, &Period)| {
            let place = format!("{name}.periods[{position}]");
            finite(&place, period.per_kwh)?;
            let from = minute(&place, "from", &period.from)?;
            let to = minute(&place, "to", &period.to)?;
            if from == DAY_MINUTES {
                return Err(format!("{place}.from is 24:00; say 00:00 of the next day"));
            }
            Ok((period.days.clone(), from, to, period.per_kwh))
        };
        let periods = periods.iter().enumerate().map(read).collect::<Result<_, String>>()?;
        Ok(Self { otherwise, periods })
    }

    pub(super) fn at(&self, zone: Tz, ts: i64) -> f64 {
        if self.periods.is_empty() {
            return self.otherwise;
        }
        let (weekday, minute) = local_minute(zone, ts);
        let fits = |(days, from, to, _): &&(Vec<Day>, u32, u32, f64)| {
            let on = |weekday| days.is_empty() || days.iter().any(|day| day.is(weekday));
            if from < to {
                on(weekday) && (*from..*to).contains(&minute)
            } else {
                (on(weekday) && minute >= *from) || (on(weekday.pred()) && minute < *to)
            }
        };
        self.periods.iter().find(fits).map_or(self.otherwise, |(.., per_kwh)| *per_kwh)
    }
}

/// Checks a carbon table.
pub(super) fn check_carbon(carbon: &Carbon) -> Result<(), String> {
    match carbon {
        Carbon::Flat(grams) => finite("carbon", *grams),
        Carbon::ByHour(hours) if hours.len() != 24 => {
            Err(format!("carbon.by_hour has {} values; it needs 24", hours.len()))
        }
        Carbon::ByHour(hours) => {
            hours.iter().try_for_each(|grams| finite("carbon.by_hour", *grams))
        }
    }
}

/// Grams per kWh at a moment.
pub(super) fn carbon_at(carbon: &Carbon, zone: Tz, ts: i64) -> f64 {
    match carbon {
        Carbon::Flat(grams) => *grams,
        Carbon::ByHour(hours) => {
            let hour = usize::try_from(local_minute(zone, ts).1 / 60).unwrap_or(0);
            hours.get(hour).copied().unwrap_or(0.0)
        }
    }
}

fn finite(name: &str, value: f64) -> Result<(), String> {
    if value.is_finite() && value.abs() <= 1e6 {
        Ok(())
    } else {
        Err(format!("{name} is {value}; it may be -1000000 to 1000000"))
    }
}

fn minute(place: &str, field: &str, text: &str) -> Result<u32, String> {
    let wrong = || {
        format!(
            "{place}.{field} is \"{text}\"; it must be HH:MM on a quarter of an hour, 00:00 to 24:00"
        )
    };
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let digits = |part: &str| {
        let is_good = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_good.then(|| part.parse::<u32>().ok()).flatten().ok_or_else(wrong)
    };
    let total = digits(hours)? * 60 + digits(minutes)?;
    if total > DAY_MINUTES || total % 15 != 0 || digits(minutes)? > 59 {
        return Err(wrong());
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn table(json: serde_json::Value) -> Result<PriceTable, String> {
        PriceTable::read("import", &serde_json::from_value(json).unwrap())
    }

    #[test]
    fn a_price_follows_the_local_clock_and_the_day_a_night_begins_on() {
        let zurich = chrono_tz::Europe::Zurich;
        let table = table(serde_json::json!({"time_of_use": {"otherwise": 0.2, "periods": [
            {"days": ["fri"], "from": "22:00", "to": "06:00", "per_kwh": 0.1},
            {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "07:00", "to": "21:00", "per_kwh": 0.4},
        ]}}))
        .unwrap();
        // 2026-07-03 is a Friday; Zurich is two hours ahead in summer.
        for (moment, price) in [
            ("2026-07-03T05:00:00Z", 0.4),
            ("2026-07-03T04:45:00Z", 0.2),
            ("2026-07-03T19:00:00Z", 0.2),
            ("2026-07-03T20:00:00Z", 0.1),
            ("2026-07-04T03:45:00Z", 0.1),
            ("2026-07-04T04:00:00Z", 0.2),
            ("2026-07-03T03:00:00Z", 0.2),
        ] {
            assert_eq!(table.at(zurich, at(moment)), price, "{moment}");
        }
    }

    #[test]
    fn a_wrong_time_is_refused_with_its_place() {
        let error = table(serde_json::json!({"time_of_use": {"otherwise": 0.2, "periods": [
            {"from": "7:00", "to": "21:00", "per_kwh": 0.4},
        ]}}))
        .unwrap_err();
        assert!(error.starts_with("import.periods[0].from is \"7:00\""), "{error}");
    }
}
