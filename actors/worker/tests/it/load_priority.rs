//! Loads go by priority and come back one at a time; critical ones never go.

use std::collections::BTreeMap;
use std::time::Duration;

use memcloud_domain::{
    Entry, HemEvent, HemId, NodeId, PowerLimits, Seq, Setting, Timestamp, Watts,
};
use memcloud_worker::apps::steering::{Change, Load, ShedRules, Shedding};
use memcloud_worker::{EnergyApp, LoadPriority, Outcome};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::homes::{SimHome, SimLoad, Town};
use crate::support::hem;

fn town(configuration: Value, homes: Vec<SimHome>) -> Town<LoadPriority> {
    Town::new(configuration, PowerLimits::default(), homes)
}

fn load(priority: i32, demand: f64) -> SimLoad {
    SimLoad { priority, critical: false, demand, on: true }
}

fn home(base: f64, loads: &[(i32, f64)]) -> SimHome {
    let mut home = SimHome::with(base, 0.5);
    home.loads = loads.iter().map(|(priority, demand)| load(*priority, *demand)).collect();
    home.loads.push(SimLoad { critical: true, ..load(0, 500.0) });
    home
}

fn on(town: &mut Town<LoadPriority>, number: usize) -> Vec<bool> {
    town.home(number).loads.iter().map(|load| load.on).collect()
}

fn limit(watts: f64) -> Value {
    json!({"import_limit_watts": watts, "every_seconds": 1})
}

#[test]
fn the_least_important_go_first_and_no_more_than_needed() {
    let homes = vec![
        home(1_000.0, &[(20, 2_000.0), (60, 2_000.0)]),
        home(1_000.0, &[(30, 2_000.0), (10, 2_000.0)]),
    ];
    let mut town = town(limit(8_000.0), homes);
    town.pass(60, 1);
    assert_eq!(on(&mut town, 1), [false, true, true], "{:?}", town.log);
    assert_eq!(on(&mut town, 2), [true, false, true], "{:?}", town.log);
    assert!(town.import() <= 8_000.0);
    let sheds = town.results.keys().filter(|(kind, ..)| kind == "load-shed").count();
    assert_eq!(sheds, 2);
    assert!(
        town.log[0].starts_with("switched off, because the import limit of 8000 W"),
        "{:?}",
        town.log
    );
}

#[test]
fn a_short_excess_sheds_nothing() {
    let mut town = town(limit(3_000.0), vec![home(0.0, &[(20, 2_000.0)])]);
    town.pass(30, 1);
    town.home(1).demand = 5_000.0;
    town.pass(9, 1);
    town.home(1).demand = 0.0;
    town.pass(60, 1);
    assert!(town.wishes.is_empty(), "{:?}", town.wishes);
}

#[test]
fn they_come_back_one_at_a_time_the_most_important_first_and_with_room_to_spare() {
    let loads = [(10, 1_000.0), (20, 1_000.0), (30, 1_000.0)];
    let mut town = town(limit(4_000.0), vec![home(4_000.0, &loads)]);
    town.pass(60, 1);
    assert_eq!(on(&mut town, 1), [false, false, false, true]);
    // Room for one with the hysteresis of 400 W, and not quite for two.
    town.home(1).demand = 1_200.0;
    town.pass(600, 1);
    assert_eq!(on(&mut town, 1), [false, false, true, true], "{:?}", town.log);
    town.home(1).demand = 0.0;
    let mut back = Vec::new();
    for _ in 0..200 {
        town.pass(1, 1);
        back.push(on(&mut town, 1).iter().filter(|on| **on).count());
    }
    assert_eq!(back.last(), Some(&4));
    let second = back.iter().position(|count| *count == 3).unwrap();
    let third = back.iter().position(|count| *count == 4).unwrap();
    assert!(third - second >= 30, "staggered: {second} {third}");
}

#[test]
fn under_a_constant_demand_nothing_flaps() {
    let loads = [(10, 1_000.0), (20, 1_000.0), (30, 3_000.0)];
    let mut town = town(limit(4_000.0), vec![home(2_000.0, &loads)]);
    town.pass(60, 1);
    let shed = on(&mut town, 1);
    town.pass(7_200, 1);
    assert_eq!(on(&mut town, 1), shed);
    assert!(town.wishes.iter().all(|(_, wish)| wish.setting == Setting::Switch { on: false }));
}

#[test]
fn those_that_were_off_last_go_last_among_equals() {
    let mut town = town(limit(4_000.0), vec![home(2_500.0, &[(10, 1_000.0), (10, 1_000.0)])]);
    town.pass(60, 1);
    let first = on(&mut town, 1);
    town.home(1).demand = 0.0;
    town.pass(600, 1);
    assert_eq!(on(&mut town, 1), [true, true, true]);
    town.home(1).demand = 2_500.0;
    town.pass(60, 1);
    let second = on(&mut town, 1);
    assert_eq!((first[0], first[1]), (second[1], second[0]), "they take turns");
}

fn event(town: &Town<LoadPriority>, kind: &str, watts: Option<f64>) -> (HemId, Vec<Entry>) {
    let at = Timestamp(town.now);
    let event = HemEvent {
        seq: Seq(1_000_000),
        ts: at,
        received: at,
        kind: kind.into(),
        node: None,
        on: None,
        watts: watts.map(Watts),
        until: None,
        text: None,
    };
    (hem("home-1"), vec![Entry::Event(event)])
}

#[test]
fn in_an_island_its_source_is_the_limit() {
    let mut town = town(limit(10_000.0), vec![home(1_000.0, &[(10, 2_000.0), (20, 2_000.0)])]);
    town.pass(60, 1);
    assert_eq!(on(&mut town, 1), [true, true, true]);
    let islanded = event(&town, "islanded", Some(4_000.0));
    town.step(vec![islanded]);
    town.pass(60, 1);
    assert_eq!(on(&mut town, 1), [false, true, true], "{:?}", town.log);
    town.restart();
    let restored = event(&town, "grid-restored", None);
    town.step(vec![restored]);
    town.pass(600, 1);
    assert_eq!(on(&mut town, 1), [true, true, true], "{:?}", town.log);
    assert!(town.log.iter().any(|line| line == "the microgrid is islanded"));
}

#[test]
fn the_operator_can_say_that_it_is_an_island() {
    let configuration =
        json!({"island": "islanded", "islanded_source_watts": 2_600, "every_seconds": 1});
    let mut town = town(configuration, vec![home(1_000.0, &[(10, 2_000.0), (20, 1_000.0)])]);
    town.pass(60, 1);
    assert_eq!(on(&mut town, 1), [false, true, true]);
}

#[test]
fn when_readings_are_missing_loads_are_left_to_themselves_and_that_is_said_once() {
    let mut town = town(limit(2_000.0), vec![home(1_000.0, &[(10, 2_000.0)])]);
    town.pass(60, 1);
    assert!(!on(&mut town, 1)[0]);
    town.home(1).talks = false;
    town.pass(121, 1);
    let begin = town.now;
    town.pass(1_000, 1);
    assert!(town.wishes.iter().all(|(at, _)| *at <= begin));
    assert!(on(&mut town, 1)[0], "its lease has ended");
    let said = |part: &str| town.log.iter().filter(|line| line.contains(part)).count();
    assert_eq!((said("left to themselves"), said("cannot be judged")), (1, 1), "{:?}", town.log);
}

#[test]
fn the_same_readings_again_change_nothing_and_what_is_shed_stays_so_over_a_restart() {
    let mut town = town(limit(2_000.0), vec![home(1_000.0, &[(10, 2_000.0)])]);
    town.pass(60, 1);
    let entries = town.entries();
    town.now += 1_000;
    town.step(entries.clone());
    assert_eq!(town.step(entries), Outcome::default());
    town.restart();
    town.pass(10, 1);
    assert!(!on(&mut town, 1)[0]);
    let results = town.results.keys().filter(|(kind, ..)| kind == "load-shed").count();
    assert_eq!(results, 1);
}

#[test]
fn a_wrong_setting_is_refused_with_what_it_may_be() {
    let setting = serde_json::from_value(json!({"hysteresis": 1})).unwrap();
    assert_eq!(LoadPriority::new(setting).unwrap_err(), "hysteresis is 1; it may be 0 to 0.9");
}

const RULES: ShedRules = ShedRules {
    settle: Duration::from_secs(20),
    hold: Duration::from_secs(5),
    min_off: Duration::from_secs(60),
    restore_after: Duration::from_secs(30),
    stagger: Duration::from_secs(10),
    spare_watts: 100.0,
};

proptest! {
    /// Whatever the excess and the loads do: a load is shed only after `hold` and only if every less
    /// important one that draws is off too; it comes back after its least time, one at a time, staggered,
    /// and never while a more important one is off.
    #[test]
    fn priorities_and_times_are_kept(
        priorities in prop::collection::vec(0_i32..4, 1..8),
        moments in prop::collection::vec((1_i64..20, -5_000.0..5_000.0_f64, prop::collection::vec(0.0..3_000.0_f64, 8)), 1..150),
    ) {
        let home = hem("home-1");
        let mut shedding = Shedding::default();
        let mut off: BTreeMap<NodeId, (Timestamp, i32)> = BTreeMap::new();
        let mut last_back: Option<Timestamp> = None;
        let mut now = Timestamp(0);
        for (span, excess, draws) in moments {
            now = now.plus(Duration::from_secs(span.unsigned_abs()));
            let loads: Vec<Load<'_>> = (0_u8..)
                .zip(priorities.iter().zip(&draws))
                .map(|(node, (priority, draw))| {
                    let watts = if off.contains_key(&NodeId(node)) { 0.0 } else { *draw };
                    Load { hem: &home, node: NodeId(node), name: "load", priority: *priority, watts }
                })
                .collect();
            let changes = shedding.accept(now, excess, &loads, &RULES);
            let restored = changes.iter().filter(|change| matches!(change, Change::Restored { .. })).count();
            prop_assert!(restored <= 1);
            for change in changes {
                match change {
                    Change::Shed { node, shed, .. } => {
                        prop_assert!(off.insert(node, (now, shed.priority)).is_none());
                    }
                    Change::Restored { node, shed, .. } => {
                        let (since, _) = off.remove(&node).unwrap();
                        prop_assert!(now.since(since) >= RULES.min_off);
                        prop_assert!(last_back.is_none_or(|last| now.since(last) >= RULES.stagger));
                        prop_assert!(off.values().all(|(_, priority)| *priority <= shed.priority));
                        prop_assert!(shed.watts + RULES.spare_watts <= -excess + 1e-9);
                        last_back = Some(now);
                    }
                    Change::Lost { .. } => prop_assert!(false),
                }
            }
            let drawing = |load: &&Load<'_>| load.watts >= 50.0 && !off.contains_key(&load.node);
            if let Some(most) = off.values().filter(|(since, _)| *since == now).map(|(_, priority)| *priority).max() {
                for load in loads.iter().filter(drawing) {
                    prop_assert!(load.priority >= most, "{} stayed while {most} went", load.priority);
                }
            }
            prop_assert_eq!(shedding.count(), off.len());
        }
    }

    /// In the loop: nothing critical is ever shed, and where shedding can keep the limit it is kept.
    #[test]
    fn the_limit_is_kept_where_shedding_can(
        bases in prop::collection::vec(0.0..4_000.0_f64, 2),
        priorities in prop::collection::vec(0_i32..5, 4),
        demands in prop::collection::vec(100.0..3_000.0_f64, 4),
    ) {
        let loads: Vec<(i32, f64)> = priorities.into_iter().zip(demands).collect();
        let (one, two) = loads.split_at(2);
        let mut town = town(limit(6_000.0), vec![home(bases[0], one), home(bases[1], two)]);
        town.pass(400, 1);
        let least = bases.iter().sum::<f64>() + 1_000.0;
        prop_assert!(town.import() <= 6_000.0_f64.max(least) + 1e-6, "{}", town.import());
        let mut shed: Vec<&str> = town
            .results
            .keys()
            .filter(|(kind, ..)| kind == "load-shed")
            .map(|(_, load, _)| load.as_str())
            .collect();
        let count = shed.len();
        shed.dedup();
        prop_assert_eq!(shed.len(), count, "none twice");
        for number in [1, 2] {
            prop_assert!(town.home(number).loads[2].on);
        }
    }
}
