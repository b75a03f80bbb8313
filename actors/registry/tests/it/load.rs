//! Thousands at once, in real time, on blocking threads.

use std::time::Duration;

use futures_util::future::join_all;
use memcloud_domain::messages::{AuthenticationError, HemCredential};
use memcloud_registry::{
    CreateEnrolmentToken, GetMicrogrid, ListHems, PageRequest, RegistrarConfig, RegistryError,
};
use memcloud_supervision::{Clock, Inspect, Scope};

use crate::house::{DEADLINE, House, by_key, microgrid_id};

fn real_time<Fut: Future<Output = ()>>(config: RegistrarConfig, test: impl FnOnce(House) -> Fut) {
    actix::System::new().block_on(async {
        let scope = Scope::root("load", Clock::system());
        test(House::new(scope.clone(), config)).await;
        assert_eq!(scope.shutdown(Duration::from_secs(10)).await, Vec::<String>::new());
    });
}

/// How many bytes were ever appended to the log, as long as it was not started over.
fn log_length(house: &House) -> u64 {
    std::fs::metadata(house.file("web.db-wal")).unwrap().len()
}

#[test]
fn a_thousand_hems_enrol_at_once_in_few_transactions_and_come_back_without_any() {
    real_time(RegistrarConfig::default(), |house| async move {
        let house = house.with_microgrid("fontana").await;
        let token = CreateEnrolmentToken {
            microgrid: microgrid_id("fontana"),
            uses: Some(1_000),
            expires: None,
        };
        let token = house.ask(token).await.unwrap().secret;
        let names: Vec<String> = (0..1_000).map(|number| format!("hem-{number:04}")).collect();
        let enrolling = names
            .iter()
            .map(|name| house.authenticate(name, HemCredential::Enrolment(token.clone())));
        let keys: Vec<_> = join_all(enrolling)
            .await
            .into_iter()
            .map(|welcome| welcome.unwrap().issued_key.unwrap())
            .collect();
        let observed = house.registrar.ask(Inspect, DEADLINE).await.unwrap();
        assert_eq!(observed["arrivals_recorded"]["items"], 1_000);
        let transactions = observed["arrivals_recorded"]["transactions"].as_u64().unwrap();
        assert!(transactions < 500, "{transactions} transactions");
        let late = house.authenticate("late", HemCredential::Enrolment(token)).await;
        assert_eq!(late.unwrap_err(), AuthenticationError::Unauthorised);

        let connect = || {
            let connecting =
                names.iter().zip(&keys).map(|(name, key)| house.authenticate(name, by_key(key)));
            async { join_all(connecting).await.into_iter().all(|welcome| welcome.is_ok()) }
        };
        assert!(connect().await);
        let before = log_length(&house);
        assert!(connect().await);
        assert_eq!(log_length(&house), before, "who comes back writes nothing");
        let hems = ListHems { microgrid: None, page: PageRequest::first(1_000) };
        assert_eq!(house.ask(hems).await.unwrap().items.len(), 1_000);
    });
}

#[test]
fn beyond_its_bound_the_registrar_says_that_it_is_busy_and_then_recovers() {
    let config = RegistrarConfig { readers: 1, max_waiting: 2, ..RegistrarConfig::default() };
    real_time(config, |house| async move {
        let house = house.with_microgrid("fontana").await;
        let question = || house.ask(GetMicrogrid { id: microgrid_id("fontana") });
        let answers = join_all((0..50).map(|_| question())).await;
        let busy = answers
            .iter()
            .filter(|answer| matches!(answer, Err(RegistryError::Unavailable { .. })))
            .count();
        assert!(busy > 0 && busy < 50, "{busy} of 50 were turned away");
        question().await.unwrap();
    });
}
