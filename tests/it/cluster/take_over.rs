//! What becomes of homes, jobs and commands when a process goes, sleeps, or comes.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::cluster::town::{GRID, Town, was_answered};
use crate::cluster::wait_for;
use crate::homes::now_ms;
use crate::rest::Caller;

/// How often processes are killed; more where it is to be shown.
fn kills() -> usize {
    std::env::var("MEMCLOUD_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

#[actix_rt::test]
async fn readings_through_a_balancer_are_stored_once_whichever_process_is_killed() {
    let Some(mut town) = Town::begun(2, 6).await else { return };
    for round in 0..kills() {
        for _ in 0..20 {
            town.sample();
            actix_rt::time::sleep(Duration::from_millis(10)).await;
        }
        town.cluster.processes[round % 2].kill();
        for _ in 0..20 {
            town.sample();
            actix_rt::time::sleep(Duration::from_millis(10)).await;
        }
        town.cluster.processes[round % 2].launch();
        town.all_acknowledged().await;
    }
    town.count().await;
}

#[actix_rt::test]
async fn whatever_process_is_asked_and_wherever_the_home_is_a_command_is_carried_out() {
    let Some(mut town) = Town::begun(2, 4).await else { return };
    town.sample();
    let mut asked = 0;
    for process in 0..2 {
        for home in 0..4 {
            let caller = Caller::admin(&town.cluster.processes[process]);
            let path = format!("/api/v1/hems/home-{home}/commands?wait=30s");
            let made = caller.post(&path, json!({"action": "report-every", "seconds": 9})).await;
            assert_eq!(made.status, 202, "{}", made.text);
            let command = made.json();
            assert!(was_answered(&command), "{}", made.text);
            asked += 1;
            // The other one says the same.
            let id = command["id"].as_str().unwrap();
            let other = Caller::admin(&town.cluster.processes[1 - process]);
            let seen = other.get(&format!("/api/v1/commands/{id}")).await.json();
            assert!(was_answered(&seen), "{seen}");
            // And so it does of why.
            let why = other.get(&format!("/api/v1/hems/home-{home}/why")).await;
            assert_eq!(why.status, 200, "{}", why.text);
        }
    }
    assert_eq!(asked, 8);
    // Both know every home, and that it is online.
    for process in 0..2 {
        wait_for("every process says that every home is online", async || {
            let hems = Caller::admin(&town.cluster.processes[process]).get("/api/v1/hems").await;
            let items = hems.json()["items"].as_array().unwrap().clone();
            (items.len() == 4 && items.iter().all(|hem| hem["online"] == true)).then_some(())
        })
        .await;
    }
    let standing = town.cluster.standing(0).await;
    let runs: u64 = standing["processes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|process| process["microgrids"].as_u64().unwrap())
        .sum();
    assert_eq!((&standing["clustered"], runs), (&json!(true), 1), "{standing}");
}

#[actix_rt::test]
async fn when_the_owner_is_killed_another_process_takes_its_jobs_and_commands_on() {
    let Some(mut town) = Town::build(2, 3) else { return };
    let job = town.deploy("energy-accounting", json!({})).await;
    town.sample();
    let mut took = Vec::new();
    for _ in 0..kills() {
        town.sample();
        let owner = wait_for("an owner", async || town.cluster.owner_number(GRID).await).await;
        let (_, epoch) = town.cluster.owner(GRID).unwrap();
        let begun = now_ms();
        town.cluster.processes[owner].kill();
        wait_for("another process runs the microgrid", async || {
            town.cluster.owner(GRID).filter(|(_, now)| *now > epoch)
        })
        .await;
        // It decides on commands, whoever has the home.
        let caller = Caller::admin(&town.cluster.processes[1 - owner]);
        let made = wait_for("a command is carried out", async || {
            let path = "/api/v1/hems/home-0/commands?wait=5s";
            let body = json!({"action": "report-every", "seconds": 9, "expires_seconds": 20});
            let made = caller.post(path, body).await;
            (made.status == 202 && was_answered(&made.json())).then_some(made)
        })
        .await;
        took.push(now_ms() - begun);
        let order = made.json();
        assert!(order["id"].is_string(), "{order}");
        town.cluster.processes[owner].launch();
        town.all_acknowledged().await;
    }
    println!("from the kill of the owner to a command carried out: {took:?} ms");
    let status = town.admin().get(&format!("/api/v1/jobs/{job}")).await.json();
    assert_eq!(status["state"], "running", "{status}");
    town.sample();
    town.all_acknowledged().await;
    // Each reading adds 1 Wh to its home's counter: what the job counted is what it has seen, once each.
    let expected = (town.sent - 1) as f64;
    wait_for("the job has seen every reading, once", async || {
        let used = town.used(&job).await;
        let is_right =
            |home| used.get(&format!("home-{home}")).is_some_and(|wh| (wh - expected).abs() < 0.01);
        (0..3).all(is_right).then_some(())
    })
    .await;
    town.count().await;
    // Orders of a home only grow, whoever gave them.
    let list = town.admin().get("/api/v1/commands?hem=home-0&limit=1000").await.json();
    let mut states: Vec<&str> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["state"].as_str().unwrap())
        .collect();
    states.sort_unstable();
    states.dedup();
    let over = ["acknowledged", "refused", "expired", "superseded"];
    assert!(states.iter().all(|state| over.contains(state)), "{states:?}");
}

#[actix_rt::test]
async fn an_owner_that_slept_through_its_lease_changes_nothing_when_it_wakes() {
    let Some(mut town) = Town::begun(2, 3).await else { return };
    let owner = wait_for("an owner", async || town.cluster.owner_number(GRID).await).await;
    let (asleep, epoch) = town.cluster.owner(GRID).unwrap();
    town.cluster.signal(owner, Signal::SIGSTOP);
    let other = 1 - owner;
    let (taken, later) = wait_for("another process runs the microgrid", async || {
        town.cluster.owner(GRID).filter(|(_, now)| *now > epoch)
    })
    .await;
    assert!(taken != asleep && later > epoch);
    town.sample();
    town.cluster.signal(owner, Signal::SIGCONT);
    // Awake it passes on what only the owner can answer, or says that it cannot now.
    let caller = Caller::admin(&town.cluster.processes[owner]);
    let made = wait_for("the one that slept takes its part again", async || {
        let path = "/api/v1/hems/home-1/commands?wait=5s";
        let made = caller.post(path, json!({"action": "report-every", "seconds": 7})).await;
        assert!(matches!(made.status, 202 | 503), "{} {}", made.status, made.text);
        (made.status == 202 && was_answered(&made.json())).then_some(made)
    })
    .await;
    assert_eq!(made.status, 202);
    let (_, newest) = town.cluster.owner(GRID).unwrap();
    assert!(newest >= later, "an epoch never goes back");
    let list = Caller::admin(&town.cluster.processes[other]).get("/api/v1/commands").await.json();
    for command in list["items"].as_array().unwrap() {
        let state = command["state"].as_str().unwrap();
        assert!(["acknowledged", "refused", "superseded", "expired"].contains(&state), "{command}");
    }
    town.all_acknowledged().await;
    town.count().await;
}

#[actix_rt::test]
async fn processes_stopped_one_after_the_other_lose_nothing_and_hand_over_at_once() {
    let Some(mut town) = Town::begun(2, 4).await else { return };
    for round in 0..2 {
        for _ in 0..10 {
            town.sample();
            actix_rt::time::sleep(Duration::from_millis(10)).await;
        }
        let status = town.cluster.processes[round].terminate();
        assert!(status.success(), "{status}");
        let left = town.cluster.name(1 - round).await;
        wait_for("the other process runs the microgrid", async || {
            town.cluster.owner(GRID).filter(|(owner, _)| *owner == left)
        })
        .await;
        town.sample();
        town.all_acknowledged().await;
        town.cluster.processes[round].launch();
    }
    town.count().await;
    let log = town.cluster.processes[0].log();
    assert!(!log.contains("could not say goodbye"), "{log}");
}
