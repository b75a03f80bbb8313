//! How commands are handled: times and bounds, with their defaults.

use std::time::Duration;

/// A lease or an expiry is at most so long.
pub const LONGEST_SPAN: Duration = Duration::from_secs(86_400);

/// Of which microgrids a process holds the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Holdings {
    /// Of all, from the start: there is one process.
    #[default]
    Everything,
    /// Of those that it was given (`MicrogridTaken`), each as long as it is: there is a cluster.
    Tenures,
}

/// How commands are handled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CommandsConfig {
    /// Of which microgrids the ledger is held.
    pub holdings: Holdings,
    /// `commands.result_timeout`: a command that was sent and not answered for so long is
    /// `unconfirmed`.
    pub result_timeout: Duration,
    /// `commands.effect_window`: so long after its result a command's effect must be seen.
    pub effect_window: Duration,
    /// `commands.expires`: for how long a command may be begun that does not say it itself.
    pub expires: Duration,
    /// `commands.lease`: how long `set-power` and `limit-power` hold that do not say it themselves.
    pub lease: Duration,
    /// `commands.open_per_hem`: so many commands of a HEM wait to be sent or answered.
    pub open_per_hem: usize,
    /// `commands.unanswered_per_hem`: so many of a HEM were sent and are not answered.
    pub unanswered_per_hem: usize,
    /// `commands.fleet_watts_per_minute`: so many watts may be moved a minute by all orders together; 0 is
    /// without limit.
    pub fleet_watts_per_minute: f64,
    /// `commands.retention`: commands that ended are kept for so long.
    pub retention: Duration,
    /// How often a command that dispatch has not decided on is offered to it again.
    pub offer_again: Duration,
    /// How often is asked whether HEMs are back of which orders wait.
    pub look_again: Duration,
    /// How long whoever asks for something to be written waits while the store is away.
    pub write_deadline: Duration,
    /// So many requests, results and findings wait for the disk.
    pub waiting: usize,
    /// So many of them go into one transaction.
    pub transaction: usize,
    /// The pause after a transaction that failed; it doubles with each further one …
    pub first_retry: Duration,
    /// … up to this.
    pub last_retry: Duration,
    /// So many reads of the store run at a time …
    pub reads: usize,
    /// … and so many more wait.
    pub waiting_reads: usize,
    /// Of so many HEMs is remembered whether they are connected and what their nodes are.
    pub hems: usize,
    /// So long after a result, or the end of a lease, readings are looked at for an effect not yet seen.
    pub patience: Duration,
}

impl Default for CommandsConfig {
    fn default() -> Self {
        Self {
            holdings: Holdings::Everything,
            result_timeout: Duration::from_secs(10),
            effect_window: Duration::from_secs(15),
            expires: Duration::from_secs(60),
            lease: Duration::from_secs(900),
            open_per_hem: 256,
            unanswered_per_hem: 32,
            fleet_watts_per_minute: 0.0,
            retention: Duration::from_secs(365 * 86_400),
            offer_again: Duration::from_secs(2),
            look_again: Duration::from_secs(5),
            write_deadline: Duration::from_secs(5),
            waiting: 16_384,
            transaction: 2_048,
            first_retry: Duration::from_millis(100),
            last_retry: Duration::from_secs(5),
            reads: 4,
            waiting_reads: 1_000,
            hems: 200_000,
            patience: Duration::from_secs(3_600),
        }
    }
}
