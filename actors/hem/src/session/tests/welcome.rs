//! From the first byte to the welcome.

use memcloud_domain::messages::{
    AuthenticatedHem, AuthenticationError, HemCredential, Unavailable,
};
use memcloud_domain::{HemId, MicrogridId, Secret, Seq};
use memcloud_wire::{CloudFrame, ErrorCode};

use super::HELLO;
use super::SECOND;
use super::script::{Script, WALL, config, errors, reading};
use crate::session::{Claimed, Effect, Event, Rules, Session, Wish};

/// The error with which a first frame is turned away; nobody was asked.
fn turned_away(first_frame: &str) -> ErrorCode {
    let mut script = Script::new(config());
    script.say(first_frame);
    assert!(matches!(script.effects[..], [Effect::TurnedAway(_)]), "{:?}", script.effects);
    assert_eq!(script.wish(), Wish::Discard);
    let [(code, _)] = errors(&script.hears())[..] else { panic!("one error is said") };
    code
}

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
    assert!(matches!(start("home-2", hello)[..], [Effect::TurnedAway(_)]));
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

#[test]
fn a_hem_that_enrols_is_shown_its_new_key_in_the_welcome() {
    let mut script = Script::new(config());
    script.say(r#"{"type":"hello","protocol":1,"hem":"home-1","enrol":"token"}"#);
    let Some(Effect::Authenticate(question)) = script.effects.pop() else { panic!("asked") };
    assert!(
        matches!(question.credential, HemCredential::Enrolment(token) if token.expose() == "token")
    );
    script.happens(Event::Authenticated(Ok(AuthenticatedHem {
        microgrid: MicrogridId::new("fontana").unwrap(),
        nodes: Vec::new(),
        issued_key: Some(Secret::new("new-key")),
    })));
    script.happens(Event::Claimed(Claimed::Granted));
    script.open(0);
    let frames = script.hears();
    let [CloudFrame::Welcome(welcome)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(welcome.key.as_ref().map(Secret::expose), Some("new-key"));
}
