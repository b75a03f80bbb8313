//! Dispatch: what people, jobs and the home itself want of each node becomes at most one command per
//! node and kind of setting, and a sentence that says why. A pure core: no actor, no clock, no I/O.
//!
//! What is wanted is a claim ([`claim`]). What holds of all claims on a node is decided by one function
//! ([`decision`]), within the node's envelope ([`envelope`]) and what the home's and the microgrid's
//! limits leave ([`room`]). What follows from it is ordered (`ordering`), within the budgets of jobs
//! ([`accounts`]), or turned down (`turning_down`); what the ledger and the homes tell then is followed
//! (`offers`, `following`, `homes`). [`explain`] says why, in sentences made of [`words`].

pub mod accounts;
pub mod claim;
pub mod counts;
pub mod decision;
mod desk;
pub mod dispatcher;
pub mod envelope;
pub mod explain;
mod following;
mod homes;
pub mod limits;
pub mod node;
mod offers;
mod ordering;
pub mod room;
mod turning_down;
pub mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use memcloud_domain::messages::{JobWished, Placement, Verdict};
use memcloud_domain::{CommandRecord, Epoch, HemBatch, HemEvent, HemId, JobId, Timestamp};
use memcloud_worker::Roster;

pub use claim::Kind;
pub use counts::{DispatchCounts, Tally};
pub use dispatcher::Dispatcher;
pub use limits::DispatchLimits;

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The homes, their nodes and limits are these.
    Roster(Arc<Roster>),
    /// These jobs run; the wishes of others end.
    Jobs(BTreeSet<JobId>),
    /// This is open in the ledger, as it was asked at a time.
    Open {
        /// What.
        records: Vec<Arc<CommandRecord>>,
        /// When it was asked for.
        asked: Timestamp,
    },
    /// A command waits for a verdict. It may be offered more than once.
    Offered(Arc<CommandRecord>),
    /// A command is in another state.
    Changed(Arc<CommandRecord>),
    /// A job wishes something.
    Wished(JobWished),
    /// This was stored.
    Stored(Arc<Vec<HemBatch>>),
    /// A HEM is connected, or is not any more; of an older connection than the known one it says nothing.
    Connection {
        /// Which HEM.
        hem: HemId,
        /// The connection's epoch.
        epoch: Epoch,
        /// How it stands.
        link: Link,
    },
    /// What happened at a home lately; absent: it cannot be read now.
    LookedBack {
        /// Which home.
        hem: HemId,
        /// Its events of the last day.
        events: Option<Vec<HemEvent>>,
    },
    /// The ledger's answer to [`Effect::Place`].
    Placed {
        /// Which batch.
        batch: u64,
        /// An answer per verdict.
        placements: Vec<Placement>,
    },
    /// The ledger did not answer.
    NotPlaced {
        /// Which batch.
        batch: u64,
    },
    /// Time passed.
    Tick,
}

/// Whether a HEM is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It is.
    Up,
    /// It is not.
    Down,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The ledger is to write this; answered by [`Event::Placed`] or [`Event::NotPlaced`].
    Place {
        /// Which batch.
        batch: u64,
        /// What was decided.
        verdicts: Vec<Verdict>,
    },
    /// A home's events of the last day are to be read; answered by [`Event::LookedBack`].
    LookBack(HemId),
    /// A command is for a home that is not known: the homes are to be asked for.
    RefreshRoster,
    /// A job's log is to say this.
    Say {
        /// Which job.
        job: JobId,
        /// A sentence.
        text: String,
    },
}

/// What a dispatcher counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Orders that the ledger took.
    pub orders: u64,
    /// Claims that the safety envelope turned down.
    pub refused_by_envelope: u64,
    /// Commands that were turned down because another goes first.
    pub refused_by_rank: u64,
    /// Wishes that were turned down because their job had too many.
    pub refused_by_budget: u64,
    /// Orders that a job's or a node's rate held back for a while.
    pub held_back: u64,
    /// Orders that the fleet's budget held back for a while.
    pub over_fleet_budget: u64,
    /// Wishes that stand now.
    pub wishes_standing: usize,
}
