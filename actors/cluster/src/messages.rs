//! What only the composition and REST ask of the cluster. What actors of other crates hear of it is in
//! `memcloud_domain::messages`.

use std::time::Duration;

use actix::Message;
use memcloud_domain::ProcessId;
use memcloud_domain::messages::Unavailable;

/// The composition tells the `ClusterMember` that everything else is up: it says from now on that this
/// process lives.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Begin {
    /// Where this process's REST API answers other processes: `host:port`.
    pub address: String,
}

/// The composition has the `ClusterMember` say goodbye, once jobs are saved and nothing is written any
/// more: what this process still runs may be taken at once. Answered when that is on disk, or cannot be.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StepDown;

/// REST asks the `ClusterMember` how the cluster stands.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<ClusterStanding, Unavailable>")]
pub struct GetCluster;

/// How the cluster stands, as one process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStanding {
    /// The process that answers.
    pub here: ProcessId,
    /// All that have been heard of in the last day, by id.
    pub processes: Vec<ClusterProcess>,
    /// Microgrids that had an owner and have none that lives; at most 1,000 are counted.
    pub ownerless: usize,
}

/// A process of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterProcess {
    /// Which.
    pub process: ProcessId,
    /// Where its REST API answers other processes.
    pub address: String,
    /// Its version.
    pub version: String,
    /// How long it has been there.
    pub age: Duration,
    /// How long ago it was heard last.
    pub silent_for: Duration,
    /// Whether it is taken to live.
    pub lives: bool,
    /// How many microgrids it runs.
    pub microgrids: u64,
}
