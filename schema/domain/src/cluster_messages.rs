//! The public messages about the processes of a cloud and what each of them runs. In a cloud of one
//! process nobody sends them.

use actix::Message;
use serde::{Deserialize, Serialize};

use crate::messages::Unavailable;
use crate::{MicrogridId, Owner, ProcessId, Tenure};

/// `ClusterMember` says that this process runs a microgrid from now on: to the `CommandProcessor`, which
/// opens its ledger, and to the `ChiefMicrogridOperator`, which gives it a supervisor. Is sent again until
/// it is taken; a known tenure is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct MicrogridTaken {
    /// The right to do so.
    pub tenure: Tenure,
}

/// `ClusterMember` has a microgrid left: by the `ChiefMicrogridOperator`, which stops its supervisor, and
/// by the `CommandProcessor`, which forgets its ledger. Answered when nothing of it goes on here.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct LeaveMicrogrid {
    /// Which.
    pub microgrid: MicrogridId,
    /// Whether its jobs still may save where they stand: not when another process may run it already.
    pub in_order: bool,
}

/// The `ChiefMicrogridOperator` and REST tell the `ClusterMember` that something is to be done in a
/// microgrid which this process does not run: where nobody does, somebody takes it on. May be lost: it is
/// said again while there is something to do.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct MicrogridNeeded {
    /// Which.
    pub microgrid: MicrogridId,
}

/// REST asks the `ClusterMember` who runs a microgrid, to pass on to it what only the owner can answer.
/// Where nobody does, this process takes it on if it may, and answers then.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Owner, Unavailable>")]
pub struct FindOwner {
    /// Which microgrid.
    pub microgrid: MicrogridId,
}

/// `ClusterMember` says which processes live, itself included, whenever that changes: to the
/// `CommandProcessor`, whose share of the fleet's budget follows from it, and to the `StatusMonitor` and
/// whoever else knows which HEM is connected where: those of a process that is not among them are offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct ProcessesChanged {
    /// Who lives, by id.
    pub live: Vec<ProcessId>,
}
