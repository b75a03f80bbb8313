//! What becomes of a number: stored, stale, missing, refused.

use memcloud_domain::{Entry, RefusalCode};
use memcloud_wire::ErrorCode;

use super::SECOND;
use super::script::{Script, WALL, acks, config, errors, refusals};
use crate::session::{Event, Wish};

#[test]
fn one_read_is_one_hand_over_and_one_commit_is_one_ack() {
    let mut script = Script::welcomed(config(), 10);
    script.has_room = false;
    script.say_readings(11..=20);
    assert_eq!(script.stored_seqs(), (11..=20).collect::<Vec<_>>());
    assert_eq!(script.wish(), Wish::Wait, "the hand-over waits for room");
    script.happens(Event::HandedOver);
    assert_eq!(script.wish(), Wish::Read);
    assert!(script.hears().is_empty(), "nothing is acknowledged before it is on disk");
    script.commits(15);
    script.commits(20);
    script.commits(20);
    assert_eq!(acks(&script.hears()), [15, 20]);
}

#[test]
fn an_ack_never_passes_what_this_connection_has_taken() {
    let mut script = Script::welcomed(config(), 10);
    script.say_readings([11]);
    script.commits(500);
    assert_eq!(acks(&script.hears()), [11]);
}

#[test]
fn a_number_at_or_below_the_last_is_stale_and_never_stored() {
    let mut script = Script::welcomed(config(), 10);
    script.say_readings([10]);
    script.say_readings([12, 12, 11]);
    assert_eq!(script.stored_seqs(), [12]);
    let said = errors(&script.hears());
    assert_eq!(said, [(ErrorCode::StaleSeq, Some(10)), (ErrorCode::StaleSeq, Some(12))]);
    assert_eq!(script.metrics.stale.get(), 3);
    assert_eq!(script.wish(), Wish::Read);
}

#[test]
fn a_jump_is_stored_and_counted_as_missing() {
    let mut script = Script::welcomed(config(), 0);
    script.say_readings([1, 5]);
    assert_eq!((script.stored_seqs(), script.metrics.missing.get()), (vec![1, 5], 3));
    script.commits(5);
    assert_eq!(acks(&script.hears()), [5]);
}

#[test]
fn a_jump_over_the_limit_is_fatal_and_stores_nothing_of_its_batch() {
    let mut script = Script::welcomed(config(), 0);
    script.say_readings([1]);
    let item = |seq: u64| format!(r#"{{"seq":{seq},"ts":{WALL},"nodes":[]}}"#);
    let (two, far) = (item(2), item(900_000_000));
    script.say(&format!(r#"{{"type":"batch","readings":[{two},{far}]}}"#));
    assert_eq!(script.stored_seqs(), [1]);
    assert!(errors(&script.hears()).is_empty(), "what is on its way is acknowledged first");
    assert_eq!(script.wish(), Wish::Wait);
    script.commits(1);
    let frames = script.hears();
    assert_eq!((acks(&frames), errors(&frames)), (vec![1], vec![(ErrorCode::Gap, None)]));
    assert_eq!(script.offline_reason(), Some("gap"));
}

#[test]
fn a_gap_does_not_wait_for_ever_for_the_acks_before_it() {
    let mut script = Script::welcomed(config(), 0);
    script.say_readings([1, 900_000_000]);
    script.pass(5 * SECOND);
    assert_eq!(errors(&script.hears()), [(ErrorCode::Gap, None)]);
}

#[test]
fn what_can_never_be_stored_is_refused_by_name_and_passed_over() {
    let mut script = Script::welcomed(config(), 0);
    let old = WALL - 91 * 86_400_000;
    let ahead = WALL + 2 * 86_400_000;
    script.say(r#"{"type":"reading","seq":1,"ts":5,"nodes":[]}"#);
    script.say(&format!(r#"{{"type":"reading","seq":2,"ts":{old},"nodes":[]}}"#));
    script.say(&format!(r#"{{"type":"event","seq":3,"ts":{ahead},"kind":"booted"}}"#));
    script.say(&format!(r#"{{"type":"reading","seq":4,"ts":{WALL},"nodes":[{{"node":999}}]}}"#));
    script.say_readings([5]);
    let refused = refusals(&script.hears());
    assert_eq!(refused, [(1, "bad-time"), (2, "too-old"), (3, "bad-time"), (4, "malformed")]);
    let codes: Vec<_> = script
        .stored
        .iter()
        .map(|entry| match entry {
            Entry::Refused(refusal) => Some(refusal.code),
            _ => None,
        })
        .collect();
    assert_eq!(
        codes,
        [
            Some(RefusalCode::BadTime),
            Some(RefusalCode::TooOld),
            Some(RefusalCode::BadTime),
            Some(RefusalCode::Malformed),
            None
        ]
    );
    script.commits(5);
    assert_eq!(acks(&script.hears()), [5]);
}

#[test]
fn in_a_batch_each_item_is_stored_or_refused_by_itself() {
    let mut script = Script::welcomed(HemConfigOf { max_batch: 3 }.into(), 0);
    let item = |seq: u64, ts: i64| format!(r#"{{"seq":{seq},"ts":{ts},"nodes":[]}}"#);
    let items = [item(1, WALL), item(2, 0), item(3, WALL), item(4, WALL)].join(",");
    script.say(&format!(r#"{{"type":"batch","readings":[{items}]}}"#));
    assert_eq!(refusals(&script.hears()), [(2, "bad-time"), (4, "batch-too-long")]);
    assert_eq!(script.stored_seqs(), [1, 2, 3, 4]);
}

struct HemConfigOf {
    max_batch: usize,
}

impl From<HemConfigOf> for crate::HemConfig {
    fn from(of: HemConfigOf) -> Self {
        Self { max_batch: of.max_batch, ..config() }
    }
}

#[test]
fn a_hem_without_a_clock_says_how_old_its_readings_are() {
    let mut script = Script::welcomed(config(), 0);
    script.say(r#"{"type":"reading","seq":1,"age_ms":1500,"nodes":[]}"#);
    assert_eq!(script.stored[0].ts().0, WALL - 1_500);
}
