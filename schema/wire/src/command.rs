//! What the cloud asks of a HEM, and what the HEM answers.

use memcloud_domain::{NodeId, Seq, Timestamp, Watts};
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
    pub action: CommandAction,
    /// When the cloud accepted it.
    pub issued: Timestamp,
    /// How long it may still be begun, on the HEM's own clock from receipt; 0 is over.
    pub expires_in_ms: u64,
    /// After so long the node falls back to its default; absent: it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
}

/// What a command asks for, with its arguments.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CommandAction {
    /// On or off.
    Switch {
        /// On?
        on: bool,
    },
    /// Hold a power.
    SetPower {
        /// Which.
        watts: Watts,
    },
    /// Stay at or under a power.
    LimitPower {
        /// Which.
        watts: Watts,
    },
    /// On and off at given times.
    SetSchedule {
        /// When to switch on.
        on_at: Vec<Timestamp>,
        /// When to switch off.
        off_at: Vec<Timestamp>,
    },
    /// How important the node is.
    SetPriority {
        /// Higher is kept longer.
        priority: i32,
    },
    /// How often to send a reading.
    ReportEvery {
        /// The seconds between two.
        seconds: u32,
    },
    /// Start again; answered before.
    Restart,
    /// An action of a later version, or with arguments that are wrong: as a client reads it, to be
    /// answered as `refused` with the reason. Never sent.
    #[serde(skip)]
    Unrecognised {
        /// Why it cannot be carried out.
        reason: String,
    },
}

/// How a command ended at the HEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// The HEM does not do that; the reason says why.
    Refused,
    /// It was tried and did not work.
    Failed,
    /// A later order for the node and action was carried out before.
    Superseded,
    /// Its id was stored, but a restart came before its outcome was.
    Interrupted,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Done, Self::Refused, Self::Failed, Self::Superseded, Self::Interrupted];

    /// The outcome as on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Interrupted => "interrupted",
        }
    }

    /// The outcome of a text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
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
