//! The physics of a home: energy is conserved and preserved, and the same whoever asks, how often and when.

use std::sync::{Arc, LazyLock};

use memcloud_domain::{NodeId, NodeReading, Timestamp};
use memcloud_emulator::battery::{CAPACITY_WH, POWER_WATTS, RESERVE_WH, ROUND_TRIP_EFFICIENCY};
use memcloud_emulator::calendar::{HOUR_MS, LocalHour};
use memcloud_emulator::nodes::{BATTERY, GRID, PLUGS, SOLAR};
use memcloud_emulator::{Dataset, Home, HomeProfile, NODE_COUNT, declarations};
use proptest::prelude::*;

static FONTANA: LazyLock<Arc<Dataset>> = LazyLock::new(|| Dataset::fontana().unwrap());

/// 2026-11-16T00:00:00-08:00.
const MONDAY: Timestamp = Timestamp(1_794_816_000_000);

fn home(index: usize, in_service: Timestamp) -> Home {
    Home::new(HomeProfile::new(FONTANA.clone(), index, 42), in_service)
}

fn later(moment: Timestamp, ms: i64) -> Timestamp {
    Timestamp(moment.as_millis() + ms)
}

fn watts(readings: &[NodeReading], node: NodeId) -> f64 {
    readings[usize::from(node.0)].watts.unwrap().value()
}

/// What a node has taken minus what it has fed, Wh.
fn net_wh(readings: &[NodeReading], node: NodeId) -> f64 {
    let reading = &readings[usize::from(node.0)];
    reading.wh_in.unwrap().value() - reading.wh_out.unwrap().value()
}

fn loads_wh(readings: &[NodeReading]) -> f64 {
    (3..8).map(|node| net_wh(readings, NodeId(node))).sum()
}

#[test]
fn the_counters_of_a_day_show_each_hour_as_recorded() {
    for index in 0..7 {
        let mut home = home(index, MONDAY);
        let (first, _) = LocalHour::of(MONDAY, FONTANA.offset());
        let mut before = home.sample(MONDAY);
        for hour in 0..24 {
            let after = home.sample(later(MONDAY, (hour + 1) * HOUR_MS));
            let recorded = home.profile().energy(first.plus(hour));
            let load = loads_wh(&after) - loads_wh(&before);
            let solar = net_wh(&before, SOLAR) - net_wh(&after, SOLAR);
            // Six counters, each shown to a hundredth.
            assert!((load - recorded.load.value()).abs() < 0.06, "home {index} hour {hour}");
            assert!((solar - recorded.solar.value()).abs() < 0.02, "home {index} hour {hour}");
            before = after;
        }
    }
}

#[test]
fn a_month_of_a_home_is_the_month_that_was_recorded() {
    let mut home = home(0, MONDAY);
    let (first, _) = LocalHour::of(MONDAY, FONTANA.offset());
    let hours = 31 * 24;
    let recorded = |energy: fn(&Dataset, LocalHour) -> f64| -> f64 {
        (0..hours).map(|hour| energy(&FONTANA, first.plus(hour))).sum()
    };
    let end = home.sample(later(MONDAY, hours * HOUR_MS));
    let load = recorded(|dataset, hour| dataset.load(0, hour).value());
    let solar = recorded(|dataset, hour| dataset.solar(0, hour).value());
    assert!((loads_wh(&end) - load).abs() < 0.1, "{} of {load} Wh", loads_wh(&end));
    assert!((net_wh(&end, SOLAR) + solar).abs() < 0.1, "{} of {solar} Wh", net_wh(&end, SOLAR));
}

#[test]
fn a_battery_gives_back_what_its_efficiency_leaves() {
    let mut home = home(1, MONDAY);
    let stored = |readings: &[NodeReading]| {
        readings[usize::from(BATTERY.0)].soc.unwrap().value() * CAPACITY_WH
    };
    let begin = home.sample(MONDAY);
    let end = home.sample(later(MONDAY, 20 * 24 * HOUR_MS));
    let battery = &end[usize::from(BATTERY.0)];
    let (put_in, taken_out) = (battery.wh_in.unwrap().value(), battery.wh_out.unwrap().value());
    assert!(put_in > 20_000.0, "it was used: {put_in} Wh");
    let left = put_in * ROUND_TRIP_EFFICIENCY.sqrt() - taken_out / ROUND_TRIP_EFFICIENCY.sqrt();
    assert!((left - (stored(&end) - stored(&begin))).abs() < 2.0, "{left}");
}

#[test]
fn self_consumption_neither_imports_nor_exports_while_the_battery_can_help() {
    let mut home = home(0, MONDAY);
    let mut balanced = 0;
    for minute in 0..7 * 24 * 60 {
        let readings = home.sample(later(MONDAY, minute * 60_000));
        let charge = readings[usize::from(BATTERY.0)].soc.unwrap().value();
        if (0.15..0.94).contains(&charge) && watts(&readings, GRID).abs() < 60.0 {
            balanced += 1;
        }
    }
    assert!(balanced > 1_500, "{balanced} of 10,080 minutes");
}

#[test]
fn a_load_that_is_switched_off_takes_nothing_and_the_rest_stays_in_balance() {
    let mut switched = home(0, MONDAY);
    let mut untouched = switched.clone();
    let evening = later(MONDAY, 19 * HOUR_MS + 1_234);
    let before = switched.sample(evening);
    assert!(watts(&before, PLUGS) > 0.0);
    assert!(switched.switch(evening, PLUGS, false));
    let off = switched.sample(evening);
    assert_eq!(watts(&off, PLUGS), 0.0);
    assert_eq!(off[usize::from(PLUGS.0)].on, Some(false));
    assert!(off.iter().map(|node| node.watts.unwrap().value()).sum::<f64>().abs() < 0.05);

    let hour_later = later(evening, HOUR_MS);
    let saved =
        net_wh(&untouched.sample(hour_later), PLUGS) - net_wh(&switched.sample(hour_later), PLUGS);
    assert!(saved > 50.0, "{saved}");
    assert!(switched.switch(hour_later, PLUGS, true));
    let on = later(hour_later, 3);
    assert_eq!(
        watts(&switched.sample(on), PLUGS),
        watts(&untouched.sample(on), PLUGS),
        "it takes again what it would have taken",
    );
}

#[test]
fn a_switch_in_the_past_is_remembered_when_the_past_is_sampled_again() {
    let mut home = home(2, MONDAY);
    let noon = later(MONDAY, 36 * HOUR_MS + 777);
    home.sample(later(MONDAY, 72 * HOUR_MS));
    home.switch(noon, SOLAR, false);
    home.switch(later(noon, 60_500), SOLAR, true);
    let late = home.sample(later(MONDAY, 72 * HOUR_MS));
    assert!(watts(&home.sample(later(noon, -1)), SOLAR) < 0.0);
    assert_eq!(watts(&home.sample(noon), SOLAR), 0.0);
    assert!(watts(&home.sample(later(noon, 60_500)), SOLAR) < 0.0);
    assert_eq!(home.sample(later(MONDAY, 72 * HOUR_MS)), late);
}

#[test]
fn the_grid_has_no_switch_and_neither_has_a_node_that_is_not_there() {
    let mut home = home(0, MONDAY);
    assert!(!home.switch(MONDAY, GRID, false));
    assert!(!home.switch(MONDAY, NodeId(8), false));
}

#[test]
fn a_home_that_goes_on_from_its_state_is_the_same_home() {
    let mut first = home(4, MONDAY);
    first.switch(later(MONDAY, 5 * HOUR_MS), PLUGS, false);
    first.sample(later(MONDAY, 30 * HOUR_MS + 4_321));
    let kept = serde_json::to_string(first.state()).unwrap();
    let mut second = Home::resume(first.profile().clone(), serde_json::from_str(&kept).unwrap());
    let later_on = later(MONDAY, 90 * HOUR_MS + 17);
    assert_eq!(second.sample(later_on), first.sample(later_on));
}

#[test]
fn no_node_exceeds_what_it_declares() {
    for index in 0..8 {
        let mut home = home(index, MONDAY);
        let declared = declarations(home.profile());
        assert_eq!(declared.len(), NODE_COUNT);
        for step in 0..400 {
            let readings = home.sample(later(MONDAY, step * 611_000));
            for (reading, declaration) in readings.iter().zip(&declared) {
                assert_eq!(reading.node, declaration.node);
                let rated = declaration.rated_watts.unwrap().value();
                let watts = reading.watts.unwrap().value();
                assert!(watts.abs() <= rated * 1.02, "{}: {watts} W", declaration.name);
            }
        }
    }
}

#[test]
fn generated_homes_differ_from_the_recorded_ones_and_from_each_other() {
    let evening = later(MONDAY, 18 * HOUR_MS);
    let later_on = later(evening, 2 * HOUR_MS);
    let mut seen: Vec<f64> =
        (0..120).map(|index| loads_wh(&home(index, evening).sample(later_on))).collect();
    seen.sort_by(f64::total_cmp);
    seen.dedup();
    assert_eq!(seen.len(), 120);
    assert!(seen.iter().all(|load| (0.0..15_000.0).contains(load)), "{seen:?}");
}

/// Integrates samples taken every so many milliseconds, and compares with the counters.
fn integrated_and_counted(
    home: &mut Home,
    from: Timestamp,
    span_ms: i64,
    step_ms: i64,
    node: NodeId,
) -> (f64, f64) {
    let before = net_wh(&home.sample(from), node);
    let mut integrated = 0.0;
    let mut at = from;
    while at < later(from, span_ms) {
        integrated += watts(&home.sample(at), node) * (step_ms as f64) / (HOUR_MS as f64);
        at = later(at, step_ms);
    }
    (integrated, net_wh(&home.sample(later(from, span_ms)), node) - before)
}

#[test]
fn the_watts_of_each_second_add_up_to_the_counters() {
    let mut home = home(3, MONDAY);
    let from = later(MONDAY, 9 * HOUR_MS);
    for node in (0..8).map(NodeId) {
        let (integrated, counted) =
            integrated_and_counted(&mut home, from, 2 * HOUR_MS, 1_000, node);
        assert!((integrated - counted).abs() < 0.3, "{node}: {integrated} and {counted}");
    }
}

#[test]
fn one_reading_a_minute_shows_the_same_energy_within_a_few_percent() {
    let mut home = home(0, MONDAY);
    for node in [GRID, SOLAR, BATTERY, PLUGS] {
        let (integrated, counted) =
            integrated_and_counted(&mut home, MONDAY, 7 * 24 * HOUR_MS, 60_000, node);
        let turnover = counted.abs().max(10_000.0);
        assert!((integrated - counted).abs() < 0.04 * turnover, "{node}: {integrated}, {counted}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn at_any_moment_the_nodes_sum_to_zero_and_the_battery_keeps_its_limits(
        index in 0_usize..40,
        seed in any::<u64>(),
        day in 0_i64..800,
        steps in prop::collection::vec(1_i64..400_000, 1..60),
    ) {
        let mut at = later(MONDAY, day * 24 * HOUR_MS);
        let mut home = Home::new(HomeProfile::new(FONTANA.clone(), index, seed), at);
        let mut counters = [(0.0, 0.0); NODE_COUNT];
        for step in steps {
            at = later(at, step);
            let readings = home.sample(at);
            let sum: f64 = readings.iter().map(|node| node.watts.unwrap().value()).sum();
            prop_assert!(sum.abs() < 0.05, "{sum} W");
            let vars: f64 = readings.iter().map(|node| node.vars.unwrap().value()).sum();
            prop_assert!(vars.abs() < 0.05, "{vars} var");
            prop_assert!(watts(&readings, SOLAR) <= 0.0);
            prop_assert!(watts(&readings, BATTERY).abs() <= POWER_WATTS);
            let charge = readings[usize::from(BATTERY.0)].soc.unwrap().value();
            prop_assert!((RESERVE_WH / CAPACITY_WH - 1e-4..=1.0).contains(&charge));
            for (reading, counter) in readings.iter().zip(&mut counters) {
                let newer = (reading.wh_in.unwrap().value(), reading.wh_out.unwrap().value());
                prop_assert!(newer.0 >= counter.0 && newer.1 >= counter.1);
                *counter = newer;
                let volts = reading.volts.unwrap().value();
                prop_assert!((110.0..128.0).contains(&volts) || (220.0..256.0).contains(&volts));
                prop_assert!((59.9..60.1).contains(&reading.hertz.unwrap().value()));
            }
        }
    }

    #[test]
    fn a_moment_is_the_same_in_whatever_order_it_is_asked_for(
        index in 0_usize..40,
        seed in any::<u64>(),
        offsets in prop::collection::vec(0_i64..30 * HOUR_MS, 2..5),
        switched_at in 0_i64..30 * HOUR_MS,
        node in 1_u8..8,
    ) {
        let make = || {
            let mut home = Home::new(HomeProfile::new(FONTANA.clone(), index, seed), MONDAY);
            home.switch(later(MONDAY, switched_at), NodeId(node), false);
            home
        };
        let mut wanderer = make();
        for offset in offsets {
            let at = later(MONDAY, offset);
            prop_assert_eq!(wanderer.sample(at), make().sample(at));
        }
    }
}
