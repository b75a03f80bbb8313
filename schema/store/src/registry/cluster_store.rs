//! The port of a cluster's own rows: which processes live, and which of them runs which microgrid. The
//! database is the referee: its clock measures every lease, and its transactions decide who was first.
//! Synchronous; callers on a runtime go to a blocking thread.
//!
//! A lease is the process's and not the microgrid's: one row a second keeps all that it runs, be it one
//! microgrid or ten thousand. While the lease of a microgrid's owner runs nobody else can take the
//! microgrid; once it is over, whoever comes first does, under the next epoch.

use std::time::Duration;

use memcloud_domain::{Epoch, MicrogridId, ProcessId, Tenure};

use super::RegistryError;

/// What a process says of itself with each beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Which process.
    pub process: ProcessId,
    /// Where its REST API answers other processes: `host:port`.
    pub address: String,
    /// Its version, for people.
    pub version: String,
    /// How long it is taken to live, from now.
    pub lease: Duration,
}

/// What a beat found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// The lease ran until now: everything that this process ran is still its own.
    Kept,
    /// It is new here, or its lease was over, or its row was gone: others may have taken what it ran.
    Lapsed,
}

/// A process as the database sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRow {
    /// Which.
    pub process: ProcessId,
    /// Where its REST API answers other processes.
    pub address: String,
    /// Its version.
    pub version: String,
    /// How long ago its first beat was.
    pub age: Duration,
    /// How long ago its last beat was.
    pub silent_for: Duration,
    /// Whether its lease runs.
    pub lives: bool,
}

/// What a claim came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The microgrid is this process's, also where it was so before.
    Taken(Tenure),
    /// Another process, which lives, has it.
    Held(Tenure),
    /// The process that claims does not live itself: it beats first.
    NotAlive,
}

/// A microgrid that has had an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRow {
    /// Which microgrid.
    pub microgrid: MicrogridId,
    /// Its newest owner; absent: it was given up.
    pub process: Option<ProcessId>,
    /// The newest owner's epoch.
    pub epoch: Epoch,
    /// Whether that owner lives.
    pub lives: bool,
}

/// Keeps the rows of a cluster. Every method is one transaction; all fail with
/// [`RegistryError::Unavailable`] while the database cannot be used.
pub trait ClusterStore: Send + Sync {
    /// Says that a process lives, by the database's clock. Rows of processes that have been silent for a
    /// day are deleted on the way.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn beat(&self, beat: &Beat) -> Result<Pulse, RegistryError>;

    /// A process says goodbye: its row goes, and what it still ran may be claimed at once.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn say_goodbye(&self, process: &ProcessId) -> Result<(), RegistryError>;

    /// All processes that have a row, by id.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn processes(&self) -> Result<Vec<ProcessRow>, RegistryError>;

    /// Takes a microgrid for a process, if nobody who lives has it. Of several who claim at the same
    /// moment one gets it, and the others are told who.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn claim(&self, microgrid: &MicrogridId, process: &ProcessId)
    -> Result<Claimed, RegistryError>;

    /// Gives a microgrid up. Of a tenure that is no longer the newest nothing changes.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn release(&self, tenure: &Tenure) -> Result<(), RegistryError>;

    /// What a process runs, by microgrid.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn tenures(&self, process: &ProcessId) -> Result<Vec<Tenure>, RegistryError>;

    /// Microgrids that had an owner and have none that lives, by id, at most so many.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn ownerless(&self, limit: usize) -> Result<Vec<MicrogridId>, RegistryError>;

    /// Who runs a microgrid, or did last.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn owner(&self, microgrid: &MicrogridId) -> Result<Option<OwnerRow>, RegistryError>;

    /// How many microgrids each process runs.
    ///
    /// # Errors
    /// Only `Unavailable`.
    fn owned_counts(&self) -> Result<Vec<(ProcessId, u64)>, RegistryError>;
}
