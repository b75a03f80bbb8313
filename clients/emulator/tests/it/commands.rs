//! What a fleet does with the cloud's commands, and how it misbehaves.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use memcloud_domain::{CommandAction, HemId, NodeId, NodeReading, Seq, Timestamp, Watts};
use memcloud_emulator::clock::system_clock;
use memcloud_emulator::nodes::{BATTERY, WATER_HEATER};
use memcloud_emulator::{Fleet, FleetConfig, Misbehaviour, record_path};
use memcloud_wire::{Command, CommandResult, Instruction, Outcome};
use serde_json::Value;

use crate::fleet::{config, until};
use crate::stand_in_cloud::{StandInCloud, Stored};

fn command(id: &str, order: u64, node: Option<NodeId>, action: CommandAction) -> Command {
    Command {
        command: id.to_owned(),
        order,
        node,
        action: Instruction::Known(action),
        issued: Timestamp(0),
        expires_in_ms: 60_000,
        lease_ms: None,
    }
}

fn set_power(id: &str, order: u64, watts: f64) -> Command {
    command(id, order, Some(BATTERY), CommandAction::SetPower { watts: Watts(watts) })
}

fn answer(stored: &Stored, id: &str) -> Option<CommandResult> {
    stored.results.iter().find(|result| result.command == id).cloned()
}

fn since(stored: &Stored, seq: Seq) -> Vec<Vec<NodeReading>> {
    let later = stored.readings.iter().filter(|(number, ..)| *number > seq);
    later.map(|(_, _, nodes)| nodes.clone()).collect()
}

fn battery_watts(nodes: &[NodeReading]) -> f64 {
    nodes[usize::from(BATTERY.0)].watts.unwrap().value()
}

fn record(folder: &Path, hem: &str) -> Vec<Value> {
    let path = record_path(folder, &HemId::new(hem).unwrap());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn misbehaving(ways: &str) -> Misbehaviour {
    Misbehaviour::parse(ways).unwrap()
}

#[tokio::test]
async fn a_command_is_carried_out_on_record_and_every_later_reading_shows_it() {
    let cloud = StandInCloud::start().await;
    let (state, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = FleetConfig {
        record: Some(folder.path().to_owned()),
        ..config(&cloud, Some(state.path()))
    };
    let fleet = Fleet::start(options, system_clock()).await.unwrap();
    until("it lives", || cloud.stored("home-2").readings.len() > 3).await;
    let lease_ms = Some(3_600_000);
    cloud.send("home-2", Command { lease_ms, ..set_power("a", 1, 700.0) });
    cloud.send("home-2", set_power("b", 2, 1e6));
    until("both are answered", || cloud.stored("home-2").results.len() == 2).await;
    let acted = answer(&cloud.stored("home-2"), "a").unwrap();
    assert_eq!((acted.outcome, acted.reason), (Outcome::Done, None));
    let seq = acted.seq.unwrap();
    until("readings follow", || since(&cloud.stored("home-2"), seq).len() > 5).await;
    for nodes in since(&cloud.stored("home-2"), seq) {
        assert_eq!(battery_watts(&nodes), 700.0);
    }
    let refused = answer(&cloud.stored("home-2"), "b").unwrap();
    assert_eq!(refused.outcome, Outcome::Refused);
    assert!(refused.reason.unwrap().contains("-5000 to 5000 W"));
    let lines = record(folder.path(), "home-2");
    assert_eq!(lines.len(), 1, "what was refused was not carried out");
    assert_eq!((&lines[0]["command"], &lines[0]["action"]), (&"a".into(), &"set-power".into()));
    assert_eq!((&lines[0]["watts"], &lines[0]["lease_ms"]), (&700.0.into(), &3_600_000.into()));
    assert_eq!(fleet.progress().carried_out, 1);

    // As after a kill: nothing is kept at the end.
    drop(fleet);
    let again = FleetConfig {
        enrol: None,
        record: Some(folder.path().to_owned()),
        ..config(&cloud, Some(state.path()))
    };
    let before = cloud.stored("home-2").mark;
    until("the files are free", || {
        std::fs::File::open(state.path().join("home-2.queue"))
            .is_ok_and(|file| file.try_lock().is_ok())
    })
    .await;
    let fleet = Fleet::start(again, system_clock()).await.unwrap();
    until("it goes on", || since(&cloud.stored("home-2"), before).len() > 5).await;
    for nodes in since(&cloud.stored("home-2"), before) {
        assert_eq!(battery_watts(&nodes), 700.0, "the lease still runs");
    }
    cloud.send("home-2", Command { lease_ms, ..set_power("a", 1, 700.0) });
    until("it is answered again", || cloud.stored("home-2").results.len() == 3).await;
    assert_eq!(cloud.stored("home-2").results[2].outcome, Outcome::Done);
    assert_eq!(record(folder.path(), "home-2").len(), 1, "and was not carried out again");
    fleet.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_board_that_restarts_answers_before_and_says_booted_after() {
    let cloud = StandInCloud::start().await;
    let fleet = Fleet::start(config(&cloud, None), system_clock()).await.unwrap();
    until("it lives", || cloud.stored("home-1").readings.len() > 3).await;
    cloud.send("home-1", command("r", 1, None, CommandAction::Restart));
    until("it is answered", || !cloud.stored("home-1").results.is_empty()).await;
    assert_eq!(cloud.stored("home-1").welcomes, 1, "before it restarts");
    until("it is back", || cloud.stored("home-1").welcomes == 2).await;
    until("it says so", || !cloud.stored("home-1").events.is_empty()).await;
    let stored = cloud.stored("home-1");
    assert_eq!(stored.events[0].kind, "booted");
    let pause = stored.readings.windows(2).map(|pair| pair[1].1.0 - pair[0].1.0).max().unwrap();
    assert!(pause >= 3_000, "it measured nothing meanwhile: {pause} ms");
    until("it goes on", || !since(&cloud.stored("home-1"), stored.mark).is_empty()).await;
    fleet.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn readings_come_as_often_as_ordered_until_the_lease_ends() {
    let cloud = StandInCloud::start().await;
    let fleet = Fleet::start(config(&cloud, None), system_clock()).await.unwrap();
    until("it lives", || cloud.stored("home-3").readings.len() > 3).await;
    let seldom = command("s", 1, None, CommandAction::ReportEvery { seconds: 3_600 });
    cloud.send("home-3", Command { lease_ms: Some(1_500), ..seldom });
    until("it is answered", || !cloud.stored("home-3").results.is_empty()).await;
    let seq = cloud.stored("home-3").results[0].seq.unwrap();
    until("it is as before", || since(&cloud.stored("home-3"), seq).len() > 5).await;
    let readings = cloud.stored("home-3").readings;
    let pause = readings.windows(2).map(|pair| pair[1].1.0 - pair[0].1.0).max().unwrap();
    assert!((1_300..60_000).contains(&pause), "{pause} ms");
    fleet.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn deaf_homes_do_nothing_and_lost_results_are_told_when_asked_for_again() {
    let cloud = StandInCloud::start().await;
    let folder = tempfile::tempdir().unwrap();
    let ways = [("home-1", "deaf=1"), ("home-2", "lose-results=1"), ("home-3", "disconnect=1")];
    let options = FleetConfig {
        record: Some(folder.path().to_owned()),
        misbehaviour_of: ways
            .map(|(home, ways)| (HemId::new(home).unwrap(), misbehaving(ways)))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        ..config(&cloud, None)
    };
    let fleet = Fleet::start(options, system_clock()).await.unwrap();
    let off = CommandAction::Switch { on: false };
    for (home, _) in ways {
        until("it lives", || cloud.stored(home).readings.len() > 3).await;
        cloud.send(home, command("a", 1, Some(WATER_HEATER), off.clone()));
    }
    let is_off = |home: &str| {
        let (_, _, nodes) = cloud.stored(home).readings.last().cloned().unwrap();
        nodes[usize::from(WATER_HEATER.0)].on == Some(false)
    };
    until("the deaf one says that it is done", || !cloud.stored("home-1").results.is_empty()).await;
    assert_eq!(cloud.stored("home-1").results[0].outcome, Outcome::Done);
    until("another carries it out", || is_off("home-2")).await;
    until("another hangs up", || fleet.progress().online == 2).await;
    assert!(cloud.stored("home-2").results.is_empty() && cloud.stored("home-3").results.is_empty());
    fleet.reconnect_all();
    for home in ["home-2", "home-3"] {
        until("the truth comes late", || !cloud.stored(home).results.is_empty()).await;
        assert_eq!(cloud.stored(home).results[0].outcome, Outcome::Done);
        assert_eq!(record(folder.path(), home).len(), 1);
    }
    until("it shows", || is_off("home-3")).await;
    assert!(!is_off("home-1"), "nothing was done");
    assert!(record(folder.path(), "home-1").is_empty());
    fleet.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn meters_that_misbehave_are_seen_in_the_readings() {
    let cloud = StandInCloud::start().await;
    let options = FleetConfig {
        misbehaviour: misbehaving("drift=0.5,spikes=0.2,reset-counters=0.2,jump-clock=0.05"),
        ..config(&cloud, None)
    };
    let fleet = Fleet::start(options, system_clock()).await.unwrap();
    cloud.send("home-1", set_power("a", 1, 1_000.0));
    let seen =
        |look: &dyn Fn(&Stored) -> bool| (1..=3).any(|n| look(&cloud.stored(&format!("home-{n}"))));
    let watts = |stored: &Stored| -> Vec<f64> {
        let nodes = stored.readings.iter().flat_map(|(_, _, nodes)| nodes.iter());
        nodes.map(|node| node.watts.unwrap().value()).collect()
    };
    until("a spike", || seen(&|stored| watts(stored).iter().any(|watts| watts.abs() > 50_000.0)))
        .await;
    until("drift", || seen(&|stored| watts(stored).contains(&1_500.0))).await;
    until("a clock that jumped", || {
        seen(&|stored| {
            stored.readings.windows(2).any(|pair| (pair[1].1.0 - pair[0].1.0).abs() > 30_000)
        })
    })
    .await;
    until("counters that began anew", || {
        seen(&|stored| {
            let fed: Vec<f64> =
                stored.readings.iter().map(|(_, _, nodes)| nodes[3].wh_in.unwrap().0).collect();
            fed.windows(2).any(|pair| pair[1] < pair[0])
        })
    })
    .await;
    fleet.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_home_that_is_not_there_cannot_misbehave() {
    let cloud = StandInCloud::start().await;
    let options = FleetConfig {
        misbehaviour_of: BTreeMap::from([(HemId::new("home-9").unwrap(), misbehaving("deaf=1"))]),
        ..config(&cloud, None)
    };
    let error = Fleet::start(options, system_clock()).await.err().unwrap();
    assert!(error.to_string().contains("no home home-9"), "{error}");
}
