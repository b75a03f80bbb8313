//! Credit, rate, buffer, and the patience with a store or a HEM that is slow.

use std::time::Duration;

use memcloud_wire::{CloudFrame, ErrorCode};

use super::SECOND;
use super::script::{Script, acks, config, errors};
use crate::session::{Event, Wish};

#[test]
fn a_hem_over_its_credit_is_not_read_until_acks_free_it() {
    let config = crate::HemConfig { max_in_flight: 10, ..config() };
    let mut script = Script::welcomed(config, 0);
    script.say_readings(1..=10);
    assert_eq!(script.wish(), Wish::Read, "control frames are still read");
    script.say(r#"{"type":"ping"}"#);
    assert!(matches!(script.hears()[..], [CloudFrame::Pong]));
    script.say_readings([11]);
    assert_eq!(script.wish(), Wish::Wait);
    assert_eq!(script.metrics.paused_by_credit.get(), 1);
    script.pass(SECOND);
    assert_eq!(script.wish(), Wish::Wait);
    script.commits(1);
    assert_eq!(script.wish(), Wish::Read);
    assert_eq!(script.stored_seqs().len(), 11, "and nothing is dropped");
}

#[test]
fn a_hem_that_is_too_fast_is_read_later_and_told_so_once() {
    let config = crate::HemConfig { max_rate: 10, max_in_flight: 20, ..config() };
    let mut script = Script::welcomed(config, 0);
    script.say_readings(1..=20);
    assert_eq!(script.wish(), Wish::Read, "a burst of max_in_flight passes");
    script.commits(20);
    script.say_readings(21..=30);
    assert_eq!((script.wish(), script.wish()), (Wish::Wait, Wish::Wait));
    let frames = script.hears();
    assert_eq!(errors(&frames), [(ErrorCode::TooFast, None)]);
    assert_eq!((script.stored.len(), script.metrics.paused_by_rate.get()), (30, 1));
    script.pass(SECOND);
    assert_eq!(script.wish(), Wish::Read);
}

#[test]
fn a_hem_that_sends_little_but_often_is_read_once_in_a_pause() {
    let pause = Duration::from_millis(10);
    let mut script = Script::welcomed(crate::HemConfig { read_pause: pause, ..config() }, 0);
    script.say_readings([1]);
    assert_eq!(script.wish(), Wish::Read, "one alone is no stream");
    script.pass(pause / 2);
    script.say_readings([2]);
    assert_eq!((script.wish(), script.wish()), (Wish::Wait, Wish::Wait));
    assert_eq!(script.metrics.paused_by_pace.get(), 1);
    script.now.at += pause - Duration::from_millis(1);
    assert_eq!(script.wish(), Wish::Wait);
    script.now.at += Duration::from_millis(1);
    assert_eq!(script.wish(), Wish::Read);
    script.say_readings(3..=300);
    assert_eq!(script.wish(), Wish::Read, "a full read may have left more behind");
    script.pass(pause * 2);
    script.say_readings([301]);
    assert_eq!(script.wish(), Wish::Read, "and a HEM that sends seldom does not wait");
    script.pass(SECOND);
    assert_eq!(script.stored_seqs().len(), 301);
}

#[test]
fn over_the_processes_buffer_only_those_over_their_share_wait() {
    let config = crate::HemConfig { max_buffered_bytes: 40_000, max_frame: 1_024, ..config() };
    let mut script = Script::welcomed(config, 0);
    script.metrics.online.add(2);
    script.say_readings(1..=4);
    let held = script.metrics.buffered_bytes.get();
    assert!((1_024..20_000).contains(&held), "{held}");
    assert_eq!(script.wish(), Wish::Read);
    script.metrics.buffered_bytes.add(40_000);
    assert_eq!(script.wish(), Wish::Read, "over the limit, but within its share of 20,000");
    script.say_readings(5..=50);
    assert_eq!(script.wish(), Wish::Wait);
    assert_eq!(script.metrics.paused_by_buffer.get(), 1);
    script.commits(50);
    assert_eq!(script.wish(), Wish::Read);
}

#[test]
fn the_silence_of_a_hem_that_is_not_read_does_not_count() {
    let config =
        crate::HemConfig { max_in_flight: 1, ack_timeout: Duration::from_secs(3_600), ..config() };
    let mut script = Script::welcomed(config, 0);
    script.say_readings([1, 2]);
    assert_eq!(script.wish(), Wish::Wait);
    script.pass(300 * SECOND);
    assert_eq!(script.offline_reason(), None);
    script.commits(2);
    script.hears();
    assert_eq!(script.wish(), Wish::Read);
    script.pass(59 * SECOND);
    assert_eq!(script.offline_reason(), None);
    script.pass(2 * SECOND);
    assert_eq!(script.offline_reason(), Some("silent"));
}

#[test]
fn what_is_buffered_is_given_back_when_the_session_ends() {
    let mut script = Script::welcomed(config(), 0);
    script.say_readings(1..=50);
    script.happens(Event::Received(&[b'x'; 5_000]));
    assert!(script.metrics.buffered_bytes.get() > 5_000);
    drop(script.session);
    assert_eq!(script.metrics.buffered_bytes.get(), 0);
}

#[test]
fn a_reading_that_stays_unacknowledged_for_30_s_ends_the_connection_as_busy() {
    let mut script = Script::welcomed(config(), 0);
    script.say_readings([1]);
    script.pass(29 * SECOND);
    assert_eq!(script.offline_reason(), None);
    script.pass(SECOND);
    let frames = script.hears();
    let [CloudFrame::Error(error)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((error.code, error.retry_after_ms), (ErrorCode::Busy, Some(750)));
}

#[test]
fn while_the_store_is_away_acks_may_come_late_and_hems_stay_online() {
    let mut script = Script::welcomed(config(), 0);
    script.say_readings([1]);
    script.now.store_is_healthy = false;
    for _ in 0..20 {
        script.pass(15 * SECOND);
        script.say(r#"{"type":"ping"}"#);
        script.hears();
    }
    assert_eq!(script.offline_reason(), None);
    script.now.store_is_healthy = true;
    script.pass(20 * SECOND);
    assert_eq!(script.offline_reason(), None, "a store that comes back has time to catch up");
    script.commits(1);
    assert_eq!(acks(&script.hears()), [1]);
}

#[test]
fn a_slow_store_that_goes_on_acknowledging_is_borne() {
    let mut script = Script::welcomed(config(), 0);
    script.say_readings(1..=60);
    for seq in 1..=60 {
        script.pass(20 * SECOND);
        script.say(r#"{"type":"ping"}"#);
        script.commits(seq);
        script.hears();
    }
    assert_eq!(script.offline_reason(), None);
}

#[test]
fn a_hem_that_does_not_read_is_closed_and_costs_bounded_memory() {
    let mut script = Script::welcomed(config(), 0);
    let pings = vec![r#"{"type":"ping"}"#; 1_000].join("\n");
    let mut reads = 0;
    while script.wish() == Wish::Read && reads < 1_000 {
        script.say(&pings);
        reads += 1;
        script.now.at += SECOND;
    }
    assert!(reads < 20 && script.session.output().len() < 200_000, "{reads} reads");
    script.pass(11 * SECOND);
    assert_eq!(script.wish(), Wish::Stop);
    assert_eq!(script.offline_reason(), Some("unread"));
}

#[test]
fn acks_for_a_hem_that_does_not_read_coalesce() {
    let mut script = Script::welcomed(config(), 0);
    script.say(&vec![r#"{"type":"ping"}"#; 900].join("\n"));
    script.say_readings(1..=90);
    for seq in 1..=90 {
        script.commits(seq);
    }
    let before = script.session.output().len();
    assert_eq!(acks(&script.hears()), Vec::<u64>::new(), "{before} bytes wait already");
    assert_eq!(acks(&script.hears()), [90]);
}
