//! The rules of admission, against a model that was written from the protocol's text.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

on_every_engine! {
    a_hem_enrols_and_comes_back_with_its_key,
    a_hem_that_lost_its_welcome_enrols_again_at_no_further_use,
    a_token_lets_in_no_more_than_its_uses_and_nobody_when_it_expired,
    an_id_of_another_microgrid_does_not_enrol,
    a_certificate_establishes_an_id_against_enrolment,
    a_revoked_id_is_let_in_by_nothing_until_it_has_another_key,
    a_known_hem_that_says_nothing_new_writes_nothing,
    of_two_in_one_group_the_second_sees_what_the_first_did,
    a_token_of_one_use_enrols_one_hem_however_many_processes_try,
    whatever_happens_only_those_come_in_whom_the_protocol_lets,
}

fn by_key(id: &str, key: &str) -> Arrival {
    Arrival { hem: hem(id), proof: Proof::Key(hash(key)), nodes: None, firmware: None }
}

fn by_certificate(id: &str) -> Arrival {
    Arrival { hem: hem(id), proof: Proof::Certificate, nodes: None, firmware: None }
}

fn by_token(id: &str, token: &str, new_key: &str) -> Arrival {
    Arrival {
        hem: hem(id),
        proof: Proof::Enrolment { token: hash(token), new_key: hash(new_key) },
        nodes: None,
        firmware: None,
    }
}

impl Fixture {
    fn make_token(&self, number: u128, microgrid: &str, uses: u32, expires: i64) -> String {
        let secret = format!("token {number}");
        self.create_enrolment_token(&NewEnrolmentToken {
            id: uuid(number),
            microgrid: microgrid_id(microgrid),
            hash: hash(&secret),
            uses,
            expires: Timestamp(expires),
            created: Timestamp(0),
        })
        .unwrap();
        secret
    }

    fn used(&self, microgrid: &str, number: u128) -> u32 {
        let page = PageRequest::first(1_000);
        let tokens = self.enrolment_tokens(&microgrid_id(microgrid), &page).unwrap();
        tokens.items.iter().find(|token| token.id == uuid(number)).unwrap().used
    }

    /// As the registrar does it: a look, and a write only where the look says so.
    fn arrive(&self, arrival: Arrival, now: i64) -> ArrivalAnswer {
        match self.look_up_arrival(&arrival, Timestamp(now)).unwrap() {
            ArrivalAnswer::ToRecord => {
                self.record_arrivals(&[arrival], Timestamp(now)).unwrap().remove(0)
            }
            answer => answer,
        }
    }

    fn is_let_in(&self, arrival: Arrival, now: i64) -> bool {
        self.arrive(arrival, now) != ArrivalAnswer::Refused
    }
}

fn a_hem_enrols_and_comes_back_with_its_key(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let token = registry.make_token(1, "fontana", 1, 100);
    let ArrivalAnswer::Recorded(enrolled) = registry.arrive(by_token("one", &token, "key"), 0)
    else {
        panic!("it did not enrol");
    };
    assert_eq!(enrolled.microgrid, microgrid_id("fontana"));
    assert_eq!(enrolled.key, KeyState::Pending);
    assert!(registry.is_let_in(by_key("one", "key"), 0));
    assert_eq!(registry.hem(&hem("one")).unwrap().key, KeyState::Established);
    assert!(!registry.is_let_in(by_key("one", "another"), 0));
    assert!(!registry.is_let_in(by_key("two", "key"), 0));
}

fn a_hem_that_lost_its_welcome_enrols_again_at_no_further_use(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let token = registry.make_token(1, "fontana", 1, 100);
    assert!(registry.is_let_in(by_token("one", &token, "lost"), 0));
    assert!(registry.is_let_in(by_token("one", &token, "key"), 1));
    assert_eq!(registry.used("fontana", 1), 1);
    assert!(!registry.is_let_in(by_key("one", "lost"), 2), "the pending key was replaced");
    assert!(registry.is_let_in(by_key("one", "key"), 2));
    assert!(!registry.is_let_in(by_token("one", &token, "thief"), 3), "the key was used");
    assert!(registry.is_let_in(by_key("one", "key"), 4));
}

fn a_token_lets_in_no_more_than_its_uses_and_nobody_when_it_expired(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let token = registry.make_token(1, "fontana", 2, 100);
    assert!(registry.is_let_in(by_token("one", &token, "1"), 0));
    assert!(registry.is_let_in(by_token("two", &token, "2"), 0));
    assert!(!registry.is_let_in(by_token("three", &token, "3"), 0));
    let token = registry.make_token(2, "fontana", 2, 100);
    assert!(registry.is_let_in(by_token("four", &token, "4"), 99));
    assert!(!registry.is_let_in(by_token("four", &token, "4"), 100));
    assert!(!registry.is_let_in(by_token("five", "no such token", "5"), 0));
}

fn an_id_of_another_microgrid_does_not_enrol(registry: Fixture) {
    let registry = registry.with_microgrid("fontana").with_microgrid("other");
    registry.register("one", "other", "key");
    let token = registry.make_token(1, "fontana", 5, 100);
    assert!(!registry.is_let_in(by_token("one", &token, "thief"), 0));
    assert_eq!(registry.used("fontana", 1), 0);
    assert!(registry.is_let_in(by_key("one", "key"), 0));
}

fn a_certificate_establishes_an_id_against_enrolment(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    assert!(!registry.is_let_in(by_certificate("one"), 0), "the id is not registered");
    registry.register("one", "fontana", "key");
    assert!(registry.is_let_in(by_certificate("one"), 0));
    let token = registry.make_token(1, "fontana", 5, 100);
    assert!(!registry.is_let_in(by_token("one", &token, "thief"), 0));
}

fn a_revoked_id_is_let_in_by_nothing_until_it_has_another_key(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    registry.register("one", "fontana", "key");
    let token = registry.make_token(1, "fontana", 5, 100);
    registry.revoke_key(&hem("one")).unwrap();
    assert!(!registry.is_let_in(by_key("one", "key"), 0));
    assert!(!registry.is_let_in(by_certificate("one"), 0));
    assert!(!registry.is_let_in(by_token("one", &token, "thief"), 0));
    registry.rotate_key(&hem("one"), &hash("new")).unwrap();
    assert!(!registry.is_let_in(by_token("one", &token, "thief"), 0));
    assert!(!registry.is_let_in(by_key("one", "key"), 0));
    assert!(registry.is_let_in(by_key("one", "new"), 0));
}

fn a_known_hem_that_says_nothing_new_writes_nothing(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    registry.register("one", "fontana", "key");
    let hello = Arrival { firmware: Some("1.0".to_owned()), ..by_key("one", "key") };
    let look = |arrival: &Arrival| registry.look_up_arrival(arrival, Timestamp(0)).unwrap();
    assert_eq!(look(&hello), ArrivalAnswer::ToRecord);
    registry.arrive(hello.clone(), 0);
    assert!(matches!(look(&hello), ArrivalAnswer::Admitted(_)));
    assert!(matches!(look(&by_key("one", "key")), ArrivalAnswer::Admitted(_)));
    let updated = Arrival { firmware: Some("1.1".to_owned()), ..hello };
    assert_eq!(look(&updated), ArrivalAnswer::ToRecord);
}

fn of_two_in_one_group_the_second_sees_what_the_first_did(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let token = registry.make_token(1, "fontana", 1, 100);
    let answers = registry
        .record_arrivals(
            &[by_token("one", &token, "1"), by_token("two", &token, "2"), by_key("one", "1")],
            Timestamp(0),
        )
        .unwrap();
    assert!(matches!(answers[0], ArrivalAnswer::Recorded(_)));
    assert_eq!(answers[1], ArrivalAnswer::Refused);
    assert!(matches!(answers[2], ArrivalAnswer::Recorded(_)));
}

fn a_token_of_one_use_enrols_one_hem_however_many_processes_try(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let token = registry.make_token(1, "fontana", 1, 100);
    let enrolled: usize = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4)
            .map(|number| {
                let process = registry.opened_again();
                let token = &token;
                scope.spawn(move || {
                    let arrival = by_token(&format!("hem-{number}"), token, "key");
                    process.record_arrivals(&[arrival], Timestamp(0)).unwrap().remove(0)
                })
            })
            .collect();
        tries
            .into_iter()
            .map(|attempt| usize::from(attempt.join().unwrap() != ArrivalAnswer::Refused))
            .sum()
    });
    assert_eq!(enrolled, 1);
    assert_eq!(registry.used("fontana", 1), 1);
}

// ------------------------------------------------------------------------------- against a model

#[derive(Debug, Clone)]
enum Step {
    Register { hem: u8, grid: u8 },
    MakeToken { grid: u8, uses: u32, validity: i64 },
    Enrol { hem: u8, token: u8 },
    UseNewestKey { hem: u8 },
    UseOldKey { hem: u8 },
    UseCertificate { hem: u8 },
    Rotate { hem: u8 },
    Revoke { hem: u8 },
    Delete { hem: u8 },
    DeleteTokens { grid: u8 },
    Wait { span: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let hem = 0_u8..3;
    let grid = 0_u8..2;
    prop_oneof![
        1 => (hem.clone(), grid.clone()).prop_map(|(hem, grid)| Step::Register { hem, grid }),
        2 => (grid.clone(), 1_u32..3, 1_i64..20)
            .prop_map(|(grid, uses, validity)| Step::MakeToken { grid, uses, validity }),
        6 => (hem.clone(), 0_u8..6).prop_map(|(hem, token)| Step::Enrol { hem, token }),
        3 => hem.clone().prop_map(|hem| Step::UseNewestKey { hem }),
        2 => hem.clone().prop_map(|hem| Step::UseOldKey { hem }),
        1 => hem.clone().prop_map(|hem| Step::UseCertificate { hem }),
        1 => hem.clone().prop_map(|hem| Step::Rotate { hem }),
        1 => hem.clone().prop_map(|hem| Step::Revoke { hem }),
        1 => hem.prop_map(|hem| Step::Delete { hem }),
        1 => grid.prop_map(|grid| Step::DeleteTokens { grid }),
        2 => (1_i64..10).prop_map(|span| Step::Wait { span }),
    ]
}

#[derive(Debug, Clone)]
struct ModelHem {
    grid: u8,
    /// The one key that is good.
    key: Option<String>,
    /// Whether the HEM has shown once who it is, or was revoked: no enrolment from then on.
    is_closed: bool,
    token_of_key: Option<u8>,
}

#[derive(Debug, Clone)]
struct ModelToken {
    grid: u8,
    left: u32,
    expires: i64,
}

/// What the protocol says, in the plainest words.
#[derive(Debug, Default)]
struct Model {
    hems: BTreeMap<u8, ModelHem>,
    tokens: BTreeMap<u8, ModelToken>,
    made_keys: BTreeMap<u8, Vec<String>>,
    tokens_made: u8,
    keys_made: u32,
    now: i64,
}

impl Model {
    fn new_key(&mut self, hem: u8) -> String {
        self.keys_made += 1;
        let key = format!("key {}", self.keys_made);
        self.made_keys.entry(hem).or_default().push(key.clone());
        key
    }

    fn may_enrol(&mut self, hem: u8, token_number: u8) -> bool {
        let Some(token) = self.tokens.get_mut(&token_number) else { return false };
        if self.now >= token.expires {
            return false;
        }
        if let Some(known) = self.hems.get(&hem) {
            if known.grid != token.grid || known.is_closed {
                return false;
            }
            if known.token_of_key == Some(token_number) {
                return true;
            }
        }
        if token.left == 0 {
            return false;
        }
        token.left -= 1;
        true
    }

    fn uses_key(&mut self, hem: u8, key: &str) -> bool {
        match self.hems.get_mut(&hem) {
            Some(known) if known.key.as_deref() == Some(key) => {
                known.is_closed = true;
                true
            }
            _ => false,
        }
    }
}

fn name(hem: u8) -> String {
    format!("hem-{hem}")
}

fn grid_name(grid: u8) -> String {
    format!("grid-{grid}")
}

fn check(registry: &Fixture, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Register { hem: number, grid } => {
                if model.hems.contains_key(&number) {
                    continue;
                }
                let key = model.new_key(number);
                registry.register(&name(number), &grid_name(grid), &key);
                model.hems.insert(
                    number,
                    ModelHem { grid, key: Some(key), is_closed: false, token_of_key: None },
                );
            }
            Step::MakeToken { grid, uses, validity } => {
                let number = model.tokens_made;
                model.tokens_made += 1;
                let expires = model.now + validity;
                registry.make_token(u128::from(number), &grid_name(grid), uses, expires);
                model.tokens.insert(number, ModelToken { grid, left: uses, expires });
            }
            Step::Enrol { hem: number, token } => {
                let key = model.new_key(number);
                let expected = model.may_enrol(number, token);
                let arrival = by_token(&name(number), &format!("token {token}"), &key);
                prop_assert_eq!(registry.is_let_in(arrival, model.now), expected);
                if expected {
                    let grid = model.tokens[&token].grid;
                    let enrolled = ModelHem {
                        grid,
                        key: Some(key),
                        is_closed: false,
                        token_of_key: Some(token),
                    };
                    model.hems.insert(number, enrolled);
                }
            }
            Step::UseNewestKey { hem: number } => {
                let keys = model.made_keys.get(&number);
                let Some(key) = keys.and_then(|keys| keys.last()).cloned() else { continue };
                let expected = model.uses_key(number, &key);
                let answer = registry.is_let_in(by_key(&name(number), &key), model.now);
                prop_assert_eq!(answer, expected);
            }
            Step::UseOldKey { hem: number } => {
                for key in model.made_keys.get(&number).cloned().unwrap_or_default() {
                    let expected = model.uses_key(number, &key);
                    let answer = registry.is_let_in(by_key(&name(number), &key), model.now);
                    prop_assert_eq!(answer, expected);
                }
            }
            Step::UseCertificate { hem: number } => {
                let known = model.hems.get_mut(&number).filter(|known| known.key.is_some());
                let expected = known.is_some();
                if let Some(known) = known {
                    known.is_closed = true;
                }
                let answer = registry.is_let_in(by_certificate(&name(number)), model.now);
                prop_assert_eq!(answer, expected);
            }
            Step::Rotate { hem: number } => {
                let key = model.new_key(number);
                let rotated = registry.rotate_key(&hem(&name(number)), &hash(&key));
                prop_assert_eq!(rotated.is_ok(), model.hems.contains_key(&number));
                if let Some(known) = model.hems.get_mut(&number) {
                    known.key = Some(key);
                }
            }
            Step::Revoke { hem: number } => {
                let revoked = registry.revoke_key(&hem(&name(number)));
                prop_assert_eq!(revoked.is_ok(), model.hems.contains_key(&number));
                if let Some(known) = model.hems.get_mut(&number) {
                    known.key = None;
                    known.is_closed = true;
                }
            }
            Step::Delete { hem: number } => {
                let deleted = registry.delete_hem(&hem(&name(number)));
                prop_assert_eq!(deleted.is_ok(), model.hems.remove(&number).is_some());
            }
            Step::DeleteTokens { grid } => {
                registry.delete_enrolment_tokens(&microgrid_id(&grid_name(grid)), None).unwrap();
                model.tokens.retain(|_, token| token.grid != grid);
            }
            Step::Wait { span } => model.now += span,
        }
        for (number, known) in &model.hems {
            let kept = registry.hem(&hem(&name(*number))).unwrap();
            prop_assert_eq!(kept.microgrid.as_str(), grid_name(known.grid));
            prop_assert_eq!(kept.key != KeyState::Pending, known.is_closed);
        }
    }
    Ok(())
}

fn whatever_happens_only_those_come_in_whom_the_protocol_lets(registry: Fixture) {
    let config = ProptestConfig { cases: 64, ..ProptestConfig::default() };
    proptest!(config, |(steps in proptest::collection::vec(step(), 1..40))| {
        registry.empty();
        for grid in ["grid-0", "grid-1"] {
            registry.create_microgrid(&a_microgrid(grid)).unwrap();
        }
        check(&registry, steps)?;
    });
}
