//! The live feed, as Server-Sent Events; WebSockets need sockets and are tested with the whole cloud.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::test::TestRequest;
use memcloud_bus::CloudEvent;
use memcloud_domain::messages::{HemBatch, LatestSeen, ReadingsCommitted};
use memcloud_domain::{CommandState, Entry, Epoch, HemMark, Role, Seq, Timestamp};
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
        assert!(id.unwrap().ends_with("-3"));
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
        assert!(id.unwrap().ends_with("-4"));
        assert_eq!((&said["type"], &said["unstored"]), (&json!("latest"), &json!(true)));
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
fn a_command_is_heard_with_every_step() {
    with_api(|world| async move {
        world.populate("m", &["h"]).await;
        let mut feed = Listener::to(world.open(listening(&world.admin, "?hem=h")).await);
        let restart = json!({"action": "restart"});
        world.ask("POST", "/hems/h/commands", Some(restart)).await;
        world.move_command("c0001", CommandState::Sent);
        let (_, said) = feed.next().await.unwrap();
        assert_eq!((&said["type"], &said["hem"]), (&json!("command"), &json!("h")));
        assert_eq!(said["command"], world.ask("GET", "/commands/c0001", None).await.json());
    });
}

/// The number and sequence of the readings that are heard next.
async fn hear(feed: &mut Listener, count: usize) -> (String, Vec<u64>) {
    let mut last = String::new();
    let mut seqs = Vec::new();
    for _ in 0..count {
        let (id, said) = feed.next().await.unwrap();
        last = id.unwrap();
        seqs.push(said["seq"].as_u64().unwrap());
    }
    (last, seqs)
}

#[test]
fn who_comes_back_hears_what_was_said_meanwhile() {
    with_api(|world| async move {
        world.populate("m", &["h", "i"]).await;
        let open = async |query: &str, last_id: Option<&str>| {
            let mut request = listening(&world.admin, query);
            if let Some(id) = last_id {
                request = request.insert_header(("Last-Event-ID", id));
            }
            Listener::to(world.open(request).await)
        };
        let mut feed = open("?hem=h", None).await;
        commit(&world, "m", "h", 1..=3);
        let (last, seqs) = hear(&mut feed, 2).await;
        assert_eq!(seqs, [1, 2]);
        drop(feed);
        // More than waits for a listener: it comes from the hub, not from the listener's queue.
        commit(&world, "m", "i", 1..=5);
        commit(&world, "m", "h", 4..=20);
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        let mut feed = open("?hem=h", Some(&last)).await;
        let (_, seqs) = hear(&mut feed, 18).await;
        assert_eq!(seqs, (3..=20).collect::<Vec<_>>());
        commit(&world, "m", "h", 21..=21);
        assert_eq!(hear(&mut feed, 1).await.1, [21]);
        // The parameter does the same, for those who cannot set headers.
        drop(feed);
        let mut feed = open(&format!("?hem=h&after={last}"), None).await;
        assert_eq!(hear(&mut feed, 19).await.1, (3..=21).collect::<Vec<_>>());
    });
}

#[test]
fn who_was_away_too_long_is_told_from_where_to_read_the_store() {
    with_api(|world| async move {
        world.populate("m", &["h", "i"]).await;
        let mark = |hem: &str, mark: u64| HemMark {
            hem: hem.parse().unwrap(),
            mark: Seq(mark),
            epoch: Epoch(1),
        };
        world.known.lock().unwrap().marks = vec![mark("h", 70), mark("i", 7)];
        for gone in ["another-run-5", "home-1:7"] {
            let request =
                listening(&world.admin, "?microgrid=m").insert_header(("Last-Event-ID", gone));
            let mut feed = Listener::to(world.open(request).await);
            let (id, said) = feed.next().await.unwrap();
            assert_eq!(said, json!({"type": "missed", "hems": {"h": 70, "i": 7}, "more": false}));
            commit(&world, "m", "h", 71..=71);
            assert_eq!(hear(&mut feed, 1).await.1, [71]);
            drop(feed);
            // Its id is good to go on from.
            let request = listening(&world.admin, "").insert_header(("Last-Event-ID", id.unwrap()));
            let mut feed = Listener::to(world.open(request).await);
            assert_eq!(hear(&mut feed, 1).await.1, [71]);
        }
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
