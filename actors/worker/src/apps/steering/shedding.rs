//! Which loads are switched off when too much is drawn, and when they come back: by priority, never a
//! critical one, back one at a time, and only where there is room for what each drew. A load that was
//! just switched off or on counts as if its readings showed it already, until they do.

use std::collections::BTreeMap;
use std::time::Duration;

use memcloud_domain::{HemId, NodeAction, NodeDeclaration, NodeId, NodeKind, Timestamp};
use serde::{Deserialize, Serialize};

use super::USUAL_PRIORITY;

/// A load that may be switched off, and what it draws.
#[derive(Debug, Clone, PartialEq)]
pub struct Load<'a> {
    /// Whose.
    pub hem: &'a HemId,
    /// Which node.
    pub node: NodeId,
    /// Its name, for people.
    pub name: &'a str,
    /// Higher is kept longer.
    pub priority: i32,
    /// What it draws now, W.
    pub watts: f64,
}

/// Whether a node may be shed: a load or charger that is not critical and has a switch.
#[must_use]
pub fn sheddable(declaration: &NodeDeclaration) -> bool {
    let controls = declaration.controls.as_deref().unwrap_or_default();
    matches!(declaration.kind, NodeKind::Load | NodeKind::Charger)
        && declaration.critical != Some(true)
        && controls.contains(&NodeAction::Switch)
}

impl<'a> Load<'a> {
    /// A load of a declaration, and what it draws.
    #[must_use]
    pub fn of(hem: &'a HemId, declaration: &'a NodeDeclaration, watts: f64) -> Self {
        Self {
            hem,
            node: declaration.node,
            name: &declaration.name,
            priority: declaration.priority.unwrap_or(USUAL_PRIORITY),
            watts: watts.max(0.0),
        }
    }
}

/// How loads are shed and restored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShedRules {
    /// How long it may take until readings show a switching.
    pub settle: Duration,
    /// How long too much must be drawn before a load is shed.
    pub hold: Duration,
    /// How long a load stays off at least.
    pub min_off: Duration,
    /// How long there must be room before a load comes back.
    pub restore_after: Duration,
    /// The time between two loads that come back.
    pub stagger: Duration,
    /// How much room there must be beyond what the load drew, W.
    pub spare_watts: f64,
}

/// A load that is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shed {
    /// Since when.
    pub since: Timestamp,
    /// What it drew then, W.
    pub watts: f64,
    /// Its priority.
    pub priority: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Returned {
    at: Timestamp,
    watts: f64,
}

/// What changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// This load is to be off.
    Shed {
        /// Whose.
        hem: HemId,
        /// Which node.
        node: NodeId,
        /// What it drew.
        shed: Shed,
    },
    /// This load may be on again.
    Restored {
        /// Whose.
        hem: HemId,
        /// Which node.
        node: NodeId,
        /// How it was shed.
        shed: Shed,
    },
    /// Nothing is known of this load any more: it is left to itself.
    Lost {
        /// Whose.
        hem: HemId,
        /// Which node.
        node: NodeId,
        /// How it was shed.
        shed: Shed,
    },
}

/// Which loads are off, and since when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shedding {
    off: BTreeMap<HemId, BTreeMap<NodeId, Shed>>,
    back: BTreeMap<HemId, BTreeMap<NodeId, Returned>>,
    over_since: Option<Timestamp>,
    room_since: Option<Timestamp>,
    last_back: Option<Timestamp>,
}

type Key<'a> = (&'a HemId, NodeId);

impl Shedding {
    /// A load that draws less is not worth switching off, W.
    const WORTH_WATTS: f64 = 50.0;
    /// How long the loads that came back are remembered, so that others go first.
    const REMEMBERED: Duration = Duration::from_secs(86_400);

    /// The loads that are off.
    pub fn off(&self) -> impl Iterator<Item = (&HemId, NodeId, &Shed)> {
        self.off
            .iter()
            .flat_map(|(hem, nodes)| nodes.iter().map(move |(node, shed)| (hem, *node, shed)))
    }

    /// How many loads are off.
    #[must_use]
    pub fn count(&self) -> usize {
        self.off.values().map(BTreeMap::len).sum()
    }

    /// Lets everything go: too little is known.
    pub fn release_all(&mut self) -> Vec<Change> {
        self.over_since = None;
        self.room_since = None;
        let mut changes = Vec::new();
        for (hem, nodes) in std::mem::take(&mut self.off) {
            for (node, shed) in nodes {
                changes.push(Change::Lost { hem: hem.clone(), node, shed });
            }
        }
        changes
    }

    /// Takes by how many watts too much is drawn now (negative: so much room there is); `loads` are all
    /// that may be shed and of which something is known.
    pub fn accept(
        &mut self,
        now: Timestamp,
        excess_watts: f64,
        loads: &[Load<'_>],
        rules: &ShedRules,
    ) -> Vec<Change> {
        let known: BTreeMap<Key<'_>, &Load<'_>> =
            loads.iter().map(|load| ((load.hem, load.node), load)).collect();
        let mut changes = self.lose_unknown(&known);
        self.back.retain(|_, nodes| {
            nodes.retain(|_, back| now.since(back.at) < Self::REMEMBERED);
            !nodes.is_empty()
        });
        let excess = excess_watts - self.relief_to_come(now, &known, rules)
            + self.draw_to_come(now, &known, rules);
        if excess > 0.0 {
            self.room_since = None;
            let since = *self.over_since.get_or_insert(now);
            if now.since(since) >= rules.hold {
                self.shed(now, excess, loads, &mut changes);
            }
        } else {
            self.over_since = None;
            changes.extend(self.restore(now, -excess, rules));
        }
        changes
    }

    fn is_off(&self, hem: &HemId, node: NodeId) -> bool {
        self.off.get(hem).is_some_and(|nodes| nodes.contains_key(&node))
    }

    fn lose_unknown(&mut self, known: &BTreeMap<Key<'_>, &Load<'_>>) -> Vec<Change> {
        let mut changes = Vec::new();
        self.off.retain(|hem, nodes| {
            nodes.retain(|node, shed| {
                let is_known = known.contains_key(&(hem, *node));
                if !is_known {
                    changes.push(Change::Lost { hem: hem.clone(), node: *node, shed: *shed });
                }
                is_known
            });
            !nodes.is_empty()
        });
        changes
    }

    /// What loads still draw that were just switched off.
    fn relief_to_come(
        &self,
        now: Timestamp,
        known: &BTreeMap<Key<'_>, &Load<'_>>,
        rules: &ShedRules,
    ) -> f64 {
        self.off()
            .filter(|(_, _, shed)| now.since(shed.since) < rules.settle)
            .filter_map(|(hem, node, _)| known.get(&(hem, node)))
            .map(|load| load.watts)
            .sum()
    }

    /// What loads do not draw yet that may just be on again.
    fn draw_to_come(
        &self,
        now: Timestamp,
        known: &BTreeMap<Key<'_>, &Load<'_>>,
        rules: &ShedRules,
    ) -> f64 {
        self.back
            .iter()
            .flat_map(|(hem, nodes)| nodes.iter().map(move |(node, back)| (hem, *node, back)))
            .filter(|(.., back)| now.since(back.at) < rules.settle)
            .filter_map(|(hem, node, back)| {
                let load = known.get(&(hem, node))?;
                Some((back.watts - load.watts).max(0.0))
            })
            .sum()
    }

    fn shed(&mut self, now: Timestamp, excess: f64, loads: &[Load<'_>], changes: &mut Vec<Change>) {
        let last_back = |load: &Load<'_>| {
            let back = self.back.get(load.hem).and_then(|nodes| nodes.get(&load.node));
            back.map_or(Timestamp(i64::MIN), |back| back.at)
        };
        let mut choice: Vec<(i32, Timestamp, &Load<'_>)> = loads
            .iter()
            .filter(|load| load.watts >= Self::WORTH_WATTS && !self.is_off(load.hem, load.node))
            .map(|load| (load.priority, last_back(load), load))
            .collect();
        // The least important first; among equals whoever was off the longest ago.
        choice.sort_by(|one, other| {
            let place = |(priority, back, load): &(i32, Timestamp, &Load<'_>)| {
                (*priority, *back, load.hem.clone(), load.node)
            };
            place(one).cmp(&place(other))
        });
        let mut left = excess;
        let mut chosen = Vec::new();
        for (priority, _, load) in choice {
            if left <= 0.0 {
                break;
            }
            left -= load.watts;
            chosen.push((priority, load));
        }
        // Where a big one came last, its equals before it may not be needed any more.
        let last = chosen.last().map(|(priority, _)| *priority);
        chosen.retain(|(priority, load)| {
            let needed = Some(*priority) != last || left + load.watts > 0.0;
            if !needed {
                left += load.watts;
            }
            needed
        });
        for (priority, load) in chosen {
            let shed = Shed { since: now, watts: load.watts, priority };
            self.off.entry(load.hem.clone()).or_default().insert(load.node, shed);
            changes.push(Change::Shed { hem: load.hem.clone(), node: load.node, shed });
        }
    }

    fn restore(&mut self, now: Timestamp, room: f64, rules: &ShedRules) -> Option<Change> {
        // The most important first; among equals whoever is off the longest. Nobody overtakes.
        let next = self.off().max_by(|one, other| {
            let place = |(hem, node, shed): &(&HemId, NodeId, &Shed)| {
                (shed.priority, std::cmp::Reverse((shed.since, (*hem).clone(), *node)))
            };
            place(one).cmp(&place(other))
        });
        let Some((hem, node, shed)) = next else {
            self.room_since = None;
            return None;
        };
        let (hem, shed) = (hem.clone(), *shed);
        if shed.watts + rules.spare_watts > room {
            self.room_since = None;
            return None;
        }
        let since = *self.room_since.get_or_insert(now);
        let is_time = now.since(since) >= rules.restore_after
            && now.since(shed.since) >= rules.min_off
            && self.last_back.is_none_or(|last| now.since(last) >= rules.stagger);
        if !is_time {
            return None;
        }
        if let Some(nodes) = self.off.get_mut(&hem) {
            nodes.remove(&node);
            if nodes.is_empty() {
                self.off.remove(&hem);
            }
        }
        let back = Returned { at: now, watts: shed.watts };
        self.back.entry(hem.clone()).or_default().insert(node, back);
        self.last_back = Some(now);
        Some(Change::Restored { hem, node, shed })
    }
}
