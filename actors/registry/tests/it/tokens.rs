use std::time::Duration;

use memcloud_domain::{Access, Role, Secret};
use memcloud_registry::{
    AuthenticateToken, CreateApiToken, CreateJob, CreateJobToken, DeleteJob, DeleteMicrogrid,
    ListApiTokens, PageRequest, RegistryError, RevokeApiToken, RevokeJobToken,
};

use crate::house::{House, microgrid_id, universe};

fn new_token(microgrid: Option<&str>) -> CreateApiToken {
    CreateApiToken {
        name: "script".to_owned(),
        access: Access { role: Role::Operator, microgrid: microgrid.map(microgrid_id) },
    }
}

async fn is_good(house: &House, secret: &Secret) -> bool {
    house.ask(AuthenticateToken { secret: secret.clone() }).await.unwrap().is_some()
}

#[test]
fn a_token_tells_who_it_is_and_what_it_may() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        let issued = house.ask(new_token(Some("fontana"))).await.unwrap();
        for _ in 0..3 {
            let found = house.ask(AuthenticateToken { secret: issued.secret.clone() }).await;
            assert_eq!(found.unwrap().as_ref(), Some(&issued.token));
        }
        assert!(issued.token.access.allows(Role::Viewer, &microgrid_id("fontana")));
        assert!(!is_good(&house, &Secret::new("mct_0")).await);
        let listed = house.ask(ListApiTokens { page: PageRequest::first(10) }).await.unwrap();
        assert_eq!(listed.items, [issued.token]);
    });
}

#[test]
fn a_token_revoked_here_is_refused_at_once() {
    universe(|house| async move {
        let issued = house.ask(new_token(None)).await.unwrap();
        assert!(is_good(&house, &issued.secret).await);
        house.ask(RevokeApiToken { id: issued.token.id }).await.unwrap();
        assert!(!is_good(&house, &issued.secret).await);
    });
}

#[test]
fn a_token_revoked_by_another_process_is_refused_within_five_seconds() {
    universe(|house| async move {
        let issued = house.ask(new_token(None)).await.unwrap();
        assert!(is_good(&house, &issued.secret).await);
        house.command_line().carry_out(RevokeApiToken { id: issued.token.id }).unwrap();
        let mut waited = Duration::ZERO;
        while is_good(&house, &issued.secret).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
            waited += Duration::from_millis(100);
        }
        assert!(waited <= Duration::from_secs(5), "{waited:?}");
    });
}

#[test]
fn a_token_made_by_the_command_line_is_good_at_once() {
    universe(|house| async move {
        let issued = house.command_line().carry_out(new_token(None)).unwrap();
        assert!(is_good(&house, &issued.secret).await);
    });
}

#[test]
fn a_job_has_one_token_of_its_own_which_goes_with_it() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        let make = CreateJob {
            microgrid: microgrid_id("fontana"),
            app: "external".to_owned(),
            configuration: serde_json::json!({}),
            priority: 0,
        };
        let job = house.ask(make).await.unwrap().id;
        let token = || CreateJobToken { job: job.clone() };
        let first = house.ask(token()).await.unwrap();
        assert_eq!(
            first.token.access,
            Access { role: Role::Job, microgrid: Some(microgrid_id("fontana")) }
        );
        assert_eq!(first.token.job.as_ref(), Some(&job));
        assert!(is_good(&house, &first.secret).await);
        let second = house.ask(token()).await.unwrap();
        assert!(!is_good(&house, &first.secret).await);
        assert!(is_good(&house, &second.secret).await);
        house.ask(RevokeJobToken { job: job.clone() }).await.unwrap();
        assert!(!is_good(&house, &second.secret).await);
        let error = house.ask(RevokeJobToken { job: job.clone() }).await.unwrap_err();
        assert!(matches!(error, RegistryError::NotFound { .. }));
        let third = house.ask(token()).await.unwrap();
        assert!(is_good(&house, &third.secret).await);
        house.ask(DeleteJob { id: job.clone() }).await.unwrap();
        assert!(!is_good(&house, &third.secret).await);
        assert!(matches!(house.ask(token()).await, Err(RegistryError::NotFound { .. })));
    });
}

#[test]
fn a_token_is_refused_once_its_microgrid_is_gone() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        let issued = house.ask(new_token(Some("fontana"))).await.unwrap();
        assert!(is_good(&house, &issued.secret).await);
        house.ask(DeleteMicrogrid { id: microgrid_id("fontana") }).await.unwrap();
        assert!(!is_good(&house, &issued.secret).await);
    });
}
