//! What a HEM declares of its nodes.

use serde::{Deserialize, Serialize};

use crate::{NodeId, WattHours, Watts};

/// What a node is to the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// The connection to the feeder.
    Grid,
    /// PV, wind, a generator.
    Source,
    /// A battery.
    Storage,
    /// A consumer.
    Load,
    /// A car's charging point.
    Charger,
}

/// What a node can be told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeAction {
    /// On or off.
    Switch,
    /// Hold a power.
    SetPower,
    /// Stay under a power.
    LimitPower,
    /// On and off at given times.
    SetSchedule,
    /// How important the node is.
    SetPriority,
}

/// What a node falls back to when a lease ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct DefaultState {
    /// Whether it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
    /// The power it holds, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watts: Option<Watts>,
}

/// A node as its HEM declares it in `hello`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeDeclaration {
    /// Its number.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// What it is to the home.
    pub kind: NodeKind,
    /// Rated power, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rated_watts: Option<Watts>,
    /// Least settable power, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_watts: Option<Watts>,
    /// Greatest settable power, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_watts: Option<Watts>,
    /// Capacity of a battery, Wh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_wh: Option<WattHours>,
    /// Whether it must never be shed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<bool>,
    /// Its importance; higher is kept longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// What it can be told to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controls: Option<Vec<NodeAction>>,
    /// What it falls back to when a lease ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultState>,
}
