//! The rules of the protocol, a sentence each.

use std::time::Duration;

use memcloud_domain::messages::{
    AuthenticationError, Durability, HemCredential, SessionOpened, Unavailable,
};
use memcloud_domain::{Entry, Epoch, HemId, RefusalCode, Seq};
use memcloud_wire::{CloudFrame, ErrorCode};

use super::script::{Script, WALL, acks, config, errors, reading, refusals};
use super::{Claimed, Effect, Event, Moment, Rules, Session, StandDownReason, Wish};

const HELLO: &str = r#"{"type":"hello","protocol":1,"hem":"home-1","key":"k"}"#;
const SECOND: Duration = Duration::from_secs(1);

/// The error with which a first frame is turned away; nobody was asked.
fn turned_away(first_frame: &str) -> ErrorCode {
    let mut script = Script::new(config());
    script.say(first_frame);
    assert!(script.effects.is_empty(), "{:?}", script.effects);
    assert_eq!(script.wish(), Wish::Discard);
    let [(code, _)] = errors(&script.hears())[..] else { panic!("one error is said") };
    code
}

// ------------------------------------------------------------------------------- up to the welcome

#[test]
fn a_first_frame_is_checked_in_the_order_json_type_protocol_credentials_id() {
    assert_eq!(turned_away("not json"), ErrorCode::BadFrame);
    assert_eq!(turned_away(r#"{"type":"ping","protocol":9}"#), ErrorCode::Unauthorised);
    assert_eq!(
        turned_away(r#"{"type":"hello","protocol":2,"hem":"BAD ID"}"#),
        ErrorCode::UnsupportedProtocol
    );
    assert_eq!(
        turned_away(r#"{"type":"hello","protocol":1,"hem":"BAD ID"}"#),
        ErrorCode::Unauthorised
    );
    assert_eq!(
        turned_away(r#"{"type":"hello","protocol":1,"hem":"BAD ID","key":"k"}"#),
        ErrorCode::BadFrame
    );
}

#[test]
fn bad_nodes_are_told_only_to_a_hem_that_has_proven_who_it_is() {
    let hello = r#"{"type":"hello","protocol":1,"hem":"home-1","key":"k","nodes":[{"node":999}]}"#;
    let mut stranger = Script::new(config());
    stranger.say(hello);
    stranger.happens(Event::Authenticated(Err(AuthenticationError::Unauthorised)));
    assert_eq!(errors(&stranger.hears()), [(ErrorCode::Unauthorised, None)]);

    let mut known = Script::new(config());
    known.say(hello);
    known.authenticate();
    assert_eq!(errors(&known.hears()), [(ErrorCode::BadFrame, None)]);
}

#[test]
fn a_welcome_comes_after_the_registrar_the_table_and_the_historian_in_this_order() {
    let mut script = Script::new(config());
    script.say(HELLO);
    let Some(Effect::Authenticate(question)) = script.effects.pop() else { panic!("asked") };
    assert!(matches!(question.credential, HemCredential::Key(key) if key.expose() == "k"));
    assert_eq!(script.wish(), Wish::Wait);
    script.authenticate();
    assert!(matches!(script.effects.pop(), Some(Effect::Claim(hem)) if hem.as_str() == "home-1"));
    script.happens(Event::Claimed(Claimed::Granted));
    assert!(matches!(script.effects.pop(), Some(Effect::Open(..))));
    assert!(script.session.output().is_empty());
    script.open(41);
    let frames = script.hears();
    let [CloudFrame::Welcome(welcome)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((welcome.seq, welcome.time.0), (Seq(41), WALL));
    assert_eq!(
        (welcome.max_in_flight, welcome.max_batch, welcome.max_frame),
        (1_000, 500, 524_288)
    );
    assert!(matches!(script.effects.pop(), Some(Effect::Welcomed(_))));
    assert_eq!(script.wish(), Wish::Read);
}

#[test]
fn what_comes_between_hello_and_welcome_is_taken_in_order() {
    let mut script = Script::new(config());
    script.say(&format!("{HELLO}\n{}\n{}", reading(1), reading(2)));
    script.authenticate();
    script.happens(Event::Claimed(Claimed::Granted));
    assert!(script.stored.is_empty());
    script.open(0);
    script.say_readings([3]);
    assert_eq!(script.stored_seqs(), [1, 2, 3]);
}

#[test]
fn a_certificate_stands_in_for_a_key_when_its_name_is_the_hems_id() {
    let start = |certified: &str, hello: &str| {
        let script = Script::new(config());
        let rules = std::sync::Arc::new(Rules { config: config(), metrics: script.metrics });
        let certified = HemId::new(certified).ok();
        let mut session = Session::new(rules, certified, 0, script.now.at);
        session.accept(Event::Received(format!("{hello}\n").as_bytes()), script.now)
    };
    let hello = r#"{"type":"hello","protocol":1,"hem":"home-1"}"#;
    let effects = start("home-1", hello);
    let [Effect::Authenticate(question)] = &effects[..] else { panic!("{effects:?}") };
    assert!(matches!(question.credential, HemCredential::Certificate));
    assert!(start("home-2", hello).is_empty());
}

#[test]
fn whoever_is_not_known_hears_unauthorised_and_is_closed() {
    let mut script = Script::new(config());
    script.say(HELLO);
    script.happens(Event::Authenticated(Err(AuthenticationError::Unauthorised)));
    assert_eq!(errors(&script.hears()), [(ErrorCode::Unauthorised, None)]);
    assert_eq!(script.wish(), Wish::Discard);
    script.pass(SECOND);
    assert_eq!(script.wish(), Wish::Stop);
}

#[test]
fn a_key_that_was_revoked_while_it_was_checked_is_not_welcomed() {
    let mut script = Script::new(config());
    script.say(HELLO);
    script.authenticate();
    script.happens(Event::Claimed(Claimed::Cut));
    assert_eq!(errors(&script.hears()), [(ErrorCode::Unauthorised, None)]);
}

#[test]
fn a_store_that_is_away_sends_a_hem_off_as_busy_with_a_time_to_come_back() {
    let away = || Unavailable { what: "iot store", reason: "disk full".to_owned() };
    let answers: [fn(Unavailable) -> Event<'static>; 3] = [
        |away| Event::Authenticated(Err(AuthenticationError::Unavailable(away))),
        |away| Event::Opened(Err(away)),
        |_| Event::Unanswered,
    ];
    for (index, answer) in answers.into_iter().enumerate() {
        let mut script = Script::new(config());
        script.say(HELLO);
        if index == 1 {
            script.authenticate();
            script.happens(Event::Claimed(Claimed::Granted));
        }
        script.happens(answer(away()));
        let frames = script.hears();
        let [CloudFrame::Error(error)] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((error.code, error.retry_after_ms), (ErrorCode::Busy, Some(750)));
    }
}

#[test]
fn a_hello_must_come_whole_within_its_time() {
    let mut script = Script::new(config());
    script.happens(Event::Received(b"{\"type\":\"hel"));
    for _ in 0..9 {
        script.pass(SECOND);
        script.happens(Event::Received(b" "));
    }
    assert_eq!(script.wish(), Wish::Read);
    script.pass(SECOND);
    assert_eq!(errors(&script.hears()), [(ErrorCode::Unauthorised, None)]);
    assert_eq!(script.metrics.closed_no_hello.get(), 1);
}

#[test]
fn a_first_line_without_end_is_cut_off() {
    let mut script = Script::new(config());
    for _ in 0..200 {
        script.happens(Event::Received(&[b'x'; 1_024]));
    }
    assert_eq!(errors(&script.hears()), [(ErrorCode::FrameTooLarge, None)]);
    assert_eq!(script.metrics.buffered_bytes.get(), 0);
}

// ------------------------------------------------------------------------------------------ numbers

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

// ------------------------------------------------------------------------------------------ refused

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

// ------------------------------------------------------------------------------------------- errors

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

// --------------------------------------------------------------------------------------------- flow

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

// --------------------------------------------------------------------------------------------- life

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
