//! HEMs: the homes' energy managers.

use chrono::{DateTime, Utc};
use memcloud_domain::{
    DefaultState, HemId, HemStatus, MicrogridId, NodeAction, NodeDeclaration, NodeId, NodeKind,
    NodeStatus, QualityFlag, Secret, Seq, WattHours, Watts,
};
use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use crate::schemas;
use crate::{MicrogridLimits, NodeValues, Totals, moment};

/// A HEM as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hem {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub id: HemId,
    /// Whose it is.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub microgrid: MicrogridId,
    /// Its name, for people; the id where it was given none.
    pub name: String,
    /// Whether a reading has arrived lately.
    pub active: bool,
    /// Whether an authenticated socket is open now.
    pub online: bool,
    /// When anything was last heard from it; null if never.
    pub last_seen: Option<DateTime<Utc>>,
    /// What is odd about its data now.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<schemas::QualityFlag>))]
    pub flags: Vec<QualityFlag>,
    /// Its live totals.
    #[serde(flatten)]
    pub totals: Totals,
}

impl Hem {
    /// Puts together what is recorded of a HEM and what is known of it right now.
    #[must_use]
    pub fn new(id: HemId, microgrid: MicrogridId, name: String, now: Option<&HemStatus>) -> Self {
        Self {
            id,
            microgrid,
            name,
            active: now.is_some_and(|status| status.active),
            online: now.is_some_and(|status| status.online),
            last_seen: now.and_then(|status| status.last_seen).map(moment),
            flags: now.map(|status| status.flags.clone()).unwrap_or_default(),
            totals: now.map(|status| status.totals.into()).unwrap_or_default(),
        }
    }
}

/// How a HEM's device key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyStateName {
    /// Made, but never used: an enrolment of the same id may still replace it.
    Pending,
    /// The HEM has shown who it is at least once.
    Established,
    /// Revoked: until it is rotated nobody comes in under this id.
    Revoked,
}

/// One HEM with its nodes and their latest values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HemDetail {
    /// What a list says of it.
    #[serde(flatten)]
    pub hem: Hem,
    /// When it was registered or enrolled.
    pub created: DateTime<Utc>,
    /// Its firmware, as it names it; null if it never said.
    pub firmware: Option<String>,
    /// How its device key stands.
    pub key: KeyStateName,
    /// What its connection to the feeder bears.
    pub limits: MicrogridLimits,
    /// The highest number of a reading or event that is on disk; 0 if none is.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub seq: Seq,
    /// Numbers that never arrived, in all.
    pub missing: u64,
    /// Its nodes, by number.
    pub nodes: Vec<HemNode>,
}

/// A node: what its HEM declared of it, and its latest values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HemNode {
    /// Its number.
    #[cfg_attr(feature = "openapi", schema(value_type = u8))]
    pub node: NodeId,
    /// Whether the HEM declared it. What it never declared is stored, and is in no total.
    pub declared: bool,
    /// Its name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is to the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::NodeKind>))]
    pub kind: Option<NodeKind>,
    /// Rated power, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub rated_watts: Option<Watts>,
    /// Least settable power, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub min_watts: Option<Watts>,
    /// Greatest settable power, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub max_watts: Option<Watts>,
    /// Capacity of a battery, Wh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub capacity_wh: Option<WattHours>,
    /// Whether it must never be shed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<bool>,
    /// Its importance; higher is kept longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// What it can be told to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<schemas::NodeAction>>))]
    pub controls: Option<Vec<NodeAction>>,
    /// What it falls back to when a lease ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::DefaultState>))]
    pub default: Option<DefaultState>,
    /// When the newest of its values was taken; null before the first.
    pub ts: Option<DateTime<Utc>>,
    /// Its newest values; null before the first.
    pub latest: Option<NodeValues>,
}

impl HemNode {
    /// A node that was declared, of which nothing was measured yet.
    #[must_use]
    pub fn declared(declaration: NodeDeclaration) -> Self {
        Self {
            node: declaration.node,
            declared: true,
            name: Some(declaration.name),
            kind: Some(declaration.kind),
            rated_watts: declaration.rated_watts,
            min_watts: declaration.min_watts,
            max_watts: declaration.max_watts,
            capacity_wh: declaration.capacity_wh,
            critical: declaration.critical,
            priority: declaration.priority,
            controls: declaration.controls,
            default: declaration.default,
            ts: None,
            latest: None,
        }
    }
}

impl From<NodeStatus> for HemNode {
    fn from(status: NodeStatus) -> Self {
        let node = status.latest.node;
        let blank = Self {
            node,
            declared: false,
            name: None,
            kind: None,
            rated_watts: None,
            min_watts: None,
            max_watts: None,
            capacity_wh: None,
            critical: None,
            priority: None,
            controls: None,
            default: None,
            ts: None,
            latest: None,
        };
        let declared = status.declaration.map_or(blank, Self::declared);
        Self { ts: Some(moment(status.ts)), latest: Some(status.latest.into()), ..declared }
    }
}

/// A HEM to register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewHem {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub id: HemId,
    /// The microgrid that it belongs to.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub microgrid: MicrogridId,
    /// Its name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Name>))]
    pub name: Option<String>,
}

/// A registered HEM and its device key, shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewHemCreated {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub id: HemId,
    /// Its device key, which it sends as `key`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: Secret,
}

/// A HEM's new device key, shown this once. The old one no longer holds.
pub type DeviceKey = NewHemCreated;

/// What to change of a HEM. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HemChange {
    /// Its name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Name>))]
    pub name: Option<String>,
    /// What its connection to the feeder bears, replaced as a whole; commands and jobs keep to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<MicrogridLimits>,
}
