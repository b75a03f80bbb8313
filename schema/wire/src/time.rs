//! When a sample was taken: by the HEM's clock, or as an age for a HEM whose clock is not set.

use std::time::Duration;

use memcloud_domain::{RefusalCode, Timestamp};
use serde::Serialize;

/// 2010-01-01T00:00:00Z: no HEM is older than that.
const EARLIEST: Timestamp = Timestamp(1_262_304_000_000);
/// How far ahead a HEM's clock may be.
const FURTHEST_AHEAD: Duration = Duration::from_hours(24);

/// When a sample was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum SampleTime {
    /// By the HEM's clock, Unix milliseconds.
    #[serde(rename = "ts")]
    At(Timestamp),
    /// So many milliseconds before the frame was sent.
    #[serde(rename = "age_ms")]
    Age(u64),
}

impl SampleTime {
    /// The moment, for a frame that was received at `received`.
    #[must_use]
    pub fn resolve(self, received: Timestamp) -> Timestamp {
        match self {
            Self::At(moment) => moment,
            Self::Age(age_ms) => received.minus(Duration::from_millis(age_ms)),
        }
    }
}

/// Whether a resolved time can be stored, seen from the time of receipt.
///
/// # Errors
/// [`RefusalCode::BadTime`] before 2010 and more than a day ahead.
pub fn check_time(ts: Timestamp, received: Timestamp) -> Result<(), RefusalCode> {
    if ts < EARLIEST || ts > received.plus(FURTHEST_AHEAD) {
        Err(RefusalCode::BadTime)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    #[test]
    fn an_age_counts_back_from_the_receipt() {
        assert_eq!(SampleTime::Age(1_500).resolve(NOW), Timestamp(NOW.0 - 1_500));
        assert_eq!(SampleTime::At(Timestamp(7)).resolve(NOW), Timestamp(7));
        // An absurd age saturates, and is then refused as a time.
        assert_eq!(
            check_time(SampleTime::Age(u64::MAX).resolve(NOW), NOW),
            Err(RefusalCode::BadTime)
        );
    }

    #[test]
    fn times_before_2010_or_over_a_day_ahead_are_bad() {
        assert_eq!(check_time(EARLIEST, NOW), Ok(()));
        assert_eq!(check_time(Timestamp(EARLIEST.0 - 1), NOW), Err(RefusalCode::BadTime));
        assert_eq!(check_time(Timestamp(NOW.0 + 86_400_000), NOW), Ok(()));
        assert_eq!(check_time(Timestamp(NOW.0 + 86_400_001), NOW), Err(RefusalCode::BadTime));
    }
}
