//! What an app wished last, so that it says again only what has changed or will soon end. Not to be
//! saved: after a restart everything is wished anew, which does no harm, while a wish that was saved
//! as told and was not would be missing.

use std::collections::BTreeMap;
use std::time::Duration;

use memcloud_domain::{HemId, NodeId, Setting, Timestamp};

use crate::Outcome;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Stood {
    setting: Setting,
    changed: Timestamp,
    told: Timestamp,
    lease: Duration,
}

/// An app's standing wishes, at most one per node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    homes: BTreeMap<HemId, BTreeMap<NodeId, Stood>>,
}

impl Standing {
    fn find(&self, hem: &HemId, node: NodeId) -> Option<&Stood> {
        self.homes.get(hem)?.get(&node)
    }

    /// Wishes a setting, if it is not what stands or what stands is through half of its lease.
    /// Answers whether it did.
    #[expect(clippy::too_many_arguments, reason = "a wish has that many parts")]
    pub fn wish(
        &mut self,
        outcome: &mut Outcome,
        now: Timestamp,
        hem: &HemId,
        node: NodeId,
        setting: Setting,
        lease: Duration,
        reason: impl FnOnce() -> String,
    ) -> bool {
        let stood = self.find(hem, node).copied();
        let same = stood.filter(|stood| stood.setting == setting);
        if same.is_some_and(|stood| !is_due(&stood, now)) {
            return false;
        }
        outcome.wish(hem, node, setting, lease, reason());
        let changed = same.map_or(now, |stood| stood.changed);
        let now_stands = Stood { setting, changed, told: now, lease };
        self.homes.entry(hem.clone()).or_default().insert(node, now_stands);
        true
    }

    /// The power that was wished of a node, if that still holds.
    #[must_use]
    pub fn power(&self, hem: &HemId, node: NodeId, now: Timestamp) -> Option<f64> {
        let stood = self.find(hem, node)?;
        let holds = now.since(stood.told) < stood.lease;
        match stood.setting {
            Setting::Power { watts } if holds => Some(watts.value()),
            _ => None,
        }
    }

    /// What is wished of a node.
    #[must_use]
    pub fn setting(&self, hem: &HemId, node: NodeId) -> Option<Setting> {
        self.find(hem, node).map(|stood| stood.setting)
    }

    /// Since when a node is wished to be as it is wished to be now.
    #[must_use]
    pub fn since(&self, hem: &HemId, node: NodeId) -> Option<Timestamp> {
        self.find(hem, node).map(|stood| stood.changed)
    }

    /// Whether nothing stands for a node, or half of its lease is over.
    #[must_use]
    pub fn is_due(&self, hem: &HemId, node: NodeId, now: Timestamp) -> bool {
        self.find(hem, node).is_none_or(|stood| is_due(stood, now))
    }

    /// Wants nothing of a node any more, if it wanted something.
    pub fn withdraw(&mut self, outcome: &mut Outcome, hem: &HemId, node: NodeId) {
        if self.forget(hem, node) {
            outcome.withdraw(hem, node);
        }
    }

    /// Wishes nothing further of a node: what stands ends with its lease. Answers whether there was.
    pub fn forget(&mut self, hem: &HemId, node: NodeId) -> bool {
        let Some(home) = self.homes.get_mut(hem) else { return false };
        let stood = home.remove(&node).is_some();
        if home.is_empty() {
            self.homes.remove(hem);
        }
        stood
    }

    /// The same of a whole home.
    pub fn forget_home(&mut self, hem: &HemId) {
        self.homes.remove(hem);
    }

    /// Wants nothing of anybody any more.
    pub fn withdraw_all(&mut self, outcome: &mut Outcome) {
        for (hem, nodes) in std::mem::take(&mut self.homes) {
            for node in nodes.into_keys() {
                outcome.withdraw(&hem, node);
            }
        }
    }

    /// Everything that stands ends with its lease.
    pub fn forget_all(&mut self) {
        self.homes.clear();
    }

    /// Keeps what stands in the homes that are to be kept.
    pub fn retain_homes(&mut self, mut keep: impl FnMut(&HemId) -> bool) {
        self.homes.retain(|hem, _| keep(hem));
    }
}

fn is_due(stood: &Stood, now: Timestamp) -> bool {
    now.since(stood.told) >= stood.lease / 2
}
