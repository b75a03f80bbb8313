//! Where buckets begin and end, and which of them a series is made from. Minutes, quarters and hours
//! lie on UTC; days begin at midnight in the microgrid's time zone, and a day of a clock change has
//! 23 or 25 hours.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use memcloud_domain::{Resolution, Timestamp};

/// One minute in milliseconds.
pub const MINUTE: i64 = 60_000;
/// One quarter of an hour in milliseconds.
pub const QUARTER: i64 = 15 * MINUTE;
/// One hour in milliseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// A usual day in milliseconds.
pub const DAY: i64 = 24 * HOUR;

/// The levels of roll-ups. Each is made from the one before it, but days from quarters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// One minute, from raw readings.
    Minute,
    /// A quarter of an hour, from minutes.
    Quarter,
    /// An hour, from quarters.
    Hour,
    /// A local day, from quarters: time zones differ by quarters of an hour.
    Day,
}

impl Level {
    /// All of them, the finest first.
    pub const ALL: [Self; 4] = [Self::Minute, Self::Quarter, Self::Hour, Self::Day];

    /// Its number in the store.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Minute => 0,
            Self::Quarter => 1,
            Self::Hour => 2,
            Self::Day => 3,
        }
    }

    /// What its buckets are made from; minutes are made from readings.
    #[must_use]
    pub fn source(self) -> Option<Self> {
        match self {
            Self::Minute => None,
            Self::Quarter => Some(Self::Minute),
            Self::Hour | Self::Day => Some(Self::Quarter),
        }
    }

    /// What is made from its buckets.
    #[must_use]
    pub fn feeds(self) -> &'static [Self] {
        match self {
            Self::Minute => &[Self::Quarter],
            Self::Quarter => &[Self::Hour, Self::Day],
            Self::Hour | Self::Day => &[],
        }
    }

    /// The name in an answer.
    #[must_use]
    pub fn resolution(self) -> Resolution {
        match self {
            Self::Minute => Resolution::Minute,
            Self::Quarter => Resolution::QuarterHour,
            Self::Hour => Resolution::Hour,
            Self::Day => Resolution::Day,
        }
    }

    /// The start of the bucket that a moment lies in.
    #[must_use]
    pub fn start(self, ts: i64, zone: Tz) -> i64 {
        match self {
            Self::Minute => floor(ts, MINUTE),
            Self::Quarter => floor(ts, QUARTER),
            Self::Hour => floor(ts, HOUR),
            Self::Day => midnight(local_date(ts, zone), zone),
        }
    }

    /// The end of the bucket that begins at a moment.
    #[must_use]
    pub fn end(self, start: i64, zone: Tz) -> i64 {
        match self {
            Self::Minute => start + MINUTE,
            Self::Quarter => start + QUARTER,
            Self::Hour => start + HOUR,
            Self::Day => midnight(next_day(local_date(start, zone), 1), zone),
        }
    }
}

/// The greatest multiple of a span that is not after a moment.
#[must_use]
pub fn floor(ts: i64, span: i64) -> i64 {
    ts.saturating_sub(ts.rem_euclid(span))
}

fn local_date(ts: i64, zone: Tz) -> NaiveDate {
    Timestamp(ts).to_datetime().with_timezone(&zone).date_naive()
}

fn next_day(date: NaiveDate, days: u64) -> NaiveDate {
    date.checked_add_days(Days::new(days)).unwrap_or(NaiveDate::MAX)
}

/// The first moment of a local day. Where a clock change leaves midnight out, it is the change.
fn midnight(date: NaiveDate, zone: Tz) -> i64 {
    let local = date.and_time(NaiveTime::MIN);
    for quarters in 0..=12 {
        let Some(candidate) = local.checked_add_signed(TimeDelta::minutes(15 * quarters)) else {
            break;
        };
        if let Some(moment) = zone.from_local_datetime(&candidate).earliest() {
            return moment.timestamp_millis();
        }
    }
    local.and_utc().timestamp_millis()
}

/// How wide the points of a series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many milliseconds, on UTC.
    Span(i64),
    /// So many local days.
    Days(u32),
}

/// From which buckets a series is made, and how they are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The buckets.
    pub level: Level,
    /// The points.
    pub step: Step,
    /// Where days begin.
    pub zone: Tz,
}

const SPANS: [i64; 13] = [
    MINUTE,
    2 * MINUTE,
    3 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    4 * HOUR,
    6 * HOUR,
    12 * HOUR,
];
const DAYS: [u32; 10] = [1, 2, 7, 14, 28, 91, 364, 3_640, 36_400, 1_000_000];

impl Plan {
    /// The finest plan that answers a span of time in at most so many points, from buckets of at
    /// least a level.
    #[must_use]
    pub fn new(from: i64, to: i64, points: usize, zone: Tz, finest: Level) -> Self {
        let points = i64::try_from(points.max(1)).unwrap_or(i64::MAX);
        let last = to.saturating_sub(1).max(from);
        for span in SPANS {
            let level = match span {
                span if span % HOUR == 0 => Level::Hour,
                span if span % QUARTER == 0 => Level::Quarter,
                _ => Level::Minute,
            };
            let count = (floor(last, span) - floor(from, span)) / span + 1;
            if level >= finest && count <= points {
                return Self { level, step: Step::Span(span), zone };
            }
        }
        let mut plan = Self { level: Level::Day, step: Step::Days(1), zone };
        for days in DAYS {
            plan.step = Step::Days(days);
            let count = (day_number(last, zone).div_euclid(i64::from(days)))
                - (day_number(from, zone).div_euclid(i64::from(days)))
                + 1;
            if count <= points {
                break;
            }
        }
        plan
    }

    /// The start of the point that a moment lies in.
    #[must_use]
    pub fn point_start(&self, ts: i64) -> i64 {
        match self.step {
            Step::Span(span) => floor(ts, span),
            Step::Days(1) => Level::Day.start(ts, self.zone),
            Step::Days(days) => {
                let days = i64::from(days);
                let first = floor(day_number(ts, self.zone), days);
                let first =
                    i32::try_from(first).ok().and_then(NaiveDate::from_num_days_from_ce_opt);
                midnight(first.unwrap_or(NaiveDate::MIN), self.zone)
            }
        }
    }

    /// The usual width of a point in seconds.
    #[must_use]
    pub fn step_seconds(&self) -> u64 {
        let millis = match self.step {
            Step::Span(span) => span,
            Step::Days(days) => i64::from(days) * DAY,
        };
        u64::try_from(millis / 1_000).unwrap_or(0)
    }
}

fn day_number(ts: i64, zone: Tz) -> i64 {
    i64::from(local_date(ts, zone).num_days_from_ce())
}

/// What the calendar and every device of ours can mean: beyond it a range is cut.
#[must_use]
pub fn clamp(ts: i64) -> i64 {
    let bound = |year: i32| {
        Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0)
            .single()
            .map_or(0, |moment: DateTime<Utc>| moment.timestamp_millis())
    };
    ts.clamp(bound(2000), bound(2200))
}

#[cfg(test)]
mod tests {
    use chrono_tz::{America, Asia, Europe};
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    #[test]
    fn the_days_of_clock_changes_have_23_and_25_hours() {
        for (noon, hours) in [
            ("2026-03-29T12:00:00+02:00", 23),
            ("2026-10-25T12:00:00+01:00", 25),
            ("2026-06-01T12:00:00+02:00", 24),
        ] {
            let start = Level::Day.start(at(noon), Europe::Berlin);
            assert_eq!(Level::Day.end(start, Europe::Berlin) - start, hours * HOUR, "{noon}");
        }
    }

    #[test]
    fn a_day_without_midnight_begins_at_the_clock_change() {
        // Beirut springs forward at midnight.
        let start = Level::Day.start(at("2025-03-30T12:00:00+03:00"), Asia::Beirut);
        assert_eq!(start, at("2025-03-30T01:00:00+03:00"));
        let before = Level::Day.start(at("2025-03-29T12:00:00+02:00"), Asia::Beirut);
        assert_eq!(Level::Day.end(before, Asia::Beirut), start);
    }

    #[test]
    fn a_year_in_500_points_is_a_point_a_day() {
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
        let plan = Plan::new(from, to, 500, Tz::UTC, Level::Minute);
        assert_eq!((plan.level, plan.step), (Level::Day, Step::Days(1)));
    }

    #[test]
    fn a_day_in_500_points_is_a_point_every_three_minutes() {
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"));
        let plan = Plan::new(from, to, 500, Tz::UTC, Level::Minute);
        assert_eq!((plan.level, plan.step), (Level::Minute, Step::Span(3 * MINUTE)));
        let coarse = Plan::new(from, to, 500, Tz::UTC, Level::Quarter);
        assert_eq!((coarse.level, coarse.step), (Level::Quarter, Step::Span(QUARTER)));
    }

    proptest! {
        #[test]
        fn no_plan_gives_more_points_than_asked_for(
            from in 946_684_800_000_i64..4_000_000_000_000, span in 1_i64..3_000_000_000_000,
            points in 1_usize..3_000,
        ) {
            let plan = Plan::new(from, from + span, points, America::New_York, Level::Minute);
            let mut starts = std::collections::BTreeSet::new();
            // The ends, and every place where a point could begin, would be too many to walk.
            for part in 0..=4_000 {
                starts.insert(plan.point_start(from + (span - 1) * part / 4_000));
            }
            prop_assert!(starts.len() <= points, "{} of {points}: {plan:?}", starts.len());
        }

        #[test]
        fn every_moment_lies_in_its_bucket(ts in 1_262_304_000_000_i64..4_000_000_000_000) {
            for zone in [Tz::UTC, Europe::Berlin, Asia::Kathmandu, America::St_Johns] {
                for level in Level::ALL {
                    let start = level.start(ts, zone);
                    prop_assert!(start <= ts && ts < level.end(start, zone));
                    prop_assert_eq!(level.start(start, zone), start);
                    if let Some(source) = level.source() {
                        prop_assert_eq!(source.start(start, zone), start);
                    }
                }
            }
        }
    }
}
