//! Whether the microgrid runs without the grid, as its homes' events say: `islanded`, with the watts
//! that the island's source gives if the home knows, and `grid-restored`.

use std::collections::BTreeMap;

use memcloud_domain::{Entry, HemId, Timestamp, is_credible};
use serde::{Deserialize, Serialize};

use super::IslandSense;
use crate::{Roster, View};

/// The event that says that the grid is away.
pub const ISLANDED: &str = "islanded";
/// The event that says that it is back.
pub const GRID_RESTORED: &str = "grid-restored";

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sign {
    at: Timestamp,
    islanded: bool,
    source_watts: Option<f64>,
    until: Option<Timestamp>,
}

/// What the homes said last, each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Signs(BTreeMap<HemId, Sign>);

/// How the microgrid runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Supply {
    /// From the grid.
    Grid,
    /// From its own source, which gives so much at most, as far as the homes know.
    Island {
        /// W.
        source_watts: Option<f64>,
    },
}

impl Signs {
    /// Takes the events of a view; also late ones, since what counts is which was taken last.
    pub(super) fn take_in(&mut self, view: &View) {
        for seen in view.entries() {
            let Entry::Event(event) = seen.entry else { continue };
            let islanded = match event.kind.as_str() {
                ISLANDED => true,
                GRID_RESTORED => false,
                _ => continue,
            };
            if !view.roster().has(seen.hem) {
                continue;
            }
            let at = event.ts.min(event.received);
            let watts = event.watts.map(|watts| watts.value().abs());
            let source_watts = watts.filter(|watts| is_credible(*watts));
            let sign = Sign { at, islanded, source_watts, until: event.until };
            let kept = self.0.entry(seen.hem.clone()).or_insert(sign);
            if kept.at <= at {
                *kept = sign;
            }
        }
    }

    /// How the microgrid runs: islanded as soon as one of its homes says so. Of what they say of the
    /// source, the least counts.
    pub(super) fn supply(&mut self, sense: IslandSense, now: Timestamp, roster: &Roster) -> Supply {
        self.0.retain(|hem, _| roster.has(hem));
        let standing = || {
            self.0
                .values()
                .filter(|sign| sign.islanded && sign.until.is_none_or(|until| now < until))
        };
        let least = standing().filter_map(|sign| sign.source_watts).reduce(f64::min);
        let says_so = standing().next().is_some();
        let islanded = match sense {
            IslandSense::ByEvents => says_so,
            IslandSense::Islanded => true,
            IslandSense::Connected => false,
        };
        if islanded { Supply::Island { source_watts: least } } else { Supply::Grid }
    }
}
