use std::time::Duration;

use actix::{Handler, Message};
use memcloud_domain::messages::{
    ListJobsOf, ListMicrogridsWithJobs, LoadCheckpoint, RecordJobState, SaveCheckpoint, Unavailable,
};
use memcloud_domain::{
    JobCheckpoint, JobId, JobLogLevel, JobLogLine, JobResult, JobState, Seq, Timestamp, Watts,
};
use memcloud_registry::Registrar;
use memcloud_registry::{
    BeginIdempotent, Beginning, CreateJob, CreateMicrogrid, DeleteMicrogrid, FinishIdempotent,
    GetHealth, GetJob, GetMicrogrid, IdempotencyScope, IdempotentAnswer, IdempotentRequest,
    ListJobLog, ListJobResults, ListMicrogrids, MicrogridChange, NewMicrogrid, PageRequest,
    RegistryError, ResultQuery, UpdateMicrogrid,
};
use serde_json::json;

use crate::house::{DEADLINE, House, NOW, hem, microgrid_id, new_microgrid, universe};

async fn tell<M, T>(house: &House, message: M) -> T
where
    M: Message<Result = Result<T, Unavailable>> + Send + 'static,
    T: Send + 'static,
    Registrar: Handler<M>,
{
    house.registrar.ask(message, DEADLINE).await.unwrap().unwrap()
}

#[test]
fn what_people_type_for_a_microgrid_is_checked() {
    universe(|house| async move {
        let refused = |change: fn(&mut NewMicrogrid)| {
            let mut new = new_microgrid("fontana");
            change(&mut new);
            house.ask(CreateMicrogrid(new))
        };
        let error = refused(|new| new.time_zone = Some("Mars/Olympus".to_owned())).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "time_zone: \"Mars/Olympus\" is not an IANA time zone, such as Europe/Berlin or UTC"
        );
        for change in [
            (|new| new.name = "  ".to_owned()) as fn(&mut NewMicrogrid),
            |new| new.name = "x".repeat(201),
            |new| new.name = "a\nb".to_owned(),
            |new| new.limits.import_watts = Some(Watts(-1.0)),
            |new| new.limits.export_watts = Some(Watts(f64::NAN)),
        ] {
            let error = refused(change).await.unwrap_err();
            assert!(matches!(error, RegistryError::Invalid { .. }), "{error}");
        }
        let made = house.ask(CreateMicrogrid(new_microgrid("fontana"))).await.unwrap();
        assert_eq!(made.time_zone, "UTC");
        assert_eq!(made.created, Timestamp(NOW));
        let change = MicrogridChange {
            time_zone: Some("America/Los_Angeles".to_owned()),
            ..MicrogridChange::default()
        };
        let update = UpdateMicrogrid { id: made.id.clone(), change };
        assert_eq!(house.ask(update).await.unwrap().time_zone, "America/Los_Angeles");
        assert_eq!(
            house.ask(GetMicrogrid { id: made.id }).await.unwrap().time_zone,
            "America/Los_Angeles"
        );
    });
}

#[test]
fn microgrids_are_listed_page_by_page() {
    universe(|house| async move {
        for id in ["c", "a", "b"] {
            house.ask(CreateMicrogrid(new_microgrid(id))).await.unwrap();
        }
        let first = house.ask(ListMicrogrids { page: PageRequest::first(2) }).await.unwrap();
        assert_eq!(first.next.as_deref(), Some("b"));
        let page = PageRequest { after: first.next, limit: 2 };
        let second = house.ask(ListMicrogrids { page }).await.unwrap();
        assert_eq!(second.items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["c"]);
        assert_eq!(second.next, None);
    });
}

#[test]
fn a_job_saves_where_it_stands_and_finds_it_again_after_a_restart() {
    universe(|house| async move {
        let house = house.with_microgrid("fontana").await;
        let job = house
            .ask(CreateJob {
                microgrid: microgrid_id("fontana"),
                app: "limit-watch".to_owned(),
                configuration: json!({"limit": 5_000}),
                priority: 0,
            })
            .await
            .unwrap();
        assert_eq!(tell(&house, ListMicrogridsWithJobs).await, [microgrid_id("fontana")]);
        let of = ListJobsOf { microgrid: microgrid_id("fontana") };
        assert_eq!(tell(&house, of).await, std::slice::from_ref(&job));
        assert_eq!(tell(&house, LoadCheckpoint { job: job.id.clone() }).await, None);

        let checkpoint =
            JobCheckpoint { cursors: [(hem("one"), Seq(41))].into(), state: json!({"over": true}) };
        let result = JobResult {
            kind: "limit-alarm".to_owned(),
            subject: "microgrid".to_owned(),
            from: Timestamp(NOW),
            to: Timestamp(NOW + 1),
            body: json!({"watts": 6_000}),
        };
        let line = JobLogLine {
            at: Timestamp(NOW),
            level: JobLogLevel::Info,
            text: "over the limit".to_owned(),
        };
        for _ in 0..2 {
            let save = SaveCheckpoint {
                job: job.id.clone(),
                checkpoint: checkpoint.clone(),
                results: vec![result.clone()],
                log: vec![line.clone()],
                tenure: None,
            };
            tell(&house, save).await;
        }
        assert_eq!(tell(&house, LoadCheckpoint { job: job.id.clone() }).await, Some(checkpoint));
        let results = house
            .ask(ListJobResults(ResultQuery {
                job: job.id.clone(),
                from: None,
                to: None,
                kind: None,
                subject: None,
                after: None,
                limit: 10,
            }))
            .await
            .unwrap();
        assert_eq!(results.items, [result], "saved twice, kept once");
        let log = house.ask(ListJobLog { job: job.id.clone(), after: 1, limit: 10 }).await.unwrap();
        assert_eq!((log.len(), log[0].number, &log[0].line), (1, 2, &line));

        let failed = JobState::Failed { reason: "it panicked".to_owned(), at: Timestamp(NOW) };
        tell(&house, RecordJobState { job: job.id.clone(), state: failed.clone(), tenure: None })
            .await;
        assert_eq!(house.ask(GetJob { id: job.id }).await.unwrap().state, failed);
        let unknown = JobId::new("unknown").unwrap();
        let error = house.ask(GetJob { id: unknown }).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no job \"unknown\"");
        let error = house.ask(DeleteMicrogrid { id: microgrid_id("fontana") }).await.unwrap_err();
        assert!(matches!(error, RegistryError::InUse { .. }));
    });
}

fn request(key: &str) -> BeginIdempotent {
    BeginIdempotent(IdempotentRequest {
        scope: IdempotencyScope { principal: "token".to_owned(), key: key.to_owned() },
        fingerprint: [1; 32],
    })
}

#[test]
fn an_answer_is_given_again_for_a_day_and_then_swept_out() {
    universe(|house| async move {
        assert_eq!(house.ask(request("key")).await.unwrap(), Beginning::Fresh);
        let answer = IdempotentAnswer::Body {
            status: 201,
            content_type: "application/json".to_owned(),
            location: None,
            body: "{}".to_owned(),
        };
        let finish =
            FinishIdempotent { scope: request("key").0.scope, answer: Some(answer.clone()) };
        house.ask(finish).await.unwrap();
        tokio::time::sleep(Duration::from_secs(24 * 3_600 - 60)).await;
        assert_eq!(house.ask(request("key")).await.unwrap(), Beginning::Replay(answer));
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(house.ask(request("key")).await.unwrap(), Beginning::Fresh);
        for bad in [String::new(), "x".repeat(256), "a\nb".to_owned()] {
            let error = house.ask(request(&bad)).await.unwrap_err();
            assert!(matches!(error, RegistryError::Invalid { what: "Idempotency-Key", .. }));
        }
    });
}

#[test]
fn a_healthy_registry_says_so() {
    universe(|house| async move {
        tell(&house, GetHealth).await;
    });
}
