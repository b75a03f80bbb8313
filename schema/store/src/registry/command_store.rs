//! The port of the command ledger: what was asked of homes, and what became of it. It lives in the web
//! data, but is no part of it: nothing else refers to a command, and a command outlives its HEM and
//! its microgrid. Synchronous; callers on a runtime go to a blocking thread.

use std::sync::Arc;

use memcloud_domain::{
    CommandId, CommandRecord, CommandState, HemId, MicrogridId, Tenure, Timestamp,
};

use super::RegistryError;

/// Which commands are looked for; absent: whichever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandFilter {
    /// Of one microgrid.
    pub microgrid: Option<MicrogridId>,
    /// Of one HEM.
    pub hem: Option<HemId>,
    /// In one state.
    pub state: Option<CommandState>,
}

/// Keeps commands. Every method is one transaction: it happens whole, or not at all.
///
/// All fail with [`RegistryError::Unavailable`] while the database cannot be used, and with `Corrupt`
/// where a row cannot be read; other errors are named at the method.
pub trait CommandStore: Send + Sync {
    /// Writes commands as they now are, new and changed ones alike; when it returns they are on the
    /// disk. Written again, after a failure of which nobody knows what it left, it does no harm. What
    /// a command asks for, by whom and why, stays as it was written first. Of two records of one command
    /// the later one stands. In a cluster only under the tenures of their microgrids, all of which must be
    /// the newest still; without any nothing is asked.
    ///
    /// # Errors
    /// `Invalid` where a number is beyond what can be kept, `Fenced` where a tenure is over; then none is
    /// written.
    fn write_commands(
        &self,
        commands: &[Arc<CommandRecord>],
        fence: &[Tenure],
    ) -> Result<(), RegistryError>;

    /// A command, if it is kept.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    fn command(&self, id: &CommandId) -> Result<Option<CommandRecord>, RegistryError>;

    /// Commands, the newest first by id, those before `after`; at most `limit`, which may be one more than
    /// a page holds.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    fn commands(
        &self,
        filter: &CommandFilter,
        after: Option<&CommandId>,
        limit: usize,
    ) -> Result<Vec<CommandRecord>, RegistryError>;

    /// What whoever starts must know of, of one microgrid or of all, the oldest first: what is accepted
    /// or sent; what is unconfirmed and younger than a day; what is acknowledged since less than a day
    /// and waits for its effect to be seen; and what holds at a node: the last order of its kind there
    /// that was carried out, until its lease ends, and a day longer, so that the end is seen; without a
    /// lease until a later one takes its place.
    ///
    /// A row that cannot be read is left out, and logged as an error: it must not stop the others.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn open_commands(
        &self,
        microgrid: Option<&MicrogridId>,
        now: Timestamp,
    ) -> Result<Vec<CommandRecord>, RegistryError>;

    /// The highest `order` that was ever written for each HEM, by id. It outlives the commands, and
    /// the HEM: an id that is registered again goes on with it.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    fn highest_orders(&self) -> Result<Vec<(HemId, u64)>, RegistryError>;

    /// The highest order of each of these HEMs that has one.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    fn highest_orders_of(&self, hems: &[HemId]) -> Result<Vec<(HemId, u64)>, RegistryError>;

    /// Deletes the oldest commands, by id, that were issued before a moment and are not open, at most `limit`, so
    /// that others get their turn; answers how many. Call it again until it answers 0.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn delete_commands(
        &self,
        issued_before: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, RegistryError>;
}
