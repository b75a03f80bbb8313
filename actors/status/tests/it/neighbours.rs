//! Those around the status monitor: a historian that may be away, and someone who is told of changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use memcloud_domain::messages::{
    GetLatestReading, HemBatch, HemConnected, HemStatusChanged, ReadingsCommitted, Unavailable,
};
use memcloud_domain::{
    Entry, Epoch, HemId, MicrogridId, NodeDeclaration, NodeId, NodeKind, NodeReading, Reading, Seq,
    Timestamp, Watts,
};
use memcloud_status::{StatusMonitor, StatusSettings};
use memcloud_supervision::{Child, ChildSpec, Scope};

pub(crate) const START: i64 = 1_700_000_000_000;
pub(crate) const SOON: Duration = Duration::from_secs(5);

pub(crate) fn hem(name: &str) -> HemId {
    HemId::new(name).unwrap()
}

pub(crate) fn fontana() -> MicrogridId {
    MicrogridId::new("fontana").unwrap()
}

pub(crate) fn now(scope: &Scope) -> Timestamp {
    Timestamp(scope.clock().unix_ms())
}

/// What the historian has, and how it was asked.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) readings: BTreeMap<HemId, Reading>,
    pub(crate) away: bool,
    pub(crate) asked: usize,
    pub(crate) at_a_time: usize,
    pub(crate) most_at_a_time: usize,
}

#[derive(Clone, Default)]
pub(crate) struct Shelves(pub(crate) Arc<Mutex<Shelf>>);

/// Answers after a second.
struct SlowHistorian(Shelves);

impl Actor for SlowHistorian {
    type Context = Context<Self>;
}

impl Handler<GetLatestReading> for SlowHistorian {
    type Result = ResponseFuture<Result<Option<Reading>, Unavailable>>;
    fn handle(&mut self, question: GetLatestReading, _: &mut Self::Context) -> Self::Result {
        let shelves = self.0.clone();
        let mut shelf = shelves.0.lock().unwrap();
        shelf.asked += 1;
        shelf.at_a_time += 1;
        shelf.most_at_a_time = shelf.most_at_a_time.max(shelf.at_a_time);
        drop(shelf);
        Box::pin(async move {
            actix::clock::sleep(Duration::from_secs(1)).await;
            let mut shelf = shelves.0.lock().unwrap();
            shelf.at_a_time -= 1;
            if shelf.away {
                return Err(Unavailable { what: "iot store", reason: "disk full".to_owned() });
            }
            Ok(shelf.readings.get(&question.hem).cloned())
        })
    }
}

/// Notes what it is told.
#[derive(Clone, Default)]
pub(crate) struct Told(pub(crate) Arc<Mutex<Vec<HemStatusChanged>>>);

impl Actor for Told {
    type Context = Context<Self>;
}

impl Handler<HemStatusChanged> for Told {
    type Result = ();
    fn handle(&mut self, change: HemStatusChanged, _: &mut Self::Context) {
        self.0.lock().unwrap().push(change);
    }
}

/// A monitor among its neighbours.
pub(crate) fn monitor(scope: &Scope, shelves: &Shelves, told: &Told) -> Child<StatusMonitor> {
    let historian = SlowHistorian(shelves.clone()).start();
    let listener = told.clone().start();
    scope.supervise(ChildSpec::new("status").mailbox(1_024), move |scope| {
        let historian = historian.clone().recipient().into();
        let told = vec![listener.clone().recipient().into()];
        StatusMonitor::new(scope, StatusSettings::default(), historian, told)
    })
}

pub(crate) fn load_and_grid() -> Vec<NodeDeclaration> {
    let node = |number, kind| NodeDeclaration {
        node: NodeId(number),
        name: "a node".to_owned(),
        kind,
        rated_watts: None,
        min_watts: None,
        max_watts: None,
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: None,
        default: None,
    };
    vec![node(0, NodeKind::Grid), node(1, NodeKind::Load)]
}

pub(crate) fn connected(name: &str, epoch: u64, at: Timestamp) -> HemConnected {
    HemConnected {
        hem: hem(name),
        microgrid: fontana(),
        epoch: Epoch(epoch),
        mark: Seq::NONE,
        nodes: load_and_grid(),
        process: None,
        at,
    }
}

pub(crate) fn reading(seq: u64, at: Timestamp, load: f64) -> Reading {
    let watts =
        |node, watts| NodeReading { watts: Some(Watts(watts)), ..NodeReading::empty(NodeId(node)) };
    Reading { seq: Seq(seq), ts: at, received: at, nodes: vec![watts(0, -load), watts(1, load)] }
}

pub(crate) fn committed(name: &str, epoch: u64, reading: Reading) -> ReadingsCommitted {
    let batch = HemBatch {
        hem: hem(name),
        epoch: Epoch(epoch),
        after: Seq(reading.seq.0 - 1),
        through: reading.seq,
        entries: vec![Entry::Reading(reading)],
    };
    let at = Timestamp(START);
    ReadingsCommitted { microgrid: fontana(), at, batches: Arc::new(vec![batch]) }
}
