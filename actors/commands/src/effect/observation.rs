//! What several readings say together of one command: seen, not seen in time, or still open.

use std::collections::VecDeque;
use std::time::Duration;

use memcloud_domain::{
    Evidence, NodeId, NodeReading, Reading, Seq, Sighting, StateOfCharge, Timestamp,
};

use crate::effect::expectation::{Expectation, Look, shown};
use crate::ledger::Finding;

/// So many sightings are kept as evidence.
const SIGHTINGS: usize = 3;
/// So many readings must speak against an effect.
const AT_LEAST: usize = 2;

/// The readings after a command, as far as they were looked at.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    through: Seq,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// The latest readings that tell something.
    against: VecDeque<Sighting>,
    told: usize,
    soc: Option<StateOfCharge>,
}

impl Observation {
    /// Up to which number readings were looked at.
    #[must_use]
    pub fn through(&self) -> Seq {
        self.through
    }

    /// Takes the next reading; answers whether it shows the effect.
    pub fn take(
        &mut self,
        expectation: &Expectation,
        node: NodeId,
        reading: &Reading,
    ) -> Option<Finding> {
        if reading.seq <= self.through {
            return None;
        }
        self.through = reading.seq;
        let measured = reading.nodes.iter().find(|measured| measured.node == node)?;
        match expectation.look(measured) {
            Look::Fits => return Some(finding(expectation, reading, measured)),
            Look::Open => {}
            Look::Contradicts => {
                self.told += 1;
                self.first.get_or_insert(reading.taken());
                self.last = Some(reading.taken());
                self.soc = measured.soc.or(self.soc);
                self.against.push_back(sighting(reading, measured));
                if self.against.len() > SIGHTINGS {
                    self.against.pop_front();
                }
            }
        }
        None
    }

    /// Whether the effect can be said to be missing: at least two readings speak against it, and the
    /// last of them was taken when it should have been seen, by the cloud's clock or by the HEM's own,
    /// which may be another.
    #[must_use]
    pub fn missing(
        &self,
        expectation: &Expectation,
        answered: Timestamp,
        window: Duration,
    ) -> Option<Finding> {
        let (first, last) = (self.first?, self.last?);
        let is_late = last >= answered.plus(window) || last.since(first) >= window;
        if self.told < AT_LEAST || !is_late {
            return None;
        }
        let latest = self.against.back()?;
        let mut because = match (latest.watts, latest.on) {
            (Some(watts), Some(on)) => {
                let position = if on { "on" } else { "off" };
                format!("it is {position} and takes {}", shown(watts.0))
            }
            (Some(watts), None) => format!("it takes {}", shown(watts.0)),
            (None, Some(on)) => format!("it is {}", if on { "on" } else { "off" }),
            (None, None) => "it is otherwise".to_owned(),
        };
        because = format!("{} was to be seen, but {because}", expectation.sentence());
        if let Some(excuse) = expectation.excuse(self.soc) {
            because = format!("{because}; {excuse}");
        }
        let seen = self.against.iter().copied().collect();
        Some(Finding { because, evidence: Evidence { expected: expectation.sentence(), seen } })
    }
}

/// What one reading shows, as a finding.
#[must_use]
pub fn finding(expectation: &Expectation, reading: &Reading, measured: &NodeReading) -> Finding {
    let seen = vec![sighting(reading, measured)];
    let because = format!("reading {} shows it: {}", reading.seq, expectation.sentence());
    Finding { because, evidence: Evidence { expected: expectation.sentence(), seen } }
}

/// What one reading shows of a node.
#[must_use]
pub fn sighting(reading: &Reading, measured: &NodeReading) -> Sighting {
    Sighting { seq: reading.seq, ts: reading.taken(), watts: measured.watts, on: measured.on }
}
