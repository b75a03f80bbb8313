//! REST as its callers meet it: requests per second and the time of each, over connections that are
//! kept, to a `memcloud serve` with homes that have just reported for a while.
//!
//! `cargo bench --bench rest`; `BENCH_ROUNDS` (5), `_SECONDS` (3 a path and round), `_HEMS`
//! (200), `_CONNECTIONS` (8).

#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]

mod client;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use client::Client;
use memcloud_emulator::bench::{BenchConfig, LoadOptions, Rate, Times, load};
use memcloud_emulator::clock::system_clock;
use memcloud_emulator::keyring::read_keys;
use memcloud_sdk::hem::trust;
use support::cloud::{Cloud, authority, hem_keys, make_keys};
use support::figures::{Figure, float, per_mille};
use support::{option, processor};

fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (rounds, seconds) = (option("ROUNDS", 5)?, option("SECONDS", 3)?);
    let hems = usize::try_from(option("HEMS", 200)?)?;
    let connections = usize::try_from(option("CONNECTIONS", 8)?)?;
    let folder = tempfile::tempdir()?;
    let keys = folder.path().join("keys");
    make_keys(&keys)?;
    let settings = [("hem.max_rate", "1000000".to_owned())];
    let cloud = Cloud::start(folder.path(), &keys, hems, &settings)?;
    let readings = report_for_a_while(&cloud, folder.path(), &keys, hems)?;
    // The minutes that just ended are rolled up meanwhile.
    std::thread::sleep(Duration::from_secs(15));

    let mut out = std::io::stdout();
    writeln!(
        out,
        "{hems} homes with {readings} readings; {rounds} rounds of {seconds} s a path, server and \
         callers on the same {} cores; medians (lowest to highest)\n",
        processor::cores()
    )?;
    writeln!(out, "| GET | connections | answer, B | requests/s | p50, ms | p99, ms |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for path in [
        "/api/v1/hems?limit=100",
        "/api/v1/hems/home-1",
        "/api/v1/hems/home-1/history?node=0&points=500",
        "/api/v1/microgrids/village-1",
    ] {
        for connections in [1, connections] {
            let (mut rate, mut p50, mut p99) =
                (Figure::default(), Figure::default(), Figure::default());
            let mut bytes = 0;
            for _ in 0..rounds {
                let span = Duration::from_secs(seconds);
                let (mut took, length) = call(cloud.http, path, &cloud.token, connections, span)?;
                bytes = length;
                rate.add(float(u64::try_from(took.len())?) / float(seconds));
                p50.add(per_mille(&mut took, 500));
                p99.add(per_mille(&mut took, 990));
            }
            writeln!(
                out,
                "| {path} | {connections} | {bytes} | {rate:.0} | {p50:.2} | {p99:.2} |"
            )?;
        }
    }
    for complaint in cloud.complaints() {
        writeln!(out, "the cloud says: {complaint}")?;
    }
    cloud.stop()
}

/// An hour of each home at a reading per second, sent at once; how many readings.
fn report_for_a_while(
    cloud: &Cloud,
    folder: &Path,
    keys: &Path,
    hems: usize,
) -> anyhow::Result<u64> {
    let config = BenchConfig {
        host: cloud.hem.ip().to_string(),
        port: cloud.hem.port(),
        tls: trust(&authority(keys), None)?,
        hems,
        keys: read_keys(&hem_keys(folder))?,
        enrol: None,
        prefix: "home".to_owned(),
        state: None,
        seed: 1,
    };
    let options = LoadOptions {
        rate: Rate::PerSecond(10_000.0),
        seconds: 10,
        warmup_seconds: 0,
        threads: 1,
        times: Times::Past { begin: Duration::from_hours(1), step: Duration::from_secs(7) },
        acknowledged_file: None,
    };
    let report = load(&config, &options, &system_clock())?;
    anyhow::ensure!(report.unacknowledged == 0, "not all was acknowledged: {:?}", report.errors);
    Ok(report.acknowledged_in_all)
}

/// Calls a path over so many connections for a while: how long each call took in ms, and how many
/// bytes the last answer had.
fn call(
    address: SocketAddr,
    path: &str,
    token: &str,
    connections: usize,
    span: Duration,
) -> anyhow::Result<(Vec<f64>, usize)> {
    let until = Instant::now() + span;
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(move || -> anyhow::Result<(Vec<f64>, usize)> {
                    let mut client = Client::connect(address, path, token)?;
                    let (mut took, mut length) = (Vec::new(), 0);
                    while Instant::now() < until {
                        let start = Instant::now();
                        length = client.call()?;
                        took.push(start.elapsed().as_secs_f64() * 1e3);
                    }
                    Ok((took, length))
                })
            })
            .collect();
        let (mut all, mut length) = (Vec::new(), 0);
        for caller in callers {
            let (took, last) =
                caller.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??;
            all.extend(took);
            length = last;
        }
        Ok((all, length))
    })
}
