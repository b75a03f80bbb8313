//! The leases of what was carried out: when each ends, so that a node falls back to its default by
//! itself, connected or not. What ran when the process ended is over when it begins again.

use memcloud_domain::NodeId;
use tokio::time::Instant;

use super::ledger::MOST_PLACES;

/// A lease that has ended: the node, or the HEM itself where that is absent, falls back to its default
/// in what the action had set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedLease {
    /// At which node; absent for the HEM itself.
    pub node: Option<NodeId>,
    /// The action's name: `set-power`, `switch`, …
    pub action: String,
}

/// The leases of one HEM, each of a node and action.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases {
    /// By place; without an end it ran when the process ended.
    running: Vec<(Box<str>, Option<Instant>)>,
}

impl Leases {
    /// A lease runs at a place until a moment. What ran there before is replaced.
    pub(crate) fn run(&mut self, place: &str, ends: Option<Instant>) {
        self.end(place);
        if self.running.len() < MOST_PLACES {
            self.running.push((place.into(), ends));
        }
    }

    /// No lease runs at a place any more; whether one did.
    pub(crate) fn end(&mut self, place: &str) -> bool {
        let before = self.running.len();
        self.running.retain(|(known, _)| **known != *place);
        self.running.len() < before
    }

    /// When the next one ends; absent where none runs. One of an earlier run of the process has ended.
    pub(crate) fn next_end(&self, now: Instant) -> Option<Instant> {
        self.running.iter().map(|(_, ends)| ends.unwrap_or(now)).min()
    }

    /// The places at which leases have ended. They stay until [`Leases::end`].
    pub(crate) fn ended(&self, now: Instant) -> Vec<Box<str>> {
        let ended = self.running.iter().filter(|(_, ends)| ends.is_none_or(|ends| ends <= now));
        ended.map(|(place, _)| place.clone()).collect()
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = &str> {
        self.running.iter().map(|(place, _)| &**place)
    }
}

/// The text that names a node and action.
pub(crate) fn place_of(node: Option<NodeId>, action: &str) -> String {
    match node {
        Some(node) => format!("{node}/{action}"),
        None => format!("-/{action}"),
    }
}

/// The node and action of such a text.
pub(crate) fn of_place(place: &str) -> Option<EndedLease> {
    let (node, action) = place.split_once('/')?;
    let node = match node {
        "-" => None,
        number => Some(NodeId(number.parse().ok()?)),
    };
    Some(EndedLease { node, action: action.to_owned() })
}
