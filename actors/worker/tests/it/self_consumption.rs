//! A home's battery follows the home, in the loop that its own wishes close.

use memcloud_domain::PowerLimits;
use memcloud_worker::apps::self_consumption::Situation;
use memcloud_worker::apps::steering::Room;
use memcloud_worker::{EnergyApp, SelfConsumption};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::homes::{POWER, SimHome, Town, watts_of};
use crate::support::hem;

fn town(configuration: Value, homes: Vec<SimHome>) -> Town<SelfConsumption> {
    Town::new(configuration, PowerLimits::default(), homes)
}

#[test]
fn the_battery_covers_the_demand_and_stores_the_surplus() {
    let mut town = town(json!({}), vec![SimHome::with(2_000.0, 0.8)]);
    town.pass(60, 1);
    assert!((town.home(1).battery + 2_000.0).abs() <= 60.0, "{}", town.home(1).battery);
    assert!(town.import().abs() <= 60.0);
    town.home(1).demand = -3_000.0;
    town.pass(60, 1);
    assert!((town.home(1).battery - 3_000.0).abs() <= 60.0);
    assert!(town.import().abs() <= 60.0);
}

#[test]
fn under_a_constant_demand_it_wishes_the_same_again_only_to_keep_its_lease() {
    let mut town = town(json!({"lease_seconds": 300}), vec![SimHome::with(300.0, 0.8)]);
    town.pass(60, 1);
    let begin = town.now;
    town.pass(600, 1);
    let wished = town.powers_since(begin);
    assert!((3..=4).contains(&wished.len()), "{wished:?}");
    assert!(wished.iter().all(|watts| *watts == -300.0), "{wished:?}");
}

#[test]
fn noise_below_the_deadband_moves_nothing() {
    let mut town = town(json!({}), vec![SimHome::with(1_000.0, 0.8)]);
    town.pass(60, 1);
    let begin = town.now;
    for second in 0..300 {
        town.home(1).demand = 1_000.0 + if second % 2 == 0 { 25.0 } else { -25.0 };
        town.pass(1, 1);
    }
    let wished = town.powers_since(begin);
    assert!(wished.len() <= 2, "{wished:?}");
    assert!(wished.iter().all(|watts| *watts == -1_000.0), "{wished:?}");
}

#[test]
fn the_power_moves_no_faster_than_its_ramp() {
    let configuration = json!({"ramp_watts_per_second": 100, "every_seconds": 1});
    let mut town = town(configuration, vec![SimHome::with(4_000.0, 0.8)]);
    town.pass(60, 1);
    let mut before = 0.0;
    for watts in town.powers_since(0) {
        assert!((watts - before).abs() <= 100.0 + 1e-6, "{before} to {watts}");
        before = watts;
    }
    assert_eq!(before, -4_000.0);
}

#[test]
fn it_keeps_back_what_each_home_keeps_back() {
    let configuration = json!({"min_soc": 0.2, "homes": {"home-2": {"reserve_soc": 0.5}, "home-3": {"left_alone": true}}});
    let homes = vec![SimHome::with(3_000.0, 0.8); 3];
    let mut town = town(configuration, homes);
    town.pass(3_600, 5);
    let soc = |town: &mut Town<SelfConsumption>, number| town.home(number).soc;
    assert!((0.195..0.215).contains(&soc(&mut town, 1)), "{}", soc(&mut town, 1));
    assert!((0.495..0.515).contains(&soc(&mut town, 2)), "{}", soc(&mut town, 2));
    assert_eq!(soc(&mut town, 3), 0.8);
    assert!(town.wishes.iter().all(|(_, wish)| wish.hem != hem("home-3")));
    // Empty, it does not twitch.
    let begin = town.now;
    town.pass(1_000, 5);
    assert!(
        town.powers_since(begin).len() <= 2 * 5_000 / 150 + 2,
        "{:?}",
        town.powers_since(begin)
    );
}

#[test]
fn steps_of_a_minute_are_as_good() {
    let mut town = town(json!({}), vec![SimHome::with(1_500.0, 0.9)]);
    town.pass(60, 60);
    assert!(town.import().abs() <= 60.0, "{}", town.import());
}

#[test]
fn a_silent_home_is_not_steered_and_that_is_said_once() {
    let mut town = town(json!({"stale_seconds": 30}), vec![SimHome::with(1_000.0, 0.8); 2]);
    town.pass(30, 1);
    town.home(1).talks = false;
    town.pass(31, 1);
    let begin = town.now;
    town.pass(1_000, 1);
    let silent: Vec<_> =
        town.wishes.iter().filter(|(at, wish)| *at > begin && wish.hem == hem("home-1")).collect();
    assert_eq!(silent, Vec::<&(i64, memcloud_domain::Wish)>::new());
    assert_eq!(town.home(1).battery, 0.0, "its lease has ended");
    assert_eq!(town.log, ["not steered for want of fresh readings: home-1"]);
    town.home(1).talks = true;
    town.pass(30, 1);
    assert_eq!(town.log[1], "fresh readings again of home-1");
    assert!(town.import().abs() <= 120.0);
}

#[test]
fn back_fill_steers_nothing() {
    let mut town = town(json!({}), vec![SimHome::with(1_000.0, 0.8)]);
    town.pass(30, 1);
    town.home(1).demand = 4_000.0;
    let mut old = town.entries();
    for (_, entries) in &mut old {
        for entry in entries {
            let memcloud_domain::Entry::Reading(reading) = entry else { panic!() };
            reading.ts.0 -= 3_600_000;
        }
    }
    town.home(1).demand = 1_000.0;
    let begin = town.now;
    town.now += 10_000;
    town.step(old);
    assert_eq!(town.powers_since(begin), Vec::<f64>::new());
}

#[test]
fn the_same_readings_again_change_nothing_and_a_restart_wishes_the_same_anew() {
    let mut town = town(json!({}), vec![SimHome::with(1_000.0, 0.8)]);
    town.pass(30, 1);
    let entries = town.entries();
    town.now += 5_000;
    town.step(entries.clone());
    assert_eq!(town.step(entries.clone()), memcloud_worker::Outcome::default());
    let last = town.wishes.last().unwrap().1.clone();
    town.restart();
    let outcome = town.step(entries);
    assert_eq!(outcome.wishes.len(), 1);
    assert_eq!(outcome.wishes[0].setting, last.setting);
}

#[test]
fn a_day_is_reported_for_each_home() {
    let mut town = town(json!({}), vec![SimHome::with(1_000.0, 0.9)]);
    town.pass(3_600, 1);
    town.pass(1_000, 1);
    let day = &town.results.values().next().unwrap();
    let discharged = day["discharged_wh"].as_f64().unwrap();
    assert!((900.0..1_300.0).contains(&discharged), "{day}");
}

#[test]
fn a_wrong_setting_is_refused_with_what_it_may_be() {
    for (setting, sentence) in [
        (json!({"min_soc": 1.5}), "min_soc is 1.5; it may be 0 to 1"),
        (json!({"min_soc": 0.5, "max_soc": 0.4}), "max_soc is 0.4; it may be 0.5 to 1"),
        (json!({"lease_seconds": 1}), "lease_seconds is 1; it may be 60 to 86400"),
        (
            json!({"homes": {"home-1": {"reserve_soc": 2}}}),
            "homes.home-1.reserve_soc is 2; it may be 0 to 1",
        ),
    ] {
        let error = SelfConsumption::new(serde_json::from_value(setting).unwrap()).unwrap_err();
        assert_eq!(error, sentence);
    }
}

fn room() -> impl Strategy<Value = Room> {
    (0.0..10_000.0_f64, 0.0..10_000.0_f64, 0.0..20_000.0_f64, 0.0..20_000.0_f64).prop_map(
        |(charge_watts, discharge_watts, charge_wh, discharge_wh)| Room {
            charge_watts,
            discharge_watts,
            charge_wh,
            discharge_wh,
        },
    )
}

proptest! {
    /// Whatever was measured and told: no battery is wished beyond what it can do, and all pull the
    /// same way.
    #[test]
    fn no_wish_leaves_a_batterys_room(
        grid_watts in -1e5..1e5_f64,
        batteries in prop::collection::vec((room(), -1e4..1e4_f64, prop::option::of(-1e4..1e4_f64)), 1..5),
        ramp_watts in 1.0..1e5_f64,
        deadband_watts in 0.0..500.0_f64,
        anew: bool,
    ) {
        let situation = Situation {
            grid_watts,
            target_watts: 0.0,
            battery_watts: batteries.iter().map(|(_, watts, _)| *watts).collect(),
            told_watts: batteries.iter().map(|(.., told)| *told).collect(),
            rooms: batteries.iter().map(|(room, ..)| *room).collect(),
            ramp_watts,
            deadband_watts,
            anew,
        };
        let decision = situation.decide();
        for (watts, (room, ..)) in decision.watts.iter().zip(&batteries) {
            prop_assert!((-room.discharge_watts - 1e-5..=room.charge_watts + 1e-5).contains(watts));
        }
    }

    /// Whatever the demand does, the loop never makes the import or export worse than without a
    /// battery, once a change has settled, and the charge stays in its window.
    #[test]
    fn the_closed_loop_settles(
        demands in prop::collection::vec(-8_000.0..8_000.0_f64, 1..12),
        soc in 0.1..1.0_f64,
    ) {
        let mut town = town(json!({"min_soc": 0.1}), vec![SimHome::with(0.0, soc)]);
        for demand in demands {
            town.home(1).demand = demand;
            town.pass(40, 1);
            prop_assert!(town.import().abs() <= demand.abs() + 70.0, "{} of {demand}", town.import());
            prop_assert!((0.095..=1.0).contains(&town.home(1).soc));
        }
        for (_, wish) in &town.wishes {
            prop_assert!(watts_of(wish).unwrap().abs() <= POWER);
        }
    }
}
