use memcloud_domain::messages::{
    AuthenticateHem, AuthenticationError, GetRoster, HemCredential, RosterHem,
};
use memcloud_domain::{NodeDeclaration, NodeId, NodeKind, PowerLimits, Secret, Timestamp};
use memcloud_registry::{
    CreateEnrolmentToken, DeleteEnrolmentTokens, GetHem, KeyState, ListEnrolmentTokens,
    PageRequest, RegisterHem, RegistryError, RevokeHemKey, RotateHemKey,
};

use crate::house::{DEADLINE, House, NOW, by_key, hem, microgrid_id, universe};

async fn make_token(house: &House, uses: Option<u32>) -> Secret {
    let token = CreateEnrolmentToken { microgrid: microgrid_id("fontana"), uses, expires: None };
    house.ask(token).await.unwrap().secret
}

#[test]
fn a_hem_enrols_with_a_token_and_lives_by_its_key() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        let token = make_token(&house, None).await;
        let welcome =
            house.authenticate("one", HemCredential::Enrolment(token.clone())).await.unwrap();
        assert_eq!(welcome.microgrid, microgrid_id("fontana"));
        let key = welcome.issued_key.unwrap();
        assert_eq!(house.ask(GetHem { id: hem("one") }).await.unwrap().key, KeyState::Pending);

        let welcome = house.authenticate("one", by_key(&key)).await.unwrap();
        assert!(welcome.issued_key.is_none());
        assert_eq!(house.ask(GetHem { id: hem("one") }).await.unwrap().key, KeyState::Established);

        let bad = house.authenticate("one", HemCredential::Enrolment(token)).await.unwrap_err();
        let wrong = house.authenticate("one", by_key(&Secret::new("x"))).await.unwrap_err();
        let unknown = house.authenticate("two", by_key(&key)).await.unwrap_err();
        assert_eq!(bad, AuthenticationError::Unauthorised);
        assert_eq!(bad.to_string(), wrong.to_string());
        assert_eq!(bad.to_string(), unknown.to_string());
    });
}

#[test]
fn a_token_is_good_for_one_hem_and_a_day_unless_asked_otherwise() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        let token = make_token(&house, None).await;
        let page = PageRequest::first(10);
        let list = ListEnrolmentTokens { microgrid: microgrid_id("fontana"), page: page.clone() };
        let listed = house.ask(list.clone()).await.unwrap().items.remove(0);
        assert_eq!((listed.uses, listed.used), (1, 0));
        assert_eq!(listed.expires, Timestamp(NOW + 24 * 3_600_000));

        tokio::time::sleep(std::time::Duration::from_secs(24 * 3_600)).await;
        let late = house.authenticate("one", HemCredential::Enrolment(token)).await;
        assert_eq!(late.unwrap_err(), AuthenticationError::Unauthorised);

        let token = make_token(&house, Some(2)).await;
        for id in ["one", "two"] {
            house.authenticate(id, HemCredential::Enrolment(token.clone())).await.unwrap();
        }
        assert!(house.authenticate("three", HemCredential::Enrolment(token)).await.is_err());
        let used: Vec<_> =
            house.ask(list).await.unwrap().items.iter().map(|token| token.used).collect();
        assert_eq!(used, [0, 2]);
        let delete = DeleteEnrolmentTokens { microgrid: microgrid_id("fontana"), id: None };
        assert_eq!(house.ask(delete).await.unwrap(), 2);
    });
}

#[test]
fn a_token_that_could_never_be_used_is_not_made() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        let token = |uses, expires| CreateEnrolmentToken {
            microgrid: microgrid_id("fontana"),
            uses,
            expires,
        };
        for wrong in [token(Some(0), None), token(None, Some(Timestamp(NOW)))] {
            let error = house.ask(wrong).await.unwrap_err();
            assert!(matches!(error, RegistryError::Invalid { .. }), "{error}");
        }
        let elsewhere =
            CreateEnrolmentToken { microgrid: microgrid_id("nowhere"), uses: None, expires: None };
        let error = house.ask(elsewhere).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no microgrid \"nowhere\"");
    });
}

#[test]
fn what_a_hem_declares_is_in_the_roster() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        let new = RegisterHem {
            id: hem("one"),
            microgrid: microgrid_id("fontana"),
            name: Some("  The first home ".to_owned()),
        };
        let issued = house.ask(new).await.unwrap();
        assert_eq!(issued.hem.name, "The first home");
        let grid = NodeDeclaration {
            node: NodeId(0),
            name: "Feeder".to_owned(),
            kind: NodeKind::Grid,
            rated_watts: None,
            min_watts: None,
            max_watts: None,
            capacity_wh: None,
            critical: None,
            priority: None,
            controls: None,
            default: None,
        };
        let hello = |nodes| AuthenticateHem {
            hem: hem("one"),
            credential: by_key(&issued.key),
            nodes,
            firmware: Some("2.0".to_owned()),
        };
        let first = house.registrar.ask(hello(Some(vec![grid.clone()])), DEADLINE).await;
        assert_eq!(first.unwrap().unwrap().nodes, std::slice::from_ref(&grid));
        let second = house.registrar.ask(hello(None), DEADLINE).await;
        assert_eq!(
            second.unwrap().unwrap().nodes,
            std::slice::from_ref(&grid),
            "absent keeps what is known"
        );

        let roster = house
            .registrar
            .ask(GetRoster { microgrid: microgrid_id("fontana") }, DEADLINE)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(roster.profile.time_zone, "UTC");
        let limits = PowerLimits::default();
        assert_eq!(roster.hems, [RosterHem { hem: hem("one"), nodes: vec![grid], limits }]);
        let none = house.registrar.ask(GetRoster { microgrid: microgrid_id("x") }, DEADLINE).await;
        assert_eq!(none.unwrap(), Ok(None));
        assert_eq!(
            house.ask(GetHem { id: hem("one") }).await.unwrap().firmware.as_deref(),
            Some("2.0")
        );
    });
}

#[test]
fn a_certificate_lets_in_only_an_id_that_is_registered_and_not_revoked() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        assert!(house.authenticate("one", HemCredential::Certificate).await.is_err());
        let new = RegisterHem { id: hem("one"), microgrid: microgrid_id("fontana"), name: None };
        house.ask(new).await.unwrap();
        house.authenticate("one", HemCredential::Certificate).await.unwrap();
        house.ask(RevokeHemKey { id: hem("one") }).await.unwrap();
        assert!(house.authenticate("one", HemCredential::Certificate).await.is_err());
        let key = house.ask(RotateHemKey { id: hem("one") }).await.unwrap().key;
        house.authenticate("one", HemCredential::Certificate).await.unwrap();
        house.authenticate("one", by_key(&key)).await.unwrap();
    });
}

#[test]
fn no_key_and_no_token_is_on_the_disk_or_in_a_debug_text() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        let token = make_token(&house, None).await;
        let welcome =
            house.authenticate("one", HemCredential::Enrolment(token.clone())).await.unwrap();
        let key = welcome.issued_key.clone().unwrap();
        assert!(!format!("{welcome:?}").contains(key.expose()));
        let mut bytes = std::fs::read(house.file("web.db")).unwrap();
        bytes.extend(std::fs::read(house.file("web.db-wal")).unwrap());
        let disk = String::from_utf8_lossy(&bytes);
        assert!(disk.contains("fontana"), "this is where it would be");
        for secret in [&key, &token] {
            let (_, random) = secret.expose().split_once('_').unwrap();
            assert_eq!(random.len(), 64);
            assert!(!disk.contains(random));
        }
    });
}
