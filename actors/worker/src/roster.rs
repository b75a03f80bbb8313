//! A microgrid as apps see it: its time zone, its homes, and what their nodes are.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use memcloud_domain::messages::{MicrogridProfile, MicrogridRoster};
use memcloud_domain::{HemId, MicrogridId, NodeDeclaration, NodeId, NodeKind, PowerLimits};

/// A microgrid and its homes.
#[derive(Debug, Clone, PartialEq)]
pub struct Roster {
    profile: MicrogridProfile,
    time_zone: Tz,
    limits: PowerLimits,
    homes: BTreeMap<HemId, Vec<NodeDeclaration>>,
    home_limits: BTreeMap<HemId, PowerLimits>,
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

    /// What it may draw and feed at its connection.
    #[must_use]
    pub fn limits(&self) -> PowerLimits {
        self.limits
    }

    /// What a home may draw and feed.
    #[must_use]
    pub fn home_limits(&self, hem: &HemId) -> PowerLimits {
        self.home_limits.get(hem).copied().unwrap_or_default()
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

    /// What a node was declared to be.
    #[must_use]
    pub fn node(&self, hem: &HemId, node: NodeId) -> Option<&NodeDeclaration> {
        self.homes.get(hem)?.iter().find(|declared| declared.node == node)
    }

    /// What a node is; absent for a node that was never declared, which counts nowhere.
    #[must_use]
    pub fn kind(&self, hem: &HemId, node: NodeId) -> Option<NodeKind> {
        self.node(hem, node).map(|declared| declared.kind)
    }

    /// The same with another profile of the microgrid.
    #[must_use]
    pub fn with_profile(&self, profile: MicrogridProfile) -> Self {
        let time_zone = time_zone_of(&profile);
        Self { profile, time_zone, ..self.clone() }
    }

    /// The same without a home.
    #[must_use]
    pub fn without_home(&self, hem: &HemId) -> Self {
        let mut changed = self.clone();
        changed.homes.remove(hem);
        changed.home_limits.remove(hem);
        changed
    }

    /// The same with a home's nodes as it now declares them.
    #[must_use]
    pub fn with_home(&self, hem: &HemId, nodes: &[NodeDeclaration]) -> Self {
        let mut changed = self.clone();
        changed.homes.insert(hem.clone(), nodes.to_vec());
        changed
    }

    /// The same with what a home may draw and feed.
    #[must_use]
    pub fn with_home_limits(&self, hem: &HemId, limits: PowerLimits) -> Self {
        let mut changed = self.clone();
        changed.home_limits.insert(hem.clone(), limits);
        changed
    }
}

fn time_zone_of(profile: &MicrogridProfile) -> Tz {
    profile.time_zone.parse().unwrap_or_else(|_| {
        log::warn!(
            microgrid = profile.id.as_str(), time_zone = profile.time_zone.as_str();
            "the microgrid's time zone is not known, so its days are counted in UTC"
        );
        Tz::UTC
    })
}

impl From<MicrogridRoster> for Roster {
    fn from(roster: MicrogridRoster) -> Self {
        let time_zone = time_zone_of(&roster.profile);
        let home_limits = roster.hems.iter().map(|home| (home.hem.clone(), home.limits)).collect();
        Self {
            profile: roster.profile,
            time_zone,
            limits: roster.limits,
            homes: roster.hems.into_iter().map(|home| (home.hem, home.nodes)).collect(),
            home_limits,
        }
    }
}
