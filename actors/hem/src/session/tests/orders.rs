//! Commands to the HEM, and its answers.

use memcloud_domain::messages::{CommandAnswered, OutgoingCommand};
use memcloud_domain::{
    CommandAction, CommandId, CommandOutcome, Epoch, HemId, MicrogridId, NodeId, Seq, Timestamp,
    Watts,
};
use memcloud_wire::{CloudFrame, Command, ErrorCode, Instruction};

use super::SECOND;
use super::script::{Script, WALL, config, errors};
use crate::session::{Effect, Event, Wish};

fn command(number: u64) -> OutgoingCommand {
    OutgoingCommand {
        command: CommandId::new(&format!("c-{number}")).unwrap(),
        order: number,
        node: Some(NodeId(3)),
        action: CommandAction::SetPower { watts: Watts(-1_500.0) },
        issued: Timestamp(WALL),
        expires: Timestamp(WALL + 60_000),
        lease_ms: Some(900_000),
    }
}

fn commands(frames: Vec<CloudFrame>) -> Vec<Command> {
    let command = |frame| match frame {
        CloudFrame::Command(command) => Some(command),
        _ => None,
    };
    frames.into_iter().filter_map(command).collect()
}

fn answered(script: &Script) -> Vec<CommandAnswered> {
    let answered = |effect: &Effect| match effect {
        Effect::Answered(answered) => Some(answered.clone()),
        _ => None,
    };
    script.effects.iter().filter_map(answered).collect()
}

#[test]
fn a_command_says_what_remains_of_its_time() {
    let mut script = Script::welcomed(config(), 0);
    script.pass(10 * SECOND);
    script.say(r#"{"type":"ping"}"#);
    script.happens(Event::Ordered(vec![command(7)]));
    let expected = Command {
        command: "c-7".to_owned(),
        order: 7,
        node: Some(NodeId(3)),
        action: Instruction::Known(CommandAction::SetPower { watts: Watts(-1_500.0) }),
        issued: Timestamp(WALL),
        expires_in_ms: 50_000,
        lease_ms: Some(900_000),
    };
    assert_eq!(commands(script.hears()), [expected]);
    assert_eq!(script.metrics.commands_sent.get(), 1);
}

#[test]
fn a_command_whose_time_is_over_is_sent_with_nothing_left() {
    let mut script = Script::welcomed(config(), 0);
    script.pass(50 * SECOND);
    script.say(r#"{"type":"ping"}"#);
    script.hears();
    script.pass(50 * SECOND);
    script.happens(Event::Ordered(vec![command(7)]));
    assert_eq!(commands(script.hears())[0].expires_in_ms, 0);
}

#[test]
fn commands_go_out_in_the_order_in_which_they_came() {
    let mut script = Script::welcomed(config(), 0);
    script.happens(Event::Ordered((1..=32).map(command).collect()));
    script.happens(Event::Ordered(vec![command(33)]));
    let orders = commands(script.hears()).into_iter().map(|command| command.order);
    assert!(orders.eq(1..=33));
}

#[test]
fn no_command_goes_out_before_the_welcome_or_after_the_end() {
    let mut script = Script::new(config());
    assert!(!script.session.takes_orders());
    script.happens(Event::Ordered(vec![command(1)]));
    script.say(super::HELLO);
    script.happens(Event::Ordered(vec![command(1)]));
    assert!(!script.session.takes_orders() && script.hears().is_empty());

    let mut script = Script::welcomed(config(), 0);
    assert!(script.session.takes_orders());
    script.say_readings([1]);
    script.happens(Event::ShuttingDown);
    assert!(!script.session.takes_orders());
    script.happens(Event::Ordered(vec![command(1)]));
    assert!(commands(script.hears()).is_empty());
    assert_eq!(script.metrics.commands_unsent.get(), 1);
}

#[test]
fn a_hem_that_does_not_read_its_commands_is_cut_off_and_what_waits_for_it_stays_bounded() {
    let mut script = Script::welcomed(config(), 0);
    for number in 1..100_000 {
        script.happens(Event::Ordered(vec![command(number)]));
        assert!(script.session.output().len() < 300_000);
        if !script.session.takes_orders() {
            break;
        }
    }
    assert_eq!(script.offline_reason(), Some("unread"));
    assert_eq!(script.wish(), Wish::Stop);
    assert_eq!(script.metrics.closed_unread.get(), 1);
    assert_eq!(script.metrics.commands_unsent.get(), 1);
}

#[test]
fn an_answer_is_passed_on_with_who_gave_it_and_when() {
    let mut script = Script::welcomed(config(), 0);
    script.say(r#"{"type":"result","command":"c-7","outcome":"failed","seq":41,"reason":"hot"}"#);
    script.say(r#"{"type":"result","command":"c-8","outcome":"done"}"#);
    let answer = |command: &str, outcome, seq, reason: Option<&str>| CommandAnswered {
        hem: HemId::new("home-1").unwrap(),
        microgrid: MicrogridId::new("fontana").unwrap(),
        epoch: Epoch(7),
        command: CommandId::new(command).unwrap(),
        outcome,
        seq,
        reason: reason.map(str::to_owned),
        at: Timestamp(WALL),
    };
    let expected = [
        answer("c-7", CommandOutcome::Failed, Some(Seq(41)), Some("hot")),
        answer("c-8", CommandOutcome::Done, None, None),
    ];
    assert_eq!(answered(&script), expected);
    let metrics = &script.metrics;
    assert_eq!((metrics.results_failed.get(), metrics.results_done.get()), (1, 1));
    assert!(script.hears().is_empty() && script.stored.is_empty());
}

#[test]
fn an_answer_to_what_can_be_no_command_is_an_error_and_the_connection_goes_on() {
    let mut script = Script::welcomed(config(), 0);
    for _ in 0..200 {
        script.say(r#"{"type":"result","command":"Not One Of Ours","outcome":"done"}"#);
    }
    let said = errors(&script.hears());
    assert_eq!(said.len(), 200);
    assert!(said.iter().all(|(code, seq)| *code == ErrorCode::BadFrame && *seq == Some(0)));
    assert!(answered(&script).is_empty());
    assert_eq!(script.metrics.error_bad_frame.get(), 200);
    assert_eq!(script.offline_reason(), None);
}
