//! What only the composition asks of the ledger. What siblings ask is in `memcloud_domain::messages`.

use std::time::Duration;

use actix::Message;
use memcloud_domain::messages::Unavailable;

/// `src` asks the `CommandProcessor` for `/health/ready` whether commands can be written and sent.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "CommandsHealth")]
pub struct GetHealth;

/// How the ledger does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandsHealth {
    /// Why the store is away; absent while it takes what it is given.
    pub away: Option<Unavailable>,
    /// For how long it has been away.
    pub away_for: Duration,
    /// Requests, results and findings that wait for the disk.
    pub waiting: usize,
    /// Commands in memory: what waits, is under way, or holds.
    pub open: usize,
}
