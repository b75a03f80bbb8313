//! Request and response bodies of the REST API, shared by the server and the Rust SDK. JSON in
//! `snake_case`, times in RFC 3339. No behaviour but the conversions from what the domain knows.
//!
//! What is received by the server refuses unknown fields; what is received by a client ignores them.

pub mod hems;
pub mod history;
pub mod jobs;
pub mod live;
pub mod microgrids;
pub mod operations;
pub mod paging;
pub mod problem;
pub mod readings;
#[cfg(feature = "openapi")]
pub mod schemas;
pub mod session;

pub use hems::{
    DeviceKey, Hem, HemChange, HemDetail, HemNode, KeyStateName, NewHem, NewHemCreated,
};
pub use history::{HistoryPoint, HistorySeries};
pub use jobs::{
    App, Job, JobChange, JobLogEntry, JobResultItem, JobStateName, NewJob, WantedJobState,
};
pub use live::{LiveDevice, LiveJobReport, LiveMessage};
pub use microgrids::{
    EnrolmentToken, Microgrid, MicrogridChange, MicrogridLimits, NewEnrolmentToken,
    NewEnrolmentTokenCreated, NewMicrogrid, Totals,
};
pub use operations::{Away, Health, HealthState, TreeActor};
pub use paging::Page;
pub use problem::Problem;
pub use readings::{NodeValues, RawEvent, RawReading};
pub use session::WhoAmI;

use chrono::{DateTime, Utc};
use memcloud_domain::Timestamp;

/// A domain moment as it is written in bodies.
pub(crate) fn moment(ts: Timestamp) -> DateTime<Utc> {
    ts.to_datetime()
}
