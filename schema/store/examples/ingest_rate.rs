//! Measures the SQLite telemetry store as the historian uses it: readings per second that a commit
//! takes at several batch sizes, bytes per reading hot, sealed and rolled up, and how fast a series of
//! a year and a day of raw readings are answered.
//!
//! `cargo run --release -p memcloud-store --example ingest_rate [READINGS]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "a measurement prints, reads the machine's clock, and its figures are small"
)]

use std::error::Error;
use std::time::{Duration, Instant};

use chrono_tz::Tz;
use memcloud_domain::{
    Amps, Entry, Epoch, HemId, Hertz, MicrogridId, NodeId, NodeReading, Order, Quantity, Reading,
    Seq, SeriesSubject, StateOfCharge, TimeRange, Timestamp, Vars, Volts, WattHours, Watts,
};
use memcloud_store::sqlite::Location;
use memcloud_store::telemetry::sqlite::SqliteOptions;
use memcloud_store::telemetry::{
    HemEntries, NewSession, PageQuery, SeriesQuery, SqliteTelemetry, TelemetryStore, UpkeepTask,
};

const HEMS: u64 = 200;
/// 2026-03-02T00:00:00Z.
const T0: i64 = 1_772_409_600_000;
const DAY: i64 = 86_400_000;

/// A small generator of noise, seeded: every run measures the same readings.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1_u64 << 24) as f64 - 0.5
    }
}

/// A home's eight nodes: sensor noise on everything, counters that follow the power.
struct Home {
    noise: Noise,
    watts: [f64; 8],
    counted: [[f64; 2]; 8],
    soc: f64,
}

impl Home {
    fn new(seed: u64) -> Self {
        let watts = [-2_100.0, -350.0, 900.0, 180.0, 95.0, 410.0, 60.0, 805.0];
        Self { noise: Noise(seed), watts, counted: [[1_234_567.0, 345_678.0]; 8], soc: 0.5 }
    }

    fn reading(&mut self, seq: u64, ts: i64, hours: f64) -> Entry {
        let round = |value: f64, places: f64| (value * places).round() / places;
        let volts = 230.0 + 2.0 * self.noise.next();
        let hertz = 50.0 + 0.04 * self.noise.next();
        let mut nodes = Vec::with_capacity(8);
        for id in 0..8_u8 {
            let place = usize::from(id);
            let (Some(watts), Some(counted)) =
                (self.watts.get_mut(place), self.counted.get_mut(place))
            else {
                continue;
            };
            *watts += 20.0 * self.noise.next();
            let [counted_in, counted_out] = counted;
            *counted_in += (*watts * hours).max(0.0);
            *counted_out += (-*watts * hours).max(0.0);
            self.soc = (self.soc + 0.000_1 * self.noise.next()).clamp(0.1, 0.9);
            nodes.push(NodeReading {
                node: NodeId(id),
                watts: Some(Watts(round(*watts, 10.0))),
                volts: Some(Volts(round(volts + 0.3 * self.noise.next(), 10.0))),
                amps: Some(Amps(round(*watts / volts, 100.0))),
                vars: Some(Vars(round(*watts / 10.0 + self.noise.next(), 10.0))),
                hertz: Some(Hertz(round(hertz, 100.0))),
                wh_in: Some(WattHours(round(*counted_in, 10.0))),
                wh_out: Some(WattHours(round(*counted_out, 10.0))),
                soc: (id == 1).then(|| StateOfCharge(round(self.soc, 1_000.0))),
                on: Some(true),
            });
        }
        Entry::Reading(Reading {
            seq: Seq(seq),
            ts: Timestamp(ts),
            received: Timestamp(ts + 35 + (10.0 * self.noise.next()) as i64),
            nodes,
        })
    }
}

fn hem(number: u64) -> Result<HemId, Box<dyn Error>> {
    Ok(HemId::new(&format!("hem-{number}"))?)
}

fn upkeep(
    store: &SqliteTelemetry,
    task: UpkeepTask,
    now: i64,
) -> Result<(usize, Duration), Box<dyn Error>> {
    let (mut done, began) = (0, Instant::now());
    loop {
        let step = store.upkeep(task, Timestamp(now))?;
        done += step.done;
        if !step.more {
            return Ok((done, began.elapsed()));
        }
    }
}

/// Commits readings of all HEMs in turn, and prints the rate.
fn ingest(
    folder: &std::path::Path,
    readings: u64,
    batch: u64,
) -> Result<SqliteTelemetry, Box<dyn Error>> {
    let location = Location::new(folder.join(format!("batch-{batch}.db")));
    let store = SqliteTelemetry::open(location, SqliteOptions::default())?;
    let microgrid = MicrogridId::new("bench")?;
    let sessions = (0..HEMS)
        .map(|number| Ok(NewSession { hem: hem(number)?, microgrid: microgrid.clone() }))
        .collect::<Result<Vec<NewSession>, Box<dyn Error>>>()?;
    store.open_sessions(&sessions)?;
    let mut homes: Vec<Home> = (0..HEMS).map(Home::new).collect();
    let (mut committing, mut committed, mut next) = (Duration::ZERO, 0, 0_u64);
    while committed < readings {
        // As sockets do it: each hands over what it has, here two readings at a time.
        let mut elements = Vec::new();
        for _ in 0..batch / 2 {
            let (number, round) = (next % HEMS, next / HEMS);
            next += 1;
            let Some(home) = homes.get_mut(number as usize) else { continue };
            let entries: Vec<Entry> = (1..=2)
                .map(|one| {
                    let seq = round * 2 + one;
                    home.reading(seq, T0 + seq as i64 * 1_000, 1.0 / 3_600.0)
                })
                .collect();
            let hem = hem(number)?;
            match elements.iter_mut().find(|element: &&mut HemEntries| element.hem == hem) {
                Some(element) => element.entries.extend(entries),
                None => elements.push(HemEntries { hem, epoch: Epoch(1), entries }),
            }
        }
        let began = Instant::now();
        store.commit(&elements, Timestamp(T0))?;
        committing += began.elapsed();
        committed += elements.iter().map(|element| element.entries.len() as u64).sum::<u64>();
    }
    let figures = store.figures()?;
    println!(
        "batch {batch:>5}: {:>7.0} readings/s, {:.0} B per reading hot ({committed} readings)",
        committed as f64 / committing.as_secs_f64(),
        figures.file_bytes as f64 / committed as f64,
    );
    Ok(store)
}

fn main() -> Result<(), Box<dyn Error>> {
    let readings: u64 = std::env::args().nth(1).map_or(Ok(400_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    ingest(folder.path(), readings / 4, 100)?;
    ingest(folder.path(), readings, 5_000)?;
    let store = ingest(folder.path(), readings, 1_000)?;

    let (rolled_up, took) = upkeep(&store, UpkeepTask::RollUp, T0 + 40 * DAY)?;
    println!("roll-ups: {rolled_up} buckets of {readings} readings in {:.2} s", took.as_secs_f64());
    let before = store.figures()?.file_bytes;
    let (sealed, took) = upkeep(&store, UpkeepTask::Seal, T0)?;
    let figures = store.figures()?;
    println!(
        "sealed {sealed} readings in {:.2} s: {:.1} B each; file {} -> {} MB",
        took.as_secs_f64(),
        figures.sealed_bytes as f64 / figures.sealed_readings.max(1) as f64,
        before >> 20,
        figures.file_bytes >> 20,
    );
    a_year(folder.path())
}

/// One home at a reading a minute for a year; then questions about it.
fn a_year(folder: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let store =
        SqliteTelemetry::open(Location::new(folder.join("year.db")), SqliteOptions::default())?;
    let microgrid = MicrogridId::new("bench")?;
    store.open_sessions(&[NewSession { hem: hem(0)?, microgrid }])?;
    let mut home = Home::new(7);
    let minutes = 365 * 24 * 60;
    let began = Instant::now();
    for batch in 0..minutes / 1_440 {
        let entries = (1..=1_440)
            .map(|minute| {
                let seq = batch * 1_440 + minute;
                home.reading(seq, T0 + seq as i64 * 60_000, 1.0 / 60.0)
            })
            .collect();
        store.commit(&[HemEntries { hem: hem(0)?, epoch: Epoch(1), entries }], Timestamp(T0))?;
        // Coarser buckets become due some seconds after finer ones were made.
        for seconds in 1..=5 {
            let later = batch as i64 * 100_000 + seconds * 20_000;
            upkeep(&store, UpkeepTask::RollUp, T0 + 500 * DAY + later)?;
        }
        upkeep(&store, UpkeepTask::Seal, T0)?;
    }
    let figures = store.figures()?;
    println!(
        "a year at a reading a minute: {minutes} readings in {:.1} s, {} MB with roll-ups",
        began.elapsed().as_secs_f64(),
        figures.file_bytes >> 20
    );
    for (what, days, points) in
        [("a year", 365, 500), ("a year", 365, 1_000), ("a month", 30, 500), ("a day", 1, 500)]
    {
        for quantity in [Quantity::Watts, Quantity::EnergyIn] {
            let query = SeriesQuery {
                subject: SeriesSubject::Node(hem(0)?, NodeId(2)),
                quantity,
                from: Timestamp(T0),
                to: Timestamp(T0 + days * DAY),
                points,
                time_zone: Tz::UTC,
            };
            let began = Instant::now();
            let series = store.series(&query)?;
            println!(
                "{what} of {quantity} in {points}: {} points in {:.1} ms",
                series.points.len(),
                began.elapsed().as_secs_f64() * 1_000.0
            );
        }
    }
    let (mut after, mut count, began) = (None, 0, Instant::now());
    loop {
        let hem = hem(0)?;
        let order = Order::Ascending;
        let query = PageQuery { hem, range: TimeRange::default(), after, limit: 1_000, order };
        let page = store.readings(&query)?;
        count += page.items.len();
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    println!("paged through {count} raw readings at {rate:.0} a second");
    Ok(())
}
