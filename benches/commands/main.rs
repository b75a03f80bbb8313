//! Commands end to end: REST, the ledger on disk, the HEM, its result, the ledger again, as a ratio to
//! the bare limit of the same run. Rounds of the two alternate, so that whatever else the machine does
//! falls on both.
//!
//! The command is `report-every`, whose acknowledgement is its end: with `?wait=` the caller is
//! answered when that is on disk. So each crosses the disk three times: `accepted`, `sent`,
//! `acknowledged`.
//!
//! `cargo bench --bench commands`; the environment may set `BENCH_ROUNDS` (5), `_SECONDS` (10),
//! `_WARMUP` (8), `_HEMS` (500), `_CALLERS` (256 connections), `_RATE` (2000 a second, at which the
//! time of a command is measured too).

#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]

mod bare;
mod caller;
mod load;
mod round;
#[path = "../support/mod.rs"]
mod support;

use std::fmt;
use std::io::Write;
use std::path::Path;

use round::{Kind, Plan, Round};
use support::figures::{Figure, float};
use support::{option, processor};

fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((role, rest)) if role == "load" => load::run(rest),
        Some((role, rest)) if role == "bare" => match rest {
            [folder, keys, order] => {
                bare::serve(Path::new(folder), Path::new(keys), &serde_json::from_str(order)?)
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

fn compare() -> anyhow::Result<()> {
    let rounds = option("ROUNDS", 5)?;
    let plan = Plan {
        hems: usize::try_from(option("HEMS", 500)?)?,
        callers: usize::try_from(option("CALLERS", 256)?)?,
        rate: None,
        seconds: option("SECONDS", 10)?,
        warmup_seconds: option("WARMUP", 8)?,
    };
    say(format_args!(
        "{} HEMs, {} callers, {} cores for server, callers and HEMs; {rounds} rounds of {} s behind {} s \
         of warm-up",
        plan.hems,
        plan.callers,
        processor::cores(),
        plan.seconds,
        plan.warmup_seconds
    ))?;
    let full = run_rounds(&plan, rounds)?;
    let rate = float(option("RATE", 2_000)?);
    say(format_args!("\nat {rate} commands/s, each timed from the moment that it was due:"))?;
    let paced = run_rounds(&Plan { rate: Some(rate), ..plan }, rounds)?;
    report(&full, &paced, rate)
}

/// Bare, cloud, bare, cloud, …
fn run_rounds(plan: &Plan, rounds: u64) -> anyhow::Result<Rounds> {
    let mut done = Rounds::default();
    for number in 1..=rounds {
        for kind in [Kind::Bare, Kind::Cloud] {
            let round = plan.run(kind)?;
            let Round { outcome, .. } = &round;
            say(format_args!(
                "  round {number}, {kind}: {:.0} commands/s, p50 {:.1} ms, p99 {:.1} ms, longest {:.0} \
                 ms; server {:.2} cores, load {:.2}, others {:.2}",
                outcome.rate,
                outcome.p50_ms,
                outcome.p99_ms,
                outcome.max_ms,
                round.server_cores,
                round.load_cores,
                round.others_cores
            ))?;
            match kind {
                Kind::Bare => done.bare.push(round),
                Kind::Cloud => done.cloud.push(round),
            }
        }
    }
    Ok(done)
}

fn report(full: &Rounds, paced: &Rounds, rate: f64) -> anyhow::Result<()> {
    say("\nmedians (lowest to highest round)\n")?;
    say("| | bare limit | memcloud serve | cloud / bare |")?;
    say("|---|---|---|---|")?;
    let row = |name: &str, rounds: &Rounds, decimals: usize, of: &dyn Fn(&Round) -> f64| {
        let figure = |rounds: &[Round]| rounds.iter().map(of).collect::<Figure>();
        let (bare, cloud) = (figure(&rounds.bare), figure(&rounds.cloud));
        let pairs = rounds.bare.iter().zip(&rounds.cloud);
        let ratio: Figure = pairs.map(|(bare, cloud)| of(cloud) / of(bare)).collect();
        say(format_args!("| {name} | {bare:.decimals$} | {cloud:.decimals$} | {ratio:.2} |"))
    };
    row("commands/s, acknowledged on disk", full, 0, &|round| round.outcome.rate)?;
    row("p50, ms", full, 1, &|round| round.outcome.p50_ms)?;
    row("p99, ms", full, 1, &|round| round.outcome.p99_ms)?;
    row("server, cores", full, 2, &|round| round.server_cores)?;
    row("HEMs and callers, cores", full, 2, &|round| round.load_cores)?;
    row("the rest of the machine, cores", full, 2, &|round| round.others_cores)?;
    let at = |name: &str| format!("at {rate}/s: {name}");
    row(&at("commands/s"), paced, 0, &|round| round.outcome.rate)?;
    row(&at("p50, ms"), paced, 1, &|round| round.outcome.p50_ms)?;
    row(&at("p99, ms"), paced, 1, &|round| round.outcome.p99_ms)?;
    row(&at("longest, ms"), paced, 0, &|round| round.outcome.max_ms)?;
    row(&at("server, cores"), paced, 2, &|round| round.server_cores)?;
    row(&at("the rest of the machine, cores"), paced, 2, &|round| round.others_cores)
}
