//! When a child is started again, how fast, and what happens when that does not help.

use std::time::Duration;

/// Which ends lead to a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartKind {
    /// Every end, a normal stop too.
    Permanent,
    /// Only a panic or an escalation.
    Transient,
    /// None.
    Temporary,
}

/// Pauses before restarts: exponential, with jitter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The first pause.
    pub initial: Duration,
    /// The longest pause.
    pub max: Duration,
    /// How much longer each pause is than the one before.
    pub factor: f64,
    /// The share of a pause that is random, 0 to 1.
    pub jitter: f64,
}

/// What happens when a child has failed too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivingUp {
    /// The parent fails in its turn.
    Escalate,
    /// The child is left stopped, and whoever watches it is told.
    Stop,
}

/// A child's restart policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RestartPolicy {
    /// Which ends lead to a restart.
    pub kind: RestartKind,
    /// So many restarts …
    pub max_restarts: u32,
    /// … within this window are borne.
    pub window: Duration,
    /// The pauses between them.
    pub backoff: Backoff,
    /// What comes after.
    pub giving_up: GivingUp,
}

/// Why an actor ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExitReason {
    /// It stopped by itself.
    Stopped,
    /// It was shut down from above.
    Shutdown,
    /// It panicked, and its policy did not (or no longer) allow a restart.
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// A child of it gave up.
    Escalated {
        /// The child's path in the tree.
        child: String,
        /// The child's reason.
        reason: String,
    },
}
