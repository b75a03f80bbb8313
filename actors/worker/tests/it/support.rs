//! Microgrids, homes and readings as the tests of apps need them.

use std::sync::Arc;

use memcloud_domain::messages::{MicrogridProfile, MicrogridRoster, RosterHem};
use memcloud_domain::{
    Entry, HemId, MicrogridId, NodeDeclaration, NodeId, NodeKind, NodeReading, PowerLimits,
    Reading, Seq, Timestamp, WattHours, Watts,
};
use memcloud_worker::{EnergyApp, JobLimits, Outcome, Roster, View};
use serde_json::Value;

pub(crate) const GRID: NodeId = NodeId(0);
pub(crate) const PV: NodeId = NodeId(1);
pub(crate) const BATTERY: NodeId = NodeId(2);
pub(crate) const LOAD: NodeId = NodeId(3);

pub(crate) fn at(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
}

pub(crate) fn hem(name: &str) -> HemId {
    HemId::new(name).unwrap()
}

pub(crate) fn limits() -> JobLimits {
    JobLimits::default()
}

pub(crate) fn roster(time_zone: &str, homes: &[&str]) -> Arc<Roster> {
    let kinds = [NodeKind::Grid, NodeKind::Source, NodeKind::Storage, NodeKind::Load];
    let nodes: Vec<NodeDeclaration> = (0_u8..)
        .zip(kinds)
        .map(|(node, kind)| NodeDeclaration {
            node: NodeId(node),
            name: format!("{kind:?}"),
            kind,
            rated_watts: None,
            min_watts: None,
            max_watts: None,
            capacity_wh: None,
            critical: None,
            priority: None,
            controls: None,
            default: None,
        })
        .collect();
    Arc::new(Roster::from(MicrogridRoster {
        profile: MicrogridProfile {
            id: MicrogridId::new("fontana").unwrap(),
            time_zone: time_zone.into(),
        },
        limits: PowerLimits::default(),
        hems: homes.iter().map(|name| roster_hem(name, &nodes)).collect(),
    }))
}

pub(crate) fn counters(node: NodeId, wh_in: f64, wh_out: f64) -> NodeReading {
    NodeReading {
        wh_in: Some(WattHours(wh_in)),
        wh_out: Some(WattHours(wh_out)),
        ..NodeReading::empty(node)
    }
}

pub(crate) fn power(node: NodeId, watts: f64) -> NodeReading {
    NodeReading { watts: Some(Watts(watts)), ..NodeReading::empty(node) }
}

pub(crate) fn entry(seq: u64, ts: i64, nodes: Vec<NodeReading>) -> Entry {
    let ts = Timestamp(ts);
    Entry::Reading(Reading { seq: Seq(seq), ts, received: ts, nodes })
}

/// The entry as of a HEM whose clock is ahead.
pub(crate) fn dated_ahead(mut entry: Entry, hours: i64) -> Entry {
    if let Entry::Reading(reading) = &mut entry {
        reading.ts.0 += hours * 3_600_000;
    }
    entry
}

/// An app, its state, and everything it has found, newest version of each; the state goes through
/// JSON after every step, as over a restart.
pub(crate) struct Bench<A: EnergyApp> {
    app: A,
    state: Value,
    pub(crate) roster: Arc<Roster>,
    pub(crate) results: std::collections::BTreeMap<(String, String, i64), Value>,
    pub(crate) log: Vec<String>,
}

impl<A: EnergyApp> Bench<A> {
    pub(crate) fn new(configuration: Value, roster: Arc<Roster>) -> Self {
        let app = A::new(serde_json::from_value(configuration).unwrap()).unwrap();
        let state = serde_json::to_value(A::State::default()).unwrap();
        let results = std::collections::BTreeMap::new();
        Self { app, state, roster, results, log: Vec::new() }
    }

    pub(crate) fn step(&mut self, now: i64, entries: Vec<(&str, Vec<Entry>)>) -> Outcome {
        let entries = entries.into_iter().map(|(name, entries)| (hem(name), entries)).collect();
        let view = View::of_entries(Arc::clone(&self.roster), entries);
        let mut state = serde_json::from_value(self.state.take()).unwrap();
        let outcome = self.app.step(&mut state, Timestamp(now), &view);
        self.state = serde_json::to_value(&state).unwrap();
        for result in &outcome.results {
            let identity = (result.kind.clone(), result.subject.clone(), result.from.0);
            self.results.insert(identity, result.body.clone());
        }
        self.log.extend(outcome.log.iter().map(|(_, text)| text.clone()));
        outcome
    }

    pub(crate) fn result(&self, kind: &str, subject: &str, from: i64) -> &Value {
        let found = self.results.get(&(kind.into(), subject.into(), from));
        found.unwrap_or_else(|| panic!("no {kind} of {subject} from {from}: {:#?}", self.results))
    }

    pub(crate) fn state_bytes(&self) -> usize {
        serde_json::to_vec(&self.state).unwrap().len()
    }

    /// The sum of a field over all results of a kind and subject.
    pub(crate) fn total(&self, kind: &str, subject: &str, field: &str) -> f64 {
        let matching = self.results.iter().filter(|((k, s, _), _)| k == kind && s == subject);
        matching.map(|(_, body)| body[field].as_f64().unwrap()).sum()
    }
}

fn roster_hem(name: &str, nodes: &[NodeDeclaration]) -> RosterHem {
    RosterHem { hem: hem(name), nodes: nodes.to_vec(), limits: PowerLimits::default() }
}
