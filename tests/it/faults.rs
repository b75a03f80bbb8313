//! Real faults: the process killed under load, the store locked by someone else. And counts.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::homes::{TestHome, now_ms, until};
use crate::rest::Caller;
use crate::support::TestCloud;

const HOMES: usize = 20;
/// `MEMCLOUD_TEST_KILLS` runs the long version.
const KILLS: u64 = 5;

/// Homes are given the ports of each new process by a fixed one, which the first process chose.
fn cloud_on_fixed_ports() -> TestCloud {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    TestCloud::builder().set("hem.bind", format!("127.0.0.1:{port}")).start()
}

#[actix_rt::test]
async fn every_acknowledged_reading_survives_kill_9_once_and_a_job_sees_them_all() {
    let kills = std::env::var("MEMCLOUD_TEST_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let mut cloud = cloud_on_fixed_ports();
    cloud.call_for_line(&["microgrid", "add", "valley"]);
    let keys: Vec<String> = (0..HOMES)
        .map(|home| {
            cloud.call_for_line(&[
                "hem",
                "register",
                &format!("home-{home}"),
                "--microgrid",
                "valley",
            ])
        })
        .collect();
    let job = {
        let admin = Caller::admin(&cloud);
        let body = json!({"app": "energy-accounting", "configuration": {}});
        let job = admin.post("/api/v1/microgrids/valley/jobs", body).await;
        assert_eq!(job.status, 201, "{}", job.text);
        job.json()["id"].as_str().unwrap().to_owned()
    };
    let homes: Vec<TestHome> = keys
        .iter()
        .enumerate()
        .map(|(home, key)| TestHome::connect(&cloud, &format!("home-{home}"), key))
        .collect();

    // Each reading adds 1 Wh to its home's counter: what the job accounts for is what it has seen.
    let begin = now_ms() - 3_600_000;
    let mut counter = 0_i64;
    let mut record = |homes: &[TestHome]| {
        counter += 1;
        for home in homes {
            home.sample(begin + counter * 50, 100.0, 0.0, counter as f64);
        }
    };
    for kill in 0..kills {
        let before: u64 = homes.iter().map(|home| home.hem.counters().acknowledged).sum();
        for _ in 0..40 {
            record(&homes);
            actix_rt::time::sleep(Duration::from_millis(2)).await;
        }
        // A different moment each time, so that kills fall before, in and after commits.
        actix_rt::time::sleep(Duration::from_millis(kill * 7 % 40)).await;
        until("something new is acknowledged", || {
            homes.iter().map(|home| home.hem.counters().acknowledged).sum::<u64>() > before
        })
        .await;
        cloud.kill();
        record(&homes);
        cloud.launch();
    }
    until("everything is acknowledged", || homes.iter().all(|home| home.hem.counters().held == 0))
        .await;

    let admin = Caller::admin(&cloud);
    let (mut stored, mut acknowledged) = (0, 0);
    for (number, home) in homes.iter().enumerate() {
        let csv = admin
            .send(
                "GET",
                &format!("/api/v1/hems/home-{number}/readings"),
                &[("accept", "text/csv")],
                None,
            )
            .await;
        let seqs: Vec<u64> = csv
            .text
            .lines()
            .skip(1)
            .map(|line| line.split(',').next().unwrap().parse().unwrap())
            .collect();
        let distinct: BTreeSet<u64> = seqs.iter().copied().collect();
        assert_eq!(seqs.len(), distinct.len() * 3, "home-{number}: a reading is there twice");
        for seq in home.acknowledged() {
            assert!(
                distinct.contains(&seq),
                "home-{number}: {seq} was acknowledged and is not there"
            );
        }
        assert_eq!(distinct.len() as u64, home.hem.counters().recorded, "home-{number}");
        stored += distinct.len();
        acknowledged += home.acknowledged().len();
    }
    println!(
        "{kills} kills: {stored} readings stored, {acknowledged} of them heard as acknowledged; 0 lost, 0 twice"
    );

    // The counters began at 1 Wh and ended at `counter` Wh: so much each home used, if the job saw it all.
    let expected = (counter - 1) as f64;
    let path = format!("/api/v1/jobs/{job}/results?kind=energy-day&limit=1000");
    let mut tries = 0;
    loop {
        let results = admin.get(&path).await.json();
        let mut used = std::collections::BTreeMap::<String, f64>::new();
        for item in results["items"].as_array().unwrap() {
            let subject = item["subject"].as_str().unwrap();
            *used.entry(subject.to_owned()).or_default() +=
                item["body"]["consumption_wh"].as_f64().unwrap();
        }
        let all_seen = (0..HOMES).all(|home| {
            used.get(&format!("home-{home}")).is_some_and(|wh| (wh - expected).abs() < 0.01)
        });
        if all_seen {
            break;
        }
        tries += 1;
        assert!(tries < 300, "each home used {expected} Wh, but the job found {used:?}");
        actix_rt::time::sleep(Duration::from_millis(100)).await;
    }
}

#[actix_rt::test]
async fn while_the_store_is_locked_acks_wait_ready_says_why_and_it_recovers_by_itself() {
    let cloud = TestCloud::start();
    cloud.call_for_line(&["microgrid", "add", "valley"]);
    let key = cloud.call_for_line(&["hem", "register", "home-1", "--microgrid", "valley"]);
    let home = TestHome::connect(&cloud, "home-1", &key);
    home.sample(now_ms(), 100.0, 0.0, 1.0);
    until("the first reading is acknowledged", || home.hem.counters().acknowledged == 1).await;

    // Another process that holds the database's write lock.
    let lock = {
        use diesel::connection::SimpleConnection;
        use diesel::{Connection, SqliteConnection};
        let path = cloud.folder().join("data/iot.db");
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        connection.batch_execute("BEGIN EXCLUSIVE").unwrap();
        connection
    };
    for second in 0..10 {
        home.sample(now_ms() + second, 100.0, 0.0, 2.0 + second as f64);
    }
    let admin = Caller::admin(&cloud);
    let why = unready(&admin).await;
    assert!(why.contains("iot store") && why.contains("lock"), "{why}");
    assert_eq!(home.hem.counters().acknowledged, 1);
    assert_eq!(home.ended(), Vec::<String>::new(), "the home stays connected");
    assert_eq!(admin.get("/health/live").await.status, 200);

    drop(lock);
    until("all is acknowledged once the lock is gone", || home.hem.counters().acknowledged == 11)
        .await;
    ready_again(&admin).await;
    assert_eq!(home.ended(), Vec::<String>::new());
}

/// Waits until the cloud is not ready, and answers what it says of that.
async fn unready(admin: &Caller<'_>) -> String {
    for _ in 0..300 {
        let ready = admin.get("/health/ready").await;
        if ready.status == 503 {
            return ready.text;
        }
        actix_rt::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it is ready although its store is away");
}

async fn ready_again(admin: &Caller<'_>) {
    for _ in 0..300 {
        if admin.get("/health/ready").await.status == 200 {
            return;
        }
        actix_rt::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not become ready again");
}

/// A small disk of its own, which goes with this value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at));
        }
        assert!(std::env::var_os("CI").is_none(), "CI must be able to mount a small disk");
        println!("left out: mounting a small disk needs root");
        None
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Leaves not a byte free.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.ballast()).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn relieve(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[actix_rt::test]
async fn while_the_disk_is_full_acks_wait_ready_says_why_and_it_recovers_by_itself() {
    let parent = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(parent.path().join("disk")) else { return };
    let iot = format!("sqlite:{}", disk.0.join("iot.db").display());
    let cloud = TestCloud::builder().set("iot_store.url", iot).start();
    cloud.call_for_line(&["microgrid", "add", "valley"]);
    let key = cloud.call_for_line(&["hem", "register", "home-1", "--microgrid", "valley"]);
    let home = TestHome::connect(&cloud, "home-1", &key);
    home.sample(now_ms(), 100.0, 0.0, 1.0);
    until("the first reading is acknowledged", || home.hem.counters().acknowledged == 1).await;

    disk.fill();
    let admin = Caller::admin(&cloud);
    // The log of the database has space of its own for a while; after that every commit fails.
    let mut sent = 1;
    let why = loop {
        for _ in 0..200 {
            home.sample(now_ms(), 100.0, 0.0, 2.0);
            sent += 1;
        }
        actix_rt::time::sleep(Duration::from_millis(100)).await;
        let ready = admin.get("/health/ready").await;
        if ready.status == 503 {
            break ready.text;
        }
        assert!(sent < 60_000, "it is ready although its disk is full");
    };
    assert!(why.contains("iot store") && why.contains("full"), "{why}");
    assert_eq!(home.ended(), Vec::<String>::new(), "the home stays connected");
    let acknowledged = home.hem.counters().acknowledged;
    assert!(acknowledged < sent);

    disk.relieve();
    until("all is acknowledged once there is space", || home.hem.counters().acknowledged == sent)
        .await;
    ready_again(&admin).await;
    let csv =
        admin.send("GET", "/api/v1/hems/home-1/readings", &[("accept", "text/csv")], None).await;
    assert_eq!(csv.text.lines().count() as u64, 1 + sent * 3, "each reading is there once");
}
