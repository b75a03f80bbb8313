use std::time::Duration;

use memcloud_domain::JobState;
use memcloud_domain::messages::HemCredential;
use memcloud_registry::{
    CreateEnrolmentToken, CreateJob, CreateMicrogrid, DeleteHem, DeleteJob, DeleteMicrogrid,
    HemChange, JobChange, RegisterHem, RevokeHemKey, RotateHemKey, UpdateHem, UpdateJob,
};
use serde_json::json;

use crate::house::{House, hem, microgrid_id, new_microgrid, universe};

/// What was told since the last time.
async fn told(told: &std::sync::Mutex<Vec<String>>) -> Vec<String> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    std::mem::take(&mut *told.lock().unwrap())
}

async fn register(house: &House, id: &str) {
    let new = RegisterHem { id: hem(id), microgrid: microgrid_id("fontana"), name: None };
    house.ask(new).await.unwrap();
}

#[test]
fn who_follows_is_told_of_every_change() {
    universe(|house| async move {
        let follower = house.follow(64, Duration::ZERO);
        house.ask(CreateMicrogrid(new_microgrid("fontana"))).await.unwrap();
        assert_eq!(told(&follower).await, ["changed fontana"]);
        register(&house, "one").await;
        assert_eq!(told(&follower).await, ["changed one in fontana"]);
        let change = HemChange { name: Some("Home".to_owned()), ..HemChange::default() };
        house.ask(UpdateHem { id: hem("one"), change }).await.unwrap();
        assert_eq!(told(&follower).await, ["changed one in fontana"]);
        house.ask(RotateHemKey { id: hem("one") }).await.unwrap();
        assert_eq!(told(&follower).await, ["cut one"]);
        house.ask(RevokeHemKey { id: hem("one") }).await.unwrap();
        assert_eq!(told(&follower).await, ["cut one"]);
        house.ask(DeleteHem { id: hem("one") }).await.unwrap();
        assert_eq!(told(&follower).await, ["cut one", "removed one in fontana"]);

        let token =
            CreateEnrolmentToken { microgrid: microgrid_id("fontana"), uses: None, expires: None };
        let secret = house.ask(token).await.unwrap().secret;
        house.authenticate("two", HemCredential::Enrolment(secret)).await.unwrap();
        assert_eq!(told(&follower).await, ["changed two in fontana"]);
        house.ask(DeleteHem { id: hem("two") }).await.unwrap();
        told(&follower).await;

        let job = house
            .ask(CreateJob {
                microgrid: microgrid_id("fontana"),
                app: "app".to_owned(),
                configuration: json!({}),
                priority: 0,
            })
            .await
            .unwrap();
        let stop = JobChange { state: Some(JobState::Stopped), ..JobChange::default() };
        house.ask(UpdateJob { id: job.id.clone(), change: stop }).await.unwrap();
        house.ask(DeleteJob { id: job.id }).await.unwrap();
        assert_eq!(
            told(&follower).await,
            ["changed app Running", "changed app Stopped", "removed a job in fontana"]
        );
        house.ask(DeleteMicrogrid { id: microgrid_id("fontana") }).await.unwrap();
        assert_eq!(told(&follower).await, ["removed fontana"]);
    });
}

#[test]
fn nobody_is_told_of_what_was_not_done() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        register(&house, "one").await;
        let follower = house.follow(64, Duration::ZERO);
        house.ask(DeleteMicrogrid { id: microgrid_id("fontana") }).await.unwrap_err();
        house.ask(RotateHemKey { id: hem("two") }).await.unwrap_err();
        house.ask(CreateMicrogrid(new_microgrid("fontana"))).await.unwrap_err();
        assert_eq!(told(&follower).await, Vec::<String>::new());
    });
}

#[test]
fn a_job_that_was_changed_and_deleted_stays_deleted_for_a_slow_follower() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        let follower = house.follow(1, Duration::from_secs(2));
        for _ in 0..5 {
            let job = house
                .ask(CreateJob {
                    microgrid: microgrid_id("fontana"),
                    app: "app".to_owned(),
                    configuration: json!({}),
                    priority: 0,
                })
                .await
                .unwrap();
            house.ask(DeleteJob { id: job.id }).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(300)).await;
        let mut told = told(&follower).await;
        // Twice in a row is once, said again.
        told.dedup();
        assert_eq!(told, ["changed app Running", "removed a job in fontana"].repeat(5));
    });
}

#[test]
fn a_socket_is_cut_even_when_the_table_of_sockets_is_busy() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        for number in 0..20 {
            register(&house, &format!("hem-{number}")).await;
        }
        // Twenty at once into a mailbox of two, each taking two seconds.
        let follower = house.follow(2, Duration::from_secs(2));
        for number in 0..20 {
            house.ask(RevokeHemKey { id: hem(&format!("hem-{number}")) }).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(300)).await;
        let told = told(&follower).await;
        for number in 0..20 {
            let cut = format!("cut hem-{number}");
            assert!(told.contains(&cut), "{cut} was lost: {told:?}");
        }
    });
}
