//! What a cluster does while one of its engines is away: what needs it waits or is refused with the reason,
//! what does not goes on, and everything recovers by itself.

use std::time::Duration;

use serde_json::json;

use crate::cluster::town::{GRID, Town};
use crate::cluster::wait_for;
use crate::rest::Caller;

/// How often the engine goes; more where it is to be shown.
fn times() -> usize {
    std::env::var("MEMCLOUD_TEST_ENGINE_STOPS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

async fn a_while() {
    actix_rt::time::sleep(Duration::from_millis(300)).await;
}

#[actix_rt::test]
async fn while_rabbitmq_is_away_readings_are_stored_and_then_commands_find_every_home() {
    let Some(mut town) = Town::apart(2, 4).await else { return };
    let job = town.deploy("energy-accounting", json!({})).await;
    for _ in 0..times() {
        town.cluster.broker.stop();
        for process in 0..2 {
            wait_for("the bus is said to be away", async || {
                (town.away(process).await == ["bus"]).then_some(())
            })
            .await;
        }
        for _ in 0..10 {
            town.sample();
            a_while().await;
        }
        town.all_acknowledged().await;
        town.cluster.broker.start_again().unwrap();
        for process in 0..2 {
            wait_for("nothing is away", async || town.away(process).await.is_empty().then_some(()))
                .await;
        }
        for home in 0..4 {
            town.command(home % 2, home).await;
        }
    }
    town.sample();
    town.all_acknowledged().await;
    town.count().await;
    let seen = town.sent - 1;
    wait_for("the job has seen what it missed", async || {
        let used = town.used(&job).await;
        used.get("home-0").is_some_and(|wh| *wh + 0.01 >= seen as f64 - 1.0).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn while_mariadb_is_away_readings_are_stored_and_commands_are_refused_with_the_reason() {
    let Some(mut town) = Town::apart(2, 4).await else { return };
    town.command(0, 0).await;
    for _ in 0..times() {
        let (_, epoch) = town.cluster.owner(GRID).unwrap();
        town.cluster.maria.as_mut().unwrap().stop();
        for _ in 0..15 {
            town.sample();
            a_while().await;
        }
        town.all_acknowledged().await;
        for process in 0..2 {
            wait_for("the web store is said to be away", async || {
                town.away(process).await.iter().any(|what| what == "web store").then_some(())
            })
            .await;
            let caller = Caller::admin(&town.cluster.processes[process]);
            let body = json!({"action": "report-every", "seconds": 9});
            let refused = caller.post("/api/v1/hems/home-1/commands", body).await;
            assert_eq!(refused.status, 503, "{}", refused.text);
            assert!(refused.text.contains("web store"), "{}", refused.text);
        }
        town.cluster.maria.as_mut().unwrap().start_again().unwrap();
        for home in 0..4 {
            town.command(home % 2, home).await;
        }
        let (_, now) = town.cluster.owner(GRID).unwrap();
        assert!(now >= epoch, "an epoch never goes back");
    }
    town.count().await;
}

#[actix_rt::test]
async fn while_mongodb_is_away_nothing_is_acknowledged_and_then_all_is_stored_once() {
    let Some(mut town) = Town::apart(2, 4).await else { return };
    for _ in 0..times() {
        town.cluster.mongo.as_mut().unwrap().stop();
        let before = town.homes[0].hem.counters().acknowledged;
        for _ in 0..10 {
            town.sample();
            a_while().await;
        }
        for process in 0..2 {
            wait_for("the iot store is said to be away", async || {
                town.away(process).await.iter().any(|what| what == "iot store").then_some(())
            })
            .await;
        }
        assert_eq!(town.homes[0].hem.counters().acknowledged, before);
        // What does not need it goes on: commands are taken, sent and answered.
        town.command(0, 1).await;
        town.cluster.mongo.as_mut().unwrap().start_again().unwrap();
        town.all_acknowledged().await;
    }
    town.count().await;
}
