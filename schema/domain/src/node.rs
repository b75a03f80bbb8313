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

impl NodeKind {
    /// The kind as in REST and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Source => "source",
            Self::Storage => "storage",
            Self::Load => "load",
            Self::Charger => "charger",
        }
    }

    /// What a node of this kind can usually be told: for one that does not say.
    #[must_use]
    pub fn usual_controls(self) -> &'static [NodeAction] {
        use NodeAction::{LimitPower, SetPower, SetPriority, SetSchedule, Switch};
        match self {
            Self::Grid => &[],
            Self::Source => &[Switch, LimitPower],
            Self::Storage => &[Switch, SetPower, LimitPower],
            Self::Load => &[Switch, SetSchedule, SetPriority],
            Self::Charger => &[Switch, LimitPower, SetSchedule, SetPriority],
        }
    }
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

impl NodeAction {
    /// The action as in REST and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::SetPower => "set-power",
            Self::LimitPower => "limit-power",
            Self::SetSchedule => "set-schedule",
            Self::SetPriority => "set-priority",
        }
    }
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

impl NodeDeclaration {
    /// What it can be told: as it declares, or, where it declares nothing, as its kind usually can.
    #[must_use]
    pub fn can_be_told(&self) -> &[NodeAction] {
        self.controls.as_deref().unwrap_or_else(|| self.kind.usual_controls())
    }

    /// The least and the greatest power that it can be set to, W: as declared, or else from its rated
    /// power and its kind. Absent: it does not say.
    #[must_use]
    pub fn settable_power(&self) -> (Option<Watts>, Option<Watts>) {
        let rated = self.rated_watts.map(Watts::abs);
        let (feeds, takes) = match self.kind {
            NodeKind::Source => (rated, Some(Watts::ZERO)),
            NodeKind::Load | NodeKind::Charger => (Some(Watts::ZERO), rated),
            NodeKind::Grid | NodeKind::Storage => (rated, rated),
        };
        // No negative zero, which a sentence would show.
        let least = feeds.map(|watts| Watts::ZERO - watts);
        (self.min_watts.or(least), self.max_watts.or(takes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: NodeKind) -> NodeDeclaration {
        NodeDeclaration {
            node: NodeId(1),
            name: "a node".to_owned(),
            kind,
            rated_watts: Some(Watts(5_000.0)),
            min_watts: None,
            max_watts: None,
            capacity_wh: None,
            critical: None,
            priority: None,
            controls: None,
            default: None,
        }
    }

    #[test]
    fn what_a_node_declares_goes_before_what_its_kind_suggests() {
        let load = node(NodeKind::Load);
        assert!(load.can_be_told().contains(&NodeAction::Switch));
        assert!(!load.can_be_told().contains(&NodeAction::SetPower));
        assert_eq!(load.settable_power(), (Some(Watts(0.0)), Some(Watts(5_000.0))));
        let silent = NodeDeclaration { controls: Some(Vec::new()), ..load };
        assert!(silent.can_be_told().is_empty());
        let battery = NodeDeclaration { min_watts: Some(Watts(-800.0)), ..node(NodeKind::Storage) };
        assert_eq!(battery.settable_power(), (Some(Watts(-800.0)), Some(Watts(5_000.0))));
        let roof = node(NodeKind::Source);
        assert_eq!(roof.settable_power(), (Some(Watts(-5_000.0)), Some(Watts(0.0))));
    }
}
