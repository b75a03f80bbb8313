//! When a node is on and when off, by local times and days of the week.
//!
//! A local time that comes twice, when the clocks go back, means its first coming. One that does not
//! come, when they go forward, means the first moment after the gap. Of two switchings that so fall on
//! the same moment the one with the later local time counts.

use chrono::{Datelike, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Weekday};
use chrono_tz::Tz;
use memcloud_domain::Timestamp;

/// A switching that comes every week on its days.
#[derive(Debug, Clone, PartialEq)]
pub struct Switching {
    /// The local time.
    pub at: NaiveTime,
    /// On which days.
    pub days: Vec<Weekday>,
    /// On?
    pub on: bool,
}

/// What holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// On?
    pub on: bool,
    /// Since which switching.
    pub from: Timestamp,
    /// Until which one.
    pub until: Timestamp,
}

/// The switchings of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Timetable {
    switchings: Vec<Switching>,
}

impl Timetable {
    /// A week and a day, so that one on a single day of the week is always found.
    const REACH_DAYS: u64 = 8;

    /// One of switchings, of which there must be at least one with a day.
    #[must_use]
    pub fn new(switchings: Vec<Switching>) -> Option<Self> {
        let has_one = switchings.iter().any(|switching| !switching.days.is_empty());
        has_one.then_some(Self { switchings })
    }

    /// What holds at a moment: what the last switching at or before it says.
    #[must_use]
    pub fn at(&self, now: Timestamp, zone: Tz) -> Option<Slot> {
        let today = now.to_datetime().with_timezone(&zone).date_naive();
        let first = today.checked_sub_days(Days::new(Self::REACH_DAYS))?;
        let mut moments: Vec<(Timestamp, NaiveDate, NaiveTime, usize)> = Vec::new();
        for date in first.iter_days().take(usize::try_from(Self::REACH_DAYS).ok()? * 2 + 1) {
            for (place, switching) in self.switchings.iter().enumerate() {
                if switching.days.contains(&date.weekday()) {
                    moments.push((instant_of(zone, date, switching.at), date, switching.at, place));
                }
            }
        }
        moments.sort_unstable();
        let beyond = moments.partition_point(|(moment, ..)| *moment <= now);
        let (from, .., place) = *moments.get(beyond.checked_sub(1)?)?;
        let (until, ..) = *moments.get(beyond)?;
        let on = self.switchings.get(place)?.on;
        Some(Slot { on, from, until })
    }
}

/// The moment of a local time on a date.
#[must_use]
pub fn instant_of(zone: Tz, date: NaiveDate, time: NaiveTime) -> Timestamp {
    let local = date.and_time(time);
    if let Some(moment) = zone.from_local_datetime(&local).earliest() {
        return Timestamp(moment.timestamp_millis());
    }
    // The clocks go forward on quarters of an hour, in every zone of the present; by a day at most.
    let into_quarter = TimeDelta::seconds(local.and_utc().timestamp().rem_euclid(900));
    let quarter = local - into_quarter;
    let after = (1..=100)
        .filter_map(|quarters| quarter.checked_add_signed(TimeDelta::minutes(15 * quarters)))
        .find_map(|later| zone.from_local_datetime(&later).earliest());
    Timestamp(after.map_or_else(|| local.and_utc().timestamp_millis(), |at| at.timestamp_millis()))
}
