//! A replica set of three whose primary is killed under commits. Needs the server's program, in
//! `MEMCLOUD_TEST_MONGOD`; left out otherwise, but not in CI.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use memcloud_domain::{Entry, Order, TimeRange};
use mongodb::Client;
use tokio::runtime::Runtime;

use super::*;

const MEMBERS: usize = 3;
/// Commits before the kill, and after the set has a primary again.
const COMMITS: u64 = 60;

/// A member; killed when it is dropped.
struct Member {
    port: u16,
    process: Child,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(program: &str, folder: &std::path::Path) -> Member {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let data = folder.join(port.to_string());
    std::fs::create_dir(&data).unwrap();
    let process = Command::new(program)
        .args(["--replSet", "rs0", "--bind_ip", "127.0.0.1", "--nounixsocket"])
        .args(["--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25"])
        .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
        .args(["--port", &port.to_string(), "--dbpath", &data.to_string_lossy()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Member { port, process }
}

/// Makes the members a set that elects quickly.
fn initiate(members: &[Member]) {
    for member in members {
        while TcpStream::connect(("127.0.0.1", member.port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let listed: Vec<Document> = (0_i32..)
        .zip(members)
        .map(|(id, member)| doc! { "_id": id, "host": format!("127.0.0.1:{}", member.port) })
        .collect();
    let set = doc! {
        "_id": "rs0", "members": listed, "settings": { "electionTimeoutMillis": 1_000 },
    };
    Runtime::new().unwrap().block_on(async {
        let url = format!("mongodb://127.0.0.1:{}/?directConnection=true", members[0].port);
        let client = Client::with_uri_str(&url).await.unwrap();
        client.database("admin").run_command(doc! { "replSetInitiate": set }).await.unwrap();
    });
}

/// Which member takes writes.
fn primary(store: &MongoTelemetry, members: &[Member]) -> usize {
    let admin = store.server.client.database("admin");
    let told = store.server.wait(async { admin.run_command(doc! { "hello": 1 }).await }).unwrap();
    let address = told.get_str("primary").unwrap();
    members.iter().position(|member| address.ends_with(&format!(":{}", member.port))).unwrap()
}

#[test]
fn the_death_of_the_primary_under_commits_loses_and_doubles_nothing_that_was_acknowledged() {
    let Ok(program) = std::env::var("MEMCLOUD_TEST_MONGOD") else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI nothing is left out");
        println!("left out: MEMCLOUD_TEST_MONGOD names no mongod");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut members: Vec<Member> = (0..MEMBERS).map(|_| start(&program, folder.path())).collect();
    initiate(&members);
    let hosts: Vec<String> =
        members.iter().map(|member| format!("127.0.0.1:{}", member.port)).collect();
    let url = format!("mongodb://{}/iot?replicaSet=rs0", hosts.join(","));
    let options = MongoOptions { patience: Duration::from_secs(30), ..SMALL_CHUNKS };
    let store = MongoTelemetry::open(&url, options).unwrap();
    store.open_sessions(&[session("h")]).unwrap();

    let (mut acknowledged, mut asked_again) = (BTreeSet::new(), 0);
    for commit in 0..2 * COMMITS {
        if commit == COMMITS {
            let place = primary(&store, &members);
            // In the middle of the commits of another thread: not between two.
            let entries = (1..=200).map(at).collect();
            let element = HemEntries { hem: hem("other"), epoch: Epoch(1), entries };
            store.open_sessions(&[session("other")]).unwrap();
            std::thread::scope(|threads| {
                threads.spawn(|| {
                    while store.commit(std::slice::from_ref(&element), Timestamp(T0)).is_err() {}
                });
                drop(members.remove(place));
            });
        }
        let entries: Vec<Entry> = (commit * 5 + 1..=commit * 5 + 5).map(at).collect();
        let element = HemEntries { hem: hem("h"), epoch: Epoch(1), entries };
        loop {
            match store.commit(std::slice::from_ref(&element), Timestamp(T0)) {
                Ok(outcome) => {
                    assert!(matches!(outcome[..], [CommitOutcome::Stored { .. }]), "{outcome:?}");
                    acknowledged.extend(element.entries.iter().map(|entry| entry.seq().0));
                    break;
                }
                Err(error) => {
                    assert!(error.is_temporary(), "{error}");
                    asked_again += 1;
                }
            }
        }
    }
    let mut found = Vec::new();
    loop {
        let after = Seq(found.last().copied().unwrap_or(0));
        let batch = store.entries_after(&hem("h"), after, 1_000).unwrap();
        if batch.entries.is_empty() {
            break;
        }
        found.extend(batch.entries.iter().map(|entry| entry.seq().0));
    }
    let distinct: BTreeSet<u64> = found.iter().copied().collect();
    println!(
        "acknowledged {}, lost {}, twice {}, asked again {asked_again}",
        acknowledged.len(),
        acknowledged.difference(&distinct).count(),
        found.len() - distinct.len()
    );
    assert_eq!(found, (1..=10 * COMMITS).collect::<Vec<u64>>());
    assert_eq!(distinct, acknowledged);
    let query = PageQuery {
        hem: hem("other"),
        range: TimeRange::default(),
        after: None,
        limit: 1_000,
        order: Order::Ascending,
    };
    assert_eq!(store.readings(&query).unwrap().items.len(), 200);
}
