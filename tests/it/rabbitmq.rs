//! A cloud whose bus is a real RabbitMQ, by configuration alone; also while the broker is away.

use std::time::Duration;

use memcloud_test_engines::{RabbitMq as Broker, amqp};
use serde_json::{Value, json};

use crate::homes::{TestHome, now_ms, until};
use crate::rest::Caller;
use crate::support::{PATIENCE, TestCloud};

/// Asks until there is an answer.
async fn wait_for<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            actix_rt::time::sleep(Duration::from_millis(50)).await;
        }
    };
    actix_rt::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain: {what}"))
}

async fn figure(admin: &Caller<'_>, line: &str) -> Option<f64> {
    let text = admin.get("/metrics").await.text;
    let found = text.lines().find_map(|candidate| candidate.strip_prefix(line));
    found.map(|value| value.trim().parse().unwrap())
}

/// What is away, as `/health/ready` tells.
async fn away(admin: &Caller<'_>) -> Vec<(String, String)> {
    let health = admin.get("/health/ready").await.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let items = health["away"].as_array().unwrap().iter();
    items.map(|item| (text(&item["what"]), text(&item["reason"]))).collect()
}

#[actix_rt::test]
async fn a_cloud_on_rabbitmq_runs_every_app_and_stores_also_while_the_broker_is_away() {
    if amqp().is_none() || !Broker::is_here() {
        return;
    }
    // One of its own: clouds that share a broker hear each other, and this one is stopped.
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(folder.path()).unwrap();
    let mut cloud = TestCloud::builder().set("bus.url", broker.url()).start();
    cloud.call_for_line(&["microgrid", "add", "valley"]);
    let key = cloud.call_for_line(&["hem", "register", "home-1", "--microgrid", "valley"]);
    let home = TestHome::connect(&cloud, "home-1", &key);
    let begin = now_ms() - 600_000;
    let mut recorded = 0_i64;
    {
        let admin = Caller::admin(&cloud);
        wait_for("the bus is connected", async || away(&admin).await.is_empty().then_some(()))
            .await;
        let jobs = [
            ("energy-accounting", json!({})),
            ("limit-watch", json!({"limit_watts": 400, "hold_seconds": 0})),
            ("self-consumption", json!({})),
            ("peak-shaving", json!({"import_limit_watts": 400})),
            (
                "schedule",
                json!({"schedules": [{"node": 2, "times": [{"at": "10:00", "on": true}]}]}),
            ),
        ];
        let mut accounting = String::new();
        for (app, configuration) in jobs {
            let body = json!({"app": app, "configuration": configuration});
            let made = admin.post("/api/v1/microgrids/valley/jobs", body).await;
            assert_eq!(made.status, 201, "{app}: {}", made.text);
            if app == "energy-accounting" {
                accounting = made.json()["id"].as_str().unwrap().to_owned();
            }
        }
        let mut record = || {
            home.sample(begin + recorded * 1_000, 500.0, 0.0, recorded as f64);
            recorded += 1;
        };
        // The status comes over the bus, and nowhere else from.
        wait_for("the status has what came over the bus", async || {
            record();
            let hem = admin.get("/api/v1/hems/home-1").await.json();
            (hem["active"] == true).then_some(())
        })
        .await;
        wait_for("every app runs", async || {
            record();
            let jobs = admin.get("/api/v1/microgrids/valley/jobs").await.json();
            let jobs = jobs["items"].as_array().unwrap().clone();
            let running = jobs.iter().filter(|job| job["state"] == "running").count();
            (running == 5).then_some(())
        })
        .await;
        let confirmed = "memcloud_bus_confirmed_total{exchange=\"readings\"}";
        assert!(figure(&admin, confirmed).await.unwrap() > 0.0);

        broker.stop();
        let reason = wait_for("the bus is away", async || {
            away(&admin).await.into_iter().find(|(what, _)| what == "bus").map(|(_, why)| why)
        })
        .await;
        assert!(!reason.is_empty());
        assert_eq!(admin.get("/health/ready").await.status, 503);
        assert_eq!(admin.get("/health/live").await.status, 200);
        for _ in 0..20 {
            record();
        }
        until("what is sent meanwhile is stored", || home.hem.counters().held == 0).await;
        let unsent = "memcloud_bus_unsent_total{exchange=\"readings\"}";
        assert!(figure(&admin, unsent).await.unwrap() > 0.0, "dropped, and counted");

        // The jobs read the store, also without the bus.
        let expected = (recorded - 1) as f64;
        let path = format!("/api/v1/jobs/{accounting}/results?kind=energy-day&limit=100");
        wait_for("the accounting has everything, the bus being away", async || {
            let results = admin.get(&path).await.json();
            let items = results["items"].as_array()?;
            let used: f64 = items
                .iter()
                .filter(|item| item["subject"] == "home-1")
                .filter_map(|item| item["body"]["consumption_wh"].as_f64())
                .sum();
            ((used - expected).abs() < 0.01).then_some(())
        })
        .await;

        broker.start_again().unwrap();
        wait_for("the bus is there again", async || away(&admin).await.is_empty().then_some(()))
            .await;
        assert_eq!(
            figure(&admin, "memcloud_bus_connections_total{exchange=\"readings\"}").await,
            Some(2.0)
        );
        home.sample(now_ms(), 777.0, 0.0, recorded as f64);
        wait_for("the status follows again", async || {
            let hem = admin.get("/api/v1/hems/home-1").await.text;
            hem.contains("777").then_some(())
        })
        .await;
    }
    assert!(cloud.terminate().success());
}
