//! The same command for many homes, and what became of it at each.

use chrono::{DateTime, Utc};
use memcloud_domain::{CommandId, HemId, NodeId, NodeKind, Watts};
use serde::{Deserialize, Serialize};

use crate::actions::ActionName;
#[cfg(feature = "openapi")]
use crate::schemas;
use crate::{NewCommand, Problem};

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
