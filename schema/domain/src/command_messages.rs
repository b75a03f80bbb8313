//! The public messages of the way of a command.

use std::sync::Arc;

use actix::Message;
use serde::{Deserialize, Serialize};

use crate::messages::{Page, Unavailable};
use crate::{
    Asker, CommandAction, CommandId, CommandOutcome, CommandRecord, CommandRequest, CommandState,
    Epoch, HemId, MicrogridId, NodeId, Seq, Timestamp, Wish,
};

// ------------------------------------------------------------------------------ people and the ledger

/// REST has the `CommandProcessor` take commands, all or none of them. Answered once they are on disk
/// as `accepted`, in the order of the requests. Whether the asker may is REST's to know; whether the
/// nodes can is checked before, by [`crate::CommandAction::control`] and the declaration.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Arc<CommandRecord>>, CommandError>")]
pub struct RequestCommands {
    /// What is asked for.
    pub requests: Vec<CommandRequest>,
}

/// Why commands were not taken, or not cancelled.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Its arguments are wrong; the sentence says which, and what they may be.
    #[error("{0}")]
    Invalid(String),
    /// The HEM has as many open commands as it may have.
    #[error(
        "HEM {hem} has {open} open commands, and may have no more; wait for some to end, or cancel them"
    )]
    TooMany {
        /// Which HEM.
        hem: HemId,
        /// How many are open.
        open: usize,
    },
    /// There is no such command.
    #[error("there is no such command")]
    Unknown,
    /// It was sent already, or is over: it cannot be cancelled.
    #[error("the command is {} already; only what was not sent yet can be cancelled", .0.state.as_str())]
    TooLate(Arc<CommandRecord>),
    /// The web store is away.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// REST asks the `CommandProcessor` for a command.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<Arc<CommandRecord>>, Unavailable>")]
pub struct GetCommand {
    /// Which.
    pub command: CommandId,
}

/// REST asks the `CommandProcessor` for a page of the ledger, the newest first.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "Result<Page<Arc<CommandRecord>>, Unavailable>")]
pub struct ListCommands {
    /// Of one microgrid.
    pub microgrid: Option<MicrogridId>,
    /// Of one HEM.
    pub hem: Option<HemId>,
    /// In one state.
    pub state: Option<CommandState>,
    /// Older than this one.
    pub after: Option<CommandId>,
    /// At most so many.
    pub limit: usize,
}

/// REST has the `CommandProcessor` take a command back. Answered with its record as `cancelled`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Arc<CommandRecord>, CommandError>")]
pub struct CancelCommand {
    /// Which.
    pub command: CommandId,
    /// Who takes it back.
    pub by: Asker,
    /// Whose it is.
    pub microgrid: MicrogridId,
}

/// `CommandProcessor` says that a command is in another state, once that is on disk. To the bus: the
/// live feed, the supervisors, whoever waits for it. May be lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct CommandChanged {
    /// The command, as it is now.
    pub command: Arc<CommandRecord>,
}

// ------------------------------------------------------------------------------ ledger and dispatch

/// `CommandProcessor` offers an accepted command to dispatch: to the `ChiefMicrogridOperator`, which
/// passes it to the `MicrogridSupervisor`. Is offered again while it has no order; a known id is
/// passed over.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct DispatchCommand {
    /// The command.
    pub command: Arc<CommandRecord>,
}

/// A `MicrogridSupervisor`, when it starts, asks the `CommandProcessor` for what is open or in force in
/// its microgrid: accepted, sent, unconfirmed, and carried out with a lease that runs.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Arc<CommandRecord>>, Unavailable>")]
pub struct ListOpenCommands {
    /// Which microgrid.
    pub microgrid: MicrogridId,
}

/// A `MicrogridSupervisor` has the `CommandProcessor` write what dispatch decided, and send it. Answered
/// once it is on disk, a placement per verdict in their order. Sent again after a failure, a verdict on
/// a command is written once.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Placement>, Unavailable>")]
pub struct PlaceOrders {
    /// Whose dispatch.
    pub microgrid: MicrogridId,
    /// What it decided.
    pub verdicts: Vec<Verdict>,
}

/// What dispatch decided on a command, or of wishes.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// This goes to the HEM.
    Order(OrderDraft),
    /// A command is turned down.
    Refuse {
        /// Which.
        command: CommandId,
        /// Why, in a sentence.
        because: String,
    },
}

/// An order before it has its number.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderDraft {
    /// What it is made of.
    pub origin: Origin,
    /// Which HEM.
    pub hem: HemId,
    /// At which node; absent for the HEM itself.
    pub node: Option<NodeId>,
    /// What goes to the HEM.
    pub action: CommandAction,
    /// How long it holds, ms.
    pub lease_ms: Option<u64>,
    /// Why it is this, in a sentence that names the winner and the limit.
    pub because: String,
    /// How many watts it moves, at most: charged to the fleet's budget. 0 where it only ends something.
    pub moves_watts: f64,
}

/// What an order is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// A command that is in the ledger.
    Command(CommandId),
    /// A wish, which gets its row now.
    Wish {
        /// Whose.
        asker: Asker,
        /// Why.
        reason: String,
        /// Its priority.
        priority: i32,
        /// For how long it may still be begun, ms.
        expires_ms: u64,
    },
}

/// What became of a verdict.
#[derive(Debug, Clone, PartialEq)]
pub enum Placement {
    /// It is in the ledger.
    Placed(Arc<CommandRecord>),
    /// The fleet moves as many watts a minute as it may: try again after this time, ms.
    OverFleetBudget {
        /// When there is room again.
        retry_after_ms: u64,
    },
    /// The HEM has as many unanswered commands as it may: try again when some ended.
    HemIsBusy,
    /// The command is over, or was placed before: as it is.
    Moot(Arc<CommandRecord>),
    /// There is no such command.
    Unknown,
}

// ------------------------------------------------------------------------------ ledger and socket

/// A command as it goes to a HEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutgoingCommand {
    /// Its id.
    pub command: CommandId,
    /// Its place among the HEM's orders.
    pub order: u64,
    /// At which node; absent for the HEM itself.
    pub node: Option<NodeId>,
    /// What.
    pub action: CommandAction,
    /// When it was accepted.
    pub issued: Timestamp,
    /// Until when it may be begun, by the cloud's clock; the socket says what remains.
    pub expires: Timestamp,
    /// How long it holds, ms.
    pub lease_ms: Option<u64>,
}

/// `CommandProcessor` hands the `SocketTable` what goes to a HEM, once it is on disk as `sent`; the table
/// passes it to the HEM's socket. May be lost with the connection: what is unanswered is sent again
/// after the next welcome. Without any command it only asks whether the HEM is connected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[rtype(result = "Result<(), NotConnected>")]
pub struct SendCommands {
    /// Which HEM.
    pub hem: HemId,
    /// What, by order.
    pub commands: Vec<OutgoingCommand>,
}

/// The HEM has no open socket here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the HEM is not connected")]
pub struct NotConnected;

/// `HemSocket` passes a HEM's `result` on to the `CommandProcessor`. May be lost: the command is sent
/// again, and the HEM answers again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Message)]
#[rtype(result = "()")]
pub struct CommandAnswered {
    /// Which HEM.
    pub hem: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// The connection's epoch.
    pub epoch: Epoch,
    /// Which command.
    pub command: CommandId,
    /// How it ended.
    pub outcome: CommandOutcome,
    /// The HEM's last number when it acted.
    pub seq: Option<Seq>,
    /// Why, for people.
    pub reason: Option<String>,
    /// When the answer came.
    pub at: Timestamp,
}

// ------------------------------------------------------------------------------ jobs that steer

/// A `WorkerJob` tells its `MicrogridSupervisor` what its app wants, after a step. May be lost: an app
/// wishes again before its leases end.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "()")]
pub struct JobWished {
    /// Whose wishes.
    pub asker: Asker,
    /// The job's priority.
    pub priority: i32,
    /// What it wants now; each takes the place of its earlier one for the node and kind of setting.
    pub wishes: Vec<Wish>,
    /// Nodes of which it wants nothing any more; taken before the wishes.
    pub withdrawn: Vec<(HemId, NodeId)>,
}
