//! A year of a home: one reading of eight nodes per minute goes into the store, is rolled up and
//! sealed, and one node's history is asked for with at most 500 points.
//!
//! `cargo bench --bench history`; `BENCH_DAYS` (365), `_ROUNDS` (5), `_QUERIES` (200 a round).

#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]

#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use memcloud_domain::{
    Entry, HemId, MicrogridId, NodeId, Quantity, Reading, Seq, SeriesSubject, Timestamp,
};
use memcloud_emulator::{Dataset, Home, HomeProfile};
use memcloud_store::sqlite::Location;
use memcloud_store::telemetry::buckets::Level;
use memcloud_store::telemetry::sqlite::SqliteOptions;
use memcloud_store::telemetry::{
    HemEntries, NewSession, SeriesQuery, SqliteTelemetry, TelemetryStore, UpkeepTask,
};
use memcloud_supervision::Clock;
use support::figures::{Figure, float, per_mille, readable};
use support::option;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_hours(24);
const POINTS: usize = 500;
/// The homes' own.
const TIME_ZONE: chrono_tz::Tz = chrono_tz::America::Los_Angeles;
const COMMIT: usize = 1_000;
const COMMITS_BETWEEN_UPKEEP: usize = 20;

fn main() -> anyhow::Result<()> {
    let days = u32::try_from(option("DAYS", 365)?)?;
    let (rounds, queries) = (option("ROUNDS", 5)?, option("QUERIES", 200)?);
    let mut out = std::io::stdout();
    let folder = tempfile::tempdir()?;
    let store = SqliteTelemetry::open(
        Location::new(folder.path().join("iot.db")),
        SqliteOptions::default(),
    )?;
    let hem = HemId::new("home-1")?;
    let end = Timestamp(Clock::system().unix_ms()).minus(MINUTE);
    let begin = end.minus(DAY * days);

    let filled = fill(&store, &hem, begin, end)?;
    let readings = float(filled.readings);
    let figures = store.figures()?;
    writeln!(
        out,
        "{} readings of 8 nodes over {days} days, one a minute: stored in {:.1} s ({} a second), rolled up in \
         {:.1} s ({} buckets a second), sealed in {:.1} s; {} MB in all, {:.0} B per reading with its roll-ups, \
         {:.1} B in its chunk\n",
        readable(readings, 0),
        filled.storing,
        readable(readings / filled.storing, 0),
        filled.rolling_up,
        readable(filled.buckets / filled.rolling_up, 0),
        filled.sealing,
        readable(float(figures.file_bytes) / 1e6, 0),
        float(figures.file_bytes) / readings,
        float(figures.sealed_bytes) / float(figures.sealed_readings.max(1)),
    )?;

    writeln!(
        out,
        "{rounds} rounds of {queries} queries each with at most {POINTS} points, medians (lowest to highest)\n"
    )?;
    writeln!(out, "| history of | points | p50, ms | p99, ms |\n|---|---|---|---|")?;
    for (name, span) in [
        ("the whole time", DAY * days),
        ("30 days", DAY * 30.min(days)),
        ("7 days", DAY * 7.min(days)),
        ("1 day", DAY),
    ] {
        let (mut p50, mut p99) = (Figure::default(), Figure::default());
        let mut points = 0;
        for _ in 0..rounds {
            let mut took = Vec::new();
            for query in 0..queries {
                // Each over another stretch and node, so that no answer lies ready.
                let back = (DAY * days - span).mul_f64(float(query) / float(queries));
                let node = NodeId(u8::try_from(query % 8)?);
                let quantity = if query % 2 == 0 { Quantity::Watts } else { Quantity::EnergyIn };
                let question = SeriesQuery {
                    subject: SeriesSubject::Node(hem.clone(), node),
                    quantity,
                    from: end.minus(back + span),
                    to: end.minus(back),
                    points: POINTS,
                    time_zone: TIME_ZONE,
                };
                let start = Instant::now();
                let series = store.series(&question)?;
                took.push(start.elapsed().as_secs_f64() * 1e3);
                anyhow::ensure!(series.points.len() <= POINTS, "{} points", series.points.len());
                points = points.max(series.points.len());
            }
            p50.add(per_mille(&mut took, 500));
            p99.add(per_mille(&mut took, 990));
        }
        writeln!(out, "| {name} | {points} | {p50:.1} | {p99:.1} |")?;
    }
    Ok(())
}

/// How a store was filled; times in seconds.
#[derive(Default)]
struct Filled {
    readings: u64,
    buckets: f64,
    storing: f64,
    rolling_up: f64,
    sealing: f64,
}

impl Filled {
    /// All the upkeep that there is to do.
    fn keep_up(&mut self, store: &SqliteTelemetry, now: Timestamp) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let step = store.upkeep(UpkeepTask::RollUp, now)?;
            self.buckets += float(u64::try_from(step.done)?);
            if !step.more {
                break;
            }
        }
        self.rolling_up += start.elapsed().as_secs_f64();
        let start = Instant::now();
        while store.upkeep(UpkeepTask::Seal, now)?.more {}
        self.sealing += start.elapsed().as_secs_f64();
        Ok(())
    }
}

/// Stores a home's readings, one a minute; upkeep comes between, as it does where a HEM fills in what
/// it kept.
fn fill(
    store: &SqliteTelemetry,
    hem: &HemId,
    begin: Timestamp,
    end: Timestamp,
) -> anyhow::Result<Filled> {
    let microgrid = MicrogridId::new("fontana")?;
    store.set_time_zone(&microgrid, TIME_ZONE)?;
    let session = NewSession { hem: hem.clone(), microgrid };
    let opened = store.open_sessions(&[session])?.pop().context("no session was opened")?;
    let mut home = Home::new(HomeProfile::new(Dataset::fontana()?, 0, 1), begin);
    let mut filled = Filled::default();
    let mut ts = begin;
    // Every bucket has ended by then; but a coarser one is due some time after the finer ones it is made
    // of, so that time goes on.
    let mut later = end.plus(DAY * 2);
    while ts < end {
        for _ in 0..COMMITS_BETWEEN_UPKEEP {
            let mut entries = Vec::with_capacity(COMMIT);
            while ts < end && entries.len() < COMMIT {
                filled.readings += 1;
                ts = ts.plus(MINUTE);
                let (seq, nodes) = (Seq(filled.readings), home.sample(ts));
                entries.push(Entry::Reading(Reading { seq, ts, received: ts, nodes }));
            }
            let batch = [HemEntries { hem: hem.clone(), epoch: opened.epoch, entries }];
            let start = Instant::now();
            store.commit(&batch, end)?;
            filled.storing += start.elapsed().as_secs_f64();
        }
        filled.keep_up(store, later)?;
        later = later.plus(MINUTE);
    }
    for _ in Level::ALL {
        filled.keep_up(store, later)?;
        later = later.plus(MINUTE);
    }
    let dirty = store.figures()?.dirty_buckets;
    anyhow::ensure!(dirty == 0, "{dirty} buckets were left");
    Ok(filled)
}
