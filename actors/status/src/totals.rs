//! Power by what it is, for a home and for a microgrid.
//!
//! The totals lose nothing: `consumption − generation + storage + export − import` is the sum of the
//! declared nodes' watts. Therefore what a source takes (an inverter's standby) counts as consumption,
//! and what a load or charger feeds (a car that supports the home) as generation.

use memcloud_domain::{
    NodeDeclaration, NodeKind, NodeReading, PowerTotals, StateOfCharge, Watts, is_credible,
};

/// A sum of power that can be added to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct PowerSum {
    consumption: Watts,
    generation: Watts,
    storage: Watts,
    grid: Watts,
    /// Of the storages with a declared capacity: capacity, and capacity times state of charge.
    capacity: f64,
    charge: f64,
    /// Of the other storages: how many, and the sum of their states of charge.
    others: f64,
    others_charge: f64,
}

impl PowerSum {
    /// Adds a node of a home.
    pub(crate) fn add_node(&mut self, declaration: &NodeDeclaration, latest: &NodeReading) {
        // What no home can have measured is shown at its node, and in no total.
        let watts = latest.watts.filter(|watts| is_credible(watts.0)).unwrap_or(Watts::ZERO);
        match declaration.kind {
            NodeKind::Grid => self.grid += watts,
            NodeKind::Storage => self.storage += watts,
            NodeKind::Source | NodeKind::Load | NodeKind::Charger => {
                if watts > Watts::ZERO {
                    self.consumption += watts;
                } else {
                    self.generation += -watts;
                }
            }
        }
        if let (NodeKind::Storage, Some(soc)) = (declaration.kind, latest.soc) {
            match declaration.capacity_wh {
                Some(capacity) if capacity.value() > 0.0 => {
                    self.capacity += capacity.value();
                    self.charge += capacity.value() * soc.value();
                }
                _ => {
                    self.others += 1.0;
                    self.others_charge += soc.value();
                }
            }
        }
    }

    /// Adds a home to a microgrid.
    pub(crate) fn add_home(&mut self, home: &Self) {
        self.consumption += home.consumption;
        self.generation += home.generation;
        self.storage += home.storage;
        self.grid += home.grid;
        self.capacity += home.capacity;
        self.charge += home.charge;
        self.others += home.others;
        self.others_charge += home.others_charge;
    }

    /// The totals as they are shown. The state of charge is weighted by capacity; where no storage has
    /// declared one, it is the mean.
    pub(crate) fn totals(&self) -> PowerTotals {
        let soc = if self.capacity > 0.0 {
            Some(StateOfCharge(self.charge / self.capacity))
        } else if self.others > 0.0 {
            Some(StateOfCharge(self.others_charge / self.others))
        } else {
            None
        };
        let exports = self.grid > Watts::ZERO;
        PowerTotals {
            consumption_watts: self.consumption,
            generation_watts: self.generation,
            storage_watts: self.storage,
            import_watts: if exports { Watts::ZERO } else { Watts::ZERO - self.grid },
            export_watts: if exports { self.grid } else { Watts::ZERO },
            soc,
        }
    }
}

#[cfg(test)]
mod tests {
    use memcloud_domain::{NodeId, WattHours};
    use proptest::prelude::*;

    use super::*;

    fn declared(node: u8, kind: NodeKind, capacity: Option<f64>) -> NodeDeclaration {
        NodeDeclaration {
            node: NodeId(node),
            name: format!("node {node}"),
            kind,
            rated_watts: None,
            min_watts: None,
            max_watts: None,
            capacity_wh: capacity.map(WattHours),
            critical: None,
            priority: None,
            controls: None,
            default: None,
        }
    }

    fn measured(node: u8, watts: f64, soc: Option<f64>) -> NodeReading {
        NodeReading {
            watts: Some(Watts(watts)),
            soc: soc.map(StateOfCharge),
            ..NodeReading::empty(NodeId(node))
        }
    }

    fn any_kind() -> impl Strategy<Value = NodeKind> {
        prop_oneof![
            Just(NodeKind::Grid),
            Just(NodeKind::Source),
            Just(NodeKind::Storage),
            Just(NodeKind::Load),
            Just(NodeKind::Charger)
        ]
    }

    #[test]
    fn what_no_home_can_measure_is_in_no_total() {
        let mut sum = PowerSum::default();
        sum.add_node(&declared(1, NodeKind::Load, None), &measured(1, 1.7e308, None));
        sum.add_node(&declared(2, NodeKind::Load, None), &measured(2, 1.7e308, None));
        sum.add_node(&declared(3, NodeKind::Load, None), &measured(3, 500.0, None));
        assert_eq!(sum.totals().consumption_watts, Watts(500.0));
    }

    #[test]
    fn a_sunny_home_generates_stores_and_exports() {
        let mut sum = PowerSum::default();
        sum.add_node(&declared(0, NodeKind::Grid, None), &measured(0, 1_000.0, None));
        sum.add_node(&declared(1, NodeKind::Source, None), &measured(1, -4_000.0, None));
        sum.add_node(&declared(2, NodeKind::Storage, None), &measured(2, 2_500.0, Some(0.4)));
        sum.add_node(&declared(3, NodeKind::Load, None), &measured(3, 500.0, None));
        let totals = sum.totals();
        assert_eq!(totals.consumption_watts, Watts(500.0));
        assert_eq!(totals.generation_watts, Watts(4_000.0));
        assert_eq!(totals.storage_watts, Watts(2_500.0));
        assert_eq!((totals.import_watts, totals.export_watts), (Watts(0.0), Watts(1_000.0)));
        assert_eq!(totals.soc, Some(StateOfCharge(0.4)));
    }

    #[test]
    fn what_one_home_exports_and_its_neighbour_imports_is_not_traded_with_the_grid() {
        let mut seller = PowerSum::default();
        seller.add_node(&declared(0, NodeKind::Grid, None), &measured(0, 900.0, None));
        let mut buyer = PowerSum::default();
        buyer.add_node(&declared(0, NodeKind::Grid, None), &measured(0, -1_000.0, None));
        let mut microgrid = PowerSum::default();
        microgrid.add_home(&seller);
        microgrid.add_home(&buyer);
        assert_eq!(microgrid.totals().import_watts, Watts(100.0));
        assert_eq!(microgrid.totals().export_watts, Watts(0.0));
    }

    #[test]
    fn a_large_battery_counts_for_more_than_a_small_one() {
        let mut sum = PowerSum::default();
        let large = declared(1, NodeKind::Storage, Some(9_000.0));
        let small = declared(2, NodeKind::Storage, Some(1_000.0));
        let unknown = declared(3, NodeKind::Storage, None);
        sum.add_node(&large, &measured(1, 0.0, Some(1.0)));
        sum.add_node(&small, &measured(2, 0.0, Some(0.0)));
        sum.add_node(&unknown, &measured(3, 0.0, Some(0.0)));
        assert_eq!(sum.totals().soc, Some(StateOfCharge(0.9)));
    }

    proptest! {
        #[test]
        fn totals_lose_no_power(
            nodes in proptest::collection::vec((any_kind(), -1e6..1e6_f64, 0..3_u8), 0..40)
        ) {
            let mut homes = [PowerSum::default(); 3];
            let mut sum = 0.0;
            for (kind, watts, home) in nodes {
                homes[usize::from(home)].add_node(&declared(0, kind, None), &measured(0, watts, None));
                sum += watts;
            }
            let mut microgrid = PowerSum::default();
            for home in &homes {
                microgrid.add_home(home);
            }
            let totals = microgrid.totals();
            for never_negative in [
                totals.consumption_watts, totals.generation_watts, totals.import_watts, totals.export_watts
            ] {
                prop_assert!(never_negative >= Watts::ZERO);
            }
            let balance = totals.consumption_watts - totals.generation_watts + totals.storage_watts
                + totals.export_watts - totals.import_watts;
            prop_assert!((balance.value() - sum).abs() < 1e-6 * (1.0 + sum.abs()) + 1e-3);
        }
    }
}
