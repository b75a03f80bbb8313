//! The live feed and the API's own pages, over real sockets.

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use awc::ws::{CloseCode, Frame};
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};

use crate::homes::{TestHome, now_ms, until};
use crate::rest::Caller;
use crate::support::{TestCloud, eventually};

/// A cloud with one home, and the home's key.
fn cloud_with_a_home(cloud: TestCloud) -> (TestCloud, String) {
    cloud.call_for_line(&["microgrid", "add", "valley"]);
    let key = cloud.call_for_line(&["hem", "register", "home-1", "--microgrid", "valley"]);
    (cloud, key)
}

type Feed = Box<dyn Stream<Item = Result<Frame, String>> + Unpin>;

async fn listen(cloud: &TestCloud, query: &str) -> Feed {
    let client = awc::Client::default();
    let (_, socket) = client
        .ws(cloud.url(&format!("/api/v1/live{query}")))
        .bearer_auth(&cloud.token)
        .connect()
        .await
        .unwrap();
    Box::new(socket.map(|frame| frame.map_err(|error| error.to_string())))
}

/// Waits for a message that fits; others are passed over.
async fn hear(feed: &mut Feed, fits: impl Fn(&Value) -> bool) -> Value {
    let mut others = Vec::new();
    let heard = async {
        while let Some(frame) = feed.next().await {
            let Frame::Text(text) = frame.unwrap() else { continue };
            let message = serde_json::from_slice(&text).unwrap();
            if fits(&message) {
                return message;
            }
            others.push(message);
        }
        panic!("the feed ended after {others:#?}");
    };
    actix_rt::time::timeout(crate::support::PATIENCE, heard).await.expect("heard in time")
}

#[actix_rt::test]
async fn a_home_is_heard_over_a_websocket() {
    let (cloud, key) = cloud_with_a_home(TestCloud::start());
    let mut socket = listen(&cloud, "?microgrid=valley").await;
    let home = TestHome::connect(&cloud, "home-1", &key);
    let online = hear(&mut socket, |said| said["type"] == "status" && said["online"] == true).await;
    assert_eq!(online["hem"], "home-1");
    let seq = home.sample(now_ms(), 750.0, 250.0, 1.0);
    // Readings and statuses are published by different actors: either may be first.
    let (mut reading, mut status) = (Value::Null, Value::Null);
    while reading.is_null() || status.is_null() {
        let said = hear(&mut socket, |_| true).await;
        match said["type"].as_str() {
            Some("reading") => reading = said,
            Some("status") if said["consumption_watts"] == 750.0 => status = said,
            _ => {}
        }
    }
    assert_eq!((&reading["seq"], &reading["microgrid"]), (&json!(seq.0), &json!("valley")));
    assert_eq!(reading["nodes"][2], json!({"node": 2, "watts": 750.0, "wh_in": 1.0}));
    assert_eq!((&status["active"], &status["generation_watts"]), (&json!(true), &json!(250.0)));
}

#[actix_rt::test]
async fn a_websocket_goes_on_where_it_was_and_learns_what_a_restart_took() {
    let (mut cloud, key) = cloud_with_a_home(TestCloud::start());
    let is_reading = |said: &Value| said["type"] == "reading";
    let mut socket = listen(&cloud, "").await;
    let home = TestHome::connect(&cloud, "home-1", &key);
    let first = home.sample(now_ms(), 1.0, 0.0, 1.0);
    let heard = hear(&mut socket, is_reading).await;
    assert_eq!(heard["seq"], first.0);
    let id = heard["id"].as_str().unwrap().to_owned();
    drop(socket);
    let second = home.sample(now_ms(), 2.0, 0.0, 2.0);
    until("it is on disk", || home.acknowledged().contains(&second.0)).await;
    let mut socket = listen(&cloud, &format!("?after={id}")).await;
    assert_eq!(hear(&mut socket, is_reading).await["seq"], second.0);
    drop((socket, home));

    cloud.kill();
    cloud.launch();
    let mut socket = listen(&cloud, &format!("?microgrid=valley&after={id}")).await;
    let missed = hear(&mut socket, |_| true).await;
    assert_eq!(
        (&missed["type"], &missed["hems"]),
        (&json!("missed"), &json!({"home-1": second.0}))
    );
    let path = format!("/api/v1/hems/home-1/readings?after={first}");
    let stored = Caller::admin(&cloud).get(&path).await.json();
    assert_eq!(stored["items"][0]["seq"], second.0);
}

#[actix_rt::test]
async fn a_listener_that_does_not_read_loses_updates_and_slows_nobody() {
    let (cloud, key) = cloud_with_a_home(TestCloud::builder().set("http.live_queue", 64).start());
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    // A small buffer, so that it is soon full.
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut lazy = socket.connect(cloud.http).await.unwrap().into_std().unwrap();
    lazy.set_nonblocking(false).unwrap();
    write!(
        lazy,
        "GET /api/v1/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nAccept: text/event-stream\r\n\r\n",
        cloud.token
    )
    .unwrap();
    let caller = Caller::admin(&cloud);
    let listeners = async || {
        let metrics = caller.get("/metrics").await.text;
        metrics.contains("memcloud_live_listeners 1")
    };
    while !listeners().await {
        actix_rt::time::sleep(Duration::from_millis(10)).await;
    }
    let home = TestHome::connect(&cloud, "home-1", &key);
    // More than the sockets' buffers take.
    const READINGS: u64 = 10_000;
    for number in 0..READINGS {
        home.sample(now_ms(), number as f64, 0.0, number as f64);
        if number % 500 == 0 {
            actix_rt::task::yield_now().await;
        }
    }
    until("everything is acknowledged", || {
        home.acknowledged().last().is_some_and(|seq| *seq == READINGS)
    })
    .await;
    lazy.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let read = actix_rt::task::spawn_blocking(move || {
        let (mut lost, mut read) = (0, 0);
        for line in BufReader::new(lazy).lines() {
            let line = line.unwrap();
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let said: Value = serde_json::from_str(data).unwrap();
            lost += said["count"].as_u64().unwrap_or(0);
            read += u64::from(said["type"] == "reading");
            if said["seq"] == READINGS {
                return (lost, read);
            }
        }
        panic!("the feed ended");
    });
    let (lost, read) = read.await.unwrap();
    assert!(lost > 0 && read > 0, "lost {lost}, read {read}");
    // Statuses are lost too, so the sum may be greater.
    assert!(lost + read >= READINGS, "lost {lost}, read {read}");
}

#[actix_rt::test]
async fn at_shutdown_listeners_are_told_and_hold_nothing_up() {
    let (mut cloud, _) = cloud_with_a_home(TestCloud::start());
    let mut socket = listen(&cloud, "").await;
    let ended = actix_rt::task::spawn_blocking(move || (cloud.terminate(), cloud));
    let reason = loop {
        match socket.next().await.expect("a close frame").unwrap() {
            Frame::Close(reason) => break reason,
            _ => continue,
        }
    };
    assert_eq!(reason.map(|reason| reason.code), Some(CloseCode::Away));
    let (status, cloud) = ended.await.unwrap();
    assert!(status.success(), "{status}: {}", cloud.log());
}

#[actix_rt::test]
async fn health_and_metrics_can_have_an_address_of_their_own() {
    let cloud = TestCloud::builder().set("http.admin_bind", "127.0.0.1:0").start();
    let admin = eventually("the address is logged", || {
        let log = cloud.log();
        let (_, rest) = log.split_once("health and metrics on ")?;
        Some(rest.lines().next()?.trim_end_matches(']').to_owned())
    });
    let caller = Caller::admin(&cloud);
    for path in ["/health/live", "/health/ready", "/metrics"] {
        let hidden = caller.get(path).await;
        assert_eq!(
            (hidden.status, &hidden.json()["code"]),
            (404, &json!("no-such-path")),
            "{path}"
        );
        let shown = awc::Client::default().get(format!("http://{admin}{path}")).send().await;
        assert_eq!(shown.unwrap().status(), 200, "{path}");
    }
    let api = awc::Client::default()
        .get(format!("http://{admin}/api/v1/session"))
        .bearer_auth(&cloud.token)
        .send()
        .await
        .unwrap();
    assert_eq!(api.status(), 404);
}

#[actix_rt::test]
async fn a_revoked_token_is_noticed_within_five_seconds() {
    let cloud = TestCloud::start();
    let token = cloud.call_for_line(&["token", "add", "--role", "viewer", "guest"]);
    let guest = Caller::with_token(&cloud, &token);
    assert_eq!(guest.get("/api/v1/session").await.status, 200);
    let revoked = cloud.call(&["token", "revoke", "guest"]);
    assert!(revoked.status.success(), "{revoked:?}");
    let noticed = async {
        while guest.get("/api/v1/session").await.status != 401 {
            actix_rt::time::sleep(Duration::from_millis(100)).await;
        }
    };
    actix_rt::time::timeout(Duration::from_secs(5), noticed).await.expect("noticed in time");
}
