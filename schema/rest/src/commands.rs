//! Commands: asked for, followed, taken back; one or many at a time.

use chrono::{DateTime, Utc};
use memcloud_domain::{
    Asker, CommandAction, CommandId, CommandRecord, CommandState, Evidence, HemId, JobId,
    MicrogridId, NodeAction, NodeId, NodeKind, Seq, Sighting, Timestamp, Transition, Watts,
};
use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use crate::schemas;
use crate::{Problem, moment};

/// What a node, or a HEM, is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ActionName {
    /// On or off: `on`.
    Switch,
    /// Hold a power: `watts`, positive takes from the home's bus.
    SetPower,
    /// Stay at or under a size of power: `watts`.
    LimitPower,
    /// On and off at given times: `on_at`, `off_at`.
    SetSchedule,
    /// How important the node is: `priority`.
    SetPriority,
    /// How often the HEM sends a reading: `seconds`.
    ReportEvery,
    /// The HEM starts again.
    Restart,
}

impl ActionName {
    /// The name as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::SetPower => "set-power",
            Self::LimitPower => "limit-power",
            Self::SetSchedule => "set-schedule",
            Self::SetPriority => "set-priority",
            Self::ReportEvery => "report-every",
            Self::Restart => "restart",
        }
    }

    /// What a node must be able to do for it; absent: it is for the HEM itself.
    #[must_use]
    pub fn control(self) -> Option<NodeAction> {
        match self {
            Self::Switch => Some(NodeAction::Switch),
            Self::SetPower => Some(NodeAction::SetPower),
            Self::LimitPower => Some(NodeAction::LimitPower),
            Self::SetSchedule => Some(NodeAction::SetSchedule),
            Self::SetPriority => Some(NodeAction::SetPriority),
            Self::ReportEvery | Self::Restart => None,
        }
    }

    /// The fields that hold its arguments.
    fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Switch => &["on"],
            Self::SetPower | Self::LimitPower => &["watts"],
            Self::SetSchedule => &["on_at", "off_at"],
            Self::SetPriority => &["priority"],
            Self::ReportEvery => &["seconds"],
            Self::Restart => &[],
        }
    }
}

/// An argument that is missing, or does not belong to the action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongArgument {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// The fields of a body that hold an action's arguments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments {
    /// Of `switch`.
    pub on: Option<bool>,
    /// Of `set-power` and `limit-power`.
    pub watts: Option<Watts>,
    /// Of `set-schedule`.
    pub on_at: Option<Vec<DateTime<Utc>>>,
    /// Of `set-schedule`.
    pub off_at: Option<Vec<DateTime<Utc>>>,
    /// Of `report-every`.
    pub seconds: Option<u32>,
    /// Of `set-priority`; of every other action it is the command's own priority.
    pub priority: Option<i32>,
}

impl Arguments {
    /// The action with its arguments.
    ///
    /// # Errors
    /// Names the argument that is missing, or that the action does not take.
    pub fn of(self, action: ActionName) -> Result<CommandAction, WrongArgument> {
        let given = [
            ("on", self.on.is_some()),
            ("watts", self.watts.is_some()),
            ("on_at", self.on_at.is_some()),
            ("off_at", self.off_at.is_some()),
            ("seconds", self.seconds.is_some()),
        ];
        let takes = action.takes();
        for (field, is_given) in given {
            if is_given && !takes.contains(&field) {
                let what = match takes {
                    [] => "takes no argument".to_owned(),
                    names => format!("takes {}", names.join(" and ")),
                };
                let reason = format!("{} {what}", action.as_str());
                return Err(WrongArgument { field, reason });
            }
        }
        let missing = |field: &'static str| WrongArgument {
            field,
            reason: format!("{} needs it", action.as_str()),
        };
        let moments = |times: Option<Vec<DateTime<Utc>>>| {
            times.unwrap_or_default().into_iter().map(Timestamp::from).collect()
        };
        Ok(match action {
            ActionName::Switch => {
                CommandAction::Switch { on: self.on.ok_or_else(|| missing("on"))? }
            }
            ActionName::SetPower => {
                CommandAction::SetPower { watts: self.watts.ok_or_else(|| missing("watts"))? }
            }
            ActionName::LimitPower => {
                CommandAction::LimitPower { watts: self.watts.ok_or_else(|| missing("watts"))? }
            }
            ActionName::SetSchedule => CommandAction::SetSchedule {
                on_at: moments(self.on_at),
                off_at: moments(self.off_at),
            },
            ActionName::SetPriority => CommandAction::SetPriority {
                priority: self.priority.ok_or_else(|| missing("priority"))?,
            },
            ActionName::ReportEvery => CommandAction::ReportEvery {
                seconds: self.seconds.ok_or_else(|| missing("seconds"))?,
            },
            ActionName::Restart => CommandAction::Restart,
        })
    }
}

/// What is told, with its arguments, as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Action {
    /// What.
    pub action: ActionName,
    /// Of `switch`: on?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
    /// Of `set-power` and `limit-power`, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub watts: Option<Watts>,
    /// Of `set-schedule`: when to switch on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_at: Option<Vec<DateTime<Utc>>>,
    /// Of `set-schedule`: when to switch off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_at: Option<Vec<DateTime<Utc>>>,
    /// Of `report-every`: between two readings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

impl Action {
    fn bare(action: ActionName) -> Self {
        Self { action, on: None, watts: None, on_at: None, off_at: None, seconds: None }
    }
}

impl From<&CommandAction> for Action {
    fn from(action: &CommandAction) -> Self {
        let moments = |times: &[Timestamp]| Some(times.iter().copied().map(moment).collect());
        match action {
            CommandAction::Switch { on } => {
                Self { on: Some(*on), ..Self::bare(ActionName::Switch) }
            }
            CommandAction::SetPower { watts } => {
                Self { watts: Some(*watts), ..Self::bare(ActionName::SetPower) }
            }
            CommandAction::LimitPower { watts } => {
                Self { watts: Some(*watts), ..Self::bare(ActionName::LimitPower) }
            }
            CommandAction::SetSchedule { on_at, off_at } => Self {
                on_at: moments(on_at),
                off_at: moments(off_at),
                ..Self::bare(ActionName::SetSchedule)
            },
            CommandAction::SetPriority { .. } => Self::bare(ActionName::SetPriority),
            CommandAction::ReportEvery { seconds } => {
                Self { seconds: Some(*seconds), ..Self::bare(ActionName::ReportEvery) }
            }
            CommandAction::Restart => Self::bare(ActionName::Restart),
        }
    }
}

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

/// What many HEMs of a microgrid, or some of their nodes, shall do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(example = json!({
    "kind": "storage", "action": "set-power", "watts": 1500.0,
    "reason": "the afternoon's sun is free", "lease_seconds": 3600
})))]
#[serde(deny_unknown_fields)]
pub struct NewCommands {
    /// Which HEMs, at most 1,000; absent: all of the microgrid, if those are no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<schemas::Id>>, min_items = 1, max_items = 1000))]
    pub hems: Option<Vec<HemId>>,
    /// Of each HEM the nodes of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::NodeKind>))]
    pub kind: Option<NodeKind>,
    /// Of each HEM the nodes of this name; case does not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Name>))]
    pub name: Option<String>,
    /// Of each HEM the node of this number.
    #[serde(
        default,
        deserialize_with = "crate::whole_node",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u8>))]
    pub node: Option<NodeId>,
    /// Whether nodes that are declared critical are meant too; if absent or false they are passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<bool>,
    /// What.
    pub action: ActionName,
    /// Of `switch`: on?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
    /// Of `set-power` and `limit-power`, W; of each node.
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
    /// As of one command.
    #[serde(default, deserialize_with = "crate::whole", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 86400))]
    pub lease_seconds: Option<u32>,
    /// As of one command.
    #[serde(default, deserialize_with = "crate::whole", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 86400))]
    pub expires_seconds: Option<u32>,
    /// As of one command.
    #[serde(default, deserialize_with = "crate::whole", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = -1000, maximum = 1000))]
    pub priority: Option<i32>,
}

impl NewCommands {
    /// The same for every HEM of a microgrid; which nodes is to be said by its fields.
    #[must_use]
    pub fn of(command: NewCommand) -> Self {
        Self {
            hems: None,
            kind: None,
            name: None,
            node: command.node,
            critical: None,
            action: command.action,
            on: command.on,
            watts: command.watts,
            on_at: command.on_at,
            off_at: command.off_at,
            seconds: command.seconds,
            reason: command.reason,
            lease_seconds: command.lease_seconds,
            expires_seconds: command.expires_seconds,
            priority: command.priority,
        }
    }

    /// The command of one node.
    #[must_use]
    pub fn command(&self, node: Option<NodeId>) -> NewCommand {
        NewCommand {
            node,
            action: self.action,
            on: self.on,
            watts: self.watts,
            on_at: self.on_at.clone(),
            off_at: self.off_at.clone(),
            seconds: self.seconds,
            reason: self.reason.clone(),
            lease_seconds: self.lease_seconds,
            expires_seconds: self.expires_seconds,
            priority: self.priority,
        }
    }
}

/// What became of a command to many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandsTaken {
    /// How many commands were taken.
    pub accepted: u64,
    /// How many were not.
    pub refused: u64,
    /// One by one, by HEM and node.
    pub items: Vec<CommandTaken>,
}

/// What became of it at one HEM or node: `command`, or `problem`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandTaken {
    /// Which HEM.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub hem: HemId,
    /// Which node; absent for the HEM itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u8>))]
    pub node: Option<NodeId>,
    /// The command that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Id>))]
    pub command: Option<CommandId>,
    /// Why none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<CommandAction, WrongArgument> {
        let command: NewCommand = serde_json::from_str(json).unwrap();
        command.arguments().of(command.action)
    }

    #[test]
    fn an_argument_that_is_missing_or_of_another_action_is_named() {
        assert_eq!(
            read(r#"{"node":5,"action":"switch","on":false}"#),
            Ok(CommandAction::Switch { on: false })
        );
        let missing = read(r#"{"node":5,"action":"set-power"}"#).unwrap_err();
        assert_eq!((missing.field, missing.reason.as_str()), ("watts", "set-power needs it"));
        let foreign = read(r#"{"node":5,"action":"switch","on":true,"watts":5}"#).unwrap_err();
        assert_eq!((foreign.field, foreign.reason.as_str()), ("watts", "switch takes on"));
        let foreign = read(r#"{"action":"restart","seconds":5}"#).unwrap_err();
        assert_eq!(foreign.reason, "restart takes no argument");
    }

    #[test]
    fn every_action_comes_back_from_what_the_sdk_writes() {
        let actions = [
            CommandAction::Switch { on: true },
            CommandAction::SetPower { watts: Watts(-1_500.0) },
            CommandAction::LimitPower { watts: Watts(800.0) },
            CommandAction::SetSchedule { on_at: vec![Timestamp(1_000)], off_at: Vec::new() },
            CommandAction::SetPriority { priority: 7 },
            CommandAction::ReportEvery { seconds: 10 },
            CommandAction::Restart,
        ];
        for action in actions {
            let written = serde_json::to_string(&NewCommand::new(&action)).unwrap();
            assert_eq!(read(&written), Ok(action.clone()), "{written}");
            let name = NewCommand::new(&action).action;
            assert_eq!(name.as_str(), action.name());
            assert_eq!(name.control(), action.control());
        }
    }

    #[test]
    fn a_node_is_a_whole_number_up_to_255_and_a_field_is_not_made_up() {
        let node = |text: &str| {
            serde_json::from_str::<NewCommand>(&format!(
                r#"{{"action":"switch","on":true,"node":{text}}}"#
            ))
            .map(|command| command.node)
        };
        assert_eq!(node("255").unwrap(), Some(NodeId(255)));
        assert_eq!(node("7.0").unwrap(), Some(NodeId(7)));
        for bad in ["256", "-1", "7.5", "\"7\""] {
            assert!(node(bad).is_err(), "{bad}");
        }
        let unknown = serde_json::from_str::<NewCommand>(r#"{"action":"restart","force":true}"#);
        assert!(unknown.unwrap_err().to_string().contains("`force`"));
    }
}
