//! Silence, what is passed on, and the end.

use memcloud_domain::messages::SessionOpened;
use memcloud_domain::{Epoch, Seq};
use memcloud_wire::{CloudFrame, ErrorCode};

use super::HELLO;
use super::SECOND;
use super::script::{Script, WALL, acks, config, errors, reading};
use crate::session::{Claimed, Effect, Event, Moment, Wish};

#[test]
fn a_silent_hem_goes_offline_after_two_heartbeats() {
    let mut script = Script::welcomed(config(), 0);
    for _ in 0..3 {
        script.pass(59 * SECOND);
        script.say(r#"{"type":"ping"}"#);
        assert!(matches!(script.hears()[..], [CloudFrame::Pong]));
    }
    script.pass(59 * SECOND);
    assert_eq!(script.offline_reason(), None);
    script.pass(SECOND);
    assert_eq!(script.offline_reason(), Some("silent"));
    assert_eq!(script.metrics.closed_silent.get(), 1);
}

#[test]
fn a_long_frame_on_a_slow_line_is_not_silence() {
    let mut script = Script::welcomed(config(), 0);
    let line = format!("{}\n", reading(1));
    for byte in line.as_bytes() {
        script.pass(50 * SECOND);
        script.happens(Event::Received(&[*byte]));
    }
    assert_eq!((script.offline_reason(), script.stored_seqs()), (None, vec![1]));
}

#[test]
fn a_hem_that_only_pings_is_told_of_every_few_seconds() {
    let mut script = Script::welcomed(config(), 0);
    let heard = |script: &Script| {
        script.effects.iter().filter(|effect| matches!(effect, Effect::Heard(_))).count()
    };
    for _ in 0..20 {
        script.pass(SECOND);
        script.say(r#"{"type":"ping"}"#);
        script.hears();
    }
    assert_eq!(heard(&script), 4);
    for seq in 1..20 {
        script.pass(SECOND);
        script.say_readings([seq]);
        script.commits(seq);
        script.hears();
    }
    assert!(heard(&script) <= 5, "stored readings tell it themselves");
}

#[test]
fn latest_is_passed_on_and_never_stored() {
    let mut script = Script::welcomed(config(), 0);
    script.say(r#"{"type":"latest","age_ms":100,"nodes":[{"node":1,"watts":-3}]}"#);
    script.say(r#"{"type":"latest","ts":5,"nodes":[]}"#);
    let latest: Vec<_> = script
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Latest(latest) => Some((latest.ts.0, latest.nodes.len())),
            _ => None,
        })
        .collect();
    assert_eq!(latest, [(WALL - 100, 1)]);
    assert!(script.stored.is_empty());
    assert_eq!(errors(&script.hears()), [(ErrorCode::BadFrame, Some(0))]);
}

#[test]
fn a_result_is_taken_and_counted() {
    let mut script = Script::welcomed(config(), 0);
    script.say(r#"{"type":"result","command":"c1","outcome":"done","seq":4}"#);
    assert!(script.hears().is_empty());
    assert_eq!(script.metrics.frames_result.get(), 1);
}

#[test]
fn at_a_shutdown_what_is_on_its_way_is_acknowledged_before_the_goodbye() {
    let mut script = Script::welcomed(config(), 0);
    script.say_readings([1]);
    script.happens(Event::ShuttingDown);
    assert_eq!(script.wish(), Wish::Wait);
    script.commits(1);
    let frames = script.hears();
    let [CloudFrame::Ack(_), CloudFrame::Error(error)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((error.code, error.retry_after_ms), (ErrorCode::ShuttingDown, Some(750)));
    assert_eq!(script.offline_reason(), Some("shutting-down"));
}

#[test]
fn a_shutdown_waits_for_acks_only_a_moment() {
    let mut script = Script::welcomed(config(), 0);
    script.say_readings([1]);
    script.happens(Event::ShuttingDown);
    script.pass(SECOND / 2);
    assert_eq!(errors(&script.hears()), [(ErrorCode::ShuttingDown, None)]);
}

#[test]
fn a_hem_that_ends_its_side_still_gets_its_acks() {
    let mut script = Script::welcomed(config(), 0);
    script.say_readings([1, 2]);
    script.happens(Event::Ended);
    assert_eq!(script.offline_reason(), None);
    script.commits(2);
    assert_eq!(acks(&script.hears()), [2]);
    assert_eq!(script.offline_reason(), Some("closed"));
    script.happens(Event::SaidGoodbye);
    assert_eq!(script.wish(), Wish::Stop);
}

#[test]
fn a_broken_line_ends_everything_at_once() {
    let mut script = Script::welcomed(config(), 0);
    script.happens(Event::Broke);
    assert_eq!((script.wish(), script.offline_reason()), (Wish::Stop, Some("broken")));
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    let mut script = Script::new(config());
    script.say(HELLO);
    script.happens(Event::ShuttingDown);
    script.effects.clear();
    let opened = SessionOpened { epoch: Epoch(1), mark: Seq(0) };
    script.authenticate();
    script.happens(Event::Claimed(Claimed::Granted));
    script.happens(Event::Opened(Ok(opened)));
    assert!(script.effects.is_empty());
    let Moment { at, .. } = script.now;
    assert!(script.session.deadline(script.now).is_some_and(|deadline| deadline > at));
}
