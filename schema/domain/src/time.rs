//! Moments, in Unix milliseconds as on the wire.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// 0000-01-01T00:00:00Z.
const FIRST_WRITABLE: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z.
const LAST_WRITABLE: i64 = 253_402_300_799_999;

/// A moment in Unix milliseconds, UTC. Given by a clock; never asked of the machine in here.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// The same moment as a calendar date and time; clamped to the years 0 to 9999, which RFC 3339 can
    /// write and everyone can read.
    #[must_use]
    pub fn to_datetime(self) -> DateTime<Utc> {
        let held = self.0.clamp(FIRST_WRITABLE, LAST_WRITABLE);
        DateTime::from_timestamp_millis(held).unwrap_or_default()
    }

    /// Later by a span.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Earlier by a span.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The span since an earlier moment; zero where that lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(moment: DateTime<Utc>) -> Self {
        Self(moment.timestamp_millis())
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with milliseconds.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_datetime().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_no_calendar_holds_is_still_written_so_that_anyone_can_read_it() {
        // As far as an event's `until` can say it.
        let furthest = (1 << 53) - 1;
        assert_eq!(Timestamp(furthest).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp(-furthest).to_string(), "0000-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(1_000).to_string(), "1970-01-01T00:00:01.000Z");
    }
}
