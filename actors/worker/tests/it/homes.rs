//! Homes that obey wishes, for apps that steer: a grid, a battery that follows its set-point within its
//! power and charge, and loads with switches. The power at the grid closes the balance.

use std::collections::BTreeMap;
use std::sync::Arc;

use memcloud_domain::messages::{MicrogridProfile, MicrogridRoster, RosterHem};
use memcloud_domain::{
    Entry, HemId, MicrogridId, NodeAction, NodeDeclaration, NodeId, NodeKind, NodeReading,
    PowerLimits, Setting, StateOfCharge, Timestamp, WattHours, Watts, Wish,
};
use memcloud_worker::{EnergyApp, Outcome, Roster, View};
use serde_json::Value;

use crate::support::{BATTERY, GRID, entry, hem, power};

pub(crate) const POWER: f64 = 5_000.0;
pub(crate) const CAPACITY: f64 = 6_400.0;

#[derive(Debug, Clone)]
pub(crate) struct SimLoad {
    pub(crate) priority: i32,
    pub(crate) critical: bool,
    /// What it would draw if it were on.
    pub(crate) demand: f64,
    pub(crate) on: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct SimHome {
    /// What the rest of the home draws, W; negative: PV is left over.
    pub(crate) demand: f64,
    pub(crate) battery: f64,
    pub(crate) soc: f64,
    pub(crate) loads: Vec<SimLoad>,
    /// Whether its battery does what it is told.
    pub(crate) obeys: bool,
    /// Whether it sends readings.
    pub(crate) talks: bool,
    told: Option<f64>,
}

impl SimHome {
    pub(crate) fn with(demand: f64, soc: f64) -> Self {
        Self { demand, battery: 0.0, soc, loads: Vec::new(), obeys: true, talks: true, told: None }
    }

    pub(crate) fn grid(&self) -> f64 {
        let loads: f64 =
            self.loads.iter().map(|load| if load.on { load.demand } else { 0.0 }).sum();
        -(self.demand + self.battery + loads)
    }

    fn pass(&mut self, seconds: f64) {
        let told = self.told.filter(|_| self.obeys).unwrap_or(0.0);
        let can = !(told > 0.0 && self.soc >= 1.0 || told < 0.0 && self.soc <= 0.0);
        self.battery = if can { told.clamp(-POWER, POWER) } else { 0.0 };
        self.soc = (self.soc + self.battery * seconds / 3_600.0 / CAPACITY).clamp(0.0, 1.0);
    }

    fn readings(&self) -> Vec<NodeReading> {
        let mut nodes = vec![power(GRID, self.grid())];
        let soc = Some(StateOfCharge(self.soc));
        nodes.push(NodeReading { soc, ..power(BATTERY, self.battery) });
        for (node, load) in (10..).zip(&self.loads) {
            let watts = if load.on { load.demand } else { 0.0 };
            nodes.push(NodeReading { on: Some(load.on), ..power(NodeId(node), watts) });
        }
        nodes
    }
}

/// A node that can be told as much as its kind can.
pub(crate) fn declared(node: NodeId, kind: NodeKind, controls: &[NodeAction]) -> NodeDeclaration {
    NodeDeclaration {
        node,
        name: format!("{kind:?} {node}"),
        kind,
        rated_watts: None,
        min_watts: None,
        max_watts: None,
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: Some(controls.to_vec()),
        default: None,
    }
}

fn declarations(home: &SimHome) -> Vec<NodeDeclaration> {
    let mut nodes = vec![
        declared(GRID, NodeKind::Grid, &[]),
        NodeDeclaration {
            min_watts: Some(Watts(-POWER)),
            max_watts: Some(Watts(POWER)),
            capacity_wh: Some(WattHours(CAPACITY)),
            ..declared(BATTERY, NodeKind::Storage, &[NodeAction::SetPower])
        },
    ];
    for (node, load) in (10..).zip(&home.loads) {
        nodes.push(NodeDeclaration {
            priority: Some(load.priority),
            critical: Some(load.critical),
            ..declared(NodeId(node), NodeKind::Load, &[NodeAction::Switch])
        });
    }
    nodes
}

/// Homes, the app that steers them, and what it has wished.
pub(crate) struct Town<A: EnergyApp> {
    app: A,
    state: A::State,
    pub(crate) roster: Arc<Roster>,
    pub(crate) homes: BTreeMap<HemId, SimHome>,
    pub(crate) now: i64,
    seq: u64,
    pub(crate) wishes: Vec<(i64, Wish)>,
    pub(crate) withdrawn: Vec<(i64, HemId, NodeId)>,
    pub(crate) log: Vec<String>,
    pub(crate) results: BTreeMap<(String, String, i64), Value>,
    leases: BTreeMap<(HemId, NodeId), i64>,
}

impl<A: EnergyApp> Town<A> {
    pub(crate) fn new(configuration: Value, limits: PowerLimits, homes: Vec<SimHome>) -> Self {
        let homes: BTreeMap<HemId, SimHome> =
            (1..).zip(homes).map(|(number, home)| (hem(&format!("home-{number}")), home)).collect();
        let roster = Arc::new(Roster::from(MicrogridRoster {
            profile: MicrogridProfile {
                id: MicrogridId::new("fontana").unwrap(),
                time_zone: "Europe/Zurich".into(),
            },
            limits,
            hems: homes
                .iter()
                .map(|(hem, home)| RosterHem {
                    hem: hem.clone(),
                    nodes: declarations(home),
                    limits: PowerLimits::default(),
                })
                .collect(),
        }));
        Self {
            app: A::new(serde_json::from_value(configuration).unwrap()).unwrap(),
            state: A::State::default(),
            roster,
            homes,
            now: crate::support::at("2026-07-01T10:00:00Z"),
            seq: 0,
            wishes: Vec::new(),
            withdrawn: Vec::new(),
            log: Vec::new(),
            results: BTreeMap::new(),
            leases: BTreeMap::new(),
        }
    }

    pub(crate) fn home(&mut self, number: usize) -> &mut SimHome {
        self.homes.get_mut(&hem(&format!("home-{number}"))).unwrap()
    }

    /// What all homes import together, W.
    pub(crate) fn import(&self) -> f64 {
        -self.homes.values().map(SimHome::grid).sum::<f64>()
    }

    /// So many steps of so many seconds: time passes, homes send readings, the app steps, homes obey.
    pub(crate) fn pass(&mut self, steps: usize, seconds: i64) {
        for _ in 0..steps {
            self.now += seconds * 1_000;
            self.let_leases_end();
            for home in self.homes.values_mut() {
                home.pass(seconds as f64);
            }
            let entries = self.entries();
            self.step(entries);
        }
    }

    pub(crate) fn entries(&mut self) -> Vec<(HemId, Vec<Entry>)> {
        self.seq += 1;
        let (seq, now) = (self.seq, self.now);
        let talking = self.homes.iter().filter(|(_, home)| home.talks);
        talking.map(|(hem, home)| (hem.clone(), vec![entry(seq, now, home.readings())])).collect()
    }

    pub(crate) fn step(&mut self, entries: Vec<(HemId, Vec<Entry>)>) -> Outcome {
        let view = View::of_entries(Arc::clone(&self.roster), entries);
        let outcome = self.app.step(&mut self.state, Timestamp(self.now), &view);
        for (hem, node) in &outcome.withdrawn {
            self.withdrawn.push((self.now, hem.clone(), *node));
            self.end(hem, *node);
        }
        for wish in &outcome.wishes {
            self.wishes.push((self.now, wish.clone()));
            self.obey(wish);
        }
        for result in &outcome.results {
            let identity = (result.kind.clone(), result.subject.clone(), result.from.0);
            self.results.insert(identity, result.body.clone());
        }
        self.log.extend(outcome.log.iter().map(|(_, text)| text.clone()));
        outcome
    }

    /// The job's process ends and another goes on from what was saved.
    pub(crate) fn restart(&mut self) {
        let saved = serde_json::to_value(&self.state).unwrap();
        self.state = serde_json::from_value(saved).unwrap();
    }

    fn obey(&mut self, wish: &Wish) {
        let lease = i64::try_from(wish.lease_ms).unwrap();
        self.leases.insert((wish.hem.clone(), wish.node), self.now + lease);
        let home = self.homes.get_mut(&wish.hem).unwrap();
        match wish.setting {
            Setting::Power { watts } => home.told = Some(watts.value()),
            Setting::Switch { on } => home.loads[usize::from(wish.node.0) - 10].on = on,
            Setting::Limit { .. } => {}
        }
    }

    fn end(&mut self, hem: &HemId, node: NodeId) {
        self.leases.remove(&(hem.clone(), node));
        let home = self.homes.get_mut(hem).unwrap();
        if node == BATTERY {
            home.told = None;
        } else {
            home.loads[usize::from(node.0) - 10].on = true;
        }
    }

    fn let_leases_end(&mut self) {
        let now = self.now;
        let over: Vec<_> = self
            .leases
            .iter()
            .filter(|(_, end)| **end <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for (hem, node) in over {
            self.end(&hem, node);
        }
    }

    /// The powers that were wished of batteries since a moment.
    pub(crate) fn powers_since(&self, from: i64) -> Vec<f64> {
        let since = self.wishes.iter().filter(|(at, _)| *at > from);
        since.filter_map(|(_, wish)| watts_of(wish)).collect()
    }
}

pub(crate) fn watts_of(wish: &Wish) -> Option<f64> {
    match wish.setting {
        Setting::Power { watts } => Some(watts.value()),
        _ => None,
    }
}
