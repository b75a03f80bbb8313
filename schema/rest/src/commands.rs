//! Commands: asked for, followed, taken back.

use chrono::{DateTime, Utc};
use memcloud_domain::{
    Asker, CommandAction, CommandId, CommandRecord, CommandState, Evidence, HemId, JobId,
    MicrogridId, NodeId, Seq, Sighting, Transition, Watts,
};
use serde::{Deserialize, Serialize};

use crate::actions::{Action, ActionName, Arguments};
use crate::moment;
#[cfg(feature = "openapi")]
use crate::schemas;

/// The most times that one half of a schedule may have.
pub const MOST_TIMES: usize = 100;
/// The most characters of a reason.
pub const LONGEST_REASON: usize = 500;
/// The longest lease and the latest expiry, seconds.
pub const A_DAY: u32 = 86_400;

/// What a HEM, or one of its nodes, shall do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(example = json!({
    "node": 5, "action": "switch", "on": false,
    "reason": "the feeder is close to its limit", "lease_seconds": 900
})))]
#[serde(deny_unknown_fields)]
pub struct NewCommand {
    /// Which node; absent for `report-every` and `restart`, which are for the HEM itself.
    #[serde(
        default,
        deserialize_with = "crate::whole_node",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u8>))]
    pub node: Option<NodeId>,
    /// What.
    pub action: ActionName,
    /// Of `switch`: on?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
    /// Of `set-power`: the power to hold, W, positive takes from the home's bus. Of `limit-power`: its
    /// size at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>, minimum = -1e6, maximum = 1e6))]
    pub watts: Option<Watts>,
    /// Of `set-schedule`: when to switch on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub on_at: Option<Vec<DateTime<Utc>>>,
    /// Of `set-schedule`: when to switch off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub off_at: Option<Vec<DateTime<Utc>>>,
    /// Of `report-every`: between two readings.
    #[serde(default, deserialize_with = "crate::whole", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 86400))]
    pub seconds: Option<u32>,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Sentence>))]
    pub reason: Option<String>,
    /// After so long the node falls back to its default. `set-power` and `limit-power` have one of
    /// `commands.lease` if it is absent, others none.
    #[serde(default, deserialize_with = "crate::whole", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 86400))]
    pub lease_seconds: Option<u32>,
    /// For how long it may still be begun; `commands.expires` if it is absent.
    #[serde(default, deserialize_with = "crate::whole", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 86400))]
    pub expires_seconds: Option<u32>,
    /// Who wins where two people want different things; higher wins; 0 if absent. Of `set-priority`:
    /// the node's priority.
    #[serde(default, deserialize_with = "crate::whole", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = -1000, maximum = 1000))]
    pub priority: Option<i32>,
}

impl NewCommand {
    /// A command without a node, a reason or limits of its own.
    #[must_use]
    pub fn new(action: &CommandAction) -> Self {
        let shown = Action::from(action);
        let priority = match action {
            CommandAction::SetPriority { priority } => Some(*priority),
            _ => None,
        };
        Self {
            node: None,
            action: shown.action,
            on: shown.on,
            watts: shown.watts,
            on_at: shown.on_at,
            off_at: shown.off_at,
            seconds: shown.seconds,
            reason: None,
            lease_seconds: None,
            expires_seconds: None,
            priority,
        }
    }

    /// The same at a node.
    #[must_use]
    pub fn at(mut self, node: NodeId) -> Self {
        self.node = Some(node);
        self
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same with a lease.
    #[must_use]
    pub fn for_seconds(mut self, lease: u32) -> Self {
        self.lease_seconds = Some(lease);
        self
    }

    /// The fields that hold its arguments.
    #[must_use]
    pub fn arguments(&self) -> Arguments {
        Arguments {
            on: self.on,
            watts: self.watts,
            on_at: self.on_at.clone(),
            off_at: self.off_at.clone(),
            seconds: self.seconds,
            priority: self.priority,
        }
    }
}

/// Who asked for a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CommandAsker {
    /// A person who signed in.
    Person {
        /// Their id.
        id: String,
        /// Their name.
        name: String,
    },
    /// A program with a bearer token.
    Token {
        /// The token's id.
        id: String,
        /// Its name.
        name: String,
    },
    /// A worker job.
    Job {
        /// Which job.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        job: JobId,
        /// The app that it runs.
        app: String,
        /// The app's version.
        version: String,
    },
}

impl From<Asker> for CommandAsker {
    fn from(asker: Asker) -> Self {
        match asker {
            Asker::Person { id, name } => Self::Person { id, name },
            Asker::Token { id, name } => Self::Token { id, name },
            Asker::Job { job, app, version } => Self::Job { job, app, version },
        }
    }
}

/// A command: what was asked for, by whom and why, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Command {
    /// Its id; ids sort by age.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub id: CommandId,
    /// Whose HEM.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub microgrid: MicrogridId,
    /// Which HEM.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub hem: HemId,
    /// Which node; absent for the HEM itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u8>))]
    pub node: Option<NodeId>,
    /// What was asked for.
    #[serde(flatten)]
    pub action: Action,
    /// How far it is; no state claims more than is proven.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::CommandState))]
    pub state: CommandState,
    /// How it came there, oldest first; the last one is the state.
    pub history: Vec<CommandStep>,
    /// Who asked.
    pub asker: CommandAsker,
    /// Why, in a sentence; may be empty.
    pub reason: String,
    /// Who wins where two want different things; higher wins. Of `set-priority`: the node's.
    pub priority: i32,
    /// When it was accepted.
    pub issued: DateTime<Utc>,
    /// Until when it may be begun.
    pub expires: DateTime<Utc>,
    /// After so long the node falls back to its default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<f64>,
    /// What went to the HEM, where that differs from what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<Action>,
    /// Its place among the HEM's orders; absent until it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
}

impl Command {
    /// Whether nothing more is to come of it by itself, but for the end of its lease.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        let sent = self.ordered.as_ref().unwrap_or(&self.action).action;
        let has_effect =
            matches!(sent, ActionName::Switch | ActionName::SetPower | ActionName::LimitPower);
        match self.state {
            CommandState::Accepted | CommandState::Sent | CommandState::Unconfirmed => false,
            CommandState::Acknowledged => !has_effect,
            _ => true,
        }
    }
}

impl From<&CommandRecord> for Command {
    fn from(record: &CommandRecord) -> Self {
        let priority = match &record.action {
            CommandAction::SetPriority { priority } => *priority,
            _ => record.priority,
        };
        Self {
            id: record.id.clone(),
            microgrid: record.microgrid.clone(),
            hem: record.hem.clone(),
            node: record.node,
            action: Action::from(&record.action),
            state: record.state,
            history: record.history.iter().map(CommandStep::from).collect(),
            asker: record.asker.clone().into(),
            reason: record.reason.clone(),
            priority,
            issued: moment(record.issued),
            expires: moment(record.expires),
            lease_seconds: record.lease_ms.map(seconds),
            ordered: record.ordered.as_ref().map(Action::from),
            order: record.order,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no lease has 2^53 milliseconds")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

/// A step in a command's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandStep {
    /// Into which state.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::CommandState))]
    pub state: CommandState,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<CommandEvidence>,
}

impl From<&Transition> for CommandStep {
    fn from(step: &Transition) -> Self {
        Self {
            state: step.state,
            at: moment(step.at),
            because: step.because.clone(),
            evidence: step.evidence.as_ref().map(CommandEvidence::from),
        }
    }
}

/// The readings that show whether a command took effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandEvidence {
    /// What was to be seen, in a sentence.
    pub expected: String,
    /// What was seen, at most a few readings, ascending.
    pub seen: Vec<CommandSighting>,
}

impl From<&Evidence> for CommandEvidence {
    fn from(evidence: &Evidence) -> Self {
        Self {
            expected: evidence.expected.clone(),
            seen: evidence.seen.iter().map(CommandSighting::from).collect(),
        }
    }
}

/// What one reading shows of a command's node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandSighting {
    /// The reading's number.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub seq: Seq,
    /// When it was taken.
    pub ts: DateTime<Utc>,
    /// Its power, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub watts: Option<Watts>,
    /// Its switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
}

impl From<&Sighting> for CommandSighting {
    fn from(sighting: &Sighting) -> Self {
        Self { seq: sighting.seq, ts: moment(sighting.ts), watts: sighting.watts, on: sighting.on }
    }
}
