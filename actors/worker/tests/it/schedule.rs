//! Nodes are on and off by the clock of the place where they are.

use chrono::{NaiveDate, NaiveTime, Weekday};
use chrono_tz::Tz;
use memcloud_domain::{NodeId, PowerLimits, Setting, Timestamp};
use memcloud_worker::apps::schedule::{Switching, Timetable, instant_of};
use memcloud_worker::{EnergyApp, Schedule};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::homes::{SimHome, SimLoad, Town};
use crate::support::{at, hem};

const ZURICH: Tz = chrono_tz::Europe::Zurich;

fn time(text: &str) -> NaiveTime {
    NaiveTime::parse_from_str(text, "%H:%M").unwrap()
}

fn every_day() -> Vec<Weekday> {
    let mut days = vec![Weekday::Mon];
    days.extend((1..7).scan(Weekday::Mon, |day, _| {
        *day = day.succ();
        Some(*day)
    }));
    days
}

fn nightly() -> Timetable {
    let off = Switching { at: time("22:00"), days: every_day(), on: false };
    let on = Switching { at: time("06:00"), days: every_day(), on: true };
    Timetable::new(vec![off, on]).unwrap()
}

fn on_at(timetable: &Timetable, zone: Tz, moment: &str) -> bool {
    timetable.at(Timestamp(at(moment)), zone).unwrap().on
}

#[test]
fn the_last_switching_holds_until_the_next_over_midnight_too() {
    let timetable = nightly();
    for (moment, on) in [
        ("2026-07-01T05:59:59+02:00", false),
        ("2026-07-01T06:00:00+02:00", true),
        ("2026-07-01T21:59:59+02:00", true),
        ("2026-07-01T22:00:00+02:00", false),
        ("2026-07-02T00:30:00+02:00", false),
    ] {
        assert_eq!(on_at(&timetable, ZURICH, moment), on, "{moment}");
    }
    let slot = timetable.at(Timestamp(at("2026-07-01T23:00:00+02:00")), ZURICH).unwrap();
    assert_eq!(slot.from.0, at("2026-07-01T22:00:00+02:00"));
    assert_eq!(slot.until.0, at("2026-07-02T06:00:00+02:00"));
}

#[test]
fn a_switching_on_a_single_day_holds_all_week() {
    let monday = Switching { at: time("08:00"), days: vec![Weekday::Mon], on: true };
    let timetable = Timetable::new(vec![monday]).unwrap();
    // 2026-07-06 is a Monday.
    let slot = timetable.at(Timestamp(at("2026-07-06T07:59:00+02:00")), ZURICH).unwrap();
    assert_eq!(slot.from.0, at("2026-06-29T08:00:00+02:00"));
    assert_eq!(slot.until.0, at("2026-07-06T08:00:00+02:00"));
    let nothing = Switching { at: time("08:00"), days: vec![], on: true };
    assert_eq!(Timetable::new(vec![nothing]), None);
}

#[test]
fn a_local_time_that_does_not_come_means_the_end_of_the_gap() {
    let date = NaiveDate::from_ymd_opt(2026, 3, 29).unwrap();
    for text in ["02:00", "02:07", "02:30", "02:59"] {
        let moment = instant_of(ZURICH, date, time(text));
        assert_eq!(moment.0, at("2026-03-29T03:00:00+02:00"), "{text}");
    }
    assert_eq!(instant_of(ZURICH, date, time("01:59")).0, at("2026-03-29T01:59:00+01:00"));
    assert_eq!(instant_of(ZURICH, date, time("03:00")).0, at("2026-03-29T03:00:00+02:00"));
    // Half an hour forward, on Lord Howe Island.
    let date = NaiveDate::from_ymd_opt(2026, 10, 4).unwrap();
    let moment = instant_of(chrono_tz::Australia::Lord_Howe, date, time("02:10"));
    assert_eq!(moment.0, at("2026-10-04T02:30:00+11:00"));
    // A whole day that Samoa skipped.
    let date = NaiveDate::from_ymd_opt(2011, 12, 30).unwrap();
    let moment = instant_of(chrono_tz::Pacific::Apia, date, time("12:00"));
    assert_eq!(moment.0, at("2011-12-31T00:00:00+14:00"));
}

#[test]
fn a_local_time_that_comes_twice_means_its_first_coming() {
    let date = NaiveDate::from_ymd_opt(2026, 10, 25).unwrap();
    assert_eq!(instant_of(ZURICH, date, time("02:30")).0, at("2026-10-25T02:30:00+02:00"));
    let once = Switching { at: time("02:30"), days: every_day(), on: true };
    let off = Switching { at: time("02:45"), days: every_day(), on: false };
    let timetable = Timetable::new(vec![once, off]).unwrap();
    assert!(on_at(&timetable, ZURICH, "2026-10-25T02:40:00+02:00"));
    assert!(!on_at(&timetable, ZURICH, "2026-10-25T02:40:00+01:00"), "it is not switched twice");
}

#[test]
fn of_two_switchings_in_a_gap_the_later_local_time_counts() {
    let off = Switching { at: time("02:45"), days: every_day(), on: false };
    let on = Switching { at: time("02:15"), days: every_day(), on: true };
    let timetable = Timetable::new(vec![off, on]).unwrap();
    assert!(!on_at(&timetable, ZURICH, "2026-03-29T03:00:00+02:00"));
}

fn load() -> SimLoad {
    SimLoad { priority: 30, critical: false, demand: 2_000.0, on: true }
}

/// One home whose node 10 is off from 12:30 to 13:00 in Zurich; it is 12:00 there.
fn town(configuration: Value) -> Town<Schedule> {
    let mut home = SimHome::with(500.0, 0.5);
    home.loads = vec![load(), SimLoad { critical: true, ..load() }];
    Town::new(configuration, PowerLimits::default(), vec![home])
}

fn lunch() -> Value {
    json!({"schedules": [{"node": 10, "times": [
        {"at": "12:30", "on": false}, {"at": "13:00", "on": true},
    ]}]})
}

#[test]
fn a_node_is_switched_at_its_local_times_and_readings_prove_it() {
    let mut town = town(lunch());
    town.pass(1_799, 1);
    assert!(town.home(1).loads[0].on);
    town.pass(2, 1);
    assert!(!town.home(1).loads[0].on);
    town.pass(1_798, 1);
    assert!(!town.home(1).loads[0].on);
    town.pass(2, 1);
    assert!(town.home(1).loads[0].on);
    town.pass(20, 1);
    let from = at("2026-07-01T12:30:00+02:00");
    let switching = &town.results[&("switching".into(), "home-1/10".into(), from)];
    assert_eq!(switching["on"], false);
    assert!(switching["after_seconds"].as_u64().unwrap() <= 10, "{switching}");
    assert!(town.log.is_empty(), "{:?}", town.log);
}

#[test]
fn between_switchings_it_wishes_only_to_keep_its_lease() {
    let mut town = town(lunch());
    town.pass(1_500, 1);
    assert!(town.wishes.len() <= 1_500 / 300 + 1, "{}", town.wishes.len());
}

#[test]
fn what_readings_show_otherwise_is_told_again_and_said_once() {
    let mut town = town(lunch());
    town.pass(1_900, 1);
    assert!(!town.home(1).loads[0].on);
    town.home(1).loads[0].on = true;
    town.pass(29, 1);
    assert!(town.home(1).loads[0].on);
    town.pass(6, 1);
    assert!(!town.home(1).loads[0].on, "{:?}", town.log);
    assert_eq!(town.log.len(), 1, "{:?}", town.log);
    town.pass(20, 1);
    // One that never obeys is told again only now and then.
    let begin = town.now;
    for _ in 0..1_000 {
        town.home(1).loads[0].on = true;
        town.pass(1, 1);
    }
    let told = town.withdrawn.iter().filter(|(at, ..)| *at > begin).count();
    assert!((2..=4).contains(&told), "{told}");
    assert_eq!(town.log.len(), 2, "{:?}", town.log);
}

#[test]
fn with_a_reading_a_minute_a_switching_is_no_drift() {
    let mut town = town(lunch());
    town.pass(90, 60);
    assert!(town.log.is_empty(), "{:?}", town.log);
    assert!(town.withdrawn.is_empty());
}

#[test]
fn a_critical_node_is_never_switched_off_and_one_that_is_not_there_is_named() {
    let mut town = town(json!({"schedules": [
        {"node": 11, "times": [{"at": "00:00", "on": false}]},
        {"node": 10, "hems": ["home-9"], "times": [{"at": "00:00", "on": false}]},
        {"node": 2, "times": [{"at": "00:00", "on": false}]},
    ]}));
    town.pass(60, 1);
    assert!(town.wishes.is_empty());
    assert_eq!(
        town.log,
        [
            "node 10 of home-9 is not switched: there is no such node",
            "node 2 of home-1 is not switched: it has no switch",
            "node 11 of home-1 is not switched: it is critical and never switched off",
        ]
    );
}

#[test]
fn a_home_that_is_named_goes_by_its_own_schedule() {
    let mut town = town(json!({"schedules": [
        {"node": 10, "times": [{"at": "00:00", "on": false}]},
        {"node": 10, "hems": ["home-1"], "times": [{"at": "00:00", "on": true}]},
    ]}));
    town.pass(30, 1);
    assert!(town.wishes.iter().all(|(_, wish)| wish.setting == Setting::Switch { on: true }));
    assert_eq!(town.wishes.len(), 1);
}

#[test]
fn of_a_silent_home_nothing_is_wished_until_it_is_back() {
    let mut town = town(lunch());
    town.pass(60, 1);
    town.home(1).talks = false;
    town.pass(125, 1);
    let begin = town.now;
    town.pass(1_000, 1);
    assert!(town.wishes.iter().all(|(at, _)| *at <= begin));
    town.pass(1_000, 1);
    town.home(1).talks = true;
    town.pass(5, 1);
    assert!(!town.home(1).loads[0].on, "what was missed is made good");
    assert_eq!(town.log.len(), 2, "{:?}", town.log);
}

#[test]
fn a_restart_wishes_the_same_anew() {
    let mut town = town(lunch());
    town.pass(1_900, 1);
    town.restart();
    let before = town.wishes.len();
    town.pass(3, 1);
    assert_eq!(town.wishes.len(), before + 1);
    let (_, wish) = town.wishes.last().unwrap();
    assert_eq!((wish.node, wish.setting), (NodeId(10), Setting::Switch { on: false }));
    assert_eq!(wish.hem, hem("home-1"));
}

#[test]
fn a_wrong_setting_is_refused_with_what_it_may_be() {
    let times = json!([{"at": "06:00", "on": true}]);
    for (schedules, sentence) in [
        (
            json!([{"node": 1, "times": [{"at": "24:30", "on": true}]}]),
            "schedules[0].times: \"24:30\" is no time; write it like 06:30, from 00:00 to 23:59",
        ),
        (json!([{"node": 1, "times": []}]), "schedules[0].times is empty; it needs at least one"),
        (
            json!([{"node": 1, "times": times}, {"node": 1, "times": times}]),
            "schedules[1]: node 1 of every home has a schedule already",
        ),
        (
            json!([{"node": 1, "hems": ["a", "a"], "times": times}]),
            "schedules[0]: node 1 of a has a schedule already",
        ),
    ] {
        let setting = serde_json::from_value(json!({"schedules": schedules})).unwrap();
        assert_eq!(Schedule::new(setting).unwrap_err(), sentence);
    }
}

fn weekday() -> impl Strategy<Value = Weekday> {
    (0_u8..7).prop_map(|number| Weekday::try_from(number).unwrap())
}

fn timetable() -> impl Strategy<Value = Timetable> {
    let switching = (0_u32..24, 0_u32..60, prop::collection::vec(weekday(), 1..8), any::<bool>());
    prop::collection::vec(switching, 1..8).prop_map(|switchings| {
        let switchings = switchings
            .into_iter()
            .map(|(hour, minute, days, on)| Switching {
                at: NaiveTime::from_hms_opt(hour, minute, 0).unwrap(),
                days,
                on,
            })
            .collect();
        Timetable::new(switchings).unwrap()
    })
}

proptest! {
    /// In every zone, at any moment of fifty years: there is a slot, the moment lies in it, within it
    /// nothing else holds, and the next one follows without a gap.
    #[test]
    fn every_moment_lies_in_one_slot(
        timetable in timetable(),
        zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
        seconds in 1_000_000_000_i64..2_600_000_000,
        part in 0.0..1.0_f64,
    ) {
        let now = Timestamp(seconds * 1_000);
        let slot = timetable.at(now, zone).unwrap();
        prop_assert!(slot.from <= now && now < slot.until, "{slot:?}");
        let span = slot.until.since(slot.from).mul_f64(part);
        let within = slot.from.plus(span);
        prop_assert_eq!(timetable.at(within.min(Timestamp(slot.until.0 - 1)), zone), Some(slot));
        let next = timetable.at(slot.until, zone).unwrap();
        prop_assert_eq!(next.from, slot.until);
    }
}
