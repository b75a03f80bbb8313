//! A quantity over time, as `history` answers it.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// From what a series was made. A point may merge several buckets of a resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// One-minute roll-ups.
    Minute,
    /// Quarter-hour roll-ups.
    QuarterHour,
    /// Hour roll-ups.
    Hour,
    /// Day roll-ups, in the microgrid's time zone.
    Day,
}

/// One point of a series: the bucket that begins at `ts`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint {
    /// The bucket's start.
    pub ts: Timestamp,
    /// Least value.
    pub min: f64,
    /// Mean over the samples; of an energy, the sum over the bucket.
    pub mean: f64,
    /// Greatest value.
    pub max: f64,
    /// Whether an energy had to be integrated from power, for want of a counter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

/// A quantity over time. Buckets without a sample are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The points, ascending.
    pub points: Vec<SeriesPoint>,
    /// The unit's symbol.
    pub unit: String,
    /// What the points were made from.
    pub resolution: Resolution,
    /// The span of one point, in seconds (a day may be 23 or 25 hours long).
    pub step_seconds: u64,
}
