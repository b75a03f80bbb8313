//! What the cloud asks of a HEM, and what the HEM answers.

use memcloud_domain::{CommandAction, CommandOutcome as Outcome, NodeId, Seq, Timestamp};
use serde::Serialize;

/// An order to a HEM: carried out at most once per id.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Command {
    /// Its id, at most [`crate::MAX_COMMAND_ID`] characters. The HEM stores it before it acts.
    pub command: String,
    /// Grows per HEM: what is below the last carried out for the node and action is superseded.
    pub order: u64,
    /// At which node; absent for the HEM itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// What to do.
    #[serde(flatten)]
    pub action: Instruction,
    /// When the cloud accepted it.
    pub issued: Timestamp,
    /// How long it may still be begun, on the HEM's own clock from receipt; 0 is over.
    pub expires_in_ms: u64,
    /// After so long the node falls back to its default; absent: it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
}

/// What a command asks for, as a client reads it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Instruction {
    /// An action that we know.
    Known(CommandAction),
    /// An action of a later version, or with arguments that are wrong: to be answered as `refused`
    /// with the reason. Never sent.
    #[serde(skip)]
    Unrecognised {
        /// Why it cannot be carried out.
        reason: String,
    },
}

/// The answer to a command: `result`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandResult {
    /// The command's id.
    pub command: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The HEM's last number when it acted: readings above it are the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
