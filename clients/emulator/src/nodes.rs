//! The eight nodes of the board, and what the HEM declares of them.

use memcloud_domain::{
    DefaultState, NodeAction, NodeDeclaration, NodeId, NodeKind, WattHours, Watts,
};

use crate::battery;
use crate::profile::HomeProfile;

/// How many nodes a board has.
pub const NODE_COUNT: usize = 8;
/// The connection to the feeder.
pub const GRID: NodeId = NodeId(0);
/// The rooftop PV.
pub const SOLAR: NodeId = NodeId(1);
/// The home battery.
pub const BATTERY: NodeId = NodeId(2);
/// Refrigerator, network, alarm: never to be shed.
pub const ESSENTIALS: NodeId = NodeId(3);
/// The heat pump.
pub const HEAT_PUMP: NodeId = NodeId(4);
/// The water heater.
pub const WATER_HEATER: NodeId = NodeId(5);
/// The car's charging point; in a home without a car, kitchen and laundry.
pub const CHARGER: NodeId = NodeId(6);
/// Lighting and plugs.
pub const PLUGS: NodeId = NodeId(7);

/// How many of the nodes are loads; they are the last ones.
pub(crate) const LOAD_COUNT: usize = 5;
/// What each load is rated at, W, from the essentials to the plugs.
pub(crate) const LOAD_RATED: [f64; LOAD_COUNT] = [600.0, 3_500.0, 4_500.0, 7_200.0, 6_000.0];
/// What the connection to the feeder is rated at, W: 100 A at 240 V.
const GRID_RATED: f64 = 24_000.0;

/// What the HEM of a home declares of its nodes in its hello.
#[must_use]
pub fn declarations(profile: &HomeProfile) -> Vec<NodeDeclaration> {
    use NodeAction::{LimitPower, SetPower, SetPriority, SetSchedule, Switch};
    let [essentials, heat_pump, water_heater, charger, plugs] = LOAD_RATED.map(Watts);
    let (charger_name, charger_kind) = if profile.has_car() {
        ("Car charger", NodeKind::Charger)
    } else {
        ("Kitchen and laundry", NodeKind::Load)
    };
    let load = |node, name: &str, rated, priority, controls: &[NodeAction]| NodeDeclaration {
        priority: Some(priority),
        default: Some(DefaultState { on: Some(true), watts: None }),
        ..plain(node, name, NodeKind::Load, rated, controls)
    };
    let mut nodes = vec![
        NodeDeclaration {
            min_watts: Some(Watts(-GRID_RATED)),
            max_watts: Some(Watts(GRID_RATED)),
            ..plain(GRID, "Grid", NodeKind::Grid, Watts(GRID_RATED), &[])
        },
        NodeDeclaration {
            min_watts: Some(-profile.pv_rated()),
            max_watts: Some(Watts::ZERO),
            default: Some(DefaultState { on: Some(true), watts: None }),
            ..plain(
                SOLAR,
                "Rooftop PV",
                NodeKind::Source,
                profile.pv_rated(),
                &[Switch, LimitPower],
            )
        },
        NodeDeclaration {
            min_watts: Some(Watts(-battery::POWER_WATTS)),
            max_watts: Some(Watts(battery::POWER_WATTS)),
            capacity_wh: Some(WattHours(battery::CAPACITY_WH)),
            default: Some(DefaultState { on: Some(true), watts: None }),
            ..plain(
                BATTERY,
                "Home battery",
                NodeKind::Storage,
                Watts(battery::POWER_WATTS),
                &[Switch, SetPower, LimitPower],
            )
        },
        NodeDeclaration {
            critical: Some(true),
            ..load(ESSENTIALS, "Refrigerator and network", essentials, 100, &[Switch])
        },
        load(HEAT_PUMP, "Heat pump", heat_pump, 60, &[Switch, LimitPower, SetPriority]),
        load(WATER_HEATER, "Water heater", water_heater, 30, &[Switch, SetSchedule, SetPriority]),
        load(
            CHARGER,
            charger_name,
            charger,
            if profile.has_car() { 20 } else { 50 },
            &[Switch, LimitPower, SetSchedule, SetPriority],
        ),
        load(PLUGS, "Lighting and plugs", plugs, 70, &[Switch, SetPriority]),
    ];
    if let Some(declaration) = nodes.iter_mut().find(|declaration| declaration.node == CHARGER) {
        declaration.kind = charger_kind;
    }
    nodes
}

fn plain(
    node: NodeId,
    name: &str,
    kind: NodeKind,
    rated: Watts,
    controls: &[NodeAction],
) -> NodeDeclaration {
    NodeDeclaration {
        node,
        name: name.to_owned(),
        kind,
        rated_watts: Some(rated),
        min_watts: None,
        max_watts: None,
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: Some(controls.to_vec()),
        default: None,
    }
}
