use memcloud_domain::{
    JobCheckpoint, JobId, JobLogLevel, JobLogLine, JobRecord, JobResult, JobState, Seq,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;

on_every_engine! {
    a_job_is_kept_changed_stopped_and_deleted_with_all_it_left,
    a_failed_job_says_why_after_a_restart,
    the_microgrids_with_jobs_are_named_once,
    a_checkpoint_comes_back_with_what_was_saved_with_it,
    a_log_keeps_its_last_thousand_lines_however_many_are_written,
    a_line_without_end_is_cut,
    a_large_state_and_a_large_result_are_kept_whole,
    results_are_found_by_time_kind_and_subject,
    a_microgrid_has_a_bounded_number_of_jobs,
    results_page_by_page_are_the_results_at_once,
}

pub(super) fn job_id(number: u32) -> JobId {
    JobId::new(&format!("job-{number:04}")).unwrap()
}

impl Fixture {
    pub(super) fn deploy(&self, number: u32, microgrid: &str) -> JobRecord {
        self.create_job(&NewJob {
            id: job_id(number),
            microgrid: microgrid_id(microgrid),
            app: "energy-accounting".to_owned(),
            configuration: json!({"tariff": 0.3}),
            priority: 5,
            created: Timestamp(7),
        })
        .unwrap()
    }

    fn save(&self, results: Vec<JobResult>, log: Vec<JobLogLine>) {
        self.save_checkpoints(&[CheckpointToSave {
            job: job_id(1),
            checkpoint: JobCheckpoint::default(),
            results,
            log,
            tenure: None,
        }])
        .unwrap();
    }

    fn lines(&self) -> Vec<NumberedLogLine> {
        self.log(&job_id(1), 0, 1_000).unwrap()
    }
}

fn result(kind: &str, subject: &str, from: i64, body: i64) -> JobResult {
    JobResult {
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        from: Timestamp(from),
        to: Timestamp(from + 10),
        body: json!(body),
    }
}

fn line(text: &str) -> JobLogLine {
    JobLogLine { at: Timestamp(3), level: JobLogLevel::Warn, text: text.to_owned() }
}

fn all() -> ResultQuery {
    ResultQuery {
        job: job_id(1),
        from: None,
        to: None,
        kind: None,
        subject: None,
        after: None,
        limit: 1_000,
    }
}

fn a_job_is_kept_changed_stopped_and_deleted_with_all_it_left(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let job = registry.deploy(1, "fontana");
    assert_eq!(job.state, JobState::Running);
    assert_eq!(registry.job(&job.id).unwrap(), job);

    let change = JobChange {
        configuration: Some(json!({"tariff": 0.4})),
        priority: None,
        state: Some(JobState::Stopped),
    };
    let changed = registry.update_job(&job.id, &change).unwrap();
    assert_eq!(changed.configuration, json!({"tariff": 0.4}));
    assert_eq!((changed.priority, &changed.state), (5, &JobState::Stopped));
    assert_eq!(registry.job(&job.id).unwrap(), changed);

    registry.save(vec![result("hour", "microgrid", 0, 1)], vec![line("started")]);
    let error = registry.delete_microgrid(&microgrid_id("fontana")).unwrap_err();
    assert!(matches!(error, RegistryError::InUse { ref by, .. } if by == "1 job"));
    registry.delete_job(&job.id).unwrap();
    assert!(matches!(registry.job(&job.id), Err(RegistryError::NotFound { what: "job", .. })));
    assert!(matches!(registry.results(&all()), Err(RegistryError::NotFound { .. })));
    registry.deploy(1, "fontana");
    assert_eq!(registry.results(&all()).unwrap().items, []);
    assert_eq!(registry.lines(), []);
    assert_eq!(registry.checkpoint(&job.id).unwrap(), None);
}

fn a_failed_job_says_why_after_a_restart(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    registry.deploy(1, "fontana");
    let failed = JobState::Failed { reason: "it panicked".to_owned(), at: Timestamp(9) };
    registry.record_job_state(&job_id(1), &failed, None).unwrap();
    registry.record_job_state(&job_id(2), &failed, None).unwrap();
    let kept = registry.opened_again().jobs_of(&microgrid_id("fontana")).unwrap();
    assert_eq!(kept.iter().map(|job| &job.state).collect::<Vec<_>>(), [&failed]);
}

fn the_microgrids_with_jobs_are_named_once(registry: Fixture) {
    let registry = registry.with_microgrid("a").with_microgrid("b").with_microgrid("c");
    for (number, microgrid) in [(1, "c"), (2, "a"), (3, "c")] {
        registry.deploy(number, microgrid);
    }
    assert_eq!(registry.microgrids_with_jobs().unwrap(), [microgrid_id("a"), microgrid_id("c")]);
}

fn a_checkpoint_comes_back_with_what_was_saved_with_it(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    registry.deploy(1, "fontana");
    assert_eq!(registry.checkpoint(&job_id(1)).unwrap(), None);
    for step in 1_u64..=2 {
        let checkpoint = JobCheckpoint {
            cursors: [(hem("one"), Seq(step))].into(),
            state: json!({"step": step}),
        };
        registry
            .save_checkpoints(&[
                CheckpointToSave {
                    job: job_id(1),
                    checkpoint: checkpoint.clone(),
                    results: vec![result("hour", "microgrid", 0, i64::try_from(step).unwrap())],
                    log: vec![line(&format!("step {step}"))],
                    tenure: None,
                },
                // Deleted meanwhile: nothing of it is kept, and the others are not disturbed.
                CheckpointToSave {
                    job: job_id(99),
                    checkpoint: JobCheckpoint::default(),
                    results: vec![result("hour", "microgrid", 0, 0)],
                    log: vec![line("gone")],
                    tenure: None,
                },
            ])
            .unwrap();
        assert_eq!(registry.checkpoint(&job_id(1)).unwrap(), Some(checkpoint));
    }
    let results = registry.results(&all()).unwrap().items;
    assert_eq!(results, [result("hour", "microgrid", 0, 2)], "the second replaced the first");
    assert_eq!(registry.lines().len(), 2);
    assert_eq!(registry.checkpoint(&job_id(99)).unwrap(), None);
}

fn a_log_keeps_its_last_thousand_lines_however_many_are_written(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    registry.deploy(1, "fontana");
    for batch in 0..25 {
        registry.save(vec![], (0..100).map(|n| line(&format!("{}", batch * 100 + n))).collect());
    }
    let lines = registry.lines();
    assert_eq!(lines.len(), 1_000);
    let texts: Vec<_> = lines.iter().map(|line| line.line.text.clone()).collect();
    let expected: Vec<_> = (1_500..2_500).map(|number| number.to_string()).collect();
    assert_eq!(texts, expected);
    assert_eq!(lines[0].number, 1_501);
    let newest = registry.log(&job_id(1), 2_498, 10).unwrap();
    assert_eq!(newest.iter().map(|line| line.number).collect::<Vec<_>>(), [2_499, 2_500]);
}

fn a_line_without_end_is_cut(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    registry.deploy(1, "fontana");
    registry.save(vec![], vec![line(&"é".repeat(100_000))]);
    assert_eq!(registry.lines()[0].line.text.chars().count(), 4_000);
}

fn a_large_state_and_a_large_result_are_kept_whole(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    registry.deploy(1, "fontana");
    let large = json!("ü€𝄞 ".repeat(100_000));
    let checkpoint = JobCheckpoint { state: large.clone(), ..JobCheckpoint::default() };
    let result = JobResult { body: large, ..result("hour", "one", 0, 0) };
    // Its kind is a key, and longer than a key may be: it is left out, and keeps nobody else waiting.
    let impossible = JobResult { kind: "k".repeat(2_000), ..result.clone() };
    registry
        .save_checkpoints(&[CheckpointToSave {
            job: job_id(1),
            checkpoint: checkpoint.clone(),
            results: vec![impossible, result.clone()],
            log: vec![],
            tenure: None,
        }])
        .unwrap();
    assert_eq!(registry.checkpoint(&job_id(1)).unwrap(), Some(checkpoint));
    assert_eq!(registry.results(&all()).unwrap().items, [result]);
}

fn results_are_found_by_time_kind_and_subject(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    registry.deploy(1, "fontana");
    registry.save(
        vec![
            result("hour", "one", 0, 1),
            result("hour", "two", 0, 2),
            result("day", "one", 0, 3),
            result("hour", "one", 100, 4),
        ],
        vec![],
    );
    let bodies = |query: ResultQuery| -> Vec<i64> {
        let page = registry.results(&query).unwrap();
        page.items.iter().map(|result| result.body.as_i64().unwrap()).collect()
    };
    assert_eq!(bodies(all()), [3, 1, 2, 4]);
    assert_eq!(bodies(ResultQuery { kind: Some("hour".to_owned()), ..all() }), [1, 2, 4]);
    assert_eq!(bodies(ResultQuery { subject: Some("two".to_owned()), ..all() }), [2]);
    assert_eq!(bodies(ResultQuery { from: Some(Timestamp(1)), ..all() }), [4]);
    assert_eq!(bodies(ResultQuery { to: Some(Timestamp(100)), ..all() }), [3, 1, 2]);
}

fn results_page_by_page_are_the_results_at_once(registry: Fixture) {
    let config = ProptestConfig { cases: 24, ..ProptestConfig::default() };
    proptest!(config, |(
        keys in proptest::collection::btree_set((-3_i64..3, "[ab]", "[ab~. ]{0,2}"), 0..20),
        limit in 1_usize..6,
    )| {
        registry.empty();
        registry.create_microgrid(&a_microgrid("fontana")).unwrap();
        registry.deploy(1, "fontana");
        let results: Vec<_> =
            keys.iter().map(|(from, kind, subject)| result(kind, subject, *from, 0)).collect();
        registry.save(results.clone(), vec![]);
        let mut paged = Vec::new();
        let mut query = ResultQuery { limit, ..all() };
        loop {
            let page = registry.results(&query).unwrap();
            prop_assert!(page.items.len() <= limit);
            paged.extend(page.items);
            let Some(next) = page.next else { break };
            query.after = Some(next.to_string().parse().unwrap());
        }
        prop_assert_eq!(paged, results);
    });
}

fn a_microgrid_has_a_bounded_number_of_jobs(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    for number in 0..256 {
        registry.deploy(number, "fontana");
    }
    let error = registry
        .create_job(&NewJob {
            id: job_id(999),
            microgrid: microgrid_id("fontana"),
            app: "x".to_owned(),
            configuration: json!({}),
            priority: 0,
            created: Timestamp(0),
        })
        .unwrap_err();
    assert!(matches!(error, RegistryError::TooMany { limit: 256, .. }));
}
