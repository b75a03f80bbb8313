//! When there is a supervisor, and what comes after one has crashed.

use memcloud_cmo::{ListMicrogridSupervisors, OperatorLimits, RemoveMicrogrid};
use memcloud_domain::JobState;
use memcloud_domain::messages::{JobChanged, JobRemoved, MicrogridRemoved};
use memcloud_microgrid::{ListJobs, MicrogridError};
use memcloud_worker::PutJob;
use serde_json::json;
use std::time::Duration;

use crate::support::{Town, microgrid, pass, reading, record, run, turn, up_to};

const SOON: Duration = Duration::from_secs(30);

async fn supervised(town: &Town) -> Vec<String> {
    let standings = town.operator.ask(ListMicrogridSupervisors, SOON).await.unwrap();
    standings.into_iter().map(|standing| standing.microgrid.to_string()).collect()
}

#[test]
fn the_first_data_of_a_microgrid_creates_its_supervisor_and_more_data_no_second_one() {
    run(|scope| async move {
        let town = Town::build(&scope);
        assert!(supervised(&town).await.is_empty());
        for seq in 1..=3 {
            town.send("fontana", "home-1", [reading(seq)]).await;
        }
        town.send("lugano", "home-9", [reading(1)]).await;
        pass(1).await;
        assert_eq!(supervised(&town).await, ["fontana", "lugano"]);
    });
}

#[test]
fn the_first_job_of_a_microgrid_creates_its_supervisor() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        town.deploy("fontana", "job-1", "recorder", json!({})).await;
        assert_eq!(supervised(&town).await, ["fontana"]);
    });
}

#[test]
fn at_the_start_every_microgrid_with_jobs_catches_up_although_its_homes_are_silent() {
    run(|scope| async move {
        let mut town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        town.operator.stop(SOON).await;
        town.send("fontana", "home-1", (1..=2_500).map(reading)).await;
        town.restart_operator().await;
        pass(10).await;
        assert_eq!(supervised(&town).await, ["fontana"]);
        assert_eq!(town.seen(&job).await["home-1"], up_to(2_500));
    });
}

#[test]
fn a_supervisor_that_crashes_comes_back_with_its_jobs_and_its_neighbours_notice_nothing() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        town.settle("lugano", &["home-9"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        let other = town.deploy("lugano", "job-2", "recorder", json!({})).await;
        town.send("fontana", "home-1", (1..=10).map(reading)).await;
        pass(5).await;

        let crash = town.assign(record("fontana", "job-3", "trap", json!({}))).await;
        assert!(matches!(crash, Err(MicrogridError::Unreachable { .. })), "{crash:?}");
        town.send("fontana", "home-1", (11..=20).map(reading)).await;
        town.send("lugano", "home-9", (1..=5).map(reading)).await;
        pass(15).await;

        assert_eq!(town.seen(&job).await["home-1"], up_to(20));
        assert_eq!(town.seen(&other).await["home-9"], up_to(5));
        assert_eq!(town.node(&["fontana"]).await.unwrap().restarts, 1);
        assert_eq!(town.node(&["lugano"]).await.unwrap().restarts, 0);
    });
}

#[test]
fn a_supervisor_that_fails_for_good_is_taken_on_again_later() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        // Kept, so every life of the supervisor finds it: with a factory that panics in its thread
        // only a worker fails; the supervisor itself falls over the validation.
        for _ in 0..20 {
            let _ = town.assign(record("fontana", "job-3", "trap", json!({}))).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(supervised(&town).await.is_empty(), "given up");
        town.send("fontana", "home-1", (1..=5).map(reading)).await;
        pass(80).await;
        assert_eq!(supervised(&town).await, ["fontana"]);
        assert_eq!(town.seen(&job).await["home-1"], up_to(5));
        assert_eq!(town.node(&[]).await.unwrap().restarts, 0, "the operator did not notice");
    });
}

#[test]
fn a_microgrid_that_is_removed_has_no_supervisor_and_its_job_is_saved() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        pass(5).await;
        town.send("fontana", "home-1", (1..=3).map(reading)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let remove = RemoveMicrogrid { microgrid: microgrid("fontana") };
        town.operator.ask(remove, SOON).await.unwrap();
        assert!(supervised(&town).await.is_empty());
        pass(1).await;
        assert_eq!(town.seen(&job).await["home-1"], up_to(3));
        let removed = MicrogridRemoved { microgrid: microgrid("fontana") };
        town.operator.ask(removed, SOON).await.unwrap();
    });
}

#[test]
fn more_microgrids_than_allowed_are_refused_with_a_sentence() {
    run(|scope| async move {
        let limits = OperatorLimits { microgrids: 2, ..OperatorLimits::default() };
        let town = Town::with(&scope, limits);
        for name in ["a", "b", "c"] {
            town.send(name, &format!("home-{name}"), [reading(1)]).await;
        }
        pass(1).await;
        assert_eq!(supervised(&town).await, ["a", "b"]);
        let ask = ListJobs { microgrid: microgrid("c") };
        let error = town.operator.ask(ask, SOON).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "2 microgrids run already, so c is not taken on");
    });
}

#[test]
fn what_the_registrar_says_of_a_job_is_done() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let mut job = record("fontana", "job-1", "recorder", json!({}));
        let id = job.id.clone();
        town.jobs.ask(PutJob(job.clone()), SOON).await.unwrap();
        town.operator.ask(JobChanged { job: job.clone() }, SOON).await.unwrap();
        town.send("fontana", "home-1", (1..=3).map(reading)).await;
        pass(6).await;
        assert_eq!(town.seen(&id).await["home-1"], up_to(3));

        job.state = JobState::Stopped;
        town.jobs.ask(PutJob(job.clone()), SOON).await.unwrap();
        town.operator.ask(JobChanged { job: job.clone() }, SOON).await.unwrap();
        town.send("fontana", "home-1", (4..=6).map(reading)).await;
        pass(60).await;
        assert_eq!(town.seen(&id).await["home-1"], up_to(3));
        assert!(town.node(&["fontana", "job-1"]).await.is_none(), "a stopped job has no worker");

        job.state = JobState::Running;
        town.jobs.ask(PutJob(job.clone()), SOON).await.unwrap();
        town.operator.ask(JobChanged { job }, SOON).await.unwrap();
        pass(10).await;
        assert_eq!(town.seen(&id).await["home-1"], up_to(6));
        let removed = JobRemoved { job: id, microgrid: microgrid("fontana") };
        town.operator.ask(removed, SOON).await.unwrap();
        pass(1).await;
        assert!(town.node(&["fontana", "job-1"]).await.is_none());
    });
}

#[test]
fn jobs_are_found_once_the_web_store_is_back() {
    run(|scope| async move {
        let mut town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        town.operator.stop(SOON).await;
        turn(&town.switches.web_store_away, true);
        town.restart_operator().await;
        town.send("fontana", "home-1", (1..=5).map(reading)).await;
        pass(60).await;
        assert!(town.seen(&job).await.is_empty());
        turn(&town.switches.web_store_away, false);
        pass(15).await;
        assert_eq!(town.seen(&job).await["home-1"], up_to(5));
    });
}
