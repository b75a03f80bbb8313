//! Commands: what is asked of a home, by whom and why, and what became of it.

use serde::{Deserialize, Serialize};

use crate::{CommandId, HemId, JobId, MicrogridId, NodeAction, NodeId, Seq, Timestamp, Watts};

/// What a command asks for, with its arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum CommandAction {
    /// On or off.
    Switch {
        /// On?
        on: bool,
    },
    /// Hold a power.
    SetPower {
        /// Which, W; positive takes power from the home.
        watts: Watts,
    },
    /// Stay at or under a power.
    LimitPower {
        /// Which, W; of the size, without the sign.
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
}

impl CommandAction {
    /// The action's name on the wire and in REST.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Switch { .. } => "switch",
            Self::SetPower { .. } => "set-power",
            Self::LimitPower { .. } => "limit-power",
            Self::SetSchedule { .. } => "set-schedule",
            Self::SetPriority { .. } => "set-priority",
            Self::ReportEvery { .. } => "report-every",
            Self::Restart => "restart",
        }
    }

    /// What a node must have declared to be told this; absent: it is for the HEM itself.
    #[must_use]
    pub fn control(&self) -> Option<NodeAction> {
        match self {
            Self::Switch { .. } => Some(NodeAction::Switch),
            Self::SetPower { .. } => Some(NodeAction::SetPower),
            Self::LimitPower { .. } => Some(NodeAction::LimitPower),
            Self::SetSchedule { .. } => Some(NodeAction::SetSchedule),
            Self::SetPriority { .. } => Some(NodeAction::SetPriority),
            Self::ReportEvery { .. } | Self::Restart => None,
        }
    }

    /// What of it dispatch weighs against other wishes, and readings can show; absent for actions
    /// whose acknowledgement is the end.
    #[must_use]
    pub fn setting(&self) -> Option<Setting> {
        match self {
            Self::Switch { on } => Some(Setting::Switch { on: *on }),
            Self::SetPower { watts } => Some(Setting::Power { watts: *watts }),
            Self::LimitPower { watts } => Some(Setting::Limit { watts: *watts }),
            Self::SetSchedule { .. }
            | Self::SetPriority { .. }
            | Self::ReportEvery { .. }
            | Self::Restart => None,
        }
    }
}

/// How a node is wanted to be: what dispatch decides on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Setting {
    /// On or off.
    Switch {
        /// On?
        on: bool,
    },
    /// Hold a power.
    #[serde(rename = "set-power")]
    Power {
        /// Which, W; positive takes power from the home.
        watts: Watts,
    },
    /// Stay at or under a power.
    #[serde(rename = "limit-power")]
    Limit {
        /// Which, W; of the size, without the sign.
        watts: Watts,
    },
}

impl From<Setting> for CommandAction {
    fn from(setting: Setting) -> Self {
        match setting {
            Setting::Switch { on } => Self::Switch { on },
            Setting::Power { watts } => Self::SetPower { watts },
            Setting::Limit { watts } => Self::LimitPower { watts },
        }
    }
}

/// How a command ended at the HEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandOutcome {
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

impl CommandOutcome {
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

/// How far a command is. No state claims more than is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandState {
    /// On disk; not sent yet: dispatch has not decided, or the HEM is away.
    Accepted,
    /// Written as sent before its first byte left; the HEM has not answered.
    Sent,
    /// The HEM says that it carried it out.
    Acknowledged,
    /// Readings show it.
    Effective,
    /// Readings show that it had no effect.
    Ineffective,
    /// Its lease ended, and the node is back at its default.
    Reverted,
    /// Dispatch or the HEM turned it down.
    Refused,
    /// The HEM tried, and it did not work.
    Failed,
    /// A later order took its place.
    Superseded,
    /// Taken back before it was sent.
    Cancelled,
    /// Certainly never carried out: it was not sent in time, or came too late at the HEM.
    Expired,
    /// Sent, and nobody knows: no answer came. A late one still tells.
    Unconfirmed,
}

impl CommandState {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Accepted,
        Self::Sent,
        Self::Acknowledged,
        Self::Effective,
        Self::Ineffective,
        Self::Reverted,
        Self::Refused,
        Self::Failed,
        Self::Superseded,
        Self::Cancelled,
        Self::Expired,
        Self::Unconfirmed,
    ];

    /// The state's name in REST and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Acknowledged => "acknowledged",
            Self::Effective => "effective",
            Self::Ineffective => "ineffective",
            Self::Reverted => "reverted",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// The state of a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Asker {
    /// A person who signed in.
    Person {
        /// Their id.
        id: String,
        /// Their name, for people.
        name: String,
    },
    /// A program with a bearer token.
    Token {
        /// The token's id.
        id: String,
        /// Its name, for people.
        name: String,
    },
    /// A worker job.
    Job {
        /// Which job.
        job: JobId,
        /// The app that it runs.
        app: String,
        /// The app's version.
        version: String,
    },
}

impl Asker {
    /// Who, in a few words for a sentence: `the job peak-shaving`, `anna`.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Person { name, .. } => name.clone(),
            Self::Token { name, .. } => format!("the token {name}"),
            Self::Job { app, .. } => format!("the job {app}"),
        }
    }

    /// Whether it is a job.
    #[must_use]
    pub fn is_job(&self) -> bool {
        matches!(self, Self::Job { .. })
    }
}

/// What someone wants of a HEM, before it is a command.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRequest {
    /// Whose HEM.
    pub microgrid: MicrogridId,
    /// Which HEM.
    pub hem: HemId,
    /// At which node; absent for the HEM itself.
    pub node: Option<NodeId>,
    /// What.
    pub action: CommandAction,
    /// Who.
    pub asker: Asker,
    /// Why, in a sentence; may be empty.
    pub reason: String,
    /// Who wins where two want different things; higher wins among equals.
    pub priority: i32,
    /// After so long the node falls back to its default; absent: the action's default.
    pub lease_ms: Option<u64>,
    /// For how long it may still be begun; absent: the configured time.
    pub expires_ms: Option<u64>,
}

/// A command as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Its id.
    pub id: CommandId,
    /// Whose HEM.
    pub microgrid: MicrogridId,
    /// Which HEM.
    pub hem: HemId,
    /// At which node; absent for the HEM itself.
    pub node: Option<NodeId>,
    /// What it asks for.
    pub action: CommandAction,
    /// Who asked.
    pub asker: Asker,
    /// Why, in a sentence.
    pub reason: String,
    /// Who wins where two want different things; higher wins among equals.
    pub priority: i32,
    /// When it was accepted.
    pub issued: Timestamp,
    /// Until when it may be begun.
    pub expires: Timestamp,
    /// After so long from its receipt the node falls back to its default.
    pub lease_ms: Option<u64>,
    /// What it was made of in dispatch where that differs from what was asked: the setting as sent.
    pub ordered: Option<CommandAction>,
    /// Its place among the HEM's orders; absent until dispatch has decided.
    pub order: Option<u64>,
    /// The HEM's last number when it acted, as its result says: later readings are the evidence.
    pub acted_at: Option<Seq>,
    /// How far it is.
    pub state: CommandState,
    /// How it came there, oldest first; the last one is the state.
    pub history: Vec<Transition>,
}

impl CommandRecord {
    /// What goes to the HEM.
    #[must_use]
    pub fn as_sent(&self) -> &CommandAction {
        self.ordered.as_ref().unwrap_or(&self.action)
    }
}

/// A step in a command's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// Into which state.
    pub state: CommandState,
    /// When.
    pub at: Timestamp,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// The readings that show whether a command took effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was to be seen, in a sentence.
    pub expected: String,
    /// What was seen, at most a few, ascending.
    pub seen: Vec<Sighting>,
}

/// What one reading shows of a command's node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// The reading.
    pub seq: Seq,
    /// When it was taken.
    pub ts: Timestamp,
    /// Its power, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watts: Option<Watts>,
    /// Its switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
}

/// What a job wants of a node. It stands until its lease ends, it is withdrawn, or the job wishes
/// anew for the node and the same kind of setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// Which HEM.
    pub hem: HemId,
    /// Which node.
    pub node: NodeId,
    /// How it is to be.
    #[serde(flatten)]
    pub setting: Setting,
    /// For how long, unless it is wished again, ms; bounded by the configuration.
    pub lease_ms: u64,
    /// Why, in a sentence.
    pub reason: String,
}

/// Why a node is as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeWhy {
    /// Which HEM.
    pub hem: HemId,
    /// Which node.
    pub node: NodeId,
    /// In one plain sentence: who won, which limit holds, and what was refused.
    pub sentence: String,
    /// Since when it is so.
    pub since: Timestamp,
    /// What holds there by an order of ours; empty: nothing, the node does as its home wants.
    pub settings: Vec<SettingWhy>,
    /// Everything that is wanted of it now, the winner first.
    pub claims: Vec<Claim>,
}

/// A setting that holds at a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingWhy {
    /// Which.
    #[serde(flatten)]
    pub setting: Setting,
    /// The command that made it so; absent until it has its row.
    pub command: Option<CommandId>,
    /// How far that is.
    pub state: Option<CommandState>,
    /// When its lease ends.
    pub until: Option<Timestamp>,
}

/// Something that is wanted of a node, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// By whom; absent for the home's own people, who pressed a button.
    pub asker: Option<Asker>,
    /// What.
    #[serde(flatten)]
    pub setting: Setting,
    /// Its priority.
    pub priority: i32,
    /// Until when it is wanted.
    pub until: Option<Timestamp>,
    /// Why it is wanted.
    pub reason: String,
    /// What became of it.
    pub fate: ClaimFate,
    /// Why that, in a sentence.
    pub because: String,
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimFate {
    /// It holds as wanted.
    Holds,
    /// It holds within another's limit.
    Narrowed,
    /// Another won.
    Outranked,
    /// It may not be.
    Refused,
    /// It waits: for the HEM, for a limit's next minute.
    Waits,
}
