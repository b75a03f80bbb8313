//! A quantity over time.

use chrono::{DateTime, Utc};
use memcloud_domain::{Resolution, Series, SeriesPoint};
use serde::{Deserialize, Serialize};

use crate::moment;
#[cfg(feature = "openapi")]
use crate::schemas;

/// One point of a series: the bucket that begins at `ts`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryPoint {
    /// The bucket's start.
    pub ts: DateTime<Utc>,
    /// Least value.
    pub min: f64,
    /// Mean over the samples; of an energy, the sum over the bucket.
    pub mean: f64,
    /// Greatest value.
    pub max: f64,
    /// True where an energy had to be integrated from power, for want of a counter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl From<SeriesPoint> for HistoryPoint {
    fn from(point: SeriesPoint) -> Self {
        Self {
            ts: moment(point.ts),
            min: point.min,
            mean: point.mean,
            max: point.max,
            estimated: point.estimated,
        }
    }
}

/// A quantity over time. Buckets without a sample are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistorySeries {
    /// The points, ascending.
    pub points: Vec<HistoryPoint>,
    /// The unit's symbol; empty for a ratio.
    pub unit: String,
    /// Which roll-ups the points were made from; a point may merge several.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Resolution))]
    pub resolution: Resolution,
    /// The span of one point, in seconds (a day may be 23 or 25 hours long).
    pub step_seconds: u64,
}

impl From<Series> for HistorySeries {
    fn from(series: Series) -> Self {
        Self {
            points: series.points.into_iter().map(HistoryPoint::from).collect(),
            unit: series.unit,
            resolution: series.resolution,
            step_seconds: series.step_seconds,
        }
    }
}
