//! The community at a moment: what it imports, which batteries can be counted on, which loads may be
//! shed, and of which homes too little is known.

use std::time::Duration;

use memcloud_domain::{HemId, NodeDeclaration, NodeId, NodeKind, Timestamp};

use super::{Battery, Load, USUAL_PRIORITY, reads_as_battery, sheddable};
use crate::{HomeNow, Latest, Roster};

/// A home's net import as far as it is known.
enum Import {
    Fresh(f64),
    /// Old, but still counted.
    Old(f64),
    Unknown,
}

/// The community at a moment.
#[derive(Debug, Default)]
pub(crate) struct Picture<'a> {
    /// Net import, W.
    pub(crate) import_watts: f64,
    /// Homes with a grid node.
    pub(crate) homes: usize,
    /// Of these, how many are fresh.
    pub(crate) fresh: usize,
    pub(crate) batteries: Vec<Battery<'a>>,
    pub(crate) loads: Vec<Load<'a>>,
    /// Homes whose import is not fresh.
    pub(crate) dark: Vec<&'a HemId>,
    /// Batteries of other homes that are not fresh.
    pub(crate) unreadable: Vec<(&'a HemId, NodeId)>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lens {
    pub(crate) stale_after: Duration,
    /// Loads up to this priority may be shed.
    pub(crate) shed_up_to: Option<i32>,
}

impl Lens {
    /// How long a stale home's last import counts.
    const LAST_VALUE_HOLDS: Duration = Duration::from_secs(900);

    pub(crate) fn look<'a>(
        &self,
        roster: &'a Roster,
        latest: &Latest,
        now: Timestamp,
    ) -> Picture<'a> {
        let mut picture = Picture::default();
        let nothing = HomeNow::default();
        for (hem, nodes) in roster.homes() {
            if !nodes.iter().any(|node| node.kind == NodeKind::Grid) {
                continue;
            }
            picture.homes += 1;
            let known = latest.home(hem).unwrap_or(&nothing);
            match self.import(nodes, known, now) {
                Import::Fresh(watts) => {
                    picture.fresh += 1;
                    picture.import_watts += watts;
                }
                Import::Old(watts) => {
                    picture.import_watts += watts;
                    picture.dark.push(hem);
                    continue;
                }
                Import::Unknown => {
                    picture.dark.push(hem);
                    continue;
                }
            }
            for declaration in nodes {
                if reads_as_battery(declaration) {
                    let battery = Battery::of(hem, declaration, known, now, self.stale_after);
                    if battery.is_none() {
                        picture.unreadable.push((hem, declaration.node));
                    }
                    picture.batteries.extend(battery);
                }
                let priority = declaration.priority.unwrap_or(USUAL_PRIORITY);
                if self.shed_up_to.is_some_and(|most| priority <= most) && sheddable(declaration) {
                    let watts = known.node(declaration.node).watts(now, self.stale_after);
                    picture.loads.extend(watts.map(|watts| Load::of(hem, declaration, watts)));
                }
            }
        }
        picture
    }

    fn import(&self, nodes: &[NodeDeclaration], known: &HomeNow, now: Timestamp) -> Import {
        let grid = nodes.iter().filter(|node| node.kind == NodeKind::Grid);
        let (mut watts, mut is_fresh) = (0.0, true);
        for node in grid {
            let Some(sample) = known.node(node.node).watts else { return Import::Unknown };
            let age = now.since(sample.at);
            if age > self.stale_after + Self::LAST_VALUE_HOLDS {
                return Import::Unknown;
            }
            is_fresh &= age <= self.stale_after;
            // A grid node counts import as negative: it feeds the home's bus.
            watts -= sample.value;
        }
        if is_fresh { Import::Fresh(watts) } else { Import::Old(watts) }
    }
}

impl Picture<'_> {
    /// Whether too little is known to steer by.
    #[expect(clippy::cast_precision_loss, reason = "a count of homes is far below 2^52")]
    pub(crate) fn is_too_dark(&self, max_stale_share: f64) -> bool {
        let stale = self.homes - self.fresh;
        self.homes == 0 || stale as f64 > max_stale_share * self.homes as f64
    }
}
