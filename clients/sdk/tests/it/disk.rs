//! The queue on disk: kills, torn tails, other people's files.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use memcloud_domain::HemId;
use memcloud_sdk::SdkError;
use memcloud_sdk::hem::{HemClient, HemConfig, Keep, NoHandler, SyncPolicy};
use proptest::prelude::*;

use crate::model::{Model, Script, config, sample};

fn on_disk(path: &Path) -> HemConfig {
    HemConfig { keep: Keep::Disk { path: path.to_owned(), sync: SyncPolicy::Lazy }, ..config() }
}

fn record(home: &HemClient, contents: std::ops::Range<u64>) {
    for content in contents {
        let (time, nodes) = sample(content);
        home.record(time, &nodes).unwrap();
    }
}

fn run_paused<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

/// Opens the queue again and lets the model have all of it.
async fn drain(path: &Path, model: &Model) {
    let (home, task) = HemClient::spawn(on_disk(path), model.clone(), NoHandler).unwrap();
    home.drained().await;
    home.stop();
    task.await.unwrap();
}

const CHILD: &str = "MEMCLOUD_SDK_TEST_QUEUE";

#[test]
fn a_killed_process_loses_nothing_that_was_recorded() {
    if let Some(path) = std::env::var_os(CHILD) {
        // The process that is killed: it says what it has recorded, until it is no more.
        let (home, _driver) =
            HemClient::new(on_disk(Path::new(&path)), Model::new(0, []), NoHandler).unwrap();
        for content in 0..u64::MAX {
            record(&home, content..content + 1);
            println!("recorded {content}");
            std::io::stdout().flush().unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk::a_killed_process_loses_nothing_that_was_recorded", "--nocapture"])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines();
    let recorded: u64 = said
        .map_while(Result::ok)
        .filter_map(|line| line.rsplit_once("recorded ")?.1.parse().ok())
        .find(|content| *content >= 500)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let model = Model::new(0, []);
    run_paused(drain(&path, &model));
    let contents = model.contents();
    assert!(contents.len() as u64 > recorded, "{} of {recorded}", contents.len());
    assert_eq!(contents, (0..contents.len() as u64).collect::<Vec<_>>());
    model.assert_no_offence();
}

#[test]
fn two_processes_cannot_have_the_same_queue() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue");
    let first = HemClient::new(on_disk(&path), Model::new(0, []), NoHandler).unwrap();
    let second = HemClient::new(on_disk(&path), Model::new(0, []), NoHandler);
    assert!(matches!(second.map(drop), Err(SdkError::Journal { .. })));
    drop(first);
    assert!(HemClient::new(on_disk(&path), Model::new(0, []), NoHandler).is_ok());
}

#[test]
fn another_hems_queue_or_some_other_file_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue");
    drop(HemClient::new(on_disk(&path), Model::new(0, []), NoHandler).unwrap());
    let mut other = on_disk(&path);
    other.hem = HemId::new("home-2").unwrap();
    assert!(HemClient::new(other, Model::new(0, []), NoHandler).is_err());
    let notes = folder.path().join("notes.txt");
    std::fs::write(&notes, "dear diary\n".repeat(100)).unwrap();
    assert!(HemClient::new(on_disk(&notes), Model::new(0, []), NoHandler).is_err());
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "dear diary\n".repeat(100));
}

#[cfg(unix)]
#[test]
fn the_file_holds_a_key_and_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue");
    drop(HemClient::new(on_disk(&path), Model::new(0, []), NoHandler).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn numbers_that_a_power_cut_tore_off_are_not_used_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue");
    let model = Model::new(0, []);
    run_paused(async {
        let (home, task) = HemClient::spawn(on_disk(&path), model.clone(), NoHandler).unwrap();
        record(&home, 0..10);
        home.drained().await;
        let before_the_cut = std::fs::read(&path).unwrap();
        record(&home, 10..20);
        home.drained().await;
        home.stop();
        task.await.unwrap();
        drop(home);
        // The disk comes back as it was ten readings ago; the cloud has all twenty.
        std::fs::write(&path, before_the_cut).unwrap();
        let (home, driver) = HemClient::new(on_disk(&path), model.clone(), NoHandler).unwrap();
        record(&home, 20..25);
        let task = tokio::spawn(driver.run());
        home.drained().await;
        home.stop();
        task.await.unwrap();
    });
    assert_eq!(model.contents(), (0..25).collect::<Vec<_>>());
    model.assert_no_offence();
}

#[test]
fn the_file_stays_small_however_much_passes_through_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue");
    let model = Model::new(0, []);
    run_paused(async {
        let (home, task) = HemClient::spawn(on_disk(&path), model.clone(), NoHandler).unwrap();
        for round in 0..400 {
            record(&home, round * 100..round * 100 + 100);
            home.drained().await;
        }
        record(&home, 40_000..40_010);
        home.drained().await;
        home.stop();
        task.await.unwrap();
    });
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 1_200_000, "{size} bytes");
    // What was rewritten is still read: the numbers go on.
    run_paused(async {
        let (home, driver) = HemClient::new(on_disk(&path), model.clone(), NoHandler).unwrap();
        record(&home, 40_010..40_020);
        let task = tokio::spawn(driver.run());
        home.drained().await;
        home.stop();
        task.await.unwrap();
    });
    assert_eq!(model.contents(), (0..40_020).collect::<Vec<_>>());
    model.with(|cloud| assert_eq!((cloud.mark, cloud.missing), (40_020, 0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_torn_tail_costs_only_what_was_torn_off(
        count in 1_u64..40,
        torn in 1_usize..600,
        garbage in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue");
        let (home, driver) = HemClient::new(on_disk(&path), Model::new(0, []), NoHandler).unwrap();
        record(&home, 0..count);
        drop((home, driver));
        let mut bytes = std::fs::read(&path).unwrap();
        let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let kept = bytes.len().saturating_sub(torn).max(header);
        bytes.truncate(kept);
        let whole_lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64 - 1;
        bytes.extend(garbage);
        std::fs::write(&path, bytes).unwrap();
        let model = Model::new(0, []);
        run_paused(drain(&path, &model));
        prop_assert_eq!(model.contents(), (0..whole_lines).collect::<Vec<_>>());
        model.assert_no_offence();
    }

    #[test]
    fn restarts_at_any_moment_lose_nothing_and_double_nothing(
        runs in prop::collection::vec((0_u64..30, 0_u64..400, prop::option::of(0_usize..20), any::<bool>(), 1_usize..12), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue");
        let model = Model::new(3, []);
        let mut recorded = 0;
        for (count, run_for_ms, close_after, commits_at_close, ack_every) in runs {
            model.with(|cloud| {
                cloud.scripts = [Script {
                    close_after,
                    commits_at_close,
                    ack_every,
                    ..Script::default()
                }].into();
            });
            run_paused(async {
                let mut config = on_disk(&path);
                config.batch_from = 8;
                let (home, task) = HemClient::spawn(config, model.clone(), NoHandler).unwrap();
                record(&home, recorded..recorded + count);
                tokio::time::sleep(Duration::from_millis(run_for_ms)).await;
                // The process is gone without a word.
                task.abort();
                let _ = task.await;
            });
            recorded += count;
        }
        model.with(|cloud| cloud.scripts.clear());
        run_paused(drain(&path, &model));
        prop_assert_eq!(model.contents(), (0..recorded).collect::<Vec<_>>());
        model.assert_no_offence();
    }
}
