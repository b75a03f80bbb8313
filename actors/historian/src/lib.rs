//! The group commit between the sockets and the telemetry store: nothing is acknowledged that is
//! not on disk or refused by name, and nothing is on the bus that is not stored.
//!
//! [`Historian`] gathers what sockets hand over, commits it, says how far each session is durable,
//! and then publishes it. [`Maintenance`] rolls up, seals and deletes beside it. Neither knows an
//! engine: both are given a `TelemetryStore`.

pub mod commit_job;
pub mod group_commit;
pub mod historian;
pub mod maintenance;
pub mod metrics;
pub mod throttled_store;

pub use historian::{
    FlushAndStop, GetHealth, Historian, HistorianConfig, HistorianHealth, SetTimeZone,
};
pub use maintenance::{Maintenance, MaintenanceConfig};
pub use metrics::{Histogram, HistorianMetrics};
pub use throttled_store::ThrottledStore;

#[cfg(test)]
mod tests;
