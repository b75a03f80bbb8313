//! The way of a command, from REST to a home and back, whatever the home does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use memcloud_domain::{
    CommandAction, CommandOutcome, HemId, NodeAction, NodeDeclaration, NodeId, NodeKind,
    NodeReading, Secret, Timestamp, Watts,
};
use memcloud_sdk::hem::{
    CommandReply, Credential, HemClient, HemConfig, HemHandler, TlsTransport, trust,
};
use memcloud_wire::{Command, Instruction, SampleTime};
use serde_json::{Value, json};

use crate::homes::{now_ms, until};
use crate::rest::{Answer, Caller};
use crate::support::TestCloud;

const BOILER: u8 = 1;
const BOILER_WATTS: f64 = 2_000.0;
/// How often the home reports.
const INTERVAL: Duration = Duration::from_millis(100);

/// A HEM with a boiler, that does what it is told, or not.
struct Board {
    is_on: AtomicBool,
    /// It says `done`, and does nothing.
    is_deaf: AtomicBool,
    /// It hangs up after it acted, and before it answers.
    hangs_up: AtomicBool,
    carried_out: Mutex<Vec<String>>,
    client: OnceLock<HemClient>,
}

#[derive(Clone)]
struct Wiring(Arc<Board>);

impl HemHandler for Wiring {
    fn command(&self, command: &Command) -> CommandReply {
        let Self(board) = self;
        board.carried_out.lock().unwrap().push(command.command.clone());
        if let (false, Instruction::Known(CommandAction::Switch { on })) =
            (board.is_deaf.load(Ordering::SeqCst), &command.action)
        {
            board.is_on.store(*on, Ordering::SeqCst);
        }
        if board.hangs_up.swap(false, Ordering::SeqCst) {
            let (client, id) = (board.client.get().unwrap().clone(), command.command.clone());
            tokio::spawn(async move {
                client.hang_up(Duration::from_secs(3));
                // The board goes on without its connection.
                tokio::time::sleep(Duration::from_millis(200)).await;
                client.finish(&id, CommandOutcome::Done, None);
            });
            return CommandReply::Later;
        }
        CommandReply::Now(CommandOutcome::Done, None)
    }
}

/// A home whose boiler is on, until someone switches it off.
struct BoilerHome(Arc<Board>);

impl BoilerHome {
    fn connect(cloud: &TestCloud, key: &str) -> Self {
        let transport =
            TlsTransport::new(&cloud.hem.to_string(), trust(&cloud.ca(), None).unwrap()).unwrap();
        let config = HemConfig {
            nodes: Some(vec![boiler()]),
            retry_first: Duration::from_millis(50),
            retry_most: Duration::from_millis(500),
            ..HemConfig::new(HemId::new("home-1").unwrap(), Credential::Key(Secret::new(key)))
        };
        let board = Arc::new(Board {
            is_on: AtomicBool::new(true),
            is_deaf: AtomicBool::new(false),
            hangs_up: AtomicBool::new(false),
            carried_out: Mutex::default(),
            client: OnceLock::new(),
        });
        let (client, task) =
            HemClient::spawn(config, transport, Wiring(Arc::clone(&board))).unwrap();
        assert!(board.client.set(client.clone()).is_ok());
        let reporting = Arc::clone(&board);
        tokio::spawn(async move {
            while !task.is_finished() {
                let is_on = reporting.is_on.load(Ordering::SeqCst);
                let reading = NodeReading {
                    watts: Some(Watts(if is_on { BOILER_WATTS } else { 0.0 })),
                    on: Some(is_on),
                    ..NodeReading::empty(NodeId(BOILER))
                };
                client.record(SampleTime::At(Timestamp(now_ms())), &[reading]).unwrap();
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Self(board)
    }

    async fn online(self) -> Self {
        until("the home is online", || self.client().is_online()).await;
        self
    }

    fn client(&self) -> &HemClient {
        self.0.client.get().unwrap()
    }

    fn carried_out(&self) -> Vec<String> {
        self.0.carried_out.lock().unwrap().clone()
    }
}

fn boiler() -> NodeDeclaration {
    NodeDeclaration {
        node: NodeId(BOILER),
        name: "boiler".to_owned(),
        kind: NodeKind::Load,
        rated_watts: Some(Watts(BOILER_WATTS)),
        min_watts: None,
        max_watts: None,
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: Some(vec![NodeAction::Switch]),
        default: None,
    }
}

/// A cloud with one HEM, whose key is the answer.
fn cloud() -> (TestCloud, String) {
    let cloud = TestCloud::builder()
        .set("commands.result_timeout", "1s")
        .set("commands.effect_window", "1s")
        .start();
    cloud.call_for_line(&["microgrid", "add", "valley"]);
    let key = cloud.call_for_line(&["hem", "register", "home-1", "--microgrid", "valley"]);
    (cloud, key)
}

/// Switches the boiler off, with whatever else is said.
async fn switch_off(operator: &Caller<'_>, query: &str, more: Value) -> Answer {
    let mut body = json!({"node": BOILER, "action": "switch", "on": false, "reason": "a test"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = operator.post(&format!("/api/v1/hems/home-1/commands{query}"), body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer
}

fn states(command: &Value) -> Vec<&str> {
    let history = command["history"].as_array().unwrap();
    history.iter().map(|step| step["state"].as_str().unwrap()).collect()
}

/// The command as it is once it is in a state.
async fn once(operator: &Caller<'_>, id: &str, state: &str) -> Value {
    let path = format!("/api/v1/commands/{id}");
    for _ in 0..600 {
        let command = operator.get(&path).await.json();
        if command["state"] == state {
            return command;
        }
        actix_rt::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never {state}: {}", operator.get(&path).await.text);
}

#[actix_rt::test]
async fn a_command_ends_as_effective_with_the_reading_that_shows_it() {
    let (cloud, key) = cloud();
    let home = BoilerHome::connect(&cloud, &key).online().await;
    let operator = Caller::admin(&cloud);
    let command = switch_off(&operator, "?wait=20s", json!({})).await.json();
    assert_eq!(command["state"], "effective", "{command}");
    assert_eq!(states(&command), ["accepted", "sent", "acknowledged", "effective"]);
    let evidence = &command["history"][3]["evidence"];
    let shown = &evidence["seen"][0];
    assert_eq!((&shown["on"], &shown["watts"]), (&json!(false), &json!(0.0)), "{command}");
    let path = format!(
        "/api/v1/hems/home-1/readings?after={}&limit=1",
        shown["seq"].as_u64().unwrap() - 1
    );
    let reading = operator.get(&path).await.json();
    assert_eq!(reading["items"][0]["nodes"][0]["on"], false, "the evidence is a stored reading");
    assert_eq!(home.carried_out(), [command["id"].as_str().unwrap()]);
}

#[actix_rt::test]
async fn a_deaf_hem_ends_as_ineffective_however_friendly_it_answers() {
    let (cloud, key) = cloud();
    let home = BoilerHome::connect(&cloud, &key).online().await;
    home.0.is_deaf.store(true, Ordering::SeqCst);
    let operator = Caller::admin(&cloud);
    let command = switch_off(&operator, "?wait=20s", json!({})).await.json();
    assert_eq!(states(&command), ["accepted", "sent", "acknowledged", "ineffective"]);
    let seen = command["history"][3]["evidence"]["seen"].as_array().unwrap();
    assert!(seen.len() >= 2, "{command}");
    for sighting in seen {
        assert_eq!((&sighting["on"], &sighting["watts"]), (&json!(true), &json!(BOILER_WATTS)));
    }
}

#[actix_rt::test]
async fn a_command_for_an_absent_hem_expires_and_is_never_carried_out() {
    let (cloud, key) = cloud();
    let home = BoilerHome::connect(&cloud, &key).online().await;
    home.client().drained().await;
    home.client().hang_up(Duration::from_secs(4));
    until("the home is away", || !home.client().is_online()).await;
    let operator = Caller::admin(&cloud);
    let command = switch_off(&operator, "?wait=20s", json!({"expires_seconds": 1})).await.json();
    assert_eq!(states(&command), ["accepted", "expired"], "{command}");
    until("the home is back", || home.client().is_online()).await;
    let next = switch_off(&operator, "?wait=20s", json!({})).await.json();
    assert_eq!(next["state"], "effective", "{next}");
    assert_eq!(home.carried_out(), [next["id"].as_str().unwrap()]);
}

#[actix_rt::test]
async fn a_hem_that_was_away_gets_its_command_when_it_is_back() {
    let (cloud, key) = cloud();
    let home = BoilerHome::connect(&cloud, &key).online().await;
    home.client().drained().await;
    home.client().hang_up(Duration::from_secs(2));
    until("the home is away", || !home.client().is_online()).await;
    let operator = Caller::admin(&cloud);
    let waiting = switch_off(&operator, "", json!({"expires_seconds": 60})).await.json();
    assert_eq!(waiting["state"], "accepted");
    let id = waiting["id"].as_str().unwrap();
    let command = once(&operator, id, "effective").await;
    assert_eq!(states(&command), ["accepted", "sent", "acknowledged", "effective"]);
    assert_eq!(home.carried_out(), [id]);
}

#[actix_rt::test]
async fn a_hem_that_hangs_up_before_it_answers_is_unconfirmed_until_its_late_result_tells() {
    let (cloud, key) = cloud();
    let home = BoilerHome::connect(&cloud, &key).online().await;
    home.0.hangs_up.store(true, Ordering::SeqCst);
    let operator = Caller::admin(&cloud);
    let sent = switch_off(&operator, "", json!({})).await.json();
    let id = sent["id"].as_str().unwrap();
    let unconfirmed = once(&operator, id, "unconfirmed").await;
    assert_eq!(states(&unconfirmed), ["accepted", "sent", "unconfirmed"]);
    let command = once(&operator, id, "effective").await;
    assert_eq!(states(&command), ["accepted", "sent", "unconfirmed", "acknowledged", "effective"]);
    assert_eq!(home.carried_out(), [id], "it was sent twice, and carried out once");
}

#[actix_rt::test]
async fn what_was_taken_back_before_it_was_sent_is_never_carried_out() {
    let (cloud, key) = cloud();
    let home = BoilerHome::connect(&cloud, &key).online().await;
    home.client().drained().await;
    home.client().hang_up(Duration::from_secs(3));
    until("the home is away", || !home.client().is_online()).await;
    let operator = Caller::admin(&cloud);
    let waiting = switch_off(&operator, "", json!({"expires_seconds": 60})).await.json();
    let path = format!("/api/v1/commands/{}", waiting["id"].as_str().unwrap());
    let cancelled = operator.send("DELETE", &path, &[], None).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    assert_eq!(states(&cancelled.json()), ["accepted", "cancelled"]);
    until("the home is back", || home.client().is_online()).await;
    let next = switch_off(&operator, "?wait=20s", json!({})).await.json();
    assert_eq!(next["state"], "effective", "{next}");
    assert_eq!(home.carried_out(), [next["id"].as_str().unwrap()]);
    // What is done cannot be taken back.
    let path = format!("/api/v1/commands/{}", next["id"].as_str().unwrap());
    let refused = operator.send("DELETE", &path, &[], None).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
}

#[actix_rt::test]
async fn a_restart_of_the_cloud_forgets_no_command() {
    let (mut cloud, key) = cloud();
    let home = BoilerHome::connect(&cloud, &key).online().await;
    home.client().drained().await;
    home.client().stop();
    let id = {
        let operator = Caller::admin(&cloud);
        let waiting = switch_off(&operator, "", json!({"expires_seconds": 60})).await.json();
        waiting["id"].as_str().unwrap().to_owned()
    };
    cloud.kill();
    cloud.launch();
    let operator = Caller::admin(&cloud);
    let command = operator.get(&format!("/api/v1/commands/{id}")).await.json();
    assert_eq!(states(&command), ["accepted"]);
    // The HEM comes back to wherever the cloud listens now.
    let home = BoilerHome::connect(&cloud, &key).online().await;
    let command = once(&operator, &id, "effective").await;
    assert_eq!(states(&command), ["accepted", "sent", "acknowledged", "effective"]);
    assert_eq!(home.carried_out(), [id]);
}
