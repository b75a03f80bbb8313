//! The bounds of dispatch.

use std::time::Duration;

use memcloud_domain::Watts;

/// The bounds and times of a microgrid's dispatch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DispatchLimits {
    /// Wishes of a job that may stand at a time.
    pub wishes_per_job: usize,
    /// Wishes that one `SubmitWishes` may carry.
    pub wishes_at_once: usize,
    /// The longest lease of a wish; a longer one is cut.
    pub longest_lease: Duration,
    /// Orders a minute for one job.
    pub orders_per_job: u32,
    /// Orders a minute that jobs together may cause at one node.
    pub orders_per_node: u32,
    /// Commands that may stand or wait at a node; a further one waits in the ledger.
    pub commands_per_node: usize,
    /// For how long a command without a lease holds jobs off the node.
    pub reservation: Duration,
    /// For how long a button pressed at home holds, where the home does not say.
    pub override_for: Duration,
    /// More than this is not ordered of a node that declared no bounds.
    pub undeclared_watts: Watts,
    /// A wish for more than so many times what its node can do is taken for a mistake.
    pub sane_factor: f64,
    /// For how long a job's order may still be begun.
    pub order_expires: Duration,
    /// For how long a job's next order for a node and kind waits for the answer to the last one.
    pub answer_wait: Duration,
    /// How long a wish waits after its HEM turned it down, or did not take it in time.
    pub pause: Duration,
    /// How often what is in force is held against the homes' and the microgrid's limits.
    pub limits_every: Duration,
    /// Verdicts that may be on their way to the ledger at a time.
    pub placing: usize,
    /// Nodes and wishes that are looked at in one go; the rest follows after others had their turn.
    pub at_once: usize,
}

impl Default for DispatchLimits {
    fn default() -> Self {
        Self {
            wishes_per_job: 10_000,
            wishes_at_once: 1_000,
            longest_lease: Duration::from_secs(24 * 3_600),
            orders_per_job: 600,
            orders_per_node: 6,
            commands_per_node: 32,
            reservation: Duration::from_secs(900),
            override_for: Duration::from_secs(2 * 3_600),
            undeclared_watts: Watts(50_000.0),
            sane_factor: 10.0,
            order_expires: Duration::from_secs(60),
            answer_wait: Duration::from_secs(15),
            pause: Duration::from_secs(60),
            limits_every: Duration::from_secs(5),
            placing: 4_096,
            at_once: 64,
        }
    }
}
