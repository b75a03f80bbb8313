//! What a job sees, keeps and survives.

use std::time::Duration;

use memcloud_bus::{CloudEvent, Pattern};
use memcloud_cmo::OperatorLimits;
use memcloud_domain::messages::{HemConnected, JobReport};
use memcloud_domain::{Epoch, JobLogLevel, JobState, Seq, Timestamp};
use memcloud_microgrid::{MicrogridLimits, RemoveJob, StartJob, StopJob};
use memcloud_worker::JobLimits;
use serde_json::json;

use crate::support::{
    NOW, Town, hem, microgrid, pass, reading, reading_at, record, run, turn, up_to,
};

const SOON: Duration = Duration::from_secs(30);

fn limits(job: JobLimits) -> OperatorLimits {
    let microgrid = MicrogridLimits { job, ..MicrogridLimits::default() };
    OperatorLimits { microgrid, ..OperatorLimits::default() }
}

#[test]
fn a_job_sees_every_stored_entry_in_order_and_at_once() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1", "home-2"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        pass(4).await;
        for seq in 1..=100 {
            town.send("fontana", "home-1", [reading(seq)]).await;
            town.send("fontana", "home-2", [reading(seq)]).await;
        }
        pass(4).await;
        let seen = town.seen(&job).await;
        assert_eq!(seen["home-1"], up_to(100));
        assert_eq!(seen["home-2"], up_to(100));
        let standing = town.standing("fontana", &job).await;
        assert!(standing.progress.unwrap().caught_up);
        assert_eq!(town.output(&job).await.results.len(), 200);
    });
}

#[test]
fn a_job_sees_every_stored_entry_although_every_hint_is_lost() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1", "home-2"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        pass(4).await;
        turn(&town.switches.hints_lost, true);
        town.send("fontana", "home-1", (1..=3_000).map(reading)).await;
        town.send("fontana", "home-2", (1..=700).map(reading)).await;
        pass(12).await;
        let seen = town.seen(&job).await;
        assert_eq!(seen["home-1"], up_to(3_000));
        assert_eq!(seen["home-2"], up_to(700));
    });
}

#[test]
fn a_hole_is_filled_from_the_store_before_what_comes_after_it_is_seen() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        pass(4).await;
        for seq in 1..=60 {
            turn(&town.switches.hints_lost, seq % 3 == 0 || (20..40).contains(&seq));
            town.send("fontana", "home-1", [reading(seq)]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        pass(10).await;
        assert_eq!(town.seen(&job).await["home-1"], up_to(60));
    });
}

#[test]
fn an_overflowing_queue_and_a_full_backlog_lead_to_catching_up() {
    run(|scope| async move {
        let job_limits =
            JobLimits { queue: 2, backlog: 10, page: 7, step_entries: 3, ..JobLimits::default() };
        let town = Town::with(&scope, limits(job_limits));
        town.settle("fontana", &["home-1", "home-2"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        for seq in 1..=400 {
            town.send("fontana", "home-1", [reading(seq)]).await;
            town.send("fontana", "home-2", [reading(seq)]).await;
        }
        pass(30).await;
        let seen = town.seen(&job).await;
        assert_eq!(seen["home-1"], up_to(400));
        assert_eq!(seen["home-2"], up_to(400));
    });
}

#[test]
fn while_the_iot_store_is_away_jobs_wait_and_then_catch_up() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        pass(4).await;
        turn(&town.switches.iot_store_away, true);
        turn(&town.switches.hints_lost, true);
        town.send("fontana", "home-1", (1..=50).map(reading)).await;
        turn(&town.switches.hints_lost, false);
        town.send("fontana", "home-1", (51..=60).map(reading)).await;
        pass(60).await;
        assert!(town.seen(&job).await.is_empty());
        turn(&town.switches.iot_store_away, false);
        pass(10).await;
        assert_eq!(town.seen(&job).await["home-1"], up_to(60));
    });
}

#[test]
fn while_the_web_store_is_away_a_job_keeps_its_results_and_then_saves_them_all() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        pass(4).await;
        turn(&town.switches.web_store_away, true);
        for seq in 1..=30 {
            town.send("fontana", "home-1", [reading(seq)]).await;
            pass(5).await;
        }
        assert!(town.output(&job).await.results.is_empty());
        turn(&town.switches.web_store_away, false);
        pass(10).await;
        assert_eq!(town.output(&job).await.results.len(), 30);
        assert_eq!(town.node(&["fontana", "job-1"]).await.unwrap().restarts, 0);
    });
}

#[test]
fn an_app_that_panics_once_goes_on_from_its_checkpoint() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let configuration = json!({"panic_at": 7, "times": 2});
        let job = town.deploy("fontana", "job-1", "recorder", configuration).await;
        let neighbour = town.deploy("fontana", "job-2", "recorder", json!({})).await;
        town.send("fontana", "home-1", (1..=4).map(reading)).await;
        pass(4).await;
        town.send("fontana", "home-1", (5..=20).map(reading)).await;
        pass(30).await;
        assert_eq!(town.seen(&job).await["home-1"], up_to(20));
        assert_eq!(town.seen(&neighbour).await["home-1"], up_to(20));
        assert_eq!(town.node(&["fontana", "job-1"]).await.unwrap().restarts, 2);
        assert_eq!(town.node(&["fontana", "job-2"]).await.unwrap().restarts, 0);
        assert_eq!(town.node(&["fontana"]).await.unwrap().restarts, 0);
        let log = town.output(&job).await.log;
        let said = log.iter().filter(|line| line.level == JobLogLevel::Error);
        assert!(said.clone().count() >= 1, "{log:?}");
        assert!(said.into_iter().all(|line| line.text.contains("seven is too much")));
    });
}

#[test]
fn an_app_that_panics_for_ever_ends_failed_with_its_reason_and_nobody_else_notices() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let configuration = json!({"panic_at": 3, "times": 1_000});
        let job = town.deploy("fontana", "job-1", "recorder", configuration).await;
        let neighbour = town.deploy("fontana", "job-2", "recorder", json!({})).await;
        let mut events = town_events(&town);
        town.send("fontana", "home-1", (1..=20).map(reading)).await;
        pass(120).await;
        let Some(JobState::Failed { reason, .. }) = town.output(&job).await.state else {
            panic!("it is not recorded as failed")
        };
        assert!(reason.contains("seven is too much"), "{reason}");
        assert_eq!(town.seen(&neighbour).await["home-1"], up_to(20));
        assert_eq!(town.node(&["fontana"]).await.unwrap().restarts, 0);
        assert!(
            std::iter::from_fn(|| events.try_recv()).any(|delivery| matches!(
                delivery.message,
                CloudEvent::JobReported(reported)
                    if matches!(reported.report, JobReport::State(JobState::Failed { .. }))
            )),
            "the live feed is told"
        );
        let standing = town.standing("fontana", &job).await;
        assert!(matches!(standing.record.state, JobState::Failed { .. }));
        assert!(standing.progress.is_none());

        // And it stays so over a restart of everything.
        let mut town = town;
        town.restart_operator().await;
        pass(60).await;
        assert!(matches!(town.output(&job).await.state, Some(JobState::Failed { .. })));
        assert!(town.node(&["fontana", "job-1"]).await.is_none());
    });
}

fn town_events(town: &Town) -> memcloud_bus::Queue<CloudEvent> {
    town.bus().events.bind(&Pattern::all(), 1_000)
}

#[test]
fn a_failed_job_runs_again_when_a_person_starts_it() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let configuration = json!({"panic_at": 3, "times": 6});
        let job = town.deploy("fontana", "job-1", "recorder", configuration).await;
        town.send("fontana", "home-1", (1..=20).map(reading)).await;
        pass(120).await;
        assert!(matches!(town.output(&job).await.state, Some(JobState::Failed { .. })));
        let start = StartJob { microgrid: microgrid("fontana"), job: job.clone() };
        town.operator.ask(start, SOON).await.unwrap().unwrap();
        pass(10).await;
        assert_eq!(town.output(&job).await.state, Some(JobState::Running));
        assert_eq!(town.seen(&job).await["home-1"], up_to(20));
    });
}

#[test]
fn a_stopped_job_is_saved_first_and_goes_on_where_it_stood() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        pass(4).await;
        town.send("fontana", "home-1", (1..=9).map(reading)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let stop = StopJob { microgrid: microgrid("fontana"), job: job.clone() };
        town.operator.ask(stop, SOON).await.unwrap().unwrap();
        assert_eq!(town.seen(&job).await["home-1"], up_to(9), "saved before it is answered");
        assert!(town.node(&["fontana", "job-1"]).await.is_none());
        town.send("fontana", "home-1", (10..=12).map(reading)).await;
        pass(100).await;
        assert_eq!(town.seen(&job).await["home-1"], up_to(9));
        assert_eq!(town.output(&job).await.state, Some(JobState::Stopped));
        let start = StartJob { microgrid: microgrid("fontana"), job: job.clone() };
        town.operator.ask(start, SOON).await.unwrap().unwrap();
        pass(10).await;
        assert_eq!(town.seen(&job).await["home-1"], up_to(12));
    });
}

#[test]
fn a_job_with_a_new_configuration_goes_on_where_it_stood() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({"label": "old"})).await;
        town.send("fontana", "home-1", (1..=9).map(reading)).await;
        pass(4).await;
        town.deploy("fontana", "job-1", "recorder", json!({"label": "new"})).await;
        town.send("fontana", "home-1", (10..=12).map(reading)).await;
        pass(10).await;
        assert_eq!(town.seen(&job).await["home-1"], up_to(12));
        let standing = town.standing("fontana", &job).await;
        assert_eq!(standing.record.configuration["label"], "new");
    });
}

#[test]
fn the_checkpoint_outlives_the_whole_tree() {
    run(|scope| async move {
        let mut town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        for round in 0..5_u64 {
            town.send("fontana", "home-1", (round * 10 + 1..=round * 10 + 10).map(reading)).await;
            pass(1).await;
            town.restart_operator().await;
        }
        pass(10).await;
        assert_eq!(town.seen(&job).await["home-1"], up_to(50));
    });
}

#[test]
fn a_job_that_begins_now_sees_nothing_of_the_past_and_all_that_follows() {
    run(|scope| async move {
        let mut town = Town::build(&scope);
        town.settle("fontana", &["home-1", "home-2"]).await;
        town.send("fontana", "home-1", (1..=50).map(reading)).await;
        let job = town.deploy("fontana", "job-1", "fresh-recorder", json!({})).await;
        pass(1).await;
        town.restart_operator().await;
        town.send("fontana", "home-1", (51..=60).map(reading)).await;
        town.send("fontana", "home-2", (1..=5).map(reading)).await;
        pass(10).await;
        let seen = town.seen(&job).await;
        assert_eq!(seen["home-1"], (51..=60).collect::<Vec<_>>());
        assert_eq!(
            seen["home-2"],
            up_to(5),
            "a home that joins later is seen from its first entry"
        );
    });
}

#[test]
fn a_home_that_joins_is_seen_from_its_first_entry_once_it_is_known() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        pass(4).await;
        town.send("fontana", "home-2", (1..=5).map(reading)).await;
        pass(4).await;
        assert!(!town.seen(&job).await.contains_key("home-2"), "its nodes are not known yet");
        let connected = HemConnected {
            hem: hem("home-2"),
            microgrid: microgrid("fontana"),
            epoch: Epoch(1),
            mark: Seq(0),
            nodes: Vec::new(),
            process: None,
            at: Timestamp(NOW),
        };
        town.publisher.tell(connected).unwrap();
        pass(8).await;
        assert_eq!(town.seen(&job).await["home-2"], up_to(5));

        town.send("fontana", "home-3", (1..=5).map(reading)).await;
        town.settle("fontana", &["home-1", "home-2", "home-3"]).await;
        pass(8).await;
        assert_eq!(town.seen(&job).await["home-3"], up_to(5), "or is found in the store");
    });
}

#[test]
fn old_readings_are_marked_late() {
    run(|scope| async move {
        let town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let job = town.deploy("fontana", "job-1", "recorder", json!({})).await;
        pass(4).await;
        let entries =
            [reading(1), reading(2), reading_at(3, Timestamp(NOW - 3_600_000)), reading(4)];
        town.send("fontana", "home-1", entries).await;
        pass(4).await;
        let checkpoint = town.output(&job).await.checkpoint.unwrap();
        assert_eq!(checkpoint.state["late"], json!([3]));
        assert_eq!(checkpoint.cursors[&hem("home-1")], Seq(4));
    });
}

#[test]
fn what_cannot_be_run_is_refused_with_a_sentence() {
    run(|scope| async move {
        let limited = MicrogridLimits { jobs: 1, ..MicrogridLimits::default() };
        let limits = OperatorLimits { microgrid: limited, ..OperatorLimits::default() };
        let town = Town::with(&scope, limits);
        town.settle("fontana", &["home-1"]).await;
        let refused = |error: memcloud_microgrid::MicrogridError| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            source.unwrap_or_else(|| error.to_string())
        };
        let unknown = town.assign(record("fontana", "job-1", "no-such-app", json!({}))).await;
        let names = ["energy-accounting", "external", "recorder"];
        let said = refused(unknown.unwrap_err());
        assert!(said.starts_with("there is no app \"no-such-app\"; there are "), "{said}");
        assert!(names.iter().all(|name| said.contains(name)), "{said}");
        let wrong = record("fontana", "job-1", "limit-watch", json!({"limit_watts": -5}));
        assert_eq!(
            refused(town.assign(wrong).await.unwrap_err()),
            "the configuration of limit-watch is not valid: limit_watts is -5; it may be 0 to 1000000000"
        );
        town.deploy("fontana", "job-1", "recorder", json!({})).await;
        let second = town.assign(record("fontana", "job-2", "recorder", json!({}))).await;
        assert_eq!(
            refused(second.unwrap_err()),
            "microgrid fontana has 1 jobs already; remove one first"
        );
        let remove = RemoveJob {
            microgrid: microgrid("fontana"),
            job: record("fontana", "job-9", "recorder", json!({})).id,
        };
        pass(1).await;
        let error = town.operator.ask(remove, SOON).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "microgrid fontana has no job job-9");
    });
}

#[test]
fn a_job_whose_app_is_no_longer_in_the_catalogue_is_failed_and_says_so() {
    run(|scope| async move {
        let mut town = Town::build(&scope);
        town.settle("fontana", &["home-1"]).await;
        let gone = record("fontana", "job-1", "retired-app", json!({}));
        let job = gone.id.clone();
        town.jobs.ask(memcloud_worker::PutJob(gone), SOON).await.unwrap();
        town.restart_operator().await;
        pass(5).await;
        let Some(JobState::Failed { reason, .. }) = town.output(&job).await.state else {
            panic!("it is not recorded as failed")
        };
        assert!(reason.starts_with("there is no app \"retired-app\""), "{reason}");
    });
}
