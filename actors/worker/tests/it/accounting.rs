//! What the books of a microgrid say, whatever order its readings come in.

use memcloud_domain::Entry;
use memcloud_worker::EnergyAccounting;
use memcloud_worker::EnergyApp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{
    BATTERY, Bench, GRID, LOAD, PV, at, counters, dated_ahead, entry, power, roster,
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;

fn bench(configuration: Value, homes: &[&str]) -> Bench<EnergyAccounting> {
    Bench::new(configuration, roster("Europe/Zurich", homes))
}

/// A reading per minute, from the first minute through the last: a load of 600 W, PV of 360 W, a
/// battery that charges with 60 W, so 300 W from the grid.
fn minutes(from: i64, first: i64, last: i64) -> Vec<Entry> {
    (first..=last).map(|minute| steady(from, minute)).collect()
}

fn steady(from: i64, minute: i64) -> Entry {
    let hours = minute as f64 / 60.0;
    let nodes = vec![
        counters(GRID, 0.0, 300.0 * hours),
        counters(PV, 0.0, 360.0 * hours),
        counters(BATTERY, 60.0 * hours, 0.0),
        counters(LOAD, 600.0 * hours, 0.0),
    ];
    entry(u64::try_from(minute).unwrap() + 1, from + minute * MINUTE, nodes)
}

fn near(body: &Value, field: &str, expected: f64) {
    let found = body[field].as_f64().unwrap_or_else(|| panic!("no {field} in {body}"));
    assert!((found - expected).abs() < 0.01, "{field} is {found}, not {expected}: {body}");
}

#[test]
fn an_hour_of_a_home_is_accounted_for_and_priced() {
    let start = at("2026-07-01T10:00:00+02:00");
    let configuration = json!({
        "currency": "CHF",
        "import": {"time_of_use": {"otherwise": 0.20, "periods": [
            {"from": "10:30", "to": "20:00", "per_kwh": 0.40},
        ]}},
        "export": {"flat": 0.10},
        "carbon": {"by_hour": (0..24).map(|hour| if hour == 10 { 100.0 } else { 0.0 }).collect::<Vec<_>>()},
    });
    let mut bench = bench(configuration, &["home-1"]);
    bench.step(start, vec![("home-1", minutes(start, 0, 120))]);
    let hour = bench.result("energy-hour", "home-1", start);
    near(hour, "consumption_wh", 600.0);
    near(hour, "generation_wh", 360.0);
    near(hour, "import_wh", 300.0);
    near(hour, "export_wh", 0.0);
    near(hour, "charged_wh", 60.0);
    near(hour, "self_sufficiency", 0.5);
    near(hour, "self_consumption", 1.0);
    near(hour, "import_cost", 0.15 * 0.20 + 0.15 * 0.40);
    near(hour, "carbon_g", 30.0);
    near(hour, "coverage", 1.0);
    assert_eq!(hour["estimated"], false);
    assert_eq!(hour["currency"], "CHF");
    let day = bench.result("energy-day", "home-1", at("2026-07-01T00:00:00+02:00"));
    near(day, "consumption_wh", 1_200.0);
    near(day, "import_cost", 0.15 * 0.20 + 0.45 * 0.40);
    near(day, "coverage", 2.0 / 24.0);
}

#[test]
fn a_clock_that_was_ahead_for_a_while_costs_no_energy_and_makes_none() {
    let start = at("2026-07-01T10:00:00+02:00");
    let mut bench = bench(json!({"open_hours": 1}), &["home-1"]);
    bench.step(start, vec![("home-1", minutes(start, 0, 10))]);
    bench.step(start, vec![("home-1", vec![dated_ahead(steady(start, 11), 20)])]);
    for first in (12..=1_320).step_by(60) {
        let now = start + (first + 60) * MINUTE;
        bench.step(now, vec![("home-1", minutes(start, first, first + 59))]);
    }
    near(bench.result("energy-hour", "home-1", start), "consumption_wh", 600.0);
    for hour in 0..22 {
        let from = start + hour * HOUR;
        near(bench.result("energy-hour", "home-1", from), "consumption_wh", 600.0);
    }
}

#[test]
fn what_no_home_can_measure_breaks_neither_the_books_nor_their_saved_state() {
    let start = at("2026-07-01T10:00:00+02:00");
    let mut bench = bench(json!({}), &["home-1"]);
    let mad = vec![power(LOAD, 1e306), counters(GRID, 1.7e308, 1e306)];
    let mut entries = minutes(start, 0, 30);
    entries.push(entry(32, start + 31 * MINUTE, mad));
    entries.extend(minutes(start, 32, 60));
    bench.step(start, vec![("home-1", entries)]);
    bench.step(start + HOUR, Vec::new());
    near(bench.result("energy-hour", "home-1", start), "import_wh", 300.0);
    near(bench.result("energy-hour", "home-1", start), "consumption_wh", 600.0);
}

#[test]
fn what_one_home_exports_and_another_imports_in_a_quarter_stays_in_the_microgrid() {
    let start = at("2026-07-01T10:00:00+02:00");
    let mut bench = bench(json!({"import": {"flat": 1.0}}), &["home-1", "home-2"]);
    let of = |exports: f64, imports: f64| -> Vec<Entry> {
        (0..=60)
            .map(|minute: i64| {
                let part = minute as f64 / 60.0;
                let nodes = vec![counters(GRID, exports * part, imports * part)];
                entry(u64::try_from(minute).unwrap() + 1, start + minute * MINUTE, nodes)
            })
            .collect()
    };
    bench.step(start, vec![("home-1", of(800.0, 0.0)), ("home-2", of(0.0, 1_000.0))]);
    let hour = bench.result("energy-hour", "microgrid", start);
    near(hour, "import_wh", 200.0);
    near(hour, "export_wh", 0.0);
    near(hour, "shared_wh", 800.0);
    near(hour, "import_cost", 0.2);
    near(bench.result("energy-hour", "home-1", start), "export_wh", 800.0);
    near(bench.result("energy-hour", "home-2", start), "import_cost", 1.0);
}

#[test]
fn late_readings_replace_the_results_of_the_hours_they_belong_to() {
    let start = at("2026-07-01T10:00:00+02:00");
    let mut bench = bench(json!({}), &["home-1"]);
    // The first hour and the fourth arrive; for the two between only the counters' ends are known.
    bench.step(start, vec![("home-1", minutes(start, 0, 30))]);
    let uneven = |minute: i64| {
        // In truth the load took everything in the third hour.
        let taken =
            if minute < 120 { 300.0 } else { 300.0 + (minute.min(180) - 120) as f64 * 20.0 };
        counters(LOAD, taken, 0.0)
    };
    let end = start + 4 * HOUR;
    let at_minute =
        |seq: u64, minute: i64| entry(seq, start + minute * MINUTE, vec![uneven(minute)]);
    bench.step(end, vec![("home-1", vec![at_minute(100, 240)])]);
    let third = start + 2 * HOUR;
    assert_eq!(bench.result("energy-hour", "home-1", third)["estimated"], true);
    let guessed = bench.result("energy-hour", "home-1", third)["consumption_wh"].as_f64().unwrap();
    assert!(guessed < 400.0, "shared out evenly: {guessed}");
    bench.step(
        end + 1_000,
        vec![("home-1", (30_i64..=240).map(|m| at_minute(m.unsigned_abs() + 200, m)).collect())],
    );
    let hour = bench.result("energy-hour", "home-1", third);
    near(hour, "consumption_wh", 1_200.0);
    assert_eq!(hour["estimated"], false);
    near(bench.result("energy-hour", "home-1", start + HOUR), "consumption_wh", 0.0);
    near(bench.result("energy-hour", "microgrid", third), "consumption_wh", 1_200.0);
    let day = bench.result("energy-day", "home-1", at("2026-07-01T00:00:00+02:00"));
    near(day, "consumption_wh", 1_500.0);
}

#[test]
fn days_with_23_and_25_hours_are_whole() {
    for (day, hours) in [("2026-03-29", 23_i64), ("2026-10-25", 25)] {
        let start = at(&format!("{day}T00:00:00{}", if hours == 23 { "+01:00" } else { "+02:00" }));
        let mut bench = bench(json!({}), &["home-1"]);
        bench.step(start, vec![("home-1", minutes(start, 0, hours * 60 + 30))]);
        let result = bench.result("energy-day", "home-1", start);
        near(result, "consumption_wh", 600.0 * hours as f64);
        near(result, "coverage", 1.0);
        let of_day = bench.results.keys().filter(|(kind, subject, from)| {
            kind == "energy-hour" && subject == "home-1" && *from < start + hours * HOUR
        });
        assert_eq!(i64::try_from(of_day.count()).unwrap(), hours);
    }
}

#[test]
fn power_without_counters_is_integrated_and_marked() {
    let start = at("2026-07-01T10:00:00+02:00");
    let mut bench = bench(json!({}), &["home-1"]);
    let entries = (0..=120)
        .map(|minute: i64| {
            let nodes = vec![power(GRID, -900.0), power(LOAD, 900.0)];
            entry(u64::try_from(minute).unwrap() + 1, start + minute * MINUTE, nodes)
        })
        .collect();
    bench.step(start, vec![("home-1", entries)]);
    let hour = bench.result("energy-hour", "home-1", start);
    near(hour, "consumption_wh", 900.0);
    near(hour, "import_wh", 900.0);
    assert_eq!(hour["estimated"], true);
}

#[test]
fn a_silent_hour_shows_in_the_coverage() {
    let start = at("2026-07-01T10:00:00+02:00");
    let mut bench = bench(json!({}), &["home-1"]);
    bench.step(start, vec![("home-1", minutes(start, 0, 30))]);
    bench.step(start + 3 * HOUR, vec![("home-1", minutes(start, 120, 180))]);
    let first = bench.result("energy-hour", "home-1", start);
    near(first, "coverage", 0.5);
    assert_eq!(first["estimated"], true, "the counters know how much, not when");
    let silent = bench.result("energy-hour", "home-1", start + HOUR);
    near(silent, "coverage", 0.0);
    near(silent, "consumption_wh", 600.0);
}

#[test]
fn a_node_that_was_never_declared_is_in_no_total() {
    let start = at("2026-07-01T10:00:00+02:00");
    let mut bench = bench(json!({}), &["home-1"]);
    let entries = (0..=60)
        .map(|minute: i64| {
            let stranger = counters(memcloud_domain::NodeId(99), minute as f64 * 10.0, 0.0);
            entry(u64::try_from(minute).unwrap() + 1, start + minute * MINUTE, vec![stranger])
        })
        .collect();
    bench.step(start, vec![("home-1", entries)]);
    near(bench.result("energy-hour", "home-1", start), "consumption_wh", 0.0);
}

#[test]
fn what_is_kept_is_bounded_and_what_is_too_old_is_said() {
    let start = at("2026-06-01T00:00:00+02:00");
    let configuration = json!({"open_hours": 2, "late_days": 1});
    let mut bench = bench(configuration, &["home-1"]);
    let mut largest = 0;
    for day in 0..6 {
        for hour in 0..24 {
            let first = (day * 24 + hour) * 60;
            bench.step(start + first * MINUTE, vec![("home-1", minutes(start, first, first + 59))]);
            largest = largest.max(bench.state_bytes());
        }
        if day == 2 {
            largest = 0;
        }
    }
    assert!(bench.state_bytes() <= largest);
    assert!(largest < 40_000, "{largest} bytes");
    // All days are right although nothing of their detail is left.
    for day in 0..5 {
        let from = start + day * 24 * HOUR;
        near(bench.result("energy-day", "home-1", from), "consumption_wh", 14_400.0);
        near(bench.result("energy-day", "microgrid", from), "consumption_wh", 14_400.0);
    }
    let before = bench.results.clone();
    bench.step(start + 200 * HOUR, vec![("home-1", minutes(start, 60, 61))]);
    assert!(bench.log.iter().any(|line| line.starts_with("2 readings of home-1 are older")));
    assert_eq!(bench.results, before);
}

#[test]
fn a_home_that_back_fills_a_week_completes_the_microgrids_days() {
    let start = at("2026-06-01T00:00:00+02:00");
    let week = 7 * 24 * 60;
    let mut bench = bench(json!({}), &["home-1", "home-2"]);
    for hour in 0..7 * 24 {
        let batch = minutes(start, hour * 60, hour * 60 + 59);
        bench.step(start + week * MINUTE, vec![("home-1", batch)]);
    }
    let second_day = start + 24 * HOUR;
    near(bench.result("energy-day", "microgrid", second_day), "consumption_wh", 14_400.0);
    for hour in 0..7 * 24 {
        let batch = minutes(start, hour * 60, hour * 60 + 59);
        bench.step(start + week * MINUTE, vec![("home-2", batch)]);
    }
    for day in 0..6 {
        let from = start + day * 24 * HOUR;
        near(bench.result("energy-day", "microgrid", from), "consumption_wh", 28_800.0);
        near(bench.result("energy-day", "microgrid", from), "coverage", 1.0);
    }
}

#[test]
fn a_wrong_setting_is_refused_with_what_it_may_be() {
    for (setting, sentence) in [
        (json!({"open_hours": 0}), "open_hours is 0; it may be 1 to 336"),
        (json!({"carbon": {"by_hour": [1.0]}}), "carbon.by_hour has 1 values; it needs 24"),
        (json!({"import": {"flat": 1e9}}), "import is 1000000000; it may be -1000000 to 1000000"),
    ] {
        let error = EnergyAccounting::new(serde_json::from_value(setting).unwrap()).unwrap_err();
        assert_eq!(error, sentence);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Five hours of two homes, cut into batches that come in any order of time and partly twice: the
    /// hours always sum to what the counters say, for homes and microgrid alike.
    #[test]
    fn energy_is_conserved_whatever_the_order_and_repetition_of_batches(
        order in prop::collection::vec((any::<bool>(), 0_usize..20), 0..60),
        gaps in prop::collection::vec(0.0_f64..900.0, 301),
    ) {
        let start = at("2026-07-01T10:00:00+02:00");
        let mut taken = vec![0.0];
        for energy in &gaps[1..] {
            taken.push(taken[taken.len() - 1] + energy / 60.0);
        }
        let batch = |number: usize| -> Vec<Entry> {
            (number * 15..=number * 15 + 15)
                .map(|minute| {
                    let ts = start + i64::try_from(minute).unwrap() * MINUTE;
                    let nodes = vec![counters(LOAD, taken[minute], 0.0), counters(GRID, 0.0, taken[minute])];
                    entry(u64::try_from(minute).unwrap() + 1, ts, nodes)
                })
                .collect()
        };
        let mut bench = bench(json!({}), &["home-1", "home-2"]);
        let mut now = start;
        let all = (0..20).flat_map(|number| [(false, number), (true, number)]);
        for (which, number) in order.into_iter().chain(all) {
            now += 1_000;
            bench.step(now, vec![(if which { "home-2" } else { "home-1" }, batch(number))]);
        }
        bench.step(now + HOUR, Vec::new());
        let expected = taken[300];
        for (subject, homes) in [("home-1", 1.0), ("home-2", 1.0), ("microgrid", 2.0)] {
            for field in ["consumption_wh", "import_wh"] {
                let found = bench.total("energy-hour", subject, field);
                prop_assert!((found - expected * homes).abs() < 0.02, "{subject} {field}: {found} of {expected}");
                let by_day = bench.total("energy-day", subject, field);
                prop_assert!((by_day - expected * homes).abs() < 0.02);
            }
        }
    }
}
