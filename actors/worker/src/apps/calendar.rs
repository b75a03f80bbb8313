//! Hours and days in a microgrid's time zone, over quarter-hours of UTC: every present-day time zone
//! is a multiple of 15 minutes off, so hours, days and tariff periods are whole quarters.

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveTime, Offset, TimeDelta, TimeZone, Timelike, Weekday,
};
use chrono_tz::Tz;

/// A quarter-hour in milliseconds.
pub(crate) const QUARTER_MS: i64 = 900_000;
const HOUR_MS: i64 = 3_600_000;

/// Quarter-hours since 1970, UTC.
pub(crate) type Quarter = i64;

/// The quarter that a moment lies in.
pub(crate) fn quarter_of(ts: i64) -> Quarter {
    ts.div_euclid(QUARTER_MS)
}

/// When a quarter begins.
pub(crate) fn start_of(quarter: Quarter) -> i64 {
    quarter.saturating_mul(QUARTER_MS)
}

/// A span from its start to before its end, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Span {
    /// The quarters that begin in it.
    pub(crate) fn quarters(self) -> impl Iterator<Item = Quarter> {
        let first = (self.from + QUARTER_MS - 1).div_euclid(QUARTER_MS);
        let beyond = (self.to + QUARTER_MS - 1).div_euclid(QUARTER_MS);
        first..beyond
    }

    pub(crate) fn length(self) -> i64 {
        self.to - self.from
    }
}

/// The local hour that a moment lies in. When the clocks go back, the hour that comes twice is two.
pub(crate) fn hour_of(zone: Tz, ts: i64) -> Span {
    let offset = offset_ms(zone, ts);
    let from = (ts + offset).div_euclid(HOUR_MS) * HOUR_MS - offset;
    Span { from, to: from + HOUR_MS }
}

/// The local day that a moment lies in: 23, 24 or 25 hours.
pub(crate) fn day_of(zone: Tz, ts: i64) -> Span {
    let date = utc(ts).with_timezone(&zone).date_naive();
    let from = first_instant(zone, date);
    let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
    Span { from, to: first_instant(zone, next) }
}

/// Weekday and minute of the day, local, at a moment.
pub(crate) fn local_minute(zone: Tz, ts: i64) -> (Weekday, u32) {
    let local = utc(ts).with_timezone(&zone);
    (local.weekday(), local.hour() * 60 + local.minute())
}

fn utc(ts: i64) -> DateTime<chrono::Utc> {
    memcloud_domain::Timestamp(ts).to_datetime()
}

fn offset_ms(zone: Tz, ts: i64) -> i64 {
    let offset = zone.offset_from_utc_datetime(&utc(ts).naive_utc());
    i64::from(offset.fix().local_minus_utc()) * 1_000
}

/// Where the clocks go forward at midnight, a day begins later than that.
fn first_instant(zone: Tz, date: NaiveDate) -> i64 {
    let midnight = date.and_time(NaiveTime::MIN);
    (0..=12)
        .filter_map(|quarters| midnight.checked_add_signed(TimeDelta::minutes(15 * quarters)))
        .find_map(|local| zone.from_local_datetime(&local).earliest())
        .map_or_else(|| midnight.and_utc().timestamp_millis(), |first| first.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    #[test]
    fn a_day_is_23_or_25_hours_long_when_the_clocks_change() {
        let zurich = chrono_tz::Europe::Zurich;
        for (moment, hours) in [
            ("2026-03-29T12:00:00Z", 23),
            ("2026-10-25T12:00:00Z", 25),
            ("2026-06-01T12:00:00Z", 24),
        ] {
            let day = day_of(zurich, at(moment));
            assert_eq!(day.length(), hours * HOUR_MS, "{moment}");
            assert_eq!(i64::try_from(day.quarters().count()).unwrap(), hours * 4);
        }
    }

    #[test]
    fn the_hour_that_comes_twice_is_two_hours() {
        let zurich = chrono_tz::Europe::Zurich;
        let first = hour_of(zurich, at("2026-10-25T00:30:00Z"));
        let second = hour_of(zurich, at("2026-10-25T01:30:00Z"));
        assert_eq!(first.to, second.from);
        assert_eq!(local_minute(zurich, first.from).1, local_minute(zurich, second.from).1);
    }

    #[test]
    fn hours_and_days_fit_zones_that_are_not_whole_hours_off() {
        let kathmandu = chrono_tz::Asia::Kathmandu;
        let moment = at("2026-01-01T12:00:00Z");
        let hour = hour_of(kathmandu, moment);
        assert_eq!(hour.from, at("2026-01-01T17:00:00+05:45"));
        assert_eq!(day_of(kathmandu, moment).from, at("2026-01-01T00:00:00+05:45"));
        assert_eq!(hour.quarters().count(), 4);
    }

    #[test]
    fn a_day_without_midnight_begins_when_its_first_hour_does() {
        // Beirut, 2026-03-29: 00:00 becomes 01:00.
        let day = day_of(chrono_tz::Asia::Beirut, at("2026-03-29T12:00:00Z"));
        assert_eq!(day.from, at("2026-03-29T01:00:00+03:00"));
        assert_eq!(day.length(), 23 * HOUR_MS);
    }
}
