use memcloud_domain::{Access, JobId, Role};

use super::*;

on_every_engine! {
    an_api_token_is_known_by_its_secret_until_it_is_revoked,
    what_another_process_revokes_is_gone_here_too,
    the_tokens_of_a_microgrid_go_with_it,
    the_token_of_a_job_goes_with_it_or_is_revoked_by_it,
    a_token_for_a_microgrid_that_is_not_there_is_not_made,
    enrolment_tokens_are_bounded_and_worthless_ones_make_room,
}

fn new_token(number: u128, microgrid: Option<&str>) -> NewApiToken {
    NewApiToken {
        id: uuid(number),
        name: format!("script {number}"),
        hash: hash(&format!("secret {number}")),
        access: Access { role: Role::Operator, microgrid: microgrid.map(microgrid_id) },
        job: None,
        created: Timestamp(5),
    }
}

fn an_api_token_is_known_by_its_secret_until_it_is_revoked(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let made = registry.create_api_token(&new_token(1, Some("fontana"))).unwrap();
    assert_eq!(registry.api_token_by_hash(&hash("secret 1")).unwrap(), Some(made.clone()));
    assert_eq!(registry.api_token_by_hash(&hash("secret 2")).unwrap(), None);
    assert_eq!(made.access.microgrid, Some(microgrid_id("fontana")));
    assert_eq!(made.access.role, Role::Operator);

    assert_eq!(registry.revoke_api_token(uuid(1)).unwrap(), made);
    assert_eq!(registry.api_token_by_hash(&hash("secret 1")).unwrap(), None);
    let error = registry.revoke_api_token(uuid(1)).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { what: "API token", .. }));
}

fn what_another_process_revokes_is_gone_here_too(registry: Fixture) {
    registry.create_api_token(&new_token(1, None)).unwrap();
    assert!(registry.api_token_by_hash(&hash("secret 1")).unwrap().is_some());
    registry.opened_again().revoke_api_token(uuid(1)).unwrap();
    assert_eq!(registry.api_token_by_hash(&hash("secret 1")).unwrap(), None);
}

fn the_tokens_of_a_microgrid_go_with_it(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    registry.create_api_token(&new_token(1, Some("fontana"))).unwrap();
    registry.create_api_token(&new_token(2, None)).unwrap();
    registry
        .create_enrolment_token(&NewEnrolmentToken {
            id: uuid(3),
            microgrid: microgrid_id("fontana"),
            hash: hash("enrol"),
            uses: 1,
            expires: Timestamp(100),
            created: Timestamp(0),
        })
        .unwrap();
    registry.delete_microgrid(&microgrid_id("fontana")).unwrap();
    let left = registry.api_tokens(&PageRequest::first(10)).unwrap();
    assert_eq!(left.items.iter().map(|token| token.id).collect::<Vec<_>>(), [uuid(2)]);
}

fn the_token_of_a_job_goes_with_it_or_is_revoked_by_it(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let job = |number: u128| JobId::new(&uuid(number).to_string()).unwrap();
    let token = |number: u128, owner: u128| NewApiToken {
        access: Access { role: Role::Job, microgrid: Some(microgrid_id("fontana")) },
        job: Some(job(owner)),
        ..new_token(number, None)
    };
    let error = registry.create_api_token(&token(1, 70)).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { what: "job", .. }));
    for number in [70, 71] {
        registry
            .create_job(&NewJob {
                id: job(number),
                microgrid: microgrid_id("fontana"),
                app: "external".to_owned(),
                configuration: serde_json::json!({}),
                priority: 0,
                created: Timestamp(1),
            })
            .unwrap();
        registry.create_api_token(&token(number, number)).unwrap();
    }
    let kept = registry.api_token_by_hash(&hash("secret 70")).unwrap().unwrap();
    assert_eq!((kept.access.role, kept.job), (Role::Job, Some(job(70))));
    assert_eq!(registry.revoke_tokens_of_job(&job(70)).unwrap(), [uuid(70)]);
    assert!(registry.revoke_tokens_of_job(&job(70)).unwrap().is_empty());
    assert_eq!(registry.api_token_by_hash(&hash("secret 70")).unwrap(), None);
    registry.delete_job(&job(71)).unwrap();
    assert_eq!(registry.api_token_by_hash(&hash("secret 71")).unwrap(), None);
}

fn a_token_for_a_microgrid_that_is_not_there_is_not_made(registry: Fixture) {
    let error = registry.create_api_token(&new_token(1, Some("nowhere"))).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { what: "microgrid", .. }));
}

fn enrolment_tokens_are_bounded_and_worthless_ones_make_room(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let make = |number: u128, expires: i64, created: i64| {
        registry.create_enrolment_token(&NewEnrolmentToken {
            id: uuid(number),
            microgrid: microgrid_id("fontana"),
            hash: hash(&number.to_string()),
            uses: 1,
            expires: Timestamp(expires),
            created: Timestamp(created),
        })
    };
    for number in 0..1_000 {
        make(number, if number == 0 { 10 } else { 1_000 }, 0).unwrap();
    }
    let error = make(2_000, 1_000, 9).unwrap_err();
    assert!(matches!(error, RegistryError::TooMany { limit: 1_000, .. }));
    make(2_000, 1_000, 10).unwrap();
    let deleted = registry.delete_enrolment_tokens(&microgrid_id("fontana"), None).unwrap();
    assert_eq!(deleted, 1_000);
}
