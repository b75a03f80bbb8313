//! The homes' calendar: a recorded year laid on every year.
//!
//! A home lives by a fixed offset from UTC, so that no hour is skipped or doubled. An hour of any
//! year is looked up by its month, day and hour in a table with room for a leap year.

use chrono::{DateTime, Datelike, FixedOffset, Timelike};
use memcloud_domain::Timestamp;

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// Hours of a leap year: the size of a table by month, day and hour.
pub const HOURS_OF_YEAR: usize = 366 * 24;

/// Days of a leap year before each month.
const DAYS_BEFORE: [usize; 12] = [0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335];

/// An hour of a home's local time, counted from 1970-01-01T00:00 local.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalHour(pub i64);

impl LocalHour {
    /// The local hour that a moment lies in, and how many milliseconds of it have passed.
    #[must_use]
    pub fn of(moment: Timestamp, offset: FixedOffset) -> (Self, i64) {
        let local_ms = moment.as_millis().saturating_add(offset_ms(offset));
        (Self(local_ms.div_euclid(HOUR_MS)), local_ms.rem_euclid(HOUR_MS))
    }

    /// When it begins.
    #[must_use]
    pub fn start(self, offset: FixedOffset) -> Timestamp {
        Timestamp(self.0.saturating_mul(HOUR_MS).saturating_sub(offset_ms(offset)))
    }

    /// The hour so many hours later, or earlier.
    #[must_use]
    pub fn plus(self, hours: i64) -> Self {
        Self(self.0.saturating_add(hours))
    }

    /// The hour of the day, 0 to 23.
    #[must_use]
    pub fn of_day(self) -> u32 {
        u32::try_from(self.0.rem_euclid(24)).unwrap_or(0)
    }

    /// Its place in a table of a leap year's hours.
    #[must_use]
    pub fn of_year(self) -> usize {
        let moment = DateTime::from_timestamp(self.0.saturating_mul(3_600), 0).unwrap_or_default();
        place_of(moment.month0(), moment.day0(), moment.hour())
    }
}

fn offset_ms(offset: FixedOffset) -> i64 {
    i64::from(offset.local_minus_utc()) * 1_000
}

/// The place of a month, day (both from 0) and hour in a table of a leap year's hours.
pub(crate) fn place_of(month: u32, day: u32, hour: u32) -> usize {
    let wide = |number: u32| usize::try_from(number).unwrap_or(0);
    let days = DAYS_BEFORE.get(wide(month)).copied().unwrap_or(0) + wide(day);
    (days * 24 + wide(hour)).min(HOURS_OF_YEAR - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc().into()
    }

    #[test]
    fn an_hour_has_the_same_place_in_every_year() {
        let pacific = FixedOffset::west_opt(8 * 3_600).unwrap();
        let place = |text| LocalHour::of(moment(text), pacific).0.of_year();
        assert_eq!(place("2016-08-01T07:00:00-08:00"), place("2026-08-01T07:59:59-08:00"));
        assert_eq!(place("2017-03-01T00:00:00-08:00"), place("2028-03-01T08:00:00Z"));
        assert_eq!(place("2026-01-01T00:00:00-08:00"), 0);
        assert_eq!(place("2026-12-31T23:00:00-08:00"), HOURS_OF_YEAR - 1);
        assert_ne!(place("2028-02-29T05:00:00-08:00"), place("2028-02-28T05:00:00-08:00"));
    }

    #[test]
    fn an_hour_begins_where_its_offset_says_also_before_1970_and_on_half_hours() {
        let india = FixedOffset::east_opt(5 * 3_600 + 1_800).unwrap();
        let (hour, into) = LocalHour::of(moment("2026-01-01T00:00:00Z"), india);
        assert_eq!((hour.of_day(), into), (5, HOUR_MS / 2));
        assert_eq!(hour.start(india), moment("2025-12-31T23:30:00Z"));
        let (hour, into) = LocalHour::of(Timestamp(-1), FixedOffset::east_opt(0).unwrap());
        assert_eq!((hour, hour.of_day(), into), (LocalHour(-1), 23, HOUR_MS - 1));
    }
}
