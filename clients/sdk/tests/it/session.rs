//! The life of a connection: enrolment, heartbeats, credit, waiting, giving up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use memcloud_domain::{NodeId, NodeReading, Secret, StateOfCharge, WattHours, Watts};
use memcloud_sdk::SdkError;
use memcloud_sdk::hem::{
    Credential, EventDetails, HemClient, HemHandler, Keep, NoHandler, Notice, SyncPolicy,
};
use memcloud_wire::{CloudError, ErrorCode, SampleTime};
use tokio::time::Instant;

use crate::model::{Model, Script, config, sample};

/// Writes down what it hears.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl HemHandler for Diary {
    fn notice(&self, notice: Notice<'_>) {
        let line = match notice {
            Notice::Welcomed { welcome, renumbered, held } => {
                format!("welcomed at {} renumbered {renumbered} held {held}", welcome.seq)
            }
            Notice::Acknowledged { seq, sent } => {
                format!("acknowledged {seq} {}", if sent.is_some() { "sent" } else { "unsent" })
            }
            Notice::Error(error) => format!("error {}", error.code),
            Notice::Disconnected { code, .. } => format!("disconnected {code:?}"),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Diary {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(600);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_enrolled_hem_keeps_its_key_and_uses_it_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let keep = Keep::Disk { path: folder.path().join("queue"), sync: SyncPolicy::Each };
    let model = Model::new(0, []);
    model.with(|cloud| cloud.issues_key = Some(Secret::new("issued")));
    let mut enrolling = config();
    enrolling.credential = Credential::Enrol(Secret::new("token"));
    enrolling.keep = keep;
    let (home, task) = HemClient::spawn(enrolling.clone(), model.clone(), NoHandler).unwrap();
    until(|| home.is_online()).await;
    home.reconnect();
    until(|| model.with(|cloud| cloud.greetings.len()) == 2).await;
    home.stop();
    task.await.unwrap();
    drop(home);
    let (home, task) = HemClient::spawn(enrolling, model.clone(), NoHandler).unwrap();
    assert_eq!(home.key(), Some(Secret::new("issued")));
    until(|| home.is_online()).await;
    home.stop();
    task.await.unwrap();
    let issued = (Some(Secret::new("issued")), None);
    assert_eq!(
        model.with(|cloud| cloud.greetings.clone()),
        [(None, Some(Secret::new("token"))), issued.clone(), issued]
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_hem_pings_once_per_heartbeat_and_stays() {
    let model = Model::new(0, []);
    let (home, task) = HemClient::spawn(config(), model.clone(), NoHandler).unwrap();
    tokio::time::sleep(Duration::from_secs(605)).await;
    assert!(home.is_online());
    home.stop();
    task.await.unwrap();
    model.with(|cloud| {
        assert_eq!(cloud.connections, 1);
        assert_eq!(cloud.pings, 20);
    });
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_falls_silent_is_left_for_a_new_connection() {
    let model = Model::new(0, [Script { falls_silent: true, ..Script::default() }]);
    let (home, task) = HemClient::spawn(config(), model.clone(), NoHandler).unwrap();
    let (time, nodes) = sample(5);
    home.record(time, &nodes).unwrap();
    home.drained().await;
    home.stop();
    task.await.unwrap();
    assert_eq!(model.with(|cloud| cloud.connections), 2);
    assert_eq!(model.contents(), [5]);
}

#[tokio::test(start_paused = true)]
async fn the_credit_is_never_overdrawn() {
    let model = Model::new(0, [Script { ack_every: 10, ..Script::default() }]);
    model.with(|cloud| cloud.max_in_flight = 10);
    let (home, driver) = HemClient::new(config(), model.clone(), NoHandler).unwrap();
    for content in 0..200 {
        let (time, nodes) = sample(content);
        home.record(time, &nodes).unwrap();
    }
    let task = tokio::spawn(driver.run());
    home.drained().await;
    home.stop();
    task.await.unwrap();
    assert_eq!(model.with(|cloud| cloud.most_in_flight), 10);
    model.assert_no_offence();
}

#[tokio::test(start_paused = true)]
async fn it_comes_back_when_the_cloud_asks_it_to_and_not_before() {
    let busy = Script {
        instead_of_welcome: Some(CloudError {
            code: ErrorCode::Busy,
            text: "later".to_owned(),
            seq: None,
            retry_after_ms: Some(20_000),
        }),
        ..Script::default()
    };
    let diary = Diary::default();
    let model = Model::new(0, [busy]);
    let begun = Instant::now();
    let (home, task) = HemClient::spawn(config(), model.clone(), diary.clone()).unwrap();
    until(|| home.is_online()).await;
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(20) && waited < Duration::from_secs(23), "{waited:?}");
    home.stop();
    task.await.unwrap();
    assert_eq!(
        diary.lines(),
        ["error busy", "disconnected Some(Busy)", "welcomed at 0 renumbered 0 held 0"]
    );
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_are_told_with_the_moment_of_sending() {
    let diary = Diary::default();
    let model = Model::new(7, []);
    let (home, task) = HemClient::spawn(config(), model.clone(), diary.clone()).unwrap();
    until(|| home.is_online()).await;
    let (time, nodes) = sample(1);
    home.record(time, &nodes).unwrap();
    home.report(
        SampleTime::Age(0),
        "booted",
        EventDetails { watts: Some(Watts(2.0)), ..EventDetails::default() },
    )
    .unwrap();
    home.drained().await;
    home.stop();
    task.await.unwrap();
    assert_eq!(
        diary.lines(),
        ["welcomed at 7 renumbered 0 held 0", "acknowledged 8 sent", "acknowledged 9 sent"]
    );
    assert_eq!(model.with(|cloud| cloud.events.clone()), ["booted"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_true_now_overtakes_a_long_back_fill() {
    let model = Model::new(0, [Script { ack_every: 5, ..Script::default() }]);
    model.with(|cloud| cloud.max_in_flight = 5);
    let mut slow = config();
    slow.max_batch = 1;
    let (home, driver) = HemClient::new(slow, model.clone(), NoHandler).unwrap();
    for content in 0..20_000 {
        let (time, nodes) = sample(content);
        home.record(time, &nodes).unwrap();
    }
    let (time, nodes) = sample(999);
    home.latest(time, &nodes);
    let task = tokio::spawn(driver.run());
    while !home.is_online() {
        tokio::task::yield_now().await;
    }
    home.latest(time, &nodes);
    while model.with(|cloud| cloud.latest.is_empty()) {
        tokio::task::yield_now().await;
    }
    let held = home.counters().held;
    assert!(held > 10_000, "most of the back-fill still waits: {held}");
    home.drained().await;
    home.stop();
    task.await.unwrap();
    assert_eq!(model.with(|cloud| cloud.latest.clone()), [999.0], "none before the welcome");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_says_so_and_takes_nothing() {
    let model = Model::new(0, []);
    let mut small = config();
    small.max_queue = 3;
    let (home, driver) = HemClient::new(small, model.clone(), NoHandler).unwrap();
    for content in 0..3 {
        let (time, nodes) = sample(content);
        home.record(time, &nodes).unwrap();
    }
    let (time, nodes) = sample(3);
    assert!(matches!(home.record(time, &nodes), Err(SdkError::QueueFull { held: 3 })));
    let task = tokio::spawn(driver.run());
    home.drained().await;
    assert_eq!(home.record(time, &nodes).unwrap().0, 4);
    home.drained().await;
    home.stop();
    task.await.unwrap();
    assert_eq!(model.contents(), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_the_cloud_would_refuse_is_told_to_whoever_records_it() {
    let (home, _driver) = HemClient::new(config(), Model::new(0, []), NoHandler).unwrap();
    let node = NodeReading::empty(NodeId(1));
    for wrong in [
        NodeReading { soc: Some(StateOfCharge(1.5)), ..node },
        NodeReading { wh_in: Some(WattHours(-1.0)), ..node },
        NodeReading { watts: Some(Watts(f64::NAN)), ..node },
    ] {
        let outcome = home.record(SampleTime::Age(0), &[wrong]);
        assert!(matches!(outcome, Err(SdkError::NotSendable(_))), "{wrong:?}: {outcome:?}");
    }
    assert!(home.record(SampleTime::Age(0), &[node, node]).is_err(), "a node twice");
    assert!(home.report(SampleTime::Age(0), "", EventDetails::default()).is_err());
    assert_eq!(home.counters().recorded, 0);
}
