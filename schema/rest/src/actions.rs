//! What nodes and HEMs can be told, with the arguments.

use chrono::{DateTime, Utc};
use memcloud_domain::{CommandAction, NodeAction, Timestamp, Watts};
use serde::{Deserialize, Serialize};

use crate::moment;

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

#[cfg(test)]
mod tests {
    use memcloud_domain::NodeId;

    use super::*;
    use crate::NewCommand;

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
