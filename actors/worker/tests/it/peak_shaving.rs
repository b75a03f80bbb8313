//! A community's import stays under its limit, by everyone's fair share.

use memcloud_domain::{NodeId, PowerLimits, Setting, Watts};
use memcloud_worker::PeakShaving;
use memcloud_worker::apps::peak_shaving::{Aim, Plan, Purpose, Unit};
use memcloud_worker::apps::steering::Room;
use memcloud_worker::{EnergyApp, Outcome};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::homes::{CAPACITY, POWER, SimHome, SimLoad, Town};
use crate::support::hem;

fn town(configuration: Value, homes: Vec<SimHome>) -> Town<PeakShaving> {
    Town::new(configuration, PowerLimits::default(), homes)
}

fn load(priority: i32, demand: f64) -> SimLoad {
    SimLoad { priority, critical: false, demand, on: true }
}

fn limit(watts: f64) -> Value {
    json!({"import_limit_watts": watts, "every_seconds": 1, "shed_after_seconds": 5})
}

#[test]
fn the_import_is_held_under_its_limit_by_the_energy_that_each_has() {
    let mut town =
        town(limit(10_000.0), vec![SimHome::with(7_000.0, 0.9), SimHome::with(7_000.0, 0.5)]);
    town.pass(20, 1);
    assert!(town.import() <= 10_000.0, "{}", town.import());
    assert!(town.import() >= 9_500.0, "no more than needed: {}", town.import());
    let (full, half) = (town.home(1).battery, town.home(2).battery);
    assert!((full / half - 2.0).abs() < 0.05, "0.8 and 0.4 above the least: {full} {half}");
}

#[test]
fn the_microgrids_own_limit_holds_where_the_job_has_none() {
    let limits = PowerLimits { import_watts: Some(Watts(5_000.0)), export_watts: None };
    let homes = vec![SimHome::with(8_000.0, 0.9)];
    let mut town: Town<PeakShaving> = Town::new(json!({}), limits, homes);
    town.pass(30, 1);
    assert!(town.import() <= 5_000.0, "{}", town.import());
}

#[test]
fn without_any_limit_nothing_is_wished_and_that_is_said_once() {
    let mut town = town(json!({}), vec![SimHome::with(8_000.0, 0.9)]);
    town.pass(200, 1);
    assert!(town.wishes.is_empty());
    assert_eq!(town.log.len(), 1, "{:?}", town.log);
}

#[test]
fn a_constant_peak_needs_no_new_wishes_but_for_the_leases() {
    let mut town = town(limit(10_000.0), vec![SimHome::with(6_000.0, 0.95); 2]);
    town.pass(30, 1);
    let begin = town.now;
    town.pass(600, 1);
    assert!(town.import() <= 10_000.0);
    assert!(town.powers_since(begin).len() <= 2 * 5, "{:?}", town.powers_since(begin));
}

#[test]
fn batteries_are_made_ready_while_there_is_room_and_no_further() {
    let mut town =
        town(limit(10_000.0), vec![SimHome::with(2_000.0, 0.3), SimHome::with(2_000.0, 0.5)]);
    let mut greatest = 0.0_f64;
    for _ in 0..2_000 {
        town.pass(1, 5);
        greatest = greatest.max(town.import());
    }
    assert!(greatest <= 8_000.0 + 20.0, "up to the share of the limit: {greatest}");
    for number in [1, 2] {
        let soc = town.home(number).soc;
        assert!((0.88..=0.905).contains(&soc), "{soc}");
    }
    // What is left over goes in as well.
    town.home(1).demand = -4_000.0;
    town.pass(3_000, 5);
    assert!(town.home(1).soc > 0.97, "{}", town.home(1).soc);
}

#[test]
fn what_flickers_does_not_move_batteries_that_are_made_ready() {
    let mut town = town(limit(10_000.0), vec![SimHome::with(2_000.0, 0.3); 2]);
    town.pass(30, 1);
    let begin = town.now;
    for second in 0..300 {
        town.home(1).demand = if second % 2 == 0 { 1_600.0 } else { 2_200.0 };
        town.pass(1, 1);
    }
    let told = town.powers_since(begin);
    assert!(told.len() <= 8, "{told:?}");
}

#[test]
fn where_batteries_do_not_suffice_loads_go_by_priority_and_come_back_one_at_a_time() {
    let mut home = SimHome::with(4_000.0, 0.1);
    home.loads = vec![
        load(30, 2_000.0),
        load(20, 2_000.0),
        load(60, 3_000.0),
        SimLoad { critical: true, ..load(1, 1_000.0) },
    ];
    let mut town = town(limit(9_000.0), vec![home]);
    town.pass(60, 1);
    let on: Vec<bool> = town.home(1).loads.iter().map(|load| load.on).collect();
    assert_eq!(on, [false, false, true, true], "{:?}", town.log);
    assert!(town.import() <= 9_000.0);
    let shed = town.results.keys().filter(|(kind, ..)| kind == "load-shed").count();
    assert_eq!(shed, 2);

    // Room for one of them, but not before its least time is over.
    town.home(1).demand = 2_000.0;
    town.pass(200, 1);
    assert!(!town.home(1).loads[0].on);
    town.pass(200, 1);
    let on: Vec<bool> = town.home(1).loads.iter().map(|load| load.on).collect();
    assert_eq!(on, [true, false, true, true], "the more important one: {:?}", town.log);
    town.home(1).demand = 0.0;
    town.pass(100, 1);
    assert!(town.home(1).loads[1].on);
    let ended = town.results.values().filter(|body| body["how"] == "restored").count();
    assert_eq!(ended, 2);
}

#[test]
fn a_load_does_not_flap_under_a_constant_demand() {
    let mut home = SimHome::with(8_000.0, 0.1);
    home.loads = vec![load(20, 3_000.0)];
    let mut town = town(limit(10_000.0), vec![home]);
    town.pass(7_200, 1);
    let switched: Vec<_> = town
        .wishes
        .iter()
        .filter(|(_, wish)| wish.setting == Setting::Switch { on: true })
        .collect();
    assert!(switched.is_empty(), "{switched:?}");
    let off = town.wishes.iter().filter(|(_, wish)| wish.node == NodeId(10)).count();
    assert!(off <= 7_200 / 150 + 2, "{off}");
}

#[test]
fn the_export_is_held_too() {
    let configuration = json!({"export_limit_watts": 3_000, "every_seconds": 1});
    let mut town =
        town(configuration, vec![SimHome::with(-4_000.0, 0.3), SimHome::with(-3_000.0, 0.3)]);
    town.pass(30, 1);
    assert!(town.import() >= -3_000.0, "{}", town.import());
    assert!(town.import() <= -2_800.0, "{}", town.import());
}

#[test]
fn batteries_are_left_to_others_between_peaks_if_so_configured() {
    let configuration = json!({
        "import_limit_watts": 5_000, "every_seconds": 1, "between_peaks": "leave_to_others",
        "release_seconds": 60,
    });
    let mut town = town(configuration, vec![SimHome::with(3_000.0, 0.9)]);
    town.pass(100, 1);
    assert!(town.wishes.is_empty());
    town.home(1).demand = 7_000.0;
    town.pass(100, 1);
    assert!(town.import() <= 5_000.0);
    town.home(1).demand = 3_000.0;
    town.pass(50, 1);
    assert!(town.withdrawn.is_empty(), "not yet");
    town.pass(20, 1);
    assert_eq!(town.withdrawn.len(), 1);
    let begin = town.now;
    town.pass(100, 1);
    assert!(town.powers_since(begin).is_empty());
}

#[test]
fn others_take_the_share_of_a_battery_that_does_not_obey() {
    let mut town = town(limit(10_000.0), vec![SimHome::with(6_000.0, 0.9); 2]);
    town.home(1).obeys = false;
    town.pass(120, 1);
    assert!(town.import() <= 10_000.0, "{}", town.import());
    assert!(
        town.log.iter().any(|line| line.contains("do not discharge as told")),
        "{:?}",
        town.log
    );
    // It is tried again later.
    town.home(1).obeys = true;
    town.pass(600, 1);
    assert!(town.home(1).battery < -500.0, "{}", town.home(1).battery);
}

#[test]
fn a_battery_whose_readings_come_once_a_minute_is_not_taken_for_one_that_does_not_obey() {
    let configuration = json!({"import_limit_watts": 10_000});
    let mut town = town(configuration, vec![SimHome::with(6_000.0, 0.95); 2]);
    // Between two readings there are steps by the clock.
    let pass_a_minute = |town: &mut Town<PeakShaving>| {
        town.pass(1, 10);
        for _ in 0..5 {
            town.now += 10_000;
            town.step(vec![]);
        }
    };
    for minute in 0..10_i32 {
        town.home(1).demand = 6_000.0 + 100.0 * f64::from(minute);
        pass_a_minute(&mut town);
    }
    assert!(town.log.is_empty(), "{:?}", town.log);
    // And one that does not is found out all the same.
    town.home(1).obeys = false;
    for _ in 0..5 {
        pass_a_minute(&mut town);
    }
    assert!(town.log[0].contains("do not discharge as told"), "{:?}", town.log);
}

#[test]
fn when_too_many_homes_are_silent_nothing_is_wished_and_that_is_said_once() {
    let mut home = SimHome::with(9_000.0, 0.1);
    home.loads = vec![load(20, 3_000.0)];
    let mut town = town(limit(10_000.0), vec![home, SimHome::with(500.0, 0.1)]);
    town.pass(60, 1);
    assert!(!town.home(1).loads[0].on);
    town.home(1).talks = false;
    town.home(2).talks = false;
    town.pass(121, 1);
    let begin = town.now;
    town.pass(1_000, 1);
    assert!(town.wishes.iter().all(|(at, _)| *at <= begin));
    assert!(town.home(1).loads[0].on, "its lease has ended");
    let blind = |town: &Town<PeakShaving>| {
        town.log.iter().filter(|line| line.contains("cannot be judged")).count()
    };
    assert_eq!(blind(&town), 1, "{:?}", town.log);
    town.home(1).talks = true;
    town.home(2).talks = true;
    town.pass(60, 1);
    assert!(town.import() <= 10_000.0);
}

#[test]
fn one_silent_home_counts_with_its_last_import_and_its_battery_is_left_alone() {
    let mut town = town(limit(10_000.0), vec![SimHome::with(5_000.0, 0.9); 3]);
    town.pass(30, 1);
    town.home(3).talks = false;
    town.pass(140, 1);
    let begin = town.now;
    town.pass(200, 1);
    let silent =
        |(at, wish): &&(i64, memcloud_domain::Wish)| *at > begin && wish.hem == hem("home-3");
    assert_eq!(town.wishes.iter().filter(silent).count(), 0);
    assert!(town.import() <= 10_000.0 + 1_700.0, "{}", town.import());
}

#[test]
fn the_same_readings_again_change_nothing_and_a_restart_goes_on() {
    let mut home = SimHome::with(9_000.0, 0.1);
    home.loads = vec![load(20, 3_000.0)];
    let mut town = town(limit(10_000.0), vec![home, SimHome::with(0.0, 0.6)]);
    town.pass(60, 1);
    let entries = town.entries();
    town.now += 1_000;
    town.step(entries.clone());
    assert_eq!(town.step(entries.clone()), Outcome::default());
    let off = town.home(1).loads[0].on;
    town.restart();
    town.pass(100, 1);
    assert_eq!(town.home(1).loads[0].on, off, "what is shed stays shed");
    assert!(town.import() <= 10_000.0);
}

#[test]
fn a_days_peak_is_reported_with_what_it_would_have_been() {
    let mut town = town(limit(10_000.0), vec![SimHome::with(6_000.0, 0.95); 2]);
    town.pass(700, 1);
    let day = town.results.iter().find(|((kind, ..), _)| kind == "peak-day").unwrap().1;
    assert!((day["without_control_watts"].as_f64().unwrap() - 12_000.0).abs() < 1.0, "{day}");
    assert!(day["discharged_wh"].as_f64().unwrap() > 100.0, "{day}");
}

#[test]
fn a_wrong_setting_is_refused_with_what_it_may_be() {
    for (setting, sentence) in [
        (json!({"import_limit_watts": -1}), "import_limit_watts is -1; it may be 0 to 1000000000"),
        (json!({"margin": 0.9}), "margin is 0.9; it may be 0 to 0.5"),
        (json!({"every_seconds": 0}), "every_seconds is 0; it may be 1 to 3600"),
    ] {
        let error = PeakShaving::new(serde_json::from_value(setting).unwrap()).unwrap_err();
        assert_eq!(error, sentence);
    }
}

fn unit() -> impl Strategy<Value = Unit> {
    let half = (0.0..8_000.0_f64, 1.0..20_000.0_f64);
    (half.clone(), half, 0.0..1.0_f64, prop::option::of(-8_000.0..8_000.0_f64)).prop_map(
        |((charge_watts, charge_wh), (discharge_watts, discharge_wh), ready, told_watts)| {
            let room = Room { charge_watts, discharge_watts, charge_wh, discharge_wh };
            let to_ready =
                Room { charge_watts: charge_watts * ready, charge_wh: charge_wh * ready, ..room };
            Unit { told_watts, room, to_ready }
        },
    )
}

proptest! {
    /// Whatever the community draws: no battery beyond what it can do, the excess is covered where the
    /// batteries can, none works against the others, and charging never makes an excess.
    #[test]
    fn a_plan_covers_what_can_be_covered_and_asks_nobody_for_more_than_they_can(
        residual in -1e5..1e5_f64,
        units in prop::collection::vec(unit(), 0..40),
        import in prop::option::of(0.0..5e4_f64),
        export in prop::option::of(0.0..5e4_f64),
        holds_ready: bool,
        anew: bool,
    ) {
        let aim = Aim {
            import_watts: import,
            export_watts: export,
            recharge_watts: import.filter(|_| holds_ready).map(|limit| limit * 0.8),
            deadband_watts: 100.0,
        };
        let plan = Plan::make(residual, &units, &aim, anew);
        prop_assert_eq!(plan.watts.len(), units.len());
        for (watts, unit) in plan.watts.iter().zip(&units) {
            let room = unit.room;
            prop_assert!((-room.discharge_watts - 1e-5..=room.charge_watts + 1e-5).contains(watts));
        }
        let total: f64 = plan.watts.iter().sum();
        let steps = 10.0 * units.len() as f64;
        let discharge: f64 = units.iter().map(|unit| (unit.room.discharge_watts / 10.0).floor() * 10.0).sum();
        if let Some(limit) = import {
            let over = residual - limit;
            if over > 0.0 {
                prop_assert_eq!(plan.purpose, Purpose::Shaving);
                let left = residual + total - limit;
                prop_assert!(left <= (over - discharge).max(0.0) + 100.0 + 1e-6, "{left} of {over}");
                prop_assert!(total <= 100.0);
            } else {
                prop_assert!(residual + total <= limit + 100.0 + 1e-6 || export.is_some());
                prop_assert!(plan.uncovered_watts == 0.0);
            }
        }
        if import.is_none() && export.is_none() {
            prop_assert!(total.abs() <= 100.0 + steps);
        }
    }

    /// Fair: batteries alike are told alike, to the step.
    #[test]
    fn batteries_alike_bear_alike(
        residual in 0.0..5e4_f64,
        one in unit(),
        count in 2_usize..10,
    ) {
        let units = vec![Unit { told_watts: None, ..one }; count];
        let aim = Aim { import_watts: Some(10_000.0), deadband_watts: 100.0, ..Aim::default() };
        let plan = Plan::make(residual, &units, &aim, false);
        for watts in &plan.watts {
            prop_assert!((watts - plan.watts[0]).abs() <= 10.0);
        }
    }

    /// The closed loop: whatever demands come, once settled the import is under the limit wherever the
    /// batteries can see to it, critical loads are never shed, and no wish leaves the declared limits.
    #[test]
    fn the_closed_loop_holds_the_limit(
        demands in prop::collection::vec(prop::collection::vec(-3_000.0..6_000.0_f64, 3), 1..8),
        socs in prop::collection::vec(0.1..1.0_f64, 3),
    ) {
        let homes = socs.iter().map(|soc| {
            let mut home = SimHome::with(0.0, *soc);
            home.loads = vec![load(20, 1_500.0), SimLoad { critical: true, ..load(0, 500.0) }];
            home
        });
        let mut town = town(limit(8_000.0), homes.collect());
        for of_homes in demands {
            for (number, demand) in (1..).zip(&of_homes) {
                town.home(number).demand = *demand;
            }
            town.pass(60, 1);
            let can: f64 = town
                .homes
                .values()
                .map(|home| ((home.soc - 0.11) * CAPACITY * 30.0).clamp(0.0, POWER))
                .sum();
            let always: f64 = of_homes.iter().map(|demand| demand + 500.0).sum();
            prop_assert!(
                town.import() <= 8_000.0_f64.max(always - can) + 60.0,
                "{} of {always}, can {can}: {:?}", town.import(), town.log
            );
        }
        for (_, wish) in &town.wishes {
            match wish.setting {
                Setting::Power { watts } => prop_assert!(watts.value().abs() <= POWER),
                Setting::Switch { on } => prop_assert!(on || wish.node == NodeId(10)),
                Setting::Limit { .. } => prop_assert!(false),
            }
        }
    }
}
