//! Why each node is as it is.

use chrono::{DateTime, Utc};
use memcloud_domain::{
    Claim, ClaimFate, CommandAction, CommandId, CommandState, HemId, NodeId, NodeWhy, SettingWhy,
};
use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use crate::schemas;
use crate::{Action, CommandAsker, moment};

/// Why a node is as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(example = json!({
    "hem": "home-1", "node": 5, "since": "2026-11-23T12:00:00Z",
    "sentence": "Off, because the job load-priority keeps the microgrid's import under 10 kW.",
    "settings": [{
        "action": "switch", "on": false, "command": "019ab0c4-6b7e-7c31-9f5e-0c2a54d1e001",
        "state": "effective", "until": "2026-11-23T12:05:00Z"
    }],
    "claims": [{
        "by": {"kind": "job", "job": "019ab0c4-6b7e-7c31-9f5e-0c2a54d1e002", "app": "load-priority", "version": "1.0.0"},
        "action": "switch", "on": false, "priority": 10, "until": "2026-11-23T12:05:00Z",
        "reason": "import is 11.2 kW of 10 kW", "fate": "holds", "because": "nobody wants otherwise"
    }]
})))]
pub struct Why {
    /// Which HEM.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
    pub hem: HemId,
    /// Which node.
    #[cfg_attr(feature = "openapi", schema(value_type = u8))]
    pub node: NodeId,
    /// In one plain sentence: who won, which limit holds, and what was refused.
    pub sentence: String,
    /// Since when it is so.
    pub since: DateTime<Utc>,
    /// What holds there by an order of the cloud; empty: nothing, the node does as its home wants.
    pub settings: Vec<WhySetting>,
    /// Everything that is wanted of it now, the winner first.
    pub claims: Vec<WhyClaim>,
}

impl From<NodeWhy> for Why {
    fn from(why: NodeWhy) -> Self {
        Self {
            hem: why.hem,
            node: why.node,
            sentence: why.sentence,
            since: moment(why.since),
            settings: why.settings.into_iter().map(WhySetting::from).collect(),
            claims: why.claims.into_iter().map(WhyClaim::from).collect(),
        }
    }
}

/// A setting that holds at a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhySetting {
    /// Which.
    #[serde(flatten)]
    pub action: Action,
    /// The command that made it so; null until it is written.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Id>))]
    pub command: Option<CommandId>,
    /// How far that is.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::CommandState>))]
    pub state: Option<CommandState>,
    /// When its lease ends; null: it has none.
    pub until: Option<DateTime<Utc>>,
}

impl From<SettingWhy> for WhySetting {
    fn from(setting: SettingWhy) -> Self {
        Self {
            action: Action::from(&CommandAction::from(setting.setting)),
            command: setting.command,
            state: setting.state,
            until: setting.until.map(moment),
        }
    }
}

/// Something that is wanted of a node, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhyClaim {
    /// By whom; null for the home's own people, who pressed a button.
    pub by: Option<CommandAsker>,
    /// What.
    #[serde(flatten)]
    pub action: Action,
    /// Its priority; higher wins among equals.
    pub priority: i32,
    /// Until when it is wanted; null: until it is taken back.
    pub until: Option<DateTime<Utc>>,
    /// Why it is wanted.
    pub reason: String,
    /// What became of it.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::ClaimFate))]
    pub fate: ClaimFate,
    /// Why that, in a sentence.
    pub because: String,
}

impl From<Claim> for WhyClaim {
    fn from(claim: Claim) -> Self {
        Self {
            by: claim.asker.map(CommandAsker::from),
            action: Action::from(&CommandAction::from(claim.setting)),
            priority: claim.priority,
            until: claim.until.map(moment),
            reason: claim.reason,
            fate: claim.fate,
            because: claim.because,
        }
    }
}
