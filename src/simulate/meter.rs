//! What the homes of a run used, made and exchanged, from their own counters: the truth that nobody has
//! to send. Sums per home and for the microgrid, and its quarter-hours.
//!
//! The microgrid is metered as if it had one meter at its feeder: its import and export are net per
//! quarter-hour, so that what one home exports while another imports stays within it.

use memcloud_domain::{NodeDeclaration, NodeKind, Timestamp};
use memcloud_emulator::{HomeState, NODE_COUNT};

use super::scenario::Scenario;
use super::tariff::Rates;

/// A quarter of an hour.
pub(super) const QUARTER_MS: i64 = 900_000;
/// Quarter-hours of an hour: what turns the energy of one into a mean power.
const QUARTERS_PER_HOUR: f64 = 4.0;

/// Energies by what they are to a home or a microgrid, Wh.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Flows {
    /// What loads took.
    pub(super) consumption: f64,
    /// What PV fed.
    pub(super) generation: f64,
    /// What batteries took.
    pub(super) charged: f64,
    /// What batteries gave.
    pub(super) discharged: f64,
    /// What came from the feeder.
    pub(super) import: f64,
    /// What went to the feeder.
    pub(super) export: f64,
}

impl Flows {
    fn add(&mut self, other: &Self) {
        self.consumption += other.consumption;
        self.generation += other.generation;
        self.charged += other.charged;
        self.discharged += other.discharged;
        self.import += other.import;
        self.export += other.export;
    }

    /// Import less export.
    #[must_use]
    pub(super) fn net(&self) -> f64 {
        self.import - self.export
    }

    /// What a home's counters say between two moments.
    fn between(kinds: &[NodeKind; NODE_COUNT], before: &HomeState, after: &HomeState) -> Self {
        let mut flows = Self::default();
        let taken = after.wh_in.iter().zip(&before.wh_in).map(|(after, before)| after - before);
        let fed = after.wh_out.iter().zip(&before.wh_out).map(|(after, before)| after - before);
        for ((kind, taken), fed) in kinds.iter().zip(taken).zip(fed) {
            match kind {
                NodeKind::Grid => {
                    flows.import += fed;
                    flows.export += taken;
                }
                NodeKind::Source => {
                    flows.generation += fed;
                    flows.consumption += taken;
                }
                NodeKind::Storage => {
                    flows.charged += taken;
                    flows.discharged += fed;
                }
                NodeKind::Load | NodeKind::Charger => flows.consumption += taken - fed,
            }
        }
        flows
    }
}

/// Energy in islands, Wh.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct IslandEnergy {
    /// What was asked of the island's source.
    pub(super) demand: f64,
    /// What was asked beyond what it gives: it was not served.
    pub(super) unserved: f64,
    /// What the homes fed and nobody took.
    pub(super) spilled: f64,
}

/// Money and carbon.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Money {
    /// What import cost.
    pub(super) cost: f64,
    /// What export earned.
    pub(super) credit: f64,
    /// What import carried, g.
    pub(super) carbon_grams: f64,
}

/// What a home, or the microgrid, did over the whole run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Account {
    /// Its energies.
    pub(super) flows: Flows,
    /// What they cost.
    pub(super) money: Money,
    /// Its highest and lowest mean net import of a quarter-hour, W.
    pub(super) highest_watts: f64,
    /// See `highest_watts`.
    pub(super) lowest_watts: f64,
    /// The sum of the changes between one quarter-hour's mean net import and the next, W.
    ramped_watts: f64,
    ramps: f64,
    /// What it had in islands.
    pub(super) island: IslandEnergy,
    last_watts: Option<f64>,
}

impl Account {
    /// The mean change of the net import from one quarter-hour to the next, W.
    #[must_use]
    pub(super) fn ramping_watts(&self) -> f64 {
        if self.ramps > 0.0 { self.ramped_watts / self.ramps } else { 0.0 }
    }

    fn close_quarter(&mut self, net_watts: f64) {
        match self.last_watts {
            None => (self.highest_watts, self.lowest_watts) = (net_watts, net_watts),
            Some(last) => {
                self.highest_watts = self.highest_watts.max(net_watts);
                self.lowest_watts = self.lowest_watts.min(net_watts);
                self.ramped_watts += (net_watts - last).abs();
                self.ramps += 1.0;
            }
        }
        self.last_watts = Some(net_watts);
    }

    fn pay(&mut self, import: f64, export: f64, rates: &Rates) {
        self.money.cost += import / 1_000.0 * rates.import_per_kwh;
        self.money.credit += export / 1_000.0 * rates.export_per_kwh;
        self.money.carbon_grams += import / 1_000.0 * rates.carbon_grams;
    }
}

/// A quarter-hour of the microgrid.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Quarter {
    /// Mean net import, W.
    pub(super) net_watts: f64,
    /// Mean power of the PV, W.
    pub(super) generation_watts: f64,
    /// Mean power of the loads, W.
    pub(super) consumption_watts: f64,
    /// Mean power of the batteries, W; positive charges.
    pub(super) battery_watts: f64,
    /// What the batteries hold at its end, as a share of what they can, 0 to 1.
    pub(super) state_of_charge: f64,
}

/// A home as the meter knows it.
#[derive(Debug, Clone)]
struct MeteredHome {
    kinds: [NodeKind; NODE_COUNT],
    before: HomeState,
    account: Account,
    quarter: Flows,
    /// What of the quarter was in an island, and is not paid for.
    quarter_island: Flows,
}

/// The meter of a run.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    scenario: Scenario,
    homes: Vec<MeteredHome>,
    microgrid: Account,
    quarters: Vec<Quarter>,
    capacity_wh: f64,
    at: Timestamp,
}

/// What a meter showed over a run.
#[derive(Debug, Clone)]
pub(super) struct Metered {
    /// Each home, in the scenario's order.
    pub(super) homes: Vec<Account>,
    /// The microgrid.
    pub(super) microgrid: Account,
    /// The microgrid's quarter-hours.
    pub(super) quarters: Vec<Quarter>,
    /// Up to when it was metered.
    pub(super) until: Timestamp,
}

impl Meter {
    /// A meter of homes, from their states at the start on.
    #[must_use]
    pub(super) fn new(scenario: &Scenario, homes: Vec<(Vec<NodeDeclaration>, HomeState)>) -> Self {
        let metered = |(nodes, before): (Vec<NodeDeclaration>, HomeState)| {
            let mut kinds = [NodeKind::Load; NODE_COUNT];
            for declared in nodes {
                if let Some(kind) = kinds.get_mut(usize::from(declared.node.0)) {
                    *kind = declared.kind;
                }
            }
            MeteredHome {
                kinds,
                before,
                account: Account::default(),
                quarter: Flows::default(),
                quarter_island: Flows::default(),
            }
        };
        let capacity =
            scenario.homes.iter().map(|home| home.profile.battery().capacity_wh()).sum::<f64>();
        Self {
            scenario: scenario.clone(),
            homes: homes.into_iter().map(metered).collect(),
            microgrid: Account::default(),
            quarters: Vec::new(),
            capacity_wh: capacity,
            at: scenario.from,
        }
    }

    /// A step is over: what the homes are now.
    pub(super) fn step(&mut self, now: Timestamp, states: &[HomeState]) {
        let island = self.scenario.timeline.island(self.at).copied();
        let mut net = 0.0;
        let mut stepped = Vec::with_capacity(self.homes.len());
        for (home, state) in self.homes.iter_mut().zip(states) {
            let flows = Flows::between(&home.kinds, &home.before, state);
            home.before.clone_from(state);
            home.account.flows.add(&flows);
            home.quarter.add(&flows);
            if island.is_some() {
                home.quarter_island.add(&flows);
            }
            net += flows.net();
            stepped.push(flows);
        }
        if let Some(island) = island {
            let hours = hours(self.at, now);
            self.take_island(island.source_watts * hours, net, &stepped);
        }
        self.at = now;
        if now.as_millis().rem_euclid(QUARTER_MS) == 0 {
            self.close_quarter();
        }
    }

    /// In an island the homes share; what they lack together the source gives, as far as it can. What it
    /// cannot is laid on those who took from the feeder, by how much they took.
    fn take_island(&mut self, source_wh: f64, net: f64, stepped: &[Flows]) {
        let unserved = (net - source_wh).max(0.0);
        let asked: f64 = stepped.iter().map(|flows| flows.net().max(0.0)).sum();
        for (home, flows) in self.homes.iter_mut().zip(stepped) {
            let share = if asked > 0.0 { flows.net().max(0.0) / asked } else { 0.0 };
            home.account.island.demand += net.max(0.0) * share;
            home.account.island.unserved += unserved * share;
        }
        self.microgrid.island.demand += net.max(0.0);
        self.microgrid.island.unserved += unserved;
        self.microgrid.island.spilled += (-net).max(0.0);
    }

    fn close_quarter(&mut self) {
        let start = Timestamp(self.at.as_millis() - QUARTER_MS);
        let scenario = &self.scenario;
        let rates = scenario.tariff.at(start, scenario.time_zone, &scenario.dataset);
        let (mut all, mut in_island, mut stored) = (Flows::default(), Flows::default(), 0.0);
        for home in &mut self.homes {
            let quarter = std::mem::take(&mut home.quarter);
            let island = std::mem::take(&mut home.quarter_island);
            home.account.close_quarter(quarter.net() * QUARTERS_PER_HOUR);
            home.account.pay(
                quarter.import - island.import,
                quarter.export - island.export,
                &rates,
            );
            all.add(&quarter);
            in_island.add(&island);
            stored += home.before.stored_wh;
        }
        let microgrid = &mut self.microgrid;
        microgrid.flows.add(&Flows {
            import: all.net().max(0.0),
            export: (-all.net()).max(0.0),
            ..all
        });
        microgrid.close_quarter(all.net() * QUARTERS_PER_HOUR);
        let bought = all.net() - in_island.net();
        microgrid.pay(bought.max(0.0), (-bought).max(0.0), &rates);
        self.quarters.push(Quarter {
            net_watts: all.net() * QUARTERS_PER_HOUR,
            generation_watts: all.generation * QUARTERS_PER_HOUR,
            consumption_watts: all.consumption * QUARTERS_PER_HOUR,
            battery_watts: (all.charged - all.discharged) * QUARTERS_PER_HOUR,
            state_of_charge: if self.capacity_wh > 0.0 { stored / self.capacity_wh } else { 0.0 },
        });
    }

    /// What it showed so far; a quarter-hour that is not over does not count.
    #[must_use]
    pub(super) fn finish(self) -> Metered {
        Metered {
            homes: self.homes.into_iter().map(|home| home.account).collect(),
            microgrid: self.microgrid,
            until: Timestamp(self.at.as_millis().div_euclid(QUARTER_MS) * QUARTER_MS),
            quarters: self.quarters,
        }
    }
}

fn hours(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from).as_secs_f64() / 3_600.0
}
