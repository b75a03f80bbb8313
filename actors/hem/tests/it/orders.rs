use std::time::Duration;

use memcloud_domain::messages::{NotConnected, OutgoingCommand, SendCommands};
use memcloud_domain::{CommandAction, CommandId, CommandOutcome, HemId, NodeId, Seq, Timestamp};
use memcloud_supervision::Clock;
use memcloud_wire::{CloudFrame, Instruction};

use crate::house::{Hem, House, PATIENCE};

fn outgoing(number: u64, action: CommandAction) -> OutgoingCommand {
    let now = Clock::system().unix_ms();
    OutgoingCommand {
        command: CommandId::new(&format!("c-{number}")).unwrap(),
        order: number,
        node: Some(NodeId(1)),
        action,
        issued: Timestamp(now),
        expires: Timestamp(now + 60_000),
        lease_ms: None,
    }
}

fn switch(number: u64) -> OutgoingCommand {
    outgoing(number, CommandAction::Switch { on: false })
}

async fn send(
    house: &House,
    hem: &str,
    commands: Vec<OutgoingCommand>,
) -> Result<(), NotConnected> {
    let send = SendCommands { hem: HemId::new(hem).unwrap(), commands };
    house.unit.send_commands().ask(send, PATIENCE).await.unwrap()
}

async fn hear_command(hem: &mut Hem) -> memcloud_wire::Command {
    match hem.hear().await {
        Some(CloudFrame::Command(command)) => command,
        other => panic!("no command but {other:?}"),
    }
}

#[actix_rt::test]
async fn a_command_goes_to_the_hem_and_its_answer_comes_back() {
    let house = House::start(|_| {});
    let (mut one, _) = house.welcome("home-1").await;
    let (mut two, _) = house.welcome("home-2").await;
    assert_eq!(send(&house, "home-2", vec![switch(1), switch(2)]).await, Ok(()));
    for order in 1..=2 {
        let command = hear_command(&mut two).await;
        assert_eq!((command.command.as_str(), command.order), (&*format!("c-{order}"), order));
        assert_eq!(command.action, Instruction::Known(CommandAction::Switch { on: false }));
        assert!((50_000..=60_000).contains(&command.expires_in_ms), "{command:?}");
    }
    two.say(r#"{"type":"result","command":"c-2","outcome":"done","seq":0}"#).await;
    house.until("the answer is passed on", |house| !house.books().answered.is_empty()).await;
    let answered = house.books().answered[0].clone();
    assert_eq!((answered.hem.as_str(), answered.command.as_str()), ("home-2", "c-2"));
    assert_eq!((answered.outcome, answered.seq), (CommandOutcome::Done, Some(Seq(0))));
    // The other one heard nothing of it.
    one.say(r#"{"type":"ping"}"#).await;
    assert_eq!(one.hear().await, Some(CloudFrame::Pong));
}

#[actix_rt::test]
async fn who_is_not_online_is_not_sent_anything() {
    let house = House::start(|_| {});
    assert_eq!(send(&house, "home-1", vec![switch(1)]).await, Err(NotConnected));
    let (hem, _) = house.welcome("home-1").await;
    drop(hem);
    house.until("it is offline", |house| !house.books().disconnected.is_empty()).await;
    assert_eq!(send(&house, "home-1", vec![switch(1)]).await, Err(NotConnected));
}

#[actix_rt::test]
async fn commands_go_to_the_connection_that_has_won() {
    let house = House::start(|_| {});
    let (mut first, _) = house.welcome("home-1").await;
    let (mut second, _) = house.welcome("home-1").await;
    assert_eq!(send(&house, "home-1", vec![switch(1)]).await, Ok(()));
    assert_eq!(hear_command(&mut second).await.order, 1);
    first.hear_last_error().await;
}

#[actix_rt::test]
async fn a_hem_that_does_not_read_its_commands_is_closed_and_the_others_hear_theirs() {
    let house = House::start_on(1, |config| config.write_timeout = Duration::from_millis(300));
    let (deaf, _) = house.welcome("home-1").await;
    let (mut other, _) = house.welcome("home-2").await;
    let times: Vec<Timestamp> = (0..500).map(Timestamp).collect();
    let large = CommandAction::SetSchedule { on_at: times.clone(), off_at: times };
    let flooding = async {
        let mut number = 0;
        loop {
            number += 1;
            if send(&house, "home-1", vec![outgoing(number, large.clone())]).await.is_err() {
                break;
            }
            assert_eq!(send(&house, "home-2", vec![switch(number)]).await, Ok(()));
            assert_eq!(hear_command(&mut other).await.order, number);
        }
    };
    assert!(tokio::time::timeout(PATIENCE, flooding).await.is_ok(), "it takes commands forever");
    house.until("it is closed", |house| !house.books().disconnected.is_empty()).await;
    assert_eq!(house.books().disconnected[0].reason, "unread");
    assert!(house.metrics().closed_unread.get() > 0);
    drop(deaf);
}

#[actix_rt::test]
async fn answers_wait_for_a_command_processor_that_is_busy() {
    let house = House::start(|_| {});
    let (mut hem, _) = house.welcome("home-1").await;
    house.books().is_stalled = true;
    hem.say_readings([1]).await;
    let result = |number| format!(r#"{{"type":"result","command":"c-{number}","outcome":"done"}}"#);
    for number in 1..=200 {
        hem.say(&result(number)).await;
    }
    house.until("they are here", |house| house.metrics().results_done.get() == 200).await;
    house.until("they wait", |house| house.metrics().results_waiting.get() > 0).await;
    house.books().is_stalled = false;
    house.until("all are passed on", |house| house.books().answered.len() == 200).await;
    assert_eq!(house.metrics().results_lost.get(), 0);
}
