//! What of a HEM's entries a commit writes.

use memcloud_domain::{Entry, HemEvent, Reading, Refusal};

use super::rows::to_signed;

/// The entries above a mark, each above all before it; what is left out are replays.
pub(super) struct Fresh<'a> {
    pub(super) readings: Vec<&'a Reading>,
    pub(super) events: Vec<&'a HemEvent>,
    pub(super) refusals: Vec<&'a Refusal>,
    /// The mark once they are written.
    pub(super) mark: i64,
}

impl<'a> Fresh<'a> {
    pub(super) fn of(entries: &'a [Entry], before: i64) -> Self {
        let readings = Vec::with_capacity(entries.len());
        let mut fresh = Self { readings, events: Vec::new(), refusals: Vec::new(), mark: before };
        for entry in entries {
            let seq = to_signed(entry.seq().0);
            if seq <= fresh.mark {
                continue;
            }
            fresh.mark = seq;
            match entry {
                Entry::Reading(reading) => fresh.readings.push(reading),
                Entry::Event(event) => fresh.events.push(event),
                Entry::Refused(refusal) => fresh.refusals.push(refusal),
            }
        }
        fresh
    }
}
