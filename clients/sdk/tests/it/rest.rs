//! REST and the live feed, against a socket that answers from a script and writes down what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use memcloud_domain::{
    CommandAction, CommandId, CommandState, HemId, JobId, MicrogridId, NodeId, Secret, Seq,
};
use memcloud_rest::{LiveMessage, NewCommand, NewHem, NewWishes};
use memcloud_sdk::SdkError;
use memcloud_sdk::live::{LiveFeed, LiveFilter, LiveUpdate};
use memcloud_sdk::rest::{After, PageQuery, RawOrder, RawQuery, RestClient};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

/// What the socket does with a request.
enum Answer {
    Says(String),
    HangsUp,
}

struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    fn heads(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn json(status: &str, body: &str) -> Answer {
    let kind = if status.starts_with('2') { "json" } else { "problem+json" };
    Answer::Says(format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/{kind}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

fn stream(body: &str) -> Answer {
    Answer::Says(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    ))
}

/// A socket that gives the answers in order, each to a connection of its own.
async fn cloud(answers: Vec<Answer>) -> (RestClient, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let root = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&asked);
    tokio::task::spawn_local(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                let mut piece = [0; 1_024];
                let length = socket.read(&mut piece).await.unwrap();
                head.extend_from_slice(&piece[..length]);
            }
            heads.lock().unwrap().push(String::from_utf8(head).unwrap());
            if let Answer::Says(text) = answer {
                socket.write_all(text.as_bytes()).await.unwrap();
                socket.shutdown().await.unwrap();
            }
        }
    });
    (RestClient::new(&root, Secret::new("the-token"), None).unwrap(), Asked(asked))
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(60), test).await.unwrap();
    });
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

#[test]
fn a_problem_is_an_error_with_its_code() {
    run(async {
        let problem = r#"{"type":"/api/errors#not-found","title":"There is no such thing","status":404,"code":"not-found","detail":"no HEM home-9"}"#;
        let (cloud, asked) = cloud(vec![json("404 Not Found", problem)]).await;
        let error = cloud.hem(&HemId::new("home-9").unwrap()).await.unwrap_err();
        assert_eq!(error.code(), Some("not-found"));
        assert_eq!(error.to_string(), "There is no such thing (not-found): no HEM home-9");
        let heads = asked.heads();
        assert!(heads[0].starts_with("GET /api/v1/hems/home-9 HTTP/1.1\r\n"), "{heads:?}");
        assert_eq!(header(&heads[0], "authorization"), Some("Bearer the-token"));
    });
}

#[test]
fn an_answer_that_is_not_memclouds_is_told_apart() {
    run(async {
        let (cloud, _) =
            cloud(vec![json("502 Bad Gateway", "<html>"), json("200 OK", "{\"items\":7}")]).await;
        for _ in 0..2 {
            let error = cloud.microgrids(&PageQuery::default()).await.unwrap_err();
            assert!(matches!(error, SdkError::UnexpectedAnswer { .. }), "{error:?}");
        }
    });
}

#[test]
fn what_is_asked_for_is_in_the_query() {
    run(async {
        let (cloud, asked) = cloud(vec![json("200 OK", r#"{"items":[],"next":"c2"}"#)]).await;
        let from: DateTime<Utc> = "2026-11-22T00:00:00Z".parse().unwrap();
        let query = RawQuery {
            from: Some(from),
            after: Some(After::Seq(Seq(41))),
            limit: Some(5),
            order: RawOrder::Descending,
            ..RawQuery::default()
        };
        let page = cloud.readings(&HemId::new("home-1").unwrap(), &query).await.unwrap();
        assert_eq!(page.next.as_deref(), Some("c2"));
        let line = asked.heads()[0].lines().next().unwrap().to_owned();
        assert_eq!(
            line,
            "GET /api/v1/hems/home-1/readings?from=2026-11-22T00%3A00%3A00.000Z&after=41&limit=5&order=desc HTTP/1.1"
        );
    });
}

#[test]
fn a_post_whose_connection_broke_is_sent_again_under_the_same_key() {
    run(async {
        let created = json("201 Created", r#"{"id":"home-1","key":"secret"}"#);
        let (cloud, asked) = cloud(vec![Answer::HangsUp, created]).await;
        let new = NewHem {
            id: HemId::new("home-1").unwrap(),
            microgrid: MicrogridId::new("fontana").unwrap(),
            name: None,
        };
        let made = cloud.create_hem(&new).await.unwrap();
        assert_eq!(made.key, Secret::new("secret"));
        let heads = asked.heads();
        let keys: Vec<_> = heads.iter().map(|head| header(head, "idempotency-key")).collect();
        assert!(keys[0].is_some_and(|key| key.len() == 36), "{keys:?}");
        assert_eq!(keys[0], keys[1]);
    });
}

#[test]
fn a_feed_comes_back_by_itself_and_gives_up_on_what_no_trying_mends() {
    run(async {
        let reading = r#"{"type":"reading","microgrid":"fontana","hem":"home-1","seq":7,"ts":"2026-11-23T12:00:00Z","received":"2026-11-23T12:00:00Z","nodes":[]}"#;
        let first = format!(
            "retry: 5\nid: r-6\n: alive\n\nid: r-7\ndata: {reading}\n\ndata: {{\"type\":\"of-a-later-version\"}}\n\ndata: {{\"type\":\"lost\",\"count\":3}}\n\n"
        );
        let away = r#"{"type":"t","title":"Away","status":503,"code":"unavailable","detail":"d"}"#;
        let gone =
            r#"{"type":"t","title":"No","status":401,"code":"unauthenticated","detail":"d"}"#;
        let (cloud, asked) = cloud(vec![
            stream(&first),
            json("503 Service Unavailable", away),
            json("401 Unauthorized", gone),
        ])
        .await;
        let filter =
            LiveFilter { microgrid: Some(MicrogridId::new("fontana").unwrap()), hem: None };
        let mut feed = LiveFeed::new(cloud, filter, 1);
        assert_eq!(feed.next_update().await.unwrap(), LiveUpdate::Connected);
        let Ok(LiveUpdate::Message { id, message }) = feed.next_update().await else {
            panic!("no reading");
        };
        assert_eq!(id, Some((HemId::new("home-1").unwrap(), Seq(7))));
        assert!(matches!(*message, LiveMessage::Reading { seq: Seq(7), .. }), "{message:?}");
        let Ok(LiveUpdate::Message { id: None, message }) = feed.next_update().await else {
            panic!("the unknown message was not passed over");
        };
        assert_eq!(*message, LiveMessage::Lost { count: 3 });
        for _ in 0..2 {
            let update = feed.next_update().await.unwrap();
            assert!(matches!(update, LiveUpdate::Disconnected { .. }), "{update:?}");
        }
        let error = feed.next_update().await.unwrap_err();
        assert_eq!(error.code(), Some("unauthenticated"));
        let heads = asked.heads();
        assert!(heads[0].starts_with("GET /api/v1/live?microgrid=fontana "), "{heads:?}");
        assert_eq!(header(&heads[0], "accept"), Some("text/event-stream"));
        assert_eq!(header(&heads[0], "last-event-id"), None);
        assert_eq!(header(&heads[2], "last-event-id"), Some("r-7"));
    });
}

fn command(state: &str) -> String {
    format!(
        r#"{{"id":"c1","microgrid":"fontana","hem":"home-1","node":5,"action":"switch","on":false,"state":"{state}","history":[],"asker":{{"kind":"token","id":"t","name":"n"}},"reason":"","priority":0,"issued":"2026-11-23T12:00:00Z","expires":"2026-11-23T12:01:00Z"}}"#
    )
}

#[test]
fn a_command_is_waited_for_until_it_is_decided() {
    run(async {
        let (cloud, asked) = cloud(vec![
            json("202 Accepted", &command("accepted")),
            json("200 OK", &command("acknowledged")),
            json("200 OK", &command("effective")),
        ])
        .await;
        let off = NewCommand::new(&CommandAction::Switch { on: false }).at(NodeId(5));
        let taken = cloud.command(&HemId::new("home-1").unwrap(), &off, None).await.unwrap();
        assert!(!taken.is_decided());
        let done = cloud.await_command(&taken.id, Duration::from_secs(50)).await.unwrap();
        assert_eq!(done.state, CommandState::Effective);
        let heads = asked.heads();
        assert!(heads[0].starts_with("POST /api/v1/hems/home-1/commands HTTP"), "{heads:?}");
        assert!(header(&heads[0], "idempotency-key").is_some());
        for head in &heads[1..] {
            assert!(head.starts_with("GET /api/v1/commands/c1?wait=20000ms HTTP"), "{head}");
        }
    });
}

#[test]
fn wishes_carry_no_key_since_the_same_wish_twice_is_the_same_wish() {
    run(async {
        let taken = r#"{"taken":0,"refused":0,"standing":0,"items":[]}"#;
        let (cloud, asked) = cloud(vec![Answer::HangsUp, json("200 OK", taken)]).await;
        let job = JobId::new("j1").unwrap();
        cloud.wish(&job, &NewWishes::default()).await.unwrap();
        let heads = asked.heads();
        assert_eq!(heads.len(), 2);
        assert!(heads[1].starts_with("POST /api/v1/jobs/j1/wishes "), "{heads:?}");
        assert_eq!(header(&heads[1], "idempotency-key"), None);
    });
}

#[test]
fn a_command_that_was_sent_is_too_late_to_cancel_and_says_how_far_it_is() {
    run(async {
        let problem = r#"{"type":"t","title":"It is too late to cancel","status":409,"code":"too-late","detail":"d","id":"c1","state":"sent"}"#;
        let (cloud, _) = cloud(vec![json("409 Conflict", problem)]).await;
        let error = cloud.cancel_command(&CommandId::new("c1").unwrap()).await.unwrap_err();
        let SdkError::Problem(problem) = error else { panic!("{error}") };
        assert_eq!((problem.code.as_str(), problem.state), ("too-late", Some(CommandState::Sent)));
    });
}
