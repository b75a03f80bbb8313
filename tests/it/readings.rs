//! The way of a reading, from a HEM's socket to REST.

use serde_json::json;

use crate::homes::{TestHome, now_ms, until};
use crate::rest::Caller;
use crate::support::TestCloud;

fn cloud_with_a_home() -> (TestCloud, String) {
    let cloud = TestCloud::start();
    cloud.call_for_line(&["microgrid", "add", "valley", "--time-zone", "Europe/Berlin"]);
    let key = cloud.call_for_line(&["hem", "register", "home-1", "--microgrid", "valley"]);
    (cloud, key)
}

#[actix_rt::test]
async fn a_reading_is_acknowledged_stored_shown_and_remembered_over_a_restart() {
    let (mut cloud, key) = cloud_with_a_home();
    let home = TestHome::connect(&cloud, "home-1", &key);
    let begin = now_ms() - 60_000;
    for second in 0..60 {
        home.sample(begin + second * 1_000, 800.0, 300.0, second as f64 * 0.25);
    }
    until("60 readings are acknowledged", || home.hem.counters().acknowledged == 60).await;

    let admin = Caller::admin(&cloud);
    let page = admin.get("/api/v1/hems/home-1/readings?limit=1000").await.json();
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 60);
    assert_eq!(items[0]["seq"], 1);
    assert_eq!(items[59]["nodes"][2]["watts"], 800.0);
    assert_eq!(page["next"], json!(null));

    let status = loop {
        let status = admin.get("/api/v1/hems/home-1").await.json();
        if status["active"] == true {
            break status;
        }
    };
    assert_eq!(status["online"], true);
    let totals = admin.get("/api/v1/microgrids/valley").await.json();
    assert_eq!(totals["consumption_watts"], 800.0);
    assert_eq!(totals["generation_watts"], 300.0);
    assert_eq!(totals["import_watts"], 500.0);

    cloud.kill();
    cloud.launch();
    let admin = Caller::admin(&cloud);
    let again = admin.get("/api/v1/hems/home-1/readings?limit=1000").await.json();
    assert_eq!(again["items"].as_array().unwrap().len(), 60);
    assert_eq!(again["items"], page["items"]);
}

#[actix_rt::test]
async fn readings_are_paged_in_both_directions_and_streamed_as_csv() {
    let (cloud, key) = cloud_with_a_home();
    let home = TestHome::connect(&cloud, "home-1", &key);
    let begin = now_ms() - 3_000_000;
    for number in 0..2_500 {
        home.sample(begin + number * 1_000, 100.0, 0.0, number as f64);
    }
    until("2,500 readings are acknowledged", || home.hem.counters().acknowledged == 2_500).await;
    let admin = Caller::admin(&cloud);
    for order in ["asc", "desc"] {
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let page = admin
                .get(&format!("/api/v1/hems/home-1/readings?limit=700&order={order}{after}"))
                .await
                .json();
            seen.extend(
                page["items"].as_array().unwrap().iter().map(|item| item["seq"].as_u64().unwrap()),
            );
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        if order == "desc" {
            seen.reverse();
        }
        assert_eq!(seen, (1..=2_500).collect::<Vec<_>>(), "{order}");
    }
    let csv =
        admin.send("GET", "/api/v1/hems/home-1/readings", &[("accept", "text/csv")], None).await;
    assert_eq!((csv.status, csv.content_type.as_str()), (200, "text/csv"));
    let lines: Vec<&str> = csv.text.lines().collect();
    assert!(lines[0].starts_with("seq,"), "{}", lines[0]);
    assert_eq!(lines.len(), 1 + 2_500 * 3, "a header, and a line per node");
}

#[actix_rt::test]
async fn an_app_is_deployed_by_rest_and_its_results_are_served() {
    let (cloud, key) = cloud_with_a_home();
    let home = TestHome::connect(&cloud, "home-1", &key);
    let admin = Caller::admin(&cloud);
    let job = admin
        .post(
            "/api/v1/microgrids/valley/jobs",
            json!({"app": "limit-watch", "configuration": {"limit_watts": 400, "hold_seconds": 0}}),
        )
        .await;
    assert_eq!(job.status, 201, "{}", job.text);
    let id = job.json()["id"].as_str().unwrap().to_owned();
    let wrong = admin
        .post(
            "/api/v1/microgrids/valley/jobs",
            json!({"app": "limit-watch", "configuration": {"limit": 4}}),
        )
        .await;
    assert_eq!(
        (wrong.status, wrong.content_type.as_str()),
        (422, "application/problem+json"),
        "{}",
        wrong.text
    );

    let path = format!("/api/v1/jobs/{id}/results");
    let mut tries = 0;
    let results = loop {
        home.sample(now_ms(), 900.0, 0.0, 1.0);
        let results = admin.get(&path).await.json();
        if !results["items"].as_array().unwrap().is_empty() {
            break results;
        }
        tries += 1;
        assert!(
            tries < 300,
            "no alarm: {} {}",
            results,
            admin.get(&format!("/api/v1/jobs/{id}/log")).await.text
        );
        actix_rt::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(results["items"][0]["kind"], "limit-alarm", "{results}");
}

#[actix_rt::test]
async fn a_token_of_one_microgrid_sees_nothing_of_another() {
    let (cloud, _) = cloud_with_a_home();
    cloud.call_for_line(&["microgrid", "add", "hill"]);
    let token =
        cloud.call_for_line(&["token", "add", "--role", "viewer", "--microgrid", "hill", "guest"]);
    let guest = Caller::with_token(&cloud, &token);
    assert_eq!(guest.get("/api/v1/microgrids/hill").await.status, 200);
    assert_eq!(guest.get("/api/v1/hems/home-1").await.status, 404);
    assert_eq!(guest.get("/api/v1/hems/home-1/readings").await.status, 404);
    assert_eq!(guest.get("/api/v1/hems").await.json()["items"], json!([]));
    let refused = guest.post("/api/v1/hems", json!({"id": "h", "microgrid": "hill"})).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert_eq!(Caller::with_token(&cloud, "").get("/api/v1/hems").await.status, 401);

    let output = cloud.call(&["token", "revoke", "guest"]);
    assert!(output.status.success());
    let mut tries = 0;
    while guest.get("/api/v1/microgrids/hill").await.status != 401 {
        tries += 1;
        assert!(tries < 100, "a revoked token still works after 5 s");
        actix_rt::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
