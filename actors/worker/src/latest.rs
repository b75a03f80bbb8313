//! The newest value of every node, as an app that watches or steers needs it. It is meant to be part
//! of an app's state that is not saved (`#[serde(skip)]`): after a restart fresh values come anyway,
//! and old ones must not be steered by.

use std::collections::BTreeMap;
use std::time::Duration;

use memcloud_domain::{HemId, NodeId, NodeReading, Timestamp, is_credible};

use crate::View;

/// A value and when it was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<T> {
    /// When it was taken.
    pub at: Timestamp,
    /// The value.
    pub value: T,
}

impl<T: Copy> Sample<T> {
    /// The value, if it is not older than `within`.
    #[must_use]
    pub fn fresh(self, now: Timestamp, within: Duration) -> Option<T> {
        (now.since(self.at) <= within).then_some(self.value)
    }
}

/// The newest values of a node, each with its own time: a reading need not have them all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NodeNow {
    /// Active power, W.
    pub watts: Option<Sample<f64>>,
    /// State of charge, 0 to 1.
    pub soc: Option<Sample<f64>>,
    /// Whether it is switched on.
    pub on: Option<Sample<bool>>,
}

impl NodeNow {
    /// Its power, W, if that is not older than `within`.
    #[must_use]
    pub fn watts(&self, now: Timestamp, within: Duration) -> Option<f64> {
        self.watts?.fresh(now, within)
    }

    /// Its state of charge, if that is not older than `within`.
    #[must_use]
    pub fn soc(&self, now: Timestamp, within: Duration) -> Option<f64> {
        self.soc?.fresh(now, within)
    }

    /// Whether it is on, if that is not older than `within`.
    #[must_use]
    pub fn on(&self, now: Timestamp, within: Duration) -> Option<bool> {
        self.on?.fresh(now, within)
    }

    fn take_in(&mut self, at: Timestamp, reading: &NodeReading) {
        // What no home can have measured is not believed.
        let watts = reading.watts.map(memcloud_domain::Watts::value).filter(|w| is_credible(*w));
        let soc = reading.soc.map(|soc| soc.0).filter(|soc| (0.0..=1.0).contains(soc));
        take(&mut self.watts, at, watts);
        take(&mut self.soc, at, soc);
        take(&mut self.on, at, reading.on);
    }
}

fn take<T>(kept: &mut Option<Sample<T>>, at: Timestamp, value: Option<T>) {
    let Some(value) = value else { return };
    if kept.as_ref().is_none_or(|kept| kept.at <= at) {
        *kept = Some(Sample { at, value });
    }
}

/// The newest values of a home's nodes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HomeNow(BTreeMap<NodeId, NodeNow>);

impl HomeNow {
    /// The newest values of a node; empty where it has sent nothing.
    #[must_use]
    pub fn node(&self, node: NodeId) -> NodeNow {
        self.0.get(&node).copied().unwrap_or_default()
    }
}

/// The newest values of a microgrid's nodes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latest {
    homes: BTreeMap<HemId, HomeNow>,
}

impl Latest {
    /// Takes what is new in a view. What is late is passed over, and homes that left are forgotten.
    pub fn take_in(&mut self, view: &View) {
        let roster = view.roster();
        for seen in view.entries().filter(|seen| !seen.late) {
            let Some(reading) = seen.reading() else { continue };
            if !self.homes.contains_key(seen.hem) {
                if !roster.has(seen.hem) {
                    continue;
                }
                self.homes.insert(seen.hem.clone(), HomeNow::default());
            }
            let Some(home) = self.homes.get_mut(seen.hem) else { continue };
            for node in &reading.nodes {
                home.0.entry(node.node).or_default().take_in(reading.taken(), node);
            }
        }
        if self.homes.len() > roster.homes().len() {
            self.homes.retain(|hem, _| roster.has(hem));
        }
    }

    /// The newest values of a home; absent where it has sent nothing.
    #[must_use]
    pub fn home(&self, hem: &HemId) -> Option<&HomeNow> {
        self.homes.get(hem)
    }

    /// The newest values of a node; empty where it has sent nothing.
    #[must_use]
    pub fn node(&self, hem: &HemId, node: NodeId) -> NodeNow {
        self.home(hem).map(|home| home.node(node)).unwrap_or_default()
    }
}
