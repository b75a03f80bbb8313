//! The processes of a cloud, and what each of them runs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The processes of a cloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cluster {
    /// Whether the cloud can have several processes: bus and both stores are servers.
    pub clustered: bool,
    /// The process that answers; null in a cloud of one, whose process has no name.
    pub here: Option<String>,
    /// Those that were heard of in the last day, by name; empty in a cloud of one.
    pub processes: Vec<ClusterProcess>,
    /// Microgrids whose process is gone and that nobody has taken over yet.
    pub ownerless: u64,
}

/// A process of a cloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterProcess {
    /// Its name, made anew whenever it starts.
    pub process: String,
    /// Where the other processes reach its REST API.
    pub address: String,
    /// Its version.
    pub version: String,
    /// Whether it is taken to live.
    pub lives: bool,
    /// When it came.
    pub since: DateTime<Utc>,
    /// How long ago it said last that it lives, in seconds.
    pub silent_seconds: f64,
    /// How many microgrids it runs.
    pub microgrids: u64,
}
