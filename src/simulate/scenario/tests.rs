//! What a person gets wrong in a scenario, and is told.

use super::*;

const GOOD: &str = r#"
title = "A day"
start = "2026-06-21"
days = 1

[homes]
count = 7
only = [1, 7]
battery_wh = 10000
pv_watts = 6000
each = [{ home = 7, battery_wh = 0 }]

[tariff]
source = "example values"
import = { time_of_use = { otherwise = 0.2, periods = [{ from = "16:00", to = "21:00", per_kwh = 0.5 }] } }
export = { flat = 0.05 }
carbon = "data"

[[jobs]]
app = "limit-watch"
configuration = { limit_watts = 8000 }

[[events]]
kind = "outage"
homes = [7]
from = "2026-06-21T10:00"
for = "2h"

[[events]]
kind = "island"
from = "2026-06-21T18:00:00-07:00"
for = "90m"
source_watts = 3000
"#;

fn read(text: &str) -> Result<Scenario, String> {
    let overrides = Overrides::default();
    Scenario::parse(text, Path::new("."), overrides, &AppCatalogue::standard())
        .map_err(|error| error.to_string())
}

#[test]
fn a_scenario_says_what_is_simulated() {
    let scenario = read(GOOD).unwrap();
    assert_eq!(scenario.from.to_string(), "2026-06-21T07:00:00.000Z");
    assert_eq!(scenario.until.since(scenario.from), Duration::from_hours(24));
    let homes: Vec<(&str, f64, f64)> = scenario
        .homes
        .iter()
        .map(|home| {
            let profile = &home.profile;
            let pv = profile.pv_rated().value();
            (home.hem.as_str(), profile.battery().capacity_wh(), pv)
        })
        .collect();
    assert_eq!(homes.len(), 2);
    assert_eq!((homes[0].0, homes[0].1), ("home-1", 10_000.0));
    assert_eq!((homes[1].0, homes[1].1), ("home-7", 0.0), "its own size wins");
    assert!(homes.iter().all(|(_, _, pv)| (pv - 6_000.0).abs() < 1e-6), "{homes:?}");
    let at = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().to_utc().into();
    let noon = at("2026-06-21T11:59:00-07:00");
    assert!(scenario.timeline.is_linked(0, noon) && !scenario.timeline.is_linked(1, noon));
    assert!(scenario.timeline.is_linked(1, at("2026-06-21T12:00:00-07:00")));
    let island = scenario.timeline.island(at("2026-06-21T19:29:00-07:00")).unwrap();
    assert_eq!(island.source_watts, 3_000.0);
}

#[test]
fn a_day_on_which_clocks_change_is_as_long_as_it_is() {
    let spring = GOOD.replace("2026-06-21\"", "2026-03-08\"").replace("[[events]]", "[[event]]");
    let without_events = spring.split("[[event]]").next().unwrap();
    let scenario = read(without_events).unwrap();
    assert_eq!(scenario.until.since(scenario.from), Duration::from_hours(23));
}

#[test]
fn fewer_days_on_the_command_line_leave_later_events_out() {
    let week = GOOD.replace("days = 1", "days = 7").replace("2026-06-21T10:00", "2026-06-25T10:00");
    let overrides = Overrides { days: Some(1), seed: Some(9) };
    let scenario =
        Scenario::parse(&week, Path::new("."), overrides, &AppCatalogue::standard()).unwrap();
    assert_eq!(scenario.until.since(scenario.from), Duration::from_hours(24));
    assert_eq!(scenario.seed, 9);
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_is_allowed() {
    for (from, to, place, allowed) in [
        ("days = 1", "day = 1", "line 4", "expected one of `title`, `start`, `days`"),
        ("count = 7", "size = 7", "line 7, at `homes.size`", "expected one of `data`, `count`"),
        ("count = 7", "count = \"many\"", "line 7, at `homes.count`", "expected usize"),
        ("count = 7", "count = 0", "`homes.count`", "1 to 1000"),
        ("only = [1, 7]", "only = [1, 8]", "`homes.only`", "there are 1 to 7"),
        ("home = 7, b", "home = 9, b", "`homes.each[0].home`", "1 to 7"),
        ("pv_watts = 6000", "pv_watts = -1", "`homes.pv_watts`", "0 to 100000"),
        ("pv_watts = 6000", "battery_rule = \"float\"", "line 10", "`rest` or `self-consumption`"),
        ("start = \"2026-06-21\"", "start = \"midsummer\"", "`start`", "2026-06-21T14:00"),
        ("days = 1", "days = 0", "`days`", "1 to 3660"),
        ("days = 1", "days = 1\nstep = \"7m\"", "`step`", "goes into 15 minutes"),
        ("source = \"example values\"", "", "`tariff`", "missing field `source`"),
        ("carbon = \"data\"", "carbon = \"guess\"", "`tariff.carbon`", "expected one of `data`"),
        ("carbon = \"data\"", "carbon = { by_hour = [1.0] }", "`tariff.carbon`", "needs 24"),
        ("from = \"16:00\"", "from = \"4 pm\"", "periods[0]", "HH:MM"),
        ("app = \"limit-watch\"", "app = \"limit\"", "`jobs[0]`", "there are energy-accounting"),
        ("limit_watts = 8000", "limit = 8000", "`jobs[0]`", "expected one of"),
        ("kind = \"island\"", "kind = \"storm\"", "`events[1].kind`", "`outage` or `island`"),
        ("source_watts = 3000", "", "`events[1]", "missing field `source_watts`"),
        ("homes = [7]", "homes = [2]", "`events[0].homes`", "there are home-1, home-7"),
        ("for = \"2h\"", "for = \"100s\"", "`events[0]`", "begin and end on a step"),
        ("2026-06-21T10:00", "2026-07-21T10:00", "`events[0]`", "outside of what is simulated"),
        ("title = \"A day\"", "title = \"A day", "line 2", ""),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let error = read(&GOOD.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(place) && error.contains(allowed), "{to}: {error}");
    }
}

#[test]
fn data_that_is_not_there_is_named_with_what_may_be() {
    let error = read(&GOOD.replace("count = 7", "data = \"nowhere.csv\"\ncount = 7")).unwrap_err();
    assert!(error.contains("`homes.data`") && error.contains("fontana-homes.csv"), "{error}");
}
