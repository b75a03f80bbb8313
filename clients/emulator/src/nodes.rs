//! The eight nodes of the board, and what the HEM declares of them.

use memcloud_domain::{
    DefaultState, NodeAction, NodeDeclaration, NodeId, NodeKind, WattHours, Watts,
};

use crate::battery::BatteryRule;
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
    let (charger_name, charger_kind, charger_priority) = if profile.has_car() {
        ("Car charger", NodeKind::Charger, 20)
    } else {
        ("Kitchen and laundry", NodeKind::Load, 50)
    };
    let battery = profile.battery();
    let on = DefaultState { on: Some(true), watts: None };
    let load = |node, name: &str, priority| NodeDeclaration {
        priority: Some(priority),
        default: Some(on),
        ..plain(profile, node, name, NodeKind::Load)
    };
    vec![
        plain(profile, GRID, "Grid", NodeKind::Grid),
        NodeDeclaration {
            default: Some(on),
            ..plain(profile, SOLAR, "Rooftop PV", NodeKind::Source)
        },
        NodeDeclaration {
            capacity_wh: Some(WattHours(battery.capacity_wh())),
            default: Some(DefaultState {
                watts: (battery.rule() == BatteryRule::Rest).then_some(Watts::ZERO),
                ..on
            }),
            ..plain(profile, BATTERY, "Home battery", NodeKind::Storage)
        },
        NodeDeclaration {
            critical: Some(true),
            ..load(ESSENTIALS, "Refrigerator and network", 100)
        },
        load(HEAT_PUMP, "Heat pump", 60),
        load(WATER_HEATER, "Water heater", 30),
        NodeDeclaration { kind: charger_kind, ..load(CHARGER, charger_name, charger_priority) },
        load(PLUGS, "Lighting and plugs", 70),
    ]
}

/// What a node can be told to do.
pub(crate) fn controls(node: NodeId) -> &'static [NodeAction] {
    use NodeAction::{LimitPower, SetPower, SetPriority, SetSchedule, Switch};
    match node {
        SOLAR => &[Switch, LimitPower],
        BATTERY => &[Switch, SetPower, LimitPower],
        ESSENTIALS => &[Switch],
        HEAT_PUMP => &[Switch, LimitPower, SetPriority],
        WATER_HEATER => &[Switch, LimitPower, SetSchedule, SetPriority],
        CHARGER => &[Switch, LimitPower, SetSchedule, SetPriority],
        PLUGS => &[Switch, SetSchedule, SetPriority],
        _ => &[],
    }
}

/// The least and the greatest power of a node, W.
pub(crate) fn power_range(profile: &HomeProfile, node: NodeId) -> (Watts, Watts) {
    let (least, greatest) = match node {
        GRID => (-GRID_RATED, GRID_RATED),
        SOLAR => (-profile.pv_rated().value(), 0.0),
        BATTERY => (-profile.battery().power_watts(), profile.battery().power_watts()),
        load => {
            let place = usize::from(load.0).checked_sub(NODE_COUNT - LOAD_COUNT);
            let rated = place.and_then(|place| LOAD_RATED.get(place));
            (0.0, rated.copied().unwrap_or(0.0))
        }
    };
    // Adding zero turns a negative zero into a plain one, which JSON would otherwise show.
    (Watts(least + 0.0), Watts(greatest))
}

fn plain(profile: &HomeProfile, node: NodeId, name: &str, kind: NodeKind) -> NodeDeclaration {
    let (least, greatest) = power_range(profile, node);
    NodeDeclaration {
        node,
        name: name.to_owned(),
        kind,
        rated_watts: Some(Watts(least.abs().value().max(greatest.value()))),
        min_watts: Some(least),
        max_watts: Some(greatest),
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: Some(controls(node).to_vec()),
        default: None,
    }
}
