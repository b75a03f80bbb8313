//! What is wrong, what is said about it, and when that is the end.

use memcloud_domain::messages::Durability;
use memcloud_domain::{Epoch, Seq};
use memcloud_wire::ErrorCode;

use super::HELLO;
use super::SECOND;
use super::script::{Script, acks, config, errors, reading};
use crate::session::{Event, StandDownReason, Wish};

#[test]
fn a_bad_frame_is_answered_with_the_last_number_and_is_fatal_only_after_100_in_a_row() {
    let mut script = Script::welcomed(config(), 0);
    script.say_readings([1]);
    for _ in 0..99 {
        script.say("{");
    }
    assert_eq!(errors(&script.hears()), vec![(ErrorCode::BadFrame, Some(1)); 99]);
    script.say_readings([2]);
    script.hears();
    for _ in 0..99 {
        script.say("{");
    }
    assert_eq!(script.wish(), Wish::Read);
    script.say("{");
    assert_eq!(script.wish(), Wish::Discard);
    assert_eq!(script.offline_reason(), Some("bad-frame"));
    assert_eq!(script.stored_seqs(), [1, 2]);
}

#[test]
fn an_unknown_type_is_said_and_survived() {
    let mut script = Script::welcomed(config(), 0);
    script.say(r#"{"type":"telepathy"}"#);
    script.say(HELLO);
    let codes: Vec<_> = errors(&script.hears()).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, [ErrorCode::UnknownType, ErrorCode::BadFrame]);
    assert_eq!(script.wish(), Wish::Read);
}

#[test]
fn a_frame_over_the_limit_is_fatal_and_what_came_before_it_is_stored() {
    let mut script = Script::welcomed(config(), 0);
    let mut bytes = format!("{}\n", reading(1)).into_bytes();
    bytes.resize(600_000, b' ');
    script.happens(Event::Received(&bytes));
    assert_eq!(script.stored_seqs(), [1]);
    assert_eq!(errors(&script.hears()), [(ErrorCode::FrameTooLarge, None)]);
}

#[test]
fn after_a_fatal_error_is_read_and_dropped_for_a_second() {
    let mut script = Script::welcomed(config(), 0);
    script.happens(Event::StoodDown(StandDownReason::Replaced));
    assert_eq!(script.offline_reason(), Some("replaced"));
    script.say_readings([1]);
    assert!(script.stored.is_empty());
    script.pass(SECOND / 2);
    assert_eq!(script.wish(), Wish::Discard);
    assert_eq!(errors(&script.hears()), [(ErrorCode::Replaced, None)]);
    script.pass(SECOND / 2);
    assert_eq!(script.wish(), Wish::Stop);
}

#[test]
fn a_closed_connection_is_over_as_soon_as_both_sides_have_said_goodbye() {
    let mut script = Script::welcomed(config(), 0);
    script.happens(Event::StoodDown(StandDownReason::Cut));
    assert_eq!(errors(&script.hears()), [(ErrorCode::Unauthorised, None)]);
    script.happens(Event::SaidGoodbye);
    assert_eq!(script.wish(), Wish::Discard);
    script.happens(Event::Ended);
    assert_eq!(script.wish(), Wish::Stop);
}

#[test]
fn a_fenced_session_is_replaced() {
    let mut script = Script::welcomed(config(), 0);
    script.say_readings([1]);
    script.happens(Event::Durable(Durability { through: Seq(0), fenced: true }));
    let frames = script.hears();
    assert_eq!((acks(&frames), errors(&frames)), (vec![], vec![(ErrorCode::Replaced, None)]));
}

#[test]
fn when_the_historian_may_have_lost_something_the_hem_connects_anew() {
    for event in [Event::HandOverFailed, Event::DurabilityLost] {
        let mut script = Script::welcomed(config(), 0);
        script.has_room = false;
        script.say_readings([1]);
        script.happens(event);
        assert_eq!(errors(&script.hears()), [(ErrorCode::Busy, None)]);
        script.say_readings([2]);
        assert_eq!(script.stored_seqs(), [1]);
    }
}

#[test]
fn a_welcome_at_another_process_ends_an_earlier_connection_and_not_a_later_one() {
    let mut script = Script::welcomed(config(), 0);
    let own = Epoch(7);
    script.happens(Event::StoodDown(StandDownReason::WelcomedElsewhere(own)));
    script.say_readings([1]);
    assert_eq!(script.stored_seqs(), [1]);
    script.happens(Event::StoodDown(StandDownReason::WelcomedElsewhere(Epoch(own.0 + 1))));
    assert_eq!(script.offline_reason(), Some("replaced"));
}
