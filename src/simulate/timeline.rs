//! What happens in a scenario: links that fail, and islands.

use std::collections::BTreeSet;

use memcloud_domain::Timestamp;

/// A span from its start to before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its start.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
}

impl Span {
    /// Whether a moment lies in it.
    #[must_use]
    pub fn holds(&self, moment: Timestamp) -> bool {
        self.from <= moment && moment < self.until
    }
}

/// The link of homes to the cloud is down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// When.
    pub span: Span,
    /// Which homes, by their place in the scenario; absent: all.
    pub homes: Option<BTreeSet<usize>>,
}

/// The grid is not there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Island {
    /// When.
    pub span: Span,
    /// The most that the microgrid's own source gives, W.
    pub source_watts: f64,
}

/// What happens in a scenario.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    /// Links that fail.
    pub outages: Vec<Outage>,
    /// Islands; no two at the same time.
    pub islands: Vec<Island>,
}

impl Timeline {
    /// Whether a home has a link to the cloud at a moment.
    #[must_use]
    pub fn is_linked(&self, home: usize, moment: Timestamp) -> bool {
        let is_cut = |outage: &Outage| {
            outage.span.holds(moment)
                && outage.homes.as_ref().is_none_or(|homes| homes.contains(&home))
        };
        !self.outages.iter().any(is_cut)
    }

    /// The island that a moment lies in.
    #[must_use]
    pub fn island(&self, moment: Timestamp) -> Option<&Island> {
        self.islands.iter().find(|island| island.span.holds(moment))
    }
}
