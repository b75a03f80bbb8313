//! Several processes on one database, which get in each other's way: each is a registry of its own.

use std::sync::{Arc, Barrier};

use memcloud_domain::{CommandState, JobCheckpoint, JobId, JobLogLevel, JobLogLine};

use super::commands::{carried_out, sent, then};
use super::*;
use crate::StoreError;

on_every_engine! {
    processes_that_start_at_once_bring_the_database_up_to_date_once,
    a_database_that_a_newer_program_has_used_is_refused_and_whoever_runs_goes_on,
    of_processes_that_begin_the_same_post_one_does_it,
    groups_that_overlap_are_all_recorded_and_a_token_is_used_as_often_as_it_may,
    a_revoked_key_stays_revoked_whatever_another_process_writes_of_the_hem,
    a_hem_is_never_left_without_its_microgrid,
    lines_of_one_log_are_numbered_one_by_one_whoever_writes_them,
    the_highest_order_never_goes_back_whoever_writes_it,
    of_orders_carried_out_at_once_the_highest_holds,
}

/// Does something in several processes at the same moment; what each answers, in their order.
fn at_once<T: Send>(
    registry: &Fixture,
    processes: usize,
    work: impl Fn(usize, &SqlRegistry) -> T + Sync,
) -> Vec<T> {
    let all_are_there = Barrier::new(processes);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..processes)
            .map(|number| {
                let (process, work, all_are_there) =
                    (registry.opened_again(), &work, &all_are_there);
                scope.spawn(move || {
                    all_are_there.wait();
                    work(number, &process)
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn processes_that_start_at_once_bring_the_database_up_to_date_once(registry: Fixture) {
    let database = registry.database.another();
    let all_are_there = Barrier::new(6);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                all_are_there.wait();
                let opened = SqlRegistry::open_at(&database.address()).unwrap();
                opened.check().unwrap();
            });
        }
    });
}

fn a_database_that_a_newer_program_has_used_is_refused_and_whoever_runs_goes_on(registry: Fixture) {
    registry.say(
        "INSERT INTO __diesel_schema_migrations (version, run_on)
         VALUES ('29991231000000', CURRENT_TIMESTAMP)",
    );
    let error = SqlRegistry::open_at(&registry.database.address()).unwrap_err();
    assert!(matches!(error, StoreError::Migration { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("it has the change 29991231000000"), "{error}");
    assert!(error.ends_with("run that version or a later one"), "{error}");
    registry.create_microgrid(&a_microgrid("fontana")).unwrap();
}

fn of_processes_that_begin_the_same_post_one_does_it(registry: Fixture) {
    const POSTS: usize = 10;
    let limits = IdempotencyLimits::default();
    // What was begun so long ago counts as never begun.
    for second in [0, 61] {
        let now = Timestamp(second * 1_000);
        let answers = at_once(&registry, 4, |_, process| {
            let begin = |post| {
                let request = IdempotentRequest {
                    scope: IdempotencyScope {
                        principal: "token".to_owned(),
                        key: format!("key {post}"),
                    },
                    fingerprint: [7; 32],
                };
                process.begin_idempotent(&request, now, &limits).unwrap()
            };
            (0..POSTS).map(begin).collect::<Vec<_>>()
        });
        for post in 0..POSTS {
            let of_post: Vec<_> = answers.iter().map(|answers| &answers[post]).collect();
            let fresh = of_post.iter().filter(|answer| ***answer == Beginning::Fresh).count();
            let waiting =
                of_post.iter().filter(|answer| ***answer == Beginning::InProgress).count();
            assert_eq!((fresh, waiting), (1, 3), "{of_post:?}");
        }
    }
}

fn groups_that_overlap_are_all_recorded_and_a_token_is_used_as_often_as_it_may(registry: Fixture) {
    const HEMS: u32 = 20;
    let registry = registry.with_microgrid("fontana");
    let secret = hash("token");
    registry
        .create_enrolment_token(&NewEnrolmentToken {
            id: uuid(1),
            microgrid: microgrid_id("fontana"),
            hash: secret,
            uses: HEMS - 5,
            expires: Timestamp(100),
            created: Timestamp(0),
        })
        .unwrap();
    let arrival = |number| Arrival {
        hem: hem(&format!("hem-{number}")),
        proof: Proof::Enrolment { token: secret, new_key: hash("key") },
        nodes: None,
        firmware: None,
    };
    let enrolled = at_once(&registry, 3, |process, store| {
        // One goes through them forwards, one backwards, one from the middle.
        let mut arrivals: Vec<_> = (0..HEMS).map(arrival).collect();
        match process {
            0 => {}
            1 => arrivals.reverse(),
            _ => arrivals.rotate_left(10),
        }
        let answers: Vec<_> = arrivals
            .chunks(5)
            .flat_map(|group| store.record_arrivals(group, Timestamp(0)).unwrap())
            .collect();
        assert_eq!(answers.len(), arrivals.len());
        answers.iter().filter(|answer| matches!(answer, ArrivalAnswer::Recorded(_))).count()
    });
    let kept = registry.hems(None, &PageRequest::first(100)).unwrap().items.len();
    assert_eq!(kept, 15, "{enrolled:?}");
    let tokens = registry.enrolment_tokens(&microgrid_id("fontana"), &PageRequest::first(9));
    assert_eq!(tokens.unwrap().items[0].used, 15);
}

fn a_revoked_key_stays_revoked_whatever_another_process_writes_of_the_hem(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    for round in 0..10 {
        let id = format!("hem-{round}");
        registry.register(&id, "fontana", "key");
        at_once(&registry, 3, |process, store| {
            if process == 0 {
                store.revoke_key(&hem(&id)).unwrap();
                return;
            }
            for version in 0..5 {
                let arrival = Arrival {
                    hem: hem(&id),
                    proof: Proof::Key(hash("key")),
                    nodes: None,
                    firmware: Some(format!("{process}.{version}")),
                };
                store.record_arrivals(&[arrival], Timestamp(0)).unwrap();
                let change = HemChange { name: Some(version.to_string()), ..HemChange::default() };
                store.update_hem(&hem(&id), &change).unwrap();
            }
        });
        assert_eq!(registry.hem(&hem(&id)).unwrap().key, KeyState::Revoked);
    }
}

fn a_hem_is_never_left_without_its_microgrid(registry: Fixture) {
    for round in 0..10 {
        let id = format!("grid-{round}");
        registry.create_microgrid(&a_microgrid(&id)).unwrap();
        let done = at_once(&registry, 2, |process, store| {
            if process == 0 {
                return store.delete_microgrid(&microgrid_id(&id));
            }
            store
                .register_hem(&NewHem {
                    id: hem(&format!("hem-{round}")),
                    microgrid: microgrid_id(&id),
                    name: None,
                    key: hash("key"),
                    created: Timestamp(0),
                })
                .map(|_| ())
        });
        match (&done[0], &done[1]) {
            (Ok(()), Err(RegistryError::NotFound { what: "microgrid", .. }))
            | (Err(RegistryError::InUse { .. }), Ok(())) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn lines_of_one_log_are_numbered_one_by_one_whoever_writes_them(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let job = JobId::new("job").unwrap();
    registry
        .create_job(&NewJob {
            id: job.clone(),
            microgrid: microgrid_id("fontana"),
            app: "app".to_owned(),
            configuration: serde_json::json!({}),
            priority: 0,
            created: Timestamp(0),
        })
        .unwrap();
    at_once(&registry, 3, |process, store| {
        for line in 0..10 {
            let text = format!("{process} {line}");
            store
                .save_checkpoints(&[CheckpointToSave {
                    job: job.clone(),
                    checkpoint: JobCheckpoint::default(),
                    results: Vec::new(),
                    log: vec![JobLogLine { at: Timestamp(0), level: JobLogLevel::Info, text }],
                    tenure: None,
                }])
                .unwrap();
        }
    });
    let lines = registry.log(&job, 0, 100).unwrap();
    let numbers: Vec<_> = lines.iter().map(|line| line.number).collect();
    assert_eq!(numbers, (1..=30).collect::<Vec<_>>());
}

fn the_highest_order_never_goes_back_whoever_writes_it(registry: Fixture) {
    at_once(&registry, 3, |process, store| {
        if process == 2 {
            let mut highest = 0;
            while highest < 60 {
                let orders = store.highest_orders().unwrap();
                let now = orders.first().map_or(0, |(_, order)| *order);
                assert!(now >= highest, "{now} after {highest}");
                highest = now;
            }
            return;
        }
        for step in 0..30_u64 {
            let order = 2 * step + u64::try_from(process).unwrap() + 1;
            store.write_commands(&[Arc::new(sent(order, 0, order))], &[]).unwrap();
        }
    });
    assert_eq!(registry.highest_orders().unwrap(), [(hem("one"), 60)]);
}

fn of_orders_carried_out_at_once_the_highest_holds(registry: Fixture) {
    for round in 0..10_u64 {
        let home = hem(&format!("hem-{round}"));
        at_once(&registry, 3, |process, store| {
            let order = u64::try_from(process).unwrap() + 1;
            let number = round * 10 + order;
            let mut effective =
                then(&carried_out(number, 0, order, None), CommandState::Effective, 5_000);
            effective.hem = home.clone();
            store.write_commands(&[Arc::new(effective)], &[]).unwrap();
        });
        let long_after = Timestamp(i64::MAX / 2);
        let open = registry.open_commands(None, long_after).unwrap();
        let held: Vec<_> =
            open.iter().filter(|record| record.hem == home).map(|record| record.order).collect();
        assert_eq!(held, [Some(3)]);
    }
}
