//! What a home does when it is told to: the consequences in power, charge and counters, how it ends,
//! and what is turned down.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use memcloud_domain::{
    CommandAction, CommandOutcome, NodeAction, NodeId, NodeKind, NodeReading, Timestamp, Watts,
};
use memcloud_emulator::calendar::HOUR_MS;
use memcloud_emulator::nodes::{
    BATTERY, CHARGER, ESSENTIALS, GRID, HEAT_PUMP, PLUGS, SOLAR, WATER_HEATER,
};
use memcloud_emulator::{Battery, BatteryRule, Dataset, Home, HomeProfile, OVERRIDE};
use proptest::prelude::*;

static FONTANA: LazyLock<Arc<Dataset>> = LazyLock::new(|| Dataset::fontana().unwrap());

/// 2026-11-16T00:00:00-08:00.
const MONDAY: Timestamp = Timestamp(1_794_816_000_000);
const MINUTE_MS: i64 = 60_000;

fn profile(index: usize) -> HomeProfile {
    HomeProfile::new(FONTANA.clone(), index, 42)
}

fn home(index: usize) -> Home {
    Home::new(profile(index), MONDAY)
}

fn at(ms: i64) -> Timestamp {
    Timestamp(MONDAY.as_millis() + ms)
}

fn watts(readings: &[NodeReading], node: NodeId) -> f64 {
    readings[usize::from(node.0)].watts.unwrap().value()
}

fn soc(readings: &[NodeReading]) -> f64 {
    readings[usize::from(BATTERY.0)].soc.unwrap().value()
}

fn net_wh(readings: &[NodeReading], node: NodeId) -> f64 {
    let reading = &readings[usize::from(node.0)];
    reading.wh_in.unwrap().value() - reading.wh_out.unwrap().value()
}

fn switch(on: bool) -> CommandAction {
    CommandAction::Switch { on }
}

fn set_power(watts: f64) -> CommandAction {
    CommandAction::SetPower { watts: Watts(watts) }
}

fn limit_power(watts: f64) -> CommandAction {
    CommandAction::LimitPower { watts: Watts(watts) }
}

fn done(
    home: &mut Home,
    node: NodeId,
    action: &CommandAction,
    lease: Option<Duration>,
    now: Timestamp,
) {
    let answer = home.carry_out(Some(node), action, lease, now);
    assert_eq!(answer, (CommandOutcome::Done, None), "{action:?}");
}

fn refused(
    home: &mut Home,
    node: Option<NodeId>,
    action: &CommandAction,
    now: Timestamp,
) -> String {
    let (outcome, reason) = home.carry_out(node, action, None, now);
    assert_eq!(outcome, CommandOutcome::Refused, "{action:?}");
    reason.unwrap()
}

const HOUR: Option<Duration> = Some(Duration::from_secs(3_600));

/// The first moment from `from` on, by the minute, at which a node does more than so many watts.
fn first_above(home: &Home, node: NodeId, least: f64) -> i64 {
    let mut look = home.clone();
    (0..30 * 24 * 60)
        .map(|minute| minute * MINUTE_MS)
        .find(|ms| watts(&look.sample(at(*ms)), node).abs() > least)
        .unwrap()
}

#[test]
fn a_battery_follows_its_set_point_and_goes_back_to_its_own_rule_when_the_lease_ends() {
    let mut home = home(0);
    let noon = 12 * HOUR_MS;
    home.sample(at(noon));
    done(&mut home, BATTERY, &set_power(-1_500.0), HOUR, at(noon));
    let during = home.sample(at(noon + 1));
    assert_eq!(watts(&during, BATTERY), -1_500.0);
    assert_eq!(home.orders().set_power(BATTERY), Some(-1_500.0));
    let last = home.sample(at(noon + HOUR_MS - 1));
    assert_eq!(watts(&last, BATTERY), -1_500.0);
    let fed = net_wh(&during, BATTERY) - net_wh(&last, BATTERY);
    assert!((fed - 1_500.0).abs() < 0.1, "{fed}");
    let spent = (soc(&during) - soc(&last)) * 6_400.0;
    assert!((spent - 1_500.0 / 0.9_f64.sqrt()).abs() < 2.0, "{spent}");
    home.sample(at(noon + HOUR_MS));
    assert_eq!(home.orders().set_power(BATTERY), None);
    let after = home.sample(at(noon + HOUR_MS + 10_000));
    assert!(watts(&after, BATTERY) > 500.0, "the sun shines again into it");
    assert!(watts(&after, GRID).abs() < 150.0, "and nothing is exported");
}

#[test]
fn a_set_point_ends_at_the_reserve_and_below_full_whatever_was_ordered() {
    let mut home = home(1);
    home.sample(MONDAY);
    done(&mut home, BATTERY, &set_power(-5_000.0), None, MONDAY);
    let empty = home.sample(at(5 * HOUR_MS));
    assert_eq!(watts(&empty, BATTERY), 0.0);
    assert!((soc(&empty) - 0.1).abs() < 1e-3, "{}", soc(&empty));
    done(&mut home, BATTERY, &set_power(5_000.0), None, at(5 * HOUR_MS));
    let charging = home.sample(at(5 * HOUR_MS + 1));
    assert_eq!(watts(&charging, BATTERY), 5_000.0);
    let sum: f64 = charging.iter().map(|node| node.watts.unwrap().value()).sum();
    assert!(sum.abs() < 0.05, "the grid feeds it: {sum}");
    let full = home.sample(at(12 * HOUR_MS));
    assert!((0.99..=1.0).contains(&soc(&full)));
    assert!(watts(&full, BATTERY) < 600.0);
    let beyond = refused(&mut home, Some(BATTERY), &set_power(1_000_000.0), at(12 * HOUR_MS));
    assert!(beyond.contains("-5000 to 5000 W"), "{beyond}");
}

#[test]
fn a_battery_that_drifts_misses_its_set_point_by_so_much() {
    let mut home = home(1).with_battery_drift(0.2);
    done(&mut home, BATTERY, &set_power(1_000.0), HOUR, at(1_000));
    assert_eq!(watts(&home.sample(at(2_000)), BATTERY), 1_200.0);
}

#[test]
fn limited_pv_feeds_no_more_and_what_it_could_have_fed_is_gone() {
    let mut home = home(0);
    let noon = first_above(&home, SOLAR, 2_000.0);
    let mut free = home.clone();
    done(&mut home, SOLAR, &limit_power(500.0), HOUR, at(noon));
    let begin = home.sample(at(noon));
    assert_eq!(watts(&begin, SOLAR), -500.0);
    let end = home.sample(at(noon + 30 * MINUTE_MS));
    let fed = net_wh(&begin, SOLAR) - net_wh(&end, SOLAR);
    assert!(fed <= 250.01 && fed > 100.0, "{fed}");
    let later = at(noon + HOUR_MS);
    assert_eq!(watts(&home.sample(later), SOLAR), watts(&free.sample(later), SOLAR));
}

#[test]
fn a_limited_charger_takes_longer_and_the_car_is_full_all_the_same() {
    let mut home = home(0);
    let evening = first_above(&home, CHARGER, 5_000.0);
    let mut free = home.clone();
    done(
        &mut home,
        CHARGER,
        &limit_power(700.0),
        Some(Duration::from_secs(2 * 3_600)),
        at(evening),
    );
    for minute in 0..120 {
        let readings = home.sample(at(evening + minute * MINUTE_MS));
        assert!(watts(&readings, CHARGER) <= 700.0);
    }
    let two_hours = at(evening + 2 * HOUR_MS - 1);
    let behind =
        net_wh(&free.sample(two_hours), CHARGER) - net_wh(&home.sample(two_hours), CHARGER);
    assert!(behind > 300.0, "{behind}");
    let days_later = at(evening + 72 * HOUR_MS);
    let missing =
        net_wh(&free.sample(days_later), CHARGER) - net_wh(&home.sample(days_later), CHARGER);
    assert!(missing.abs() < 1.0, "{missing} of {behind} Wh are still missing");
}

#[test]
fn a_water_heater_that_was_off_catches_up_within_its_rating_and_lights_do_not() {
    let mut home = home(2);
    let evening = 18 * HOUR_MS;
    let mut free = home.clone();
    home.sample(at(evening));
    done(
        &mut home,
        WATER_HEATER,
        &switch(false),
        Some(Duration::from_secs(4 * 3_600)),
        at(evening),
    );
    done(&mut home, PLUGS, &switch(false), Some(Duration::from_secs(4 * 3_600)), at(evening));
    let off = home.sample(at(evening + 1));
    assert_eq!((watts(&off, WATER_HEATER), watts(&off, PLUGS)), (0.0, 0.0));
    assert_eq!(off[usize::from(WATER_HEATER.0)].on, Some(false));
    let four_hours = at(evening + 4 * HOUR_MS);
    let behind = |node, free: &mut Home, home: &mut Home, moment| {
        net_wh(&free.sample(moment), node) - net_wh(&home.sample(moment), node)
    };
    let missed = behind(WATER_HEATER, &mut free, &mut home, four_hours);
    let dark = behind(PLUGS, &mut free, &mut home, four_hours);
    assert!(missed > 300.0 && dark > 300.0, "{missed} {dark}");
    assert!(home.is_on(WATER_HEATER), "the lease is over, and it is on by itself");
    for second in 0..7_200 {
        let moment = at(evening + 4 * HOUR_MS + second * 1_000);
        assert!(watts(&home.sample(moment), WATER_HEATER) <= 4_500.0);
    }
    let next_day = at(evening + 24 * HOUR_MS);
    let left = behind(WATER_HEATER, &mut free, &mut home, next_day);
    assert!((left - 0.05 * missed).abs() < 0.5, "{left} of {missed}");
    assert!((behind(PLUGS, &mut free, &mut home, next_day) - dark).abs() < 0.5);
}

#[test]
fn a_schedule_switches_at_its_times_and_its_end_is_the_default() {
    let mut home = home(0);
    let hours = |hours: i64| at(hours * HOUR_MS);
    let schedule = CommandAction::SetSchedule {
        on_at: vec![hours(6), hours(20)],
        off_at: vec![hours(22), hours(9), hours(1)],
    };
    done(&mut home, WATER_HEATER, &schedule, Some(Duration::from_secs(23 * 3_600)), hours(2));
    let mut positions = Vec::new();
    for hour in 2..26 {
        home.sample(at(hour * HOUR_MS + 1));
        positions.push(home.is_on(WATER_HEATER));
    }
    let expected = (2..26).map(|hour| matches!(hour, 6..=8 | 20..=21 | 25..)).collect::<Vec<_>>();
    assert_eq!(positions, expected, "off since one o'clock, as the schedule says; on at its end");
}

#[test]
fn a_switch_order_holds_against_the_schedule_until_its_lease_ends() {
    let mut home = home(0);
    let schedule =
        CommandAction::SetSchedule { on_at: vec![at(4 * HOUR_MS)], off_at: vec![at(2 * HOUR_MS)] };
    done(&mut home, PLUGS, &schedule, None, at(1));
    done(&mut home, PLUGS, &switch(true), HOUR, at(90 * MINUTE_MS));
    home.sample(at(2 * HOUR_MS + 1));
    assert!(home.is_on(PLUGS));
    home.sample(at(150 * MINUTE_MS));
    assert!(!home.is_on(PLUGS), "now the schedule holds");
    home.sample(at(4 * HOUR_MS));
    assert!(home.is_on(PLUGS));
    let none = CommandAction::SetSchedule { on_at: vec![], off_at: vec![] };
    done(&mut home, PLUGS, &none, None, at(4 * HOUR_MS));
    assert!(home.is_on(PLUGS));
}

#[test]
fn what_someone_at_home_decides_wins_for_two_hours() {
    let mut home = home(0);
    let evening = 18 * HOUR_MS;
    done(&mut home, BATTERY, &set_power(1_000.0), Some(Duration::from_secs(86_400)), at(evening));
    assert!(home.switch(at(evening + 1), BATTERY, false));
    assert!(home.switch(at(evening + 1), PLUGS, true));
    assert_eq!(watts(&home.sample(at(evening + 2)), BATTERY), 0.0);
    assert_eq!(home.orders().set_power(BATTERY), None, "what was ordered is over");
    let moment = at(evening + HOUR_MS);
    for (node, action) in
        [(BATTERY, set_power(500.0)), (BATTERY, switch(true)), (PLUGS, switch(false))]
    {
        let reason = refused(&mut home, Some(node), &action, moment);
        assert!(reason.contains("someone at home"), "{reason}");
    }
    done(&mut home, PLUGS, &switch(true), HOUR, moment);
    done(&mut home, PLUGS, &CommandAction::SetPriority { priority: 5 }, None, moment);
    let over = Timestamp(at(evening + 1).plus(OVERRIDE).as_millis());
    home.sample(over);
    assert!(!home.is_on(BATTERY), "a switch stays as it was put");
    assert!(home.is_on(PLUGS));
    done(&mut home, PLUGS, &switch(false), HOUR, over);
    done(&mut home, BATTERY, &switch(true), None, over);
}

#[test]
fn each_node_does_what_it_declares_and_nothing_else() {
    let battery = |readings: &[NodeReading]| watts(readings, BATTERY);
    for index in [0, 1] {
        let mut home = home(index);
        for declared in home.declarations() {
            let (min, max) = (declared.min_watts.unwrap(), declared.max_watts.unwrap());
            assert!(min <= max && declared.rated_watts.unwrap() >= max, "{declared:?}");
            assert_eq!(declared.default.is_some(), declared.node != GRID);
            assert_eq!(declared.capacity_wh.is_some(), declared.kind == NodeKind::Storage);
            assert_eq!(declared.critical == Some(true), declared.node == ESSENTIALS);
            let controls = declared.controls.unwrap();
            for action in [
                switch(true),
                set_power(0.0),
                limit_power(100.0),
                CommandAction::SetSchedule { on_at: vec![], off_at: vec![] },
                CommandAction::SetPriority { priority: 1 },
            ] {
                let (outcome, reason) = home.carry_out(Some(declared.node), &action, HOUR, MONDAY);
                let can = controls.contains(&action.control().unwrap());
                assert_eq!(outcome == CommandOutcome::Done, can, "{} {reason:?}", declared.name);
                assert_eq!(reason.is_none(), can);
            }
        }
        assert!(battery(&home.sample(at(1))).abs() <= 100.0, "its limit holds");
        assert!(!home.declarations()[0].controls.as_ref().unwrap().contains(&NodeAction::Switch));
    }
}

#[test]
fn orders_that_make_no_sense_are_turned_down_with_a_reason() {
    let mut home = home(0);
    let restart = CommandAction::Restart;
    let report = |seconds| CommandAction::ReportEvery { seconds };
    for (node, action, expected) in [
        (None, switch(true), "needs a node"),
        (Some(NodeId(8)), switch(true), "no node 8"),
        (Some(GRID), switch(false), "node 0 does not do switch"),
        (Some(PLUGS), set_power(100.0), "node 7 does not do set-power"),
        (Some(HEAT_PUMP), limit_power(-1.0), "without a sign"),
        (Some(PLUGS), restart.clone(), "for the HEM"),
        (None, report(0), "1 s is the least"),
        (None, report(100_000), "86400 s is the most"),
        (
            Some(PLUGS),
            CommandAction::SetSchedule { on_at: vec![MONDAY; 101], off_at: vec![] },
            "at most 100",
        ),
    ] {
        let reason = refused(&mut home, node, &action, MONDAY);
        assert!(reason.contains(expected), "{reason}");
    }
    home.carry_out(Some(BATTERY), &switch(false), None, MONDAY);
    assert!(refused(&mut home, Some(BATTERY), &set_power(1.0), MONDAY).contains("switched off"));
    assert_eq!(home.carry_out(None, &restart, None, MONDAY).0, CommandOutcome::Done);
    assert_eq!(home.carry_out(None, &report(5), HOUR, MONDAY).0, CommandOutcome::Done);
    assert_eq!(home.orders().report_every(), Some(5));
    home.sample(at(HOUR_MS));
    assert_eq!(home.orders().report_every(), None);
}

#[test]
fn what_was_ordered_survives_a_restart_of_the_board_and_still_ends() {
    let mut first = home(3);
    done(&mut first, HEAT_PUMP, &switch(false), HOUR, at(MINUTE_MS));
    done(&mut first, BATTERY, &limit_power(300.0), HOUR, at(MINUTE_MS));
    first.sample(at(30 * MINUTE_MS));
    let kept = serde_json::to_string(first.state()).unwrap();
    let mut second = Home::resume(first.profile().clone(), serde_json::from_str(&kept).unwrap());
    assert!(!second.is_on(HEAT_PUMP));
    for minute in [31, 60, 61, 90, 300] {
        assert_eq!(second.sample(at(minute * MINUTE_MS)), first.sample(at(minute * MINUTE_MS)));
    }
    assert!(second.is_on(HEAT_PUMP) && second.orders().limit_power(BATTERY).is_none());
}

#[test]
fn a_home_that_was_kept_before_there_were_orders_is_read() {
    let old = r#"{"at":1794816000000,"stored_wh":3000.0,"net_watts":0.0,
        "wh_in":[0,0,0,0,0,0,0,0],"wh_out":[0,0,0,0,0,0,0,0],
        "on":[true,true,true,true,true,true,true,true]}"#;
    let mut home = Home::resume(profile(0), serde_json::from_str(old).unwrap());
    assert!(home.sample(at(1))[2].soc.unwrap().value() > 0.4);
}

#[test]
fn batteries_and_roofs_come_in_all_sizes() {
    let big =
        profile(0).with_battery(Battery::new(20_000.0, 9_000.0)).with_pv_rated(Watts(8_000.0));
    assert_eq!(big.pv_rated(), Watts(8_000.0));
    let mut big = Home::new(big, MONDAY);
    let declared = big.declarations();
    assert_eq!(declared[2].capacity_wh.unwrap().value(), 20_000.0);
    assert_eq!(declared[1].min_watts, Some(Watts(-8_000.0)));
    done(&mut big, BATTERY, &set_power(9_000.0), HOUR, at(1_000));
    assert_eq!(watts(&big.sample(at(2_000)), BATTERY), 9_000.0);
    let mut usual = home(0);
    let noon = first_above(&usual, SOLAR, 1_000.0) + HOUR_MS;
    let ratio = net_wh(&big.sample(at(noon)), SOLAR) / net_wh(&usual.sample(at(noon)), SOLAR);
    assert!((ratio - 2.0).abs() < 0.01, "{ratio}");

    let mut none = Home::new(
        profile(0).with_battery(Battery::new(0.0, 0.0)).with_pv_rated(Watts::ZERO),
        MONDAY,
    );
    let end = none.sample(at(48 * HOUR_MS));
    assert_eq!((net_wh(&end, BATTERY), net_wh(&end, SOLAR), soc(&end)), (0.0, 0.0, 0.0));

    let resting = Battery::default().with_rule(BatteryRule::Rest);
    let mut resting = Home::new(profile(0).with_battery(resting), MONDAY);
    assert_eq!(resting.declarations()[2].default.unwrap().watts, Some(Watts::ZERO));
    assert_eq!(net_wh(&resting.sample(at(48 * HOUR_MS)), BATTERY), 0.0);
}

#[test]
fn counters_that_are_reset_begin_at_zero_and_only_grow_again() {
    let mut home = home(0);
    let before = home.sample(at(5 * HOUR_MS));
    home.reset_counters(at(5 * HOUR_MS));
    let after = home.sample(at(5 * HOUR_MS + 1));
    assert!(before[0].wh_in.unwrap().value() + before[0].wh_out.unwrap().value() > 100.0);
    assert!(after.iter().all(|node| node.wh_in.unwrap().value() < 0.05));
    assert!(home.sample(at(7 * HOUR_MS))[3].wh_in.unwrap().value() > 50.0);
}

#[derive(Debug, Clone)]
enum Step {
    Order(NodeId, CommandAction, Option<u64>),
    Press(NodeId, bool),
    Look,
}

fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let node = (0_u8..8).prop_map(NodeId);
    let action = prop_oneof![
        any::<bool>().prop_map(switch),
        (-6_000.0..6_000.0_f64).prop_map(set_power),
        (0.0..3_000.0_f64).prop_map(limit_power),
        prop::collection::vec((0_i64..40 * HOUR_MS, any::<bool>()), 0..4).prop_map(|times| {
            let of =
                |wanted| times.iter().filter(move |t| t.1 == wanted).map(|t| at(t.0)).collect();
            CommandAction::SetSchedule { on_at: of(true), off_at: of(false) }
        }),
    ];
    let lease = prop::option::of(0_u64..10_000_000);
    let step = prop_oneof![
        4 => (node.clone(), action, lease).prop_map(|(node, action, lease)| Step::Order(node, action, lease)),
        1 => (node, any::<bool>()).prop_map(|(node, on)| Step::Press(node, on)),
        3 => Just(Step::Look),
    ];
    prop::collection::vec((0_i64..2 * HOUR_MS, step), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_is_ordered_energy_is_conserved_and_limits_hold(
        index in 0_usize..12,
        seed in any::<u64>(),
        steps in steps(),
    ) {
        let mut home = Home::new(HomeProfile::new(FONTANA.clone(), index, seed), MONDAY);
        let declared = home.declarations();
        let mut now = 0;
        let mut counters = [(0.0, 0.0); 8];
        let mut seldom = home.clone();
        for (later, step) in steps {
            now += later;
            match step {
                Step::Order(node, action, lease) => {
                    let lease = lease.map(Duration::from_millis);
                    let answer = home.carry_out(Some(node), &action, lease, at(now));
                    prop_assert_eq!(seldom.carry_out(Some(node), &action, lease, at(now)), answer);
                }
                Step::Press(node, on) => {
                    prop_assert_eq!(home.switch(at(now), node, on), seldom.switch(at(now), node, on));
                }
                Step::Look => {}
            }
            let readings = home.sample(at(now));
            let sum: f64 = readings.iter().map(|node| node.watts.unwrap().value()).sum();
            prop_assert!(sum.abs() < 0.05, "{sum} W");
            let charge = soc(&readings);
            prop_assert!((0.0999..=1.0).contains(&charge), "{charge}");
            let mut fed = 0.0;
            for ((reading, declared), counter) in readings.iter().zip(&declared).zip(&mut counters) {
                let watts = reading.watts.unwrap().value();
                let (min, max) = (declared.min_watts.unwrap().0, declared.max_watts.unwrap().0);
                prop_assert!((min * 1.02 - 1.0..=max * 1.02 + 1.0).contains(&watts), "{declared:?} {watts}");
                if reading.on == Some(false) {
                    prop_assert_eq!(watts, 0.0);
                }
                if let Some(limit) = home.orders().limit_power(reading.node) {
                    prop_assert!(watts.abs() <= limit + 0.051, "{} {}", watts, limit);
                }
                let newer = (reading.wh_in.unwrap().value(), reading.wh_out.unwrap().value());
                prop_assert!(newer.0 >= counter.0 && newer.1 >= counter.1, "{:?} {:?}", newer, counter);
                fed += newer.0 - newer.1;
                *counter = newer;
            }
            prop_assert!(fed.abs() < 0.2, "what goes in comes out: {fed} Wh");
        }
        prop_assert_eq!(home.sample(at(now + 5)), seldom.sample(at(now + 5)), "however often it is looked at");
    }

    #[test]
    fn every_order_with_a_lease_is_over_when_it_ends(steps in steps()) {
        let mut home = home(4);
        for (index, (later, step)) in steps.into_iter().enumerate() {
            if let Step::Order(node, action, lease) = step {
                let lease = Duration::from_millis(lease.unwrap_or(1_000));
                let when = i64::try_from(index).unwrap() * 1_000 + later % 1_000;
                home.carry_out(Some(node), &action, Some(lease), at(when));
            }
        }
        let mut end = home.clone();
        end.sample(at(4 * HOUR_MS));
        for node in (0..8).map(NodeId) {
            prop_assert!(end.is_on(node), "{node}");
            prop_assert_eq!(end.orders().set_power(node), None);
            prop_assert_eq!(end.orders().limit_power(node), None);
        }
    }
}
