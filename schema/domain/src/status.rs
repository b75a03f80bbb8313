//! What is known of a HEM right now.

use serde::{Deserialize, Serialize};

use crate::{
    Epoch, HemId, MicrogridId, NodeDeclaration, NodeReading, Seq, StateOfCharge, Timestamp, Watts,
};

/// What is odd about a HEM's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum QualityFlag {
    /// Its clock is off by more than the tolerance.
    ClockSkew,
    /// A counter that only grows went back.
    CounterReset,
    /// Numbers, or time, are missing.
    Gap,
    /// Its nodes do not sum to about zero.
    NotConserved,
    /// It sends of nodes that it never declared; they are in no total.
    UndeclaredNode,
    /// What a node measures stands still though others move.
    Frozen,
    /// A node showed a power that it cannot have, and then an ordinary one again.
    Spike,
}

impl QualityFlag {
    /// The flag as in REST.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClockSkew => "clock-skew",
            Self::CounterReset => "counter-reset",
            Self::Gap => "gap",
            Self::NotConserved => "not-conserved",
            Self::UndeclaredNode => "undeclared-node",
            Self::Frozen => "frozen",
            Self::Spike => "spike",
        }
    }
}

/// Power by what it is, for a HEM or a whole microgrid. All but storage are never negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PowerTotals {
    /// What loads and chargers take, W.
    pub consumption_watts: Watts,
    /// What sources feed, W.
    pub generation_watts: Watts,
    /// What batteries take, W; negative when they feed.
    pub storage_watts: Watts,
    /// Net import over all grid nodes, W; 0 while exporting.
    pub import_watts: Watts,
    /// Net export over all grid nodes, W; 0 while importing.
    pub export_watts: Watts,
    /// State of charge, weighted by capacity where that is declared.
    pub soc: Option<StateOfCharge>,
}

/// The newest values of one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The newest value of each quantity.
    pub latest: NodeReading,
    /// When the newest of them was taken.
    pub ts: Timestamp,
    /// What the HEM declared of it; absent for a node that was never declared.
    pub declaration: Option<NodeDeclaration>,
}

/// A HEM's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HemStatus {
    /// Which HEM.
    pub hem: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// Whether an authenticated socket is open now.
    pub online: bool,
    /// Whether a reading has arrived within the active window.
    pub active: bool,
    /// When anything was last heard from it.
    pub last_seen: Option<Timestamp>,
    /// The epoch of its newest connection.
    pub epoch: Epoch,
    /// The highest number that is on disk.
    pub mark: Seq,
    /// Its nodes, by number.
    pub nodes: Vec<NodeStatus>,
    /// Its totals.
    pub totals: PowerTotals,
    /// What is odd about its data now.
    pub flags: Vec<QualityFlag>,
    /// Numbers that never arrived, in all.
    pub missing: u64,
}
