use std::time::Duration;

use super::*;

on_every_engine! {
    the_same_post_again_gets_the_same_answer_for_as_long_as_it_is_kept,
    a_key_for_another_body_is_a_conflict_and_another_callers_key_is_another_key,
    an_answer_with_a_secret_is_not_kept_but_its_id_is,
    a_post_that_is_being_done_is_not_done_twice_unless_it_was_forgotten,
    a_post_that_failed_may_be_tried_again_at_once,
    keys_differ_by_case_and_by_spaces_at_their_end,
    what_is_over_and_the_oldest_beyond_the_bound_are_swept_out,
}

const LIMITS: IdempotencyLimits =
    IdempotencyLimits { keep: Duration::from_secs(100), lease: Duration::from_secs(10), most: 5 };

fn request(principal: &str, key: &str, body: u8) -> IdempotentRequest {
    IdempotentRequest {
        scope: IdempotencyScope { principal: principal.to_owned(), key: key.to_owned() },
        fingerprint: [body; 32],
    }
}

fn answer(body: &str) -> IdempotentAnswer {
    IdempotentAnswer::Body {
        status: 201,
        content_type: "application/json".to_owned(),
        location: Some("/api/v1/microgrids/x".to_owned()),
        body: body.to_owned(),
    }
}

impl Fixture {
    fn begin(&self, request: &IdempotentRequest, second: i64) -> Beginning {
        self.begin_idempotent(request, Timestamp(second * 1_000), &LIMITS).unwrap()
    }

    fn finish(&self, request: &IdempotentRequest, answer: Option<&IdempotentAnswer>, second: i64) {
        self.finish_idempotent(&request.scope, answer, Timestamp(second * 1_000), &LIMITS).unwrap();
    }
}

fn the_same_post_again_gets_the_same_answer_for_as_long_as_it_is_kept(registry: Fixture) {
    let request = request("token", "key", 1);
    assert_eq!(registry.begin(&request, 0), Beginning::Fresh);
    registry.finish(&request, Some(&answer("made")), 1);
    assert_eq!(registry.begin(&request, 100), Beginning::Replay(answer("made")));
    assert_eq!(registry.begin(&request, 101), Beginning::Fresh, "it is over");
}

fn a_key_for_another_body_is_a_conflict_and_another_callers_key_is_another_key(registry: Fixture) {
    registry.begin(&request("token", "key", 1), 0);
    assert_eq!(registry.begin(&request("token", "key", 2), 0), Beginning::Conflict);
    assert_eq!(registry.begin(&request("other", "key", 2), 0), Beginning::Fresh);
}

fn keys_differ_by_case_and_by_spaces_at_their_end(registry: Fixture) {
    for key in ["key", "Key", "key ", "kéy"] {
        assert_eq!(registry.begin(&request("token", key, 1), 0), Beginning::Fresh, "{key:?}");
    }
}

fn an_answer_with_a_secret_is_not_kept_but_its_id_is(registry: Fixture) {
    let request = request("token", "key", 1);
    registry.begin(&request, 0);
    registry.finish(&request, Some(&IdempotentAnswer::Secret { id: "hem-1".to_owned() }), 0);
    assert_eq!(registry.begin(&request, 1), Beginning::SecretShown { id: "hem-1".to_owned() });
}

fn a_post_that_is_being_done_is_not_done_twice_unless_it_was_forgotten(registry: Fixture) {
    let request = request("token", "key", 1);
    registry.begin(&request, 0);
    assert_eq!(registry.begin(&request, 9), Beginning::InProgress);
    assert_eq!(registry.begin(&request, 10), Beginning::Fresh, "who began it is gone");
}

fn a_post_that_failed_may_be_tried_again_at_once(registry: Fixture) {
    let request = request("token", "key", 1);
    registry.begin(&request, 0);
    registry.finish(&request, None, 0);
    assert_eq!(registry.begin(&request, 0), Beginning::Fresh);
}

fn what_is_over_and_the_oldest_beyond_the_bound_are_swept_out(registry: Fixture) {
    for number in 0..20 {
        let request = request("token", &format!("key {number}"), 1);
        registry.begin(&request, number);
        registry.finish(&request, Some(&answer("made")), number);
    }
    let sweep =
        |second: i64| registry.sweep_idempotent(Timestamp(second * 1_000), &LIMITS).unwrap();
    assert_eq!(sweep(20), 15);
    assert_eq!(sweep(20), 0);
    assert_eq!(registry.begin(&request("token", "key 14", 1), 20), Beginning::Fresh);
    assert!(matches!(registry.begin(&request("token", "key 15", 1), 20), Beginning::Replay(_)));
    assert_eq!(sweep(1_000), 6);
}
