//! A fleet as a cloud sees it.

use std::path::Path;
use std::time::Duration;

use memcloud_domain::{NodeId, Secret, Timestamp};
use memcloud_emulator::bench::{self, BenchConfig, LoadOptions, Rate, Times};
use memcloud_emulator::clock::system_clock;
use memcloud_emulator::{Backfill, Dataset, Fleet, FleetConfig};
use memcloud_sdk::hem::trust;
use tokio::net::UdpSocket;

use crate::stand_in_cloud::{StandInCloud, Stored, TOKEN};

pub(crate) fn config(cloud: &StandInCloud, state: Option<&Path>) -> FleetConfig {
    FleetConfig {
        homes: 3,
        enrol: Some(Secret::new(TOKEN)),
        state: state.map(Path::to_owned),
        interval: Duration::from_millis(50),
        ..FleetConfig::new(
            &format!("127.0.0.1:{}", cloud.port),
            trust(&cloud.ca_file, None).unwrap(),
            Dataset::fontana().unwrap(),
        )
    }
}

pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

/// Times ascend and counters only grow, from the first reading to the last.
fn assert_one_life(stored: &Stored) {
    for pair in stored.readings.windows(2) {
        let ((_, earlier, before), (_, later, after)) = (&pair[0], &pair[1]);
        assert!(earlier <= later, "{earlier} {later}");
        for (old, new) in before.iter().zip(after) {
            assert!(old.wh_in <= new.wh_in && old.wh_out <= new.wh_out, "{old:?} {new:?}");
        }
    }
}

#[tokio::test]
async fn a_fleet_enrols_fills_in_the_past_and_goes_on_after_a_restart_as_the_same_homes() {
    let cloud = StandInCloud::start().await;
    let state = tempfile::tempdir().unwrap();
    let backfill =
        Backfill { span: Duration::from_secs(6 * 3_600), every: Duration::from_secs(60) };
    let first = FleetConfig { backfill: Some(backfill), ..config(&cloud, Some(state.path())) };
    let fleet = Fleet::start(first, system_clock()).await.unwrap();
    until("the past is filled in and the homes are live", || {
        (1..=3).all(|home| cloud.stored(&format!("home-{home}")).readings.len() > 380)
    })
    .await;
    assert_eq!(fleet.progress().backfill, None);
    assert_eq!(fleet.progress().online, 3);
    fleet.stop(Duration::from_secs(5)).await;
    let before = cloud.stored("home-2");
    assert_eq!(before.nodes, 8);
    let filled_in = before.readings.windows(2).take(359);
    assert!(filled_in.into_iter().all(|pair| pair[1].1.0 - pair[0].1.0 == 60_000));

    let again = FleetConfig { enrol: None, ..config(&cloud, Some(state.path())) };
    let fleet = Fleet::start(again, system_clock()).await.unwrap();
    until("more readings come", || {
        cloud.stored("home-2").readings.len() > before.readings.len() + 20
    })
    .await;
    fleet.stop(Duration::from_secs(5)).await;
    for home in 1..=3 {
        let stored = cloud.stored(&format!("home-{home}"));
        assert_eq!((stored.enrolments, stored.welcomes), (1, 2));
        assert_one_life(&stored);
    }
}

#[tokio::test]
async fn a_switch_at_home_is_an_override_and_the_load_is_off() {
    let cloud = StandInCloud::start().await;
    let port = free_udp_ports(3).await;
    let fleet =
        Fleet::start(FleetConfig { api_port: port, ..config(&cloud, None) }, system_clock())
            .await
            .unwrap();
    let app = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    app.connect(("127.0.0.1", port + 1)).await.unwrap();
    app.send(b"api/turnoff/7").await.unwrap();
    let mut answer = [0; 256];
    let length = app.recv(&mut answer).await.unwrap();
    assert_eq!(&answer[..length], br#"{"NODE":7,"TYPE":"NODESTATUS","VALUE":0}"#);
    until("the cloud hears of it", || !cloud.stored("home-2").events.is_empty()).await;
    let event = cloud.stored("home-2").events.remove(0);
    assert_eq!(
        (event.kind.as_str(), event.node, event.on),
        ("override", Some(NodeId(7)), Some(false))
    );
    let off = |stored: &Stored| {
        let (seq, _, nodes) = stored.readings.last().unwrap();
        *seq > event.seq && nodes[7].on == Some(false) && nodes[7].watts.unwrap().value() == 0.0
    };
    until("the next readings show it", || off(&cloud.stored("home-2"))).await;
    assert!(cloud.stored("home-1").events.is_empty(), "nobody pressed anything next door");
    fleet.stop(Duration::from_secs(5)).await;
}

/// A port with free ones behind it.
async fn free_udp_ports(count: u16) -> u16 {
    loop {
        let first = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut sockets = Vec::new();
        for next in 1..count {
            sockets.push(UdpSocket::bind(("127.0.0.1", port.saturating_add(next))).await);
        }
        if sockets.iter().all(Result::is_ok) {
            return port;
        }
    }
}

#[tokio::test]
async fn a_fleet_that_is_not_let_in_keeps_its_readings_and_says_why() {
    let cloud = StandInCloud::start().await;
    let wrong = FleetConfig { enrol: Some(Secret::new("bad")), ..config(&cloud, None) };
    let fleet = Fleet::start(wrong, system_clock()).await.unwrap();
    until("the cloud turns it away", || fleet.progress().disconnects.contains_key("unauthorised"))
        .await;
    until("readings wait", || fleet.progress().held > 3).await;
    assert_eq!(fleet.progress().online, 0);
    fleet.stop(Duration::from_millis(10)).await;
}

fn bench_config(cloud: &StandInCloud, hems: usize) -> BenchConfig {
    BenchConfig {
        host: "127.0.0.1".to_owned(),
        port: cloud.port,
        tls: trust(&cloud.ca_file, None).unwrap(),
        hems,
        keys: Vec::new(),
        enrol: Some(Secret::new(TOKEN)),
        prefix: "bench".to_owned(),
        state: None,
        seed: 1,
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_load_that_is_reported_is_the_load_that_was_stored() {
    let cloud = StandInCloud::start().await;
    let folder = tempfile::tempdir().unwrap();
    let acknowledged = folder.path().join("acknowledged.txt");
    let options = LoadOptions {
        rate: Rate::PerSecond(400.0),
        seconds: 2,
        warmup_seconds: 1,
        threads: 2,
        times: Times::Past { begin: Duration::from_secs(86_400), step: Duration::from_secs(1) },
        acknowledged_file: Some(acknowledged.clone()),
    };
    let config = bench_config(&cloud, 4);
    let report =
        tokio::task::spawn_blocking(move || bench::load(&config, &options, &system_clock()))
            .await
            .unwrap()
            .unwrap();
    let stored: Vec<Stored> = (1..=4).map(|hem| cloud.stored(&format!("bench-{hem}"))).collect();
    let readings: usize = stored.iter().map(|hem| hem.readings.len()).sum();
    assert_eq!(usize::try_from(report.acknowledged_in_all).unwrap(), readings);
    assert_eq!((report.unacknowledged, report.refused), (0, 0));
    assert!(report.rate_missed < 0.2, "{report:?}");
    assert!(report.latency_ms.p50 > 0.0 && report.latency_ms.p50 <= report.latency_ms.max);
    for hem in &stored {
        assert_one_life(hem);
    }
    let lines = std::fs::read_to_string(acknowledged).unwrap();
    assert!(lines.contains(&format!("bench-1 1 {}\n", stored[0].mark)), "{lines}");
    assert!(stored[0].readings[0].1 < Timestamp(system_clock()().0 - 80_000_000));
}

#[tokio::test]
async fn a_crowd_comes_stays_and_comes_back_with_the_keys_it_was_given() {
    let cloud = StandInCloud::start().await;
    let config = bench_config(&cloud, 20);
    let stayed = bench::idle(&config, 8, Duration::from_millis(200)).await.unwrap();
    assert_eq!((stayed.welcomed, stayed.hems), (20, 20));
    assert!(stayed.idle_errors.0.is_empty() && stayed.connect_errors.0.is_empty(), "{stayed:?}");
    let back = bench::reconnect(&config, 8, Duration::from_secs(20)).await.unwrap();
    assert_eq!((back.dropped, back.back, back.attempts), (20, 20, 20));
    let stored = cloud.stored("bench-20");
    assert_eq!((stored.enrolments, stored.welcomes), (2, 3));
}
