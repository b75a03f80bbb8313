//! Ingest end to end: readings over TLS with durable acknowledgements, as a ratio to the bare limit
//! of the same run. Rounds of the two alternate, so that whatever else the machine does falls on both.
//!
//! `cargo bench --bench ingest`; the environment may set `BENCH_ROUNDS` (5), `_SECONDS` (15),
//! `_WARMUP` (3), `_HEMS` (200), `_WORKERS` (the cloud's `hem.workers`, 1), `_PERCENT` (50: of the cloud's rate, at
//! which the time to the acknowledgement is measured).

#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]

mod bare;
mod load;
mod round;
#[path = "../support/mod.rs"]
mod support;

use std::fmt;
use std::io::Write;
use std::path::Path;

use round::{Kind, Plan, Round};
use support::figures::{Figure, float, readable};
use support::{option, processor};

fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((role, rest)) if role == "load" => load::run(rest),
        Some((role, rest)) if role == "bare" => match rest {
            [folder, keys, chunk] => {
                bare::serve(Path::new(folder), Path::new(keys), chunk.parse()?)
            }
            _ => anyhow::bail!("bare takes 3 arguments"),
        },
        _ => compare(),
    }
}

/// Says a line of the report.
fn say(text: impl fmt::Display) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// The rounds of both kinds.
#[derive(Default)]
struct Rounds {
    bare: Vec<Round>,
    cloud: Vec<Round>,
}

impl Rounds {
    fn figures(&self, of: impl Fn(&Round) -> f64) -> [Figure; 2] {
        [self.bare.iter().map(&of).collect(), self.cloud.iter().map(&of).collect()]
    }

    /// Of each round, the cloud's figure over the bare one's.
    fn ratio(&self, of: impl Fn(&Round) -> f64) -> Figure {
        self.bare.iter().zip(&self.cloud).map(|(bare, cloud)| of(cloud) / of(bare)).collect()
    }
}

fn compare() -> anyhow::Result<()> {
    let rounds = option("ROUNDS", 5)?;
    let plan = Plan {
        hems: usize::try_from(option("HEMS", 200)?)?,
        rate: None,
        seconds: option("SECONDS", 15)?,
        warmup_seconds: option("WARMUP", 3)?,
        workers: option("WORKERS", 1)?,
        chunk_readings: 600,
    };
    say(format_args!(
        "{} HEMs, {} cores for server and load, {rounds} rounds of {} s behind {} s of warm-up; the \
         cloud with hem.max_rate = 1000000 and hem.workers = {}",
        plan.hems,
        processor::cores(),
        plan.seconds,
        plan.warmup_seconds,
        plan.workers
    ))?;
    let full = run_rounds(&plan, rounds)?;
    let [_, cloud_rate] = full.figures(|round| round.load.rate);
    let percent = option("PERCENT", 50)?;
    let rate = (cloud_rate.median() * float(percent) / 100.0).round();
    say(format_args!("\nat {percent} % of the cloud's rate, {} readings/s:", readable(rate, 0)))?;
    let below = run_rounds(&Plan { rate: Some(rate), ..plan }, rounds)?;
    report(&full, &below, percent)
}

/// Bare, cloud, bare, cloud, …
fn run_rounds(plan: &Plan, rounds: u64) -> anyhow::Result<Rounds> {
    let mut done = Rounds::default();
    for number in 1..=rounds {
        for kind in [Kind::Bare, Kind::Cloud] {
            let round = plan.run(kind)?;
            say(format_args!(
                "  round {number}, {kind}: {} readings/s, {:.1} CPU s per million, p50 {:.1} ms, p99 \
                 {:.1} ms, longest {:.0} ms; load {:.2} cores, others {:.2}, {:.0} MB resident, {:.0} % sealed",
                readable(round.load.rate, 0),
                round.seconds_per_million,
                round.load.p50_ms,
                round.load.p99_ms,
                round.load.max_ms,
                round.load.cores,
                round.others_cores,
                round.resident_bytes / 1e6,
                round.sealed_share * 100.0
            ))?;
            match kind {
                Kind::Bare => done.bare.push(round),
                Kind::Cloud => done.cloud.push(round),
            }
        }
    }
    Ok(done)
}

fn report(full: &Rounds, below: &Rounds, percent: u64) -> anyhow::Result<()> {
    say("\nmedians (lowest to highest round)\n")?;
    say("| | bare limit | memcloud serve | cloud / bare |")?;
    say("|---|---|---|---|")?;
    let row = |name: &str, rounds: &Rounds, decimals: usize, of: &dyn Fn(&Round) -> f64| {
        let [bare, cloud] = rounds.figures(of);
        let ratio = rounds.ratio(of);
        say(format_args!("| {name} | {bare:.decimals$} | {cloud:.decimals$} | {ratio:.2} |"))
    };
    row("readings/s, durably acknowledged", full, 0, &|round| round.load.rate)?;
    row("server CPU s per million readings", full, 1, &|round| round.seconds_per_million)?;
    let settled = |round: &Round| round.settled_seconds_per_million;
    row("the same, with all upkeep done", full, 1, &settled)?;
    row("load, cores", full, 2, &|round| round.load.cores)?;
    row("the rest of the machine (others, interrupts), cores", full, 2, &|round| {
        round.others_cores
    })?;
    row("resident, MB", full, 0, &|round| round.resident_bytes / 1e6)?;
    row("sealed while it ran, %", full, 0, &|round| round.sealed_share * 100.0)?;
    row("bytes per reading in a chunk", full, 1, &|round| round.disk.chunk_bytes)?;
    row("bytes per reading of the file", full, 1, &|round| round.disk.file_bytes)?;
    let at = |name: &str| format!("at {percent} %: {name}");
    row(&at("readings/s"), below, 0, &|round| round.load.rate)?;
    row(&at("p50 to the ack, ms"), below, 1, &|round| round.load.p50_ms)?;
    row(&at("p99 to the ack, ms"), below, 1, &|round| round.load.p99_ms)?;
    row(&at("longest, ms"), below, 0, &|round| round.load.max_ms)?;
    row(&at("server CPU s per million"), below, 1, &|round| round.seconds_per_million)?;
    row(&at("the rest of the machine (others, interrupts), cores"), below, 2, &|round| {
        round.others_cores
    })?;
    let [frame, _] = full.figures(|round| round.load.frame_bytes);
    say(format_args!("\na frame has {frame:.0} bytes before TLS"))
}
