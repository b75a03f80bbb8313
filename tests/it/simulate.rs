//! Simulations as a person runs them: the same twice, true to the data, and clear where a scenario is
//! wrong.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::{eventually, memcloud};

const TARIFF: &str = r#"
[tariff]
source = "example values"
import = { flat = 0.3 }
export = { flat = 0.05 }
carbon = { flat = 350 }
"#;

fn simulate(folder: &Path, scenario: &str, arguments: &[&str]) -> Output {
    std::fs::write(folder.join("scenario.toml"), scenario).unwrap();
    memcloud()
        .current_dir(folder)
        .args(["simulate", "--scenario", "scenario.toml"])
        .args(arguments)
        .output()
        .unwrap()
}

#[track_caller]
fn report(folder: &Path, scenario: &str) -> Value {
    let output = simulate(folder, scenario, &["--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_steered_day_of_the_five_homes_is_the_same_twice_and_as_the_data_says() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = format!(
        r#"
        title = "A day in June"
        start = "2026-06-21"
        days = 1
        step = "15m"
        {TARIFF}
        [[jobs]]
        app = "self-consumption"
        configuration = {{ lease_seconds = 3600, stale_seconds = 2000 }}

        [[jobs]]
        app = "energy-accounting"
        configuration = {{ report_every_seconds = 3600 }}
        "#
    );
    let first = simulate(folder.path(), &scenario, &["--out", "first", "--plot", "2026-06-21"]);
    let said = String::from_utf8_lossy(&first.stderr);
    assert!(first.status.success(), "{said}");
    let second = simulate(folder.path(), &scenario, &["--out", "second", "--plot", "2026-06-21"]);
    assert_eq!(first.stdout, second.stdout);
    for file in ["report.json", "2026-06-21.svg"] {
        let read = |run: &str| std::fs::read(folder.path().join(run).join(file)).unwrap();
        assert!(read("first") == read("second"), "{file} differs");
    }
    let text = std::fs::read_to_string(folder.path().join("first/report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let day = fontana_day();
    for side in ["control", "without"] {
        let figures = &report["microgrid"][side];
        assert!((figures["consumption_wh"].as_f64().unwrap() - day.0).abs() < 0.01, "{figures}");
        assert!((figures["generation_wh"].as_f64().unwrap() - day.1).abs() < 0.01, "{figures}");
    }
    let audit = &report["telemetry"]["accounting"];
    assert_eq!(audit["consumption_wh"], audit["metered_consumption_wh"]);
    assert_eq!(report["telemetry"]["readings"], 5 * 97);
    // Batteries were ordered to follow their homes, and did.
    let commands = &report["commands"];
    let counted: u64 =
        commands["states"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert!(counted > 100 && commands["total"] == counted, "{commands}");
    assert!(commands["states"]["effective"].as_u64().unwrap() * 10 > counted * 8, "{commands}");
    let of = |side: &str, field: &str| report["microgrid"][side][field].as_f64().unwrap();
    assert!(of("control", "battery_cycles") > 0.3 && of("without", "battery_cycles") == 0.0);
    assert!(
        of("control", "import_wh") < of("without", "import_wh") - 2_000.0,
        "{}",
        report["microgrid"]
    );
    let table = String::from_utf8(first.stdout).unwrap();
    assert!(table.contains("A day in June") && table.contains("peak import kW"), "{table}");
    let picture = std::fs::read_to_string(folder.path().join("first/2026-06-21.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("net import without control"));
}

/// Load and PV of all homes on a day in June, Wh, straight from the file: the 24 hours from 23:00 of
/// the 20th on, standard time, which is midnight in summer.
fn fontana_day() -> (f64, f64) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/emulator/data/fontana-homes.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<&str> = text.lines().collect();
    let first = rows.iter().position(|row| row.starts_with("2017-06-20T23:00")).unwrap();
    let sum = |from: usize| -> f64 {
        rows[first..first + 24]
            .iter()
            .flat_map(|row| row.split(',').skip(from).take(5))
            .map(|kwh| kwh.parse::<f64>().unwrap() * 1_000.0)
            .sum()
    };
    (sum(4), sum(9))
}

#[test]
fn an_outage_of_the_links_loses_no_energy_in_the_accounting() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = format!(
        r#"
        title = "Links fail"
        start = "2026-06-21"
        days = 1
        step = "5m"
        {TARIFF}
        [[jobs]]
        app = "energy-accounting"

        [[events]]
        kind = "outage"
        from = "2026-06-21T05:00"
        for = "6h"

        [[events]]
        kind = "outage"
        homes = [2]
        from = "2026-06-21T18:00"
        for = "40m"
        "#
    );
    let report = report(folder.path(), &scenario);
    let telemetry = &report["telemetry"];
    assert_eq!(telemetry["readings"], 5 * 289);
    assert_eq!(telemetry["stored"], telemetry["readings"]);
    assert_eq!(telemetry["unacknowledged"], 0);
    let audit = &telemetry["accounting"];
    for what in ["consumption_wh", "import_wh"] {
        let (accounted, metered) =
            (audit[what].as_f64().unwrap(), audit[format!("metered_{what}")].as_f64().unwrap());
        assert!(metered > 10_000.0 && (accounted - metered).abs() < 1.0, "{what}: {audit}");
    }
}

#[test]
fn an_island_counts_what_its_source_cannot_give() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = format!(
        r#"
        title = "An evening alone"
        start = "2026-06-21T12:00"
        days = 1
        step = "5m"
        {TARIFF}
        [[events]]
        kind = "island"
        from = "2026-06-21T19:00"
        for = "2h"
        source_watts = 500
        "#
    );
    let report = report(folder.path(), &scenario);
    let microgrid = &report["microgrid"]["without"];
    let of = |field: &str| microgrid[field].as_f64().unwrap();
    assert!(of("island_demand_wh") > 1_000.0, "{microgrid}");
    assert!((of("island_demand_wh") - of("island_unserved_wh")) < 1_000.1, "{microgrid}");
    let homes: f64 = report["homes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|home| home["without"]["island_unserved_wh"].as_f64().unwrap())
        .sum();
    assert!((homes - of("island_unserved_wh")).abs() < 0.1, "{homes} {microgrid}");
}

#[test]
fn a_wrong_scenario_is_a_wrong_call_and_says_in_a_line_what_may_stand_there() {
    let folder = tempfile::tempdir().unwrap();
    for (scenario, arguments, says) in [
        ("title = \"x\"\nstar = \"2026-06-21\"\n", &[][..], "line 2, at `star`"),
        (
            &*format!("title = \"x\"\nstart = \"2026-06-21\"\ndays = 1\n{TARIFF}"),
            &["--plot", "2026-06-23"],
            "not all simulated",
        ),
    ] {
        let output = simulate(folder.path(), scenario, arguments);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(says) && said.lines().count() == 1, "{said}");
    }
    let nowhere = memcloud().args(["simulate", "--scenario", "nowhere.toml"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(2));
}

#[test]
fn what_was_simulated_until_it_was_interrupted_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let scenario =
        format!("title = \"Years\"\nstart = \"2026-01-01\"\ndays = 3000\nstep = \"15m\"\n{TARIFF}");
    std::fs::write(folder.path().join("scenario.toml"), scenario).unwrap();
    let said = folder.path().join("said");
    let mut run = memcloud()
        .current_dir(folder.path())
        .args(["simulate", "--scenario", "scenario.toml", "--out", "."])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    // The handler of the signal stands before the first line is written.
    eventually("it says what it simulates", || {
        std::fs::read_to_string(&said).unwrap().contains("simulating").then_some(())
    });
    let id = nix::unistd::Pid::from_raw(i32::try_from(run.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
    let status = eventually("it ends", || run.try_wait().unwrap());
    assert!(status.success(), "{status}");
    let text = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["scenario"]["complete"], false);
    let said = std::fs::read_to_string(&said).unwrap();
    assert!(said.contains("stopping"), "{said}");
}
