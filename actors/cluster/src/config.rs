//! The times and bounds of a cluster.

use std::time::Duration;

/// The times and bounds of a cluster. The same in every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterConfig {
    /// How often a process says that it lives, and looks at who else does.
    pub beat: Duration,
    /// How long it is taken to live after that, by the database's clock.
    pub lease: Duration,
    /// By how much a process that cannot beat stops running its microgrids before its lease is over, by
    /// its own clock, which counts from before the beat was sent.
    pub margin: Duration,
    /// How long a microgrid without owner is left to the process that should have it, before any other
    /// takes it.
    pub grace: Duration,
    /// How long the same processes must have lived before microgrids move between them.
    pub settle: Duration,
    /// How many microgrids a process hands over per beat.
    pub moves: usize,
    /// How many microgrids are taken per beat.
    pub claims: usize,
    /// How many microgrids a process remembers to be needed, or to be run elsewhere.
    pub microgrids: usize,
    /// How long a microgrid may take to be left in order.
    pub leave_deadline: Duration,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(1),
            lease: Duration::from_secs(4),
            margin: Duration::from_secs(1),
            grace: Duration::from_secs(2),
            settle: Duration::from_secs(10),
            moves: 32,
            claims: 256,
            microgrids: 100_000,
            leave_deadline: Duration::from_secs(15),
        }
    }
}
