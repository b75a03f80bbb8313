//! Commands: carried out at most once, answered each time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use memcloud_domain::{NodeId, Timestamp};
use memcloud_sdk::hem::{CommandReply, EndedLease, HemClient, HemHandler, Keep, SyncPolicy};
use memcloud_wire::{Command, CommandAction, Instruction, Outcome};

use crate::model::{Model, Script, config};

/// A relay that counts what it was told.
#[derive(Clone, Default)]
struct Relay {
    carried_out: Arc<Mutex<Vec<String>>>,
    ended: Arc<Mutex<Vec<EndedLease>>>,
    is_slow: bool,
}

impl HemHandler for Relay {
    fn command(&self, command: &Command) -> CommandReply {
        self.carried_out.lock().unwrap().push(command.command.clone());
        if self.is_slow { CommandReply::Later } else { CommandReply::Now(Outcome::Done, None) }
    }

    fn lease_ended(&self, lease: &EndedLease) {
        self.ended.lock().unwrap().push(lease.clone());
    }
}

fn switch(id: &str, order: u64, expires_in_ms: u64) -> Command {
    Command {
        command: id.to_owned(),
        order,
        node: Some(NodeId(3)),
        action: Instruction::Known(CommandAction::Switch { on: true }),
        issued: Timestamp(1_790_000_000_000),
        expires_in_ms,
        lease_ms: None,
    }
}

fn sends(commands: &[Command]) -> Script {
    Script { commands: commands.to_vec(), ..Script::default() }
}

async fn results(model: &Model, count: usize) -> Vec<(String, Outcome, Option<String>)> {
    let waiting = async {
        while model.with(|cloud| cloud.results.len()) < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("results");
    model.with(|cloud| {
        cloud
            .results
            .iter()
            .map(|result| (result.command.clone(), result.outcome, result.reason.clone()))
            .collect()
    })
}

#[tokio::test(start_paused = true)]
async fn a_command_that_comes_twice_is_carried_out_once_and_answered_twice() {
    let first = switch("a", 1, 60_000);
    let model = Model::new(0, [sends(std::slice::from_ref(&first)), sends(&[first])]);
    let relay = Relay::default();
    let (home, task) = HemClient::spawn(config(), model.clone(), relay.clone()).unwrap();
    results(&model, 1).await;
    home.reconnect();
    let answers = results(&model, 2).await;
    assert!(answers.iter().all(|(id, outcome, _)| id == "a" && *outcome == Outcome::Done));
    assert_eq!(*relay.carried_out.lock().unwrap(), ["a"]);
    home.stop();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_too_late_replaced_or_unknown_is_answered_and_left_alone() {
    let mut unknown = switch("d", 9, 60_000);
    unknown.action = Instruction::Known(CommandAction::Restart);
    unknown.node = None;
    let other_node = Command { node: Some(NodeId(4)), ..switch("e", 2, 60_000) };
    let model = Model::new(
        0,
        [sends(&[
            switch("late", 4, 0),
            switch("b", 5, 60_000),
            switch("c", 3, 60_000),
            other_node,
            unknown,
        ])],
    );
    let relay = Relay::default();
    let (home, task) = HemClient::spawn(config(), model.clone(), relay.clone()).unwrap();
    let mut answers = results(&model, 5).await;
    answers.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("b", Outcome::Done, None),
        ("c", Outcome::Superseded, None),
        ("d", Outcome::Done, None),
        ("e", Outcome::Done, None),
        ("late", Outcome::Refused, Some("expired".to_owned())),
    ]
    .map(|(id, outcome, reason)| (id.to_owned(), outcome, reason));
    assert_eq!(answers, expected);
    assert_eq!(*relay.carried_out.lock().unwrap(), ["b", "e", "d"]);
    home.stop();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_command_that_a_restart_cut_off_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let mut on_disk = config();
    on_disk.keep = Keep::Disk { path: folder.path().join("queue"), sync: SyncPolicy::Lazy };
    let slow = Relay { is_slow: true, ..Relay::default() };
    let model = Model::new(0, [sends(&[switch("a", 1, 60_000)]), sends(&[switch("a", 1, 60_000)])]);
    let (home, task) = HemClient::spawn(on_disk.clone(), model.clone(), slow.clone()).unwrap();
    while slow.carried_out.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    drop(home);
    let (home, task) = HemClient::spawn(on_disk, model.clone(), slow.clone()).unwrap();
    let answers = results(&model, 1).await;
    assert_eq!(answers, [("a".to_owned(), Outcome::Interrupted, None)]);
    assert_eq!(slow.carried_out.lock().unwrap().len(), 1, "it was not carried out again");
    home.stop();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_command_that_takes_its_time_is_answered_when_it_ends() {
    let slow = Relay { is_slow: true, ..Relay::default() };
    let model = Model::new(0, [sends(&[switch("a", 1, 60_000), switch("a", 1, 60_000)])]);
    let (home, task) = HemClient::spawn(config(), model.clone(), slow.clone()).unwrap();
    while slow.carried_out.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    home.finish("a", Outcome::Failed, Some("the relay does not move".to_owned()));
    let answers = results(&model, 1).await;
    let reason = Some("the relay does not move".to_owned());
    assert_eq!(answers, [("a".to_owned(), Outcome::Failed, reason)]);
    home.stop();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_there_was_no_connection_is_answered_after_the_next_welcome() {
    let slow = Relay { is_slow: true, ..Relay::default() };
    let unreachable = || Script { unreachable: true, ..Script::default() };
    let gone = sends(&[switch("a", 1, 60_000)]);
    let model = Model::new(0, [gone, unreachable(), unreachable(), Script::default()]);
    let (home, task) = HemClient::spawn(config(), model.clone(), slow.clone()).unwrap();
    while slow.carried_out.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    home.reconnect();
    while home.is_online() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    home.finish("a", Outcome::Done, None);
    assert_eq!(results(&model, 1).await, [("a".to_owned(), Outcome::Done, None)]);
    home.stop();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_lost_is_said_when_the_cloud_asks_again() {
    let slow = Relay { is_slow: true, ..Relay::default() };
    let model = Model::new(0, [sends(&[switch("a", 1, 60_000)]), sends(&[switch("a", 1, 60_000)])]);
    let (home, task) = HemClient::spawn(config(), model.clone(), slow.clone()).unwrap();
    while slow.carried_out.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    home.finish_unheard("a", Outcome::Done, None);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(model.with(|cloud| cloud.results.is_empty()));
    let before = tokio::time::Instant::now();
    home.hang_up(Duration::from_secs(40));
    assert_eq!(results(&model, 1).await, [("a".to_owned(), Outcome::Done, None)]);
    assert!(before.elapsed() >= Duration::from_secs(40), "{:?}", before.elapsed());
    assert_eq!(slow.carried_out.lock().unwrap().len(), 1);
    home.stop();
    task.await.unwrap();
}

fn leased(id: &str, order: u64, lease_ms: Option<u64>) -> Command {
    Command { lease_ms, ..switch(id, order, 60_000) }
}

fn ended(relay: &Relay) -> usize {
    let all = relay.ended.lock().unwrap();
    assert!(all.iter().all(|lease| lease.node == Some(NodeId(3)) && lease.action == "switch"));
    all.len()
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_by_itself_unless_a_later_order_replaced_it() {
    let model = Model::new(
        0,
        [
            sends(&[leased("a", 1, Some(10_000)), leased("b", 2, Some(30_000))]),
            Script { unreachable: true, ..Script::default() },
            sends(&[leased("c", 3, Some(5_000)), leased("d", 4, None)]),
        ],
    );
    let relay = Relay::default();
    let (home, task) = HemClient::spawn(config(), model.clone(), relay.clone()).unwrap();
    results(&model, 2).await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(ended(&relay), 0, "the second replaced the first");
    home.hang_up(Duration::from_secs(10));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ended(&relay), 1, "without a connection");
    results(&model, 4).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(ended(&relay), 1, "the last order stays");
    home.stop();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ran_when_the_process_ended_is_over_when_it_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut on_disk = config();
    on_disk.keep = Keep::Disk { path: folder.path().join("queue"), sync: SyncPolicy::Lazy };
    let model = Model::new(0, [sends(&[leased("a", 1, Some(3_600_000))])]);
    let relay = Relay::default();
    let (home, task) = HemClient::spawn(on_disk.clone(), model.clone(), relay.clone()).unwrap();
    results(&model, 1).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    drop(home);
    assert_eq!(ended(&relay), 0);
    for _ in 0..2 {
        let (home, task) = HemClient::spawn(on_disk.clone(), model.clone(), relay.clone()).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(ended(&relay), 1, "once, however often the process begins");
        home.stop();
        task.await.unwrap();
    }
}
