//! Measures commits to MongoDB as the historian makes them, against bare inserts of the very documents
//! that they write: 1,000 readings of 200 HEMs at a time, five of each. Prints the rates and their ratio.
//!
//! `cargo run --release -p memcloud-store --features mongodb --example mongo_rate -- URL [ROUNDS]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measurement prints, reads the machine's clock, and its figures are small"
)]

use std::error::Error;
use std::time::{Duration, Instant};

use memcloud_domain::{
    Amps, Entry, Epoch, HemId, MicrogridId, NodeId, NodeReading, Reading, Seq, Timestamp, Volts,
    WattHours, Watts,
};
use memcloud_store::telemetry::mongo::MongoOptions;
use memcloud_store::telemetry::run::Run;
use memcloud_store::telemetry::{
    CommitOutcome, HemEntries, MongoTelemetry, NewSession, TelemetryStore,
};
use mongodb::Client;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, doc};
use mongodb::options::WriteConcern;

const HEMS: u64 = 200;
const READINGS: u64 = 5;
const NODES: u8 = 8;
/// 2026-03-02T00:00:00Z.
const T0: i64 = 1_772_409_600_000;

/// A home's eight nodes; the figures move, so that the bytes are those of a real one.
fn reading(hem: u64, seq: u64) -> Reading {
    let nodes = (0..NODES).map(|id| {
        let moved = (hem * 31 + seq * 17 + u64::from(id) * 7) % 997;
        let watts = moved as f64 / 7.0;
        let mut node = NodeReading::empty(NodeId(id));
        node.watts = Some(Watts((watts * 10.0).round()));
        node.volts = Some(Volts(230.0 + moved as f64 / 1_000.0));
        node.amps = Some(Amps((watts / 23.0 * 100.0).round() / 100.0));
        node.wh_in = Some(WattHours(1_000_000.0 + seq as f64 * 0.3));
        node
    });
    let ts = Timestamp(T0 + seq.cast_signed() * 1_000);
    Reading { seq: Seq(seq), ts, received: ts, nodes: nodes.collect() }
}

fn batch(round: u64) -> Result<Vec<HemEntries>, Box<dyn Error>> {
    let seqs = round * READINGS + 1..=(round + 1) * READINGS;
    (0..HEMS)
        .map(|hem| {
            let entries = seqs.clone().map(|seq| Entry::Reading(reading(hem, seq))).collect();
            Ok(HemEntries { hem: HemId::new(&format!("hem-{hem}"))?, epoch: Epoch(1), entries })
        })
        .collect()
}

fn documents(round: u64) -> Vec<Document> {
    let seqs = round * READINGS + 1..=(round + 1) * READINGS;
    (0..HEMS)
        .filter_map(|hem| {
            let readings: Vec<Reading> = seqs.clone().map(|seq| reading(hem, seq)).collect();
            let run = Run::of(&readings.iter().collect::<Vec<&Reading>>())?;
            let payload = Binary { subtype: BinarySubtype::Generic, bytes: run.payload };
            Some(doc! {
                "_id": { "h": hem.cast_signed(), "s": run.first_seq },
                "last_seq": run.last_seq, "min_ts": run.min_ts, "max_ts": run.max_ts,
                "readings": run.readings, "payload": payload,
            })
        })
        .collect()
}

fn rate(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    (HEMS * READINGS) as f64 / median.as_secs_f64()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("the first argument is the URL of a replica set")?;
    let rounds: u64 = arguments.next().map_or(Ok(200), |rounds| rounds.parse())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let client = runtime.block_on(Client::with_uri_str(&url))?;
    let database = client.default_database().ok_or("the URL names a database to be dropped")?;
    let mut concern = WriteConcern::majority();
    concern.journal = Some(true);
    runtime.block_on(async { database.drop().await })?;

    let store = MongoTelemetry::open(&url, MongoOptions::default())?;
    let microgrid = MicrogridId::new("fontana")?;
    let sessions: Result<Vec<NewSession>, Box<dyn Error>> = (0..HEMS)
        .map(|hem| {
            let hem = HemId::new(&format!("hem-{hem}"))?;
            Ok(NewSession { hem, microgrid: microgrid.clone() })
        })
        .collect();
    store.open_sessions(&sessions?)?;
    let bare = database.collection::<Document>("bare");
    let (mut by_adapter, mut by_insert) = (Vec::new(), Vec::new());
    // In turn, so that whatever else the machine does falls on both.
    for round in 0..rounds {
        let (elements, now) = (batch(round)?, Timestamp(T0));
        let began = Instant::now();
        let outcomes = store.commit(&elements, now)?;
        by_adapter.push(began.elapsed());
        if outcomes.contains(&CommitOutcome::Fenced) {
            return Err("a commit was fenced".into());
        }
        let documents = documents(round);
        let began = Instant::now();
        let insert = bare.insert_many(&documents).ordered(false).write_concern(concern.clone());
        runtime.block_on(async { insert.await })?;
        by_insert.push(began.elapsed());
    }
    let (adapter, insert) = (rate(&mut by_adapter), rate(&mut by_insert));
    println!("commits of {} readings of {HEMS} HEMs: {adapter:.0} readings/s", HEMS * READINGS);
    println!("bare inserts of the same documents: {insert:.0} readings/s");
    println!("ratio {:.2}", adapter / insert);
    drop(store);
    runtime.block_on(async { database.drop().await })?;
    Ok(())
}
