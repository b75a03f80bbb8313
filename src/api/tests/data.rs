//! Readings, events and history, and how HEMs stand.

use memcloud_domain::messages::SeriesSubject;
use memcloud_domain::{
    Epoch, HemEvent, HemStatus, NodeId, NodeReading, NodeStatus, PowerTotals, QualityFlag, Seq,
    Timestamp, Watts,
};
use serde_json::json;

use super::world::{NOW, World, as_caller, reading, with_api};

async fn csv(world: &World, path: &str) -> super::world::Answer {
    let request = as_caller(&world.admin, "GET", path, None).insert_header(("Accept", "text/csv"));
    world.send(request).await
}

#[test]
fn readings_come_page_by_page_in_either_order() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        world.known.lock().unwrap().readings = (1..=5).map(reading).collect();
        for (order, expected) in [("asc", [1, 2, 3, 4, 5]), ("desc", [5, 4, 3, 2, 1])] {
            let mut seen = Vec::new();
            let mut after = String::new();
            loop {
                let path = format!("/hems/h/readings?order={order}&limit=2{after}");
                let page = world.ask("GET", &path, None).await.json();
                let items = page["items"].as_array().unwrap();
                seen.extend(items.iter().map(|item| item["seq"].as_u64().unwrap()));
                let Some(next) = page["next"].as_str() else { break };
                after = format!("&after={next}");
            }
            assert_eq!(seen, expected);
        }
        let beyond = world.ask("GET", "/hems/h/readings?after=4", None).await.json();
        assert_eq!(beyond["items"][0]["seq"], 5);
        assert_eq!(beyond["items"][0]["ts"], "2026-11-23T12:00:05Z");
        let range = "/hems/h/readings?from=2026-11-23T12:00:02Z&to=2026-11-23T13:00:04%2B01:00";
        let page = world.ask("GET", range, None).await.json();
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn a_csv_is_the_whole_range_in_pages_that_fit_in_memory() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        world.known.lock().unwrap().readings = (1..=2_500).map(reading).collect();
        let answer = csv(&world, "/hems/h/readings").await;
        assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
        let lines: Vec<_> = answer.body.lines().collect();
        assert_eq!(lines.len(), 2_501);
        assert!(lines[0].starts_with("seq,ts,received,node,"));
        assert!(lines[2_500].starts_with("2500,"));
        {
            let known = world.known.lock().unwrap();
            assert_eq!((known.pages_asked, known.largest_page), (3, 1_000));
        }
        let some = csv(&world, "/hems/h/readings?limit=7&order=desc").await;
        assert_eq!(some.body.lines().count(), 8);
        assert!(some.body.lines().nth(1).unwrap().starts_with("2500,"));
        let none = csv(&world, "/hems/h/readings?from=2030-01-01T00:00:00Z").await;
        assert_eq!(none.body.lines().count(), 1);
    });
}

#[test]
fn events_are_shown_with_what_they_say() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        world.known.lock().unwrap().events = vec![HemEvent {
            seq: Seq(3),
            ts: Timestamp(NOW),
            received: Timestamp(NOW),
            kind: "override".to_owned(),
            node: Some(NodeId(4)),
            on: Some(false),
            watts: None,
            until: Some(Timestamp(NOW + 1_000)),
            text: None,
        }];
        let event = world.ask("GET", "/hems/h/events", None).await.json()["items"][0].clone();
        assert_eq!(
            event,
            json!({
                "seq": 3, "ts": "2026-11-23T12:00:00Z", "received": "2026-11-23T12:00:00Z",
                "kind": "override", "node": 4, "on": false, "until": "2026-11-23T12:00:01Z"
            })
        );
        let table = csv(&world, "/hems/h/events").await.body;
        assert!(table.ends_with(",override,4,false,,2026-11-23T12:00:01.000Z,\r\n"), "{table}");
    });
}

#[test]
fn history_goes_by_the_microgrids_time_zone() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        let series = world.ask("GET", "/hems/h/history?node=3&quantity=volts", None).await.json();
        assert_eq!(
            series,
            json!({"points": [], "unit": "V", "resolution": "minute", "step_seconds": 60})
        );
        let asked = world.known.lock().unwrap().series_asked.take().unwrap();
        let node = SeriesSubject::Node("h".parse().unwrap(), NodeId(3));
        assert_eq!(asked, (node, "Europe/Berlin".to_owned()));
        let sum = world.ask("GET", "/microgrids/m/history?of=generation", None).await.json();
        assert_eq!(sum["unit"], "W");
        for (query, code) in [
            ("", "bad-query"),
            ("?node=256", "bad-query"),
            ("?node=1&quantity=joy", "bad-query"),
            ("?node=1&points=5001", "bad-query"),
            ("?node=1&from=2026-11-24T00:00:00Z&to=2026-11-23T00:00:00Z", "invalid-value"),
        ] {
            let answer = world.ask("GET", &format!("/hems/h/history{query}"), None).await;
            assert_eq!(answer.problem(), code, "{query}");
        }
    });
}

#[test]
fn a_hem_shows_how_it_stands_and_what_its_nodes_measured() {
    with_api(|world| async move {
        world.populate("m", &["h", "silent"]).await;
        let mut latest = NodeReading::empty(NodeId(2));
        latest.watts = Some(Watts(-5.0));
        let status = HemStatus {
            hem: "h".parse().unwrap(),
            microgrid: "m".parse().unwrap(),
            online: true,
            active: true,
            last_seen: Some(Timestamp(NOW)),
            epoch: Epoch(1),
            mark: Seq(9),
            nodes: vec![NodeStatus { latest, ts: Timestamp(NOW), declaration: None }],
            totals: PowerTotals { consumption_watts: Watts(7.0), ..PowerTotals::default() },
            flags: vec![QualityFlag::UndeclaredNode],
            missing: 1,
        };
        world.known.lock().unwrap().statuses.insert(status.hem.clone(), status);
        let hem = world.ask("GET", "/hems/h", None).await.json();
        assert_eq!(
            (&hem["online"], &hem["seq"], &hem["missing"]),
            (&json!(true), &json!(9), &json!(1))
        );
        assert_eq!(hem["flags"], json!(["undeclared-node"]));
        assert_eq!(
            hem["nodes"],
            json!([{
                "node": 2, "declared": false, "ts": "2026-11-23T12:00:00Z",
                "latest": {"node": 2, "watts": -5.0}
            }])
        );
        let list = world.ask("GET", "/hems", None).await.json();
        assert_eq!(list["items"][0]["consumption_watts"], 7.0);
        assert_eq!(list["items"][1]["online"], false);
        assert_eq!(list["items"][1]["last_seen"], serde_json::Value::Null);
    });
}
