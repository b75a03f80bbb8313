//! Energy by what it is to a home, and what it costs.

use memcloud_domain::NodeKind;
use serde::{Deserialize, Serialize};

use super::node_ledger::NodeEnergy;

/// Energy over some time, Wh, of a home or a microgrid, and how much of the time there is data for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Row", into = "Row")]
pub(super) struct Sums {
    pub(super) consumption: f64,
    pub(super) generation: f64,
    pub(super) import: f64,
    pub(super) export: f64,
    pub(super) charged: f64,
    pub(super) discharged: f64,
    /// Milliseconds with data; of a microgrid the sum over its homes.
    pub(super) covered: i64,
    pub(super) estimated: bool,
}

type Row = (f64, f64, f64, f64, f64, f64, i64, bool);

impl From<Row> for Sums {
    fn from(row: Row) -> Self {
        let (consumption, generation, import, export, charged, discharged, covered, estimated) =
            row;
        Self { consumption, generation, import, export, charged, discharged, covered, estimated }
    }
}

impl From<Sums> for Row {
    fn from(sums: Sums) -> Self {
        let Sums { consumption, generation, import, export, charged, discharged, .. } = sums;
        (consumption, generation, import, export, charged, discharged, sums.covered, sums.estimated)
    }
}

impl Sums {
    /// Adds a node's energy where it belongs. Grid: what the home's bus takes from it is import. Loads
    /// and chargers: what they feed back reduces consumption. A source that draws consumes.
    pub(super) fn add_node(&mut self, kind: NodeKind, energy: NodeEnergy) {
        match kind {
            NodeKind::Grid => {
                self.import += energy.wh_out;
                self.export += energy.wh_in;
            }
            NodeKind::Source => {
                self.generation += energy.wh_out;
                self.consumption += energy.wh_in;
            }
            NodeKind::Storage => {
                self.charged += energy.wh_in;
                self.discharged += energy.wh_out;
            }
            NodeKind::Load | NodeKind::Charger => {
                self.consumption += energy.wh_in - energy.wh_out;
            }
        }
        self.estimated |= energy.estimated;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.consumption += other.consumption;
        self.generation += other.generation;
        self.import += other.import;
        self.export += other.export;
        self.charged += other.charged;
        self.discharged += other.discharged;
        self.covered += other.covered;
        self.estimated |= other.estimated;
    }
}

/// What energy cost, earned and carried, in the tariff's currency and in grams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Money {
    pub(super) cost: f64,
    pub(super) credit: f64,
    pub(super) carbon: f64,
}

impl Money {
    pub(super) fn add(&mut self, other: &Self) {
        self.cost += other.cost;
        self.credit += other.credit;
        self.carbon += other.carbon;
    }
}
