//! Which batteries do not do what they are told: someone at home overrides them, or they are broken.
//! Such a battery is counted as it is for a while, and the others take its share.

use std::collections::BTreeMap;
use std::time::Duration;

use memcloud_domain::{HemId, NodeId, Timestamp};

use crate::apps::steering::Battery;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Doubt {
    Short { since: Timestamp },
    Astray { until: Timestamp },
}

/// The batteries that are in doubt.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Following {
    doubts: BTreeMap<(HemId, NodeId), Doubt>,
}

impl Following {
    /// How long a battery may fall short before it is no longer counted on.
    const PATIENCE: Duration = Duration::from_secs(30);
    /// For how long it is not counted on.
    const LEFT_OUT: Duration = Duration::from_secs(300);
    /// How long a battery may take to do what it is told.
    const SETTLES_IN: Duration = Duration::from_secs(3);
    /// A smaller power tells nothing, W.
    const TELLING_WATTS: f64 = 100.0;

    /// Takes what a battery does against what it is told, and since when; answers whether it can be
    /// counted on, and whether that ended just now.
    pub(super) fn accept(
        &mut self,
        battery: &Battery<'_>,
        told: Option<(f64, Timestamp)>,
        now: Timestamp,
        every: Duration,
    ) -> (Reliance, Fresh) {
        let key = (battery.hem.clone(), battery.node);
        // A reading of before it was told, or just after, tells nothing.
        let settles_in = Self::SETTLES_IN.min(every / 2);
        let is_telling = told.is_none_or(|(_, since)| battery.at > since.plus(settles_in));
        let falls_short = |(told, _)| told <= -Self::TELLING_WATTS && battery.watts > told / 2.0;
        let short = is_telling && told.is_some_and(falls_short);
        match self.doubts.get(&key) {
            Some(Doubt::Astray { until }) if now < *until => (Reliance::Astray, Fresh::No),
            Some(Doubt::Short { since }) if short => {
                if now.since(*since) < Self::PATIENCE.max(every * 3) {
                    return (Reliance::Counts, Fresh::No);
                }
                let until = now.plus(Self::LEFT_OUT);
                self.doubts.insert(key, Doubt::Astray { until });
                (Reliance::Astray, Fresh::Yes)
            }
            None if short => {
                self.doubts.insert(key, Doubt::Short { since: now });
                (Reliance::Counts, Fresh::No)
            }
            None => (Reliance::Counts, Fresh::No),
            Some(Doubt::Short { .. }) if !is_telling => (Reliance::Counts, Fresh::No),
            Some(_) => {
                self.doubts.remove(&key);
                (Reliance::Counts, Fresh::No)
            }
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&HemId) -> bool) {
        self.doubts.retain(|(hem, _), _| keep(hem));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reliance {
    Counts,
    Astray,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fresh {
    Yes,
    No,
}
