//! A microgrid as apps see it: its time zone, its homes, and what their nodes are.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use memcloud_domain::messages::{MicrogridProfile, MicrogridRoster};
use memcloud_domain::{HemId, MicrogridId, NodeDeclaration, NodeId, NodeKind};

/// A microgrid and its homes.
#[derive(Debug, Clone, PartialEq)]
pub struct Roster {
    profile: MicrogridProfile,
    time_zone: Tz,
    homes: BTreeMap<HemId, Vec<NodeDeclaration>>,
}

impl Roster {
    /// Which microgrid.
    #[must_use]
    pub fn microgrid(&self) -> &MicrogridId {
        &self.profile.id
    }

    /// Its time zone; UTC where the profile names one that is not known.
    #[must_use]
    pub fn time_zone(&self) -> Tz {
        self.time_zone
    }

    /// Its homes, and the nodes that each declared.
    #[must_use]
    pub fn homes(&self) -> &BTreeMap<HemId, Vec<NodeDeclaration>> {
        &self.homes
    }

    /// Whether a HEM is one of its homes'.
    #[must_use]
    pub fn has(&self, hem: &HemId) -> bool {
        self.homes.contains_key(hem)
    }

    /// What a node is; absent for a node that was never declared, which counts nowhere.
    #[must_use]
    pub fn kind(&self, hem: &HemId, node: NodeId) -> Option<NodeKind> {
        self.homes.get(hem)?.iter().find(|declared| declared.node == node).map(|found| found.kind)
    }

    /// The same with another profile of the microgrid.
    #[must_use]
    pub fn with_profile(&self, profile: MicrogridProfile) -> Self {
        let hems = self.homes.clone().into_iter().collect();
        Self::from(MicrogridRoster { profile, hems })
    }

    /// The same without a home.
    #[must_use]
    pub fn without_home(&self, hem: &HemId) -> Self {
        let mut changed = self.clone();
        changed.homes.remove(hem);
        changed
    }

    /// The same with a home's nodes as it now declares them.
    #[must_use]
    pub fn with_home(&self, hem: &HemId, nodes: &[NodeDeclaration]) -> Self {
        let mut changed = self.clone();
        changed.homes.insert(hem.clone(), nodes.to_vec());
        changed
    }
}

impl From<MicrogridRoster> for Roster {
    fn from(roster: MicrogridRoster) -> Self {
        let time_zone = roster.profile.time_zone.parse().unwrap_or_else(|_| {
            log::warn!(
                microgrid = roster.profile.id.as_str(), time_zone = roster.profile.time_zone.as_str();
                "the microgrid's time zone is not known, so its days are counted in UTC"
            );
            Tz::UTC
        });
        Self { profile: roster.profile, time_zone, homes: roster.hems.into_iter().collect() }
    }
}
