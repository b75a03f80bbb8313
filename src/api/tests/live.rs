//! The live feed, as Server-Sent Events; WebSockets need sockets and are tested with the whole cloud.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::test::TestRequest;
use memcloud_bus::CloudEvent;
use memcloud_domain::messages::{HemBatch, LatestSeen, ReadingsCommitted};
use memcloud_domain::{Entry, Epoch, Role, Seq, Timestamp};
use serde_json::{Value, json};

use super::world::{NOW, World, as_caller, reading, with_api};

fn listening(token: &str, query: &str) -> TestRequest {
    as_caller(token, "GET", &format!("/live{query}"), None)
        .insert_header(("Accept", "text/event-stream"))
}

struct Listener(Pin<Box<BoxBody>>);

impl Listener {
    fn to(response: HttpResponse) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().get("content-type").unwrap(), "text/event-stream");
        Self(Box::pin(response.into_body()))
    }

    /// The next event's id and data; comments are passed over.
    async fn next(&mut self) -> Option<(Option<String>, Value)> {
        loop {
            let block = std::future::poll_fn(|context| match self.0.as_mut().poll_next(context) {
                Poll::Ready(block) => Poll::Ready(block.map(Result::unwrap)),
                Poll::Pending => Poll::Pending,
            })
            .await?;
            let text = String::from_utf8(block.to_vec()).unwrap();
            assert!(text.ends_with("\n\n"), "{text:?}");
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
            if let Some(data) = field("data: ") {
                let id = field("id: ").map(str::to_owned);
                return Some((id, serde_json::from_str(data).unwrap()));
            }
        }
    }
}

fn commit(world: &World, microgrid: &str, hem: &str, seqs: std::ops::RangeInclusive<u64>) {
    let batch = HemBatch {
        hem: hem.parse().unwrap(),
        epoch: Epoch(1),
        after: Seq(seqs.start() - 1),
        through: Seq(*seqs.end()),
        entries: seqs.map(|seq| Entry::Reading(reading(seq))).collect(),
    };
    let committed = ReadingsCommitted {
        microgrid: microgrid.parse().unwrap(),
        at: Timestamp(NOW),
        batches: Arc::new(vec![batch]),
    };
    world.bus.readings.publish(microgrid, committed);
}

#[test]
fn a_listener_hears_what_it_asked_for_and_nothing_else() {
    with_api(|world| async move {
        world.populate("m", &["h", "i"]).await;
        world.populate("n", &["j"]).await;
        let mut feed =
            Listener::to(world.open(listening(&world.admin, "?microgrid=m&hem=h")).await);
        commit(&world, "n", "j", 1..=1);
        commit(&world, "m", "i", 1..=1);
        commit(&world, "m", "h", 7..=7);
        let (id, said) = feed.next().await.unwrap();
        assert_eq!(id.as_deref(), Some("h:7"));
        assert_eq!(
            (&said["type"], &said["hem"], &said["seq"]),
            (&json!("reading"), &json!("h"), &json!(7))
        );
        let latest = LatestSeen {
            hem: "h".parse().unwrap(),
            microgrid: "m".parse().unwrap(),
            epoch: Epoch(1),
            ts: Timestamp(NOW),
            received: Timestamp(NOW),
            nodes: Vec::new(),
        };
        world.bus.events.publish("", CloudEvent::LatestSeen(latest));
        let (id, said) = feed.next().await.unwrap();
        assert_eq!((id, &said["type"], &said["unstored"]), (None, &json!("latest"), &json!(true)));
    });
}

#[test]
fn a_token_for_one_microgrid_hears_that_one() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        world.populate("n", &["j"]).await;
        let token = world.token(Role::Viewer, Some("m")).await;
        let mut feed = Listener::to(world.open(listening(&token, "")).await);
        commit(&world, "n", "j", 1..=1);
        commit(&world, "m", "h", 2..=2);
        assert_eq!(feed.next().await.unwrap().1["hem"], "h");
    });
}

#[test]
fn a_slow_listener_loses_the_oldest_and_is_told_how_many() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        let mut feed = Listener::to(world.open(listening(&world.admin, "")).await);
        commit(&world, "m", "h", 1..=10);
        // The sorting task takes the commit while nobody reads the feed.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        let (_, said) = feed.next().await.unwrap();
        assert_eq!(said, json!({"type": "lost", "count": 6}));
        let mut heard = Vec::new();
        for _ in 0..4 {
            heard.push(feed.next().await.unwrap().1["seq"].as_u64().unwrap());
        }
        assert_eq!(heard, [7, 8, 9, 10]);
        let metrics = world.send(TestRequest::get().uri("/metrics")).await.body;
        assert!(metrics.contains("memcloud_live_lost_total 6"), "{metrics}");
        assert!(metrics.contains("memcloud_live_listeners 1"), "{metrics}");
    });
}

#[test]
fn who_may_not_listen_is_told_why() {
    with_api(|world| async move {
        let plain = as_caller(&world.admin, "GET", "/live", None)
            .insert_header(("Accept", "application/json"));
        assert_eq!(world.send(plain).await.problem(), "not-acceptable");
        let foreign = listening(&world.admin, "").insert_header(("Origin", "http://evil.example"));
        assert_eq!(world.send(foreign).await.problem(), "foreign-origin");
        let first = world.open(listening(&world.admin, "")).await;
        let _second = world.open(listening(&world.admin, "")).await;
        let third = world.send(listening(&world.admin, "")).await;
        assert_eq!((third.status, third.problem().as_str()), (503, "too-many-listeners"));
        drop(first);
        assert_eq!(world.open(listening(&world.admin, "")).await.status(), 200);
    });
}
