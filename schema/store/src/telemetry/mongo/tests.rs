//! The suite of behaviours, and what MongoDB alone has: other processes, servers that vanish. Against a
//! real server: a replica set whose URL is in `MEMCLOUD_TEST_MONGODB_URL`.

use chrono_tz::Tz;
use memcloud_domain::{Epoch, Quantity, Seq, Timestamp};
use mongodb::bson::Document;

use super::*;
use crate::telemetry::buckets::HOUR;
use crate::telemetry::suite::{
    CHUNK_READINGS, KEEP_HOT, Place, T0, at, behaves_as_a_telemetry_store, hem, reading, session,
    stored,
};

mod cuts;
mod errors;
mod failover;
mod plans;
mod proxy;
mod races;

const SMALL_CHUNKS: MongoOptions = MongoOptions {
    chunk_readings: CHUNK_READINGS,
    keep_hot: KEEP_HOT,
    server_selection: Duration::from_secs(5),
    patience: Duration::from_secs(15),
};

const URL: &str = "MEMCLOUD_TEST_MONGODB_URL";

/// The server's URL. Without one a test is left out, but never where everything is to be tested.
fn server() -> Option<String> {
    let url = std::env::var(URL).ok();
    if url.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{URL} names no replica set");
        println!("left out: {URL} names no replica set");
    }
    url
}

/// The URL of a database of that server.
fn database_url(server: &str, database: &str) -> String {
    let (address, query) = server.split_once('?').unwrap_or((server, ""));
    let (scheme, rest) = address.split_once("://").unwrap();
    let hosts = rest.split('/').next().unwrap();
    format!("{scheme}://{hosts}/{database}?{query}")
}

/// A database of its own, dropped in the end.
struct Database {
    server: String,
    name: String,
}

impl Place for Database {
    type Store = MongoTelemetry;
    const CASES: u32 = 6;

    fn fresh() -> Self {
        let name = format!("memcloud_test_{}", uuid::Uuid::new_v4().simple());
        Self { server: server().unwrap(), name }
    }

    fn open(&self) -> MongoTelemetry {
        MongoTelemetry::open(&self.url(), SMALL_CHUNKS).unwrap()
    }
}

impl Database {
    fn url(&self) -> String {
        database_url(&self.server, &self.name)
    }
}

impl Drop for Database {
    /// A store that was cut off may have left a transaction open, which keeps the database.
    fn drop(&mut self) {
        let Ok(server) = Server::connect(&self.url(), &SMALL_CHUNKS) else { return };
        let shortly = Duration::from_secs(2);
        for _ in 0..20 {
            let dropping = async { server.database.drop().await.map_err(server::away) };
            if server.run(shortly, dropping).is_ok() {
                return;
            }
            let _ = server.wait(transaction::end_abandoned(&server));
        }
    }
}

type House = crate::telemetry::suite::House<Database>;

behaves_as_a_telemetry_store!(Database, if server().is_some());

impl House {
    /// How many documents a collection has.
    fn count(&self, collection: &str) -> u64 {
        let server = &self.store.server;
        let collection = server.database.collection::<Document>(collection);
        server.wait(async { collection.count_documents(doc! {}).await }).unwrap()
    }
}

#[test]
fn a_commit_writes_one_document_for_a_hem_up_to_a_runs_length() {
    let Some(_) = server() else { return };
    let place = Database::fresh();
    let store = MongoTelemetry::open(&place.url(), MongoOptions::default()).unwrap();
    let house = House { store, place };
    house.open("h");
    house.commit("h", 1, (1..=8).map(at).collect());
    assert_eq!(house.count(documents::RUNS), 1);
    house.commit("h", 1, (9..=258).map(at).collect());
    assert_eq!(house.count(documents::RUNS), 1 + 3);
    assert_eq!(house.store.figures().unwrap().hot_readings, 258, "readings are counted");
}

#[test]
fn the_key_refuses_a_run_that_is_there_already_whatever_the_mark_says() {
    let Some(_) = server() else { return };
    let house = House::new();
    house.open("h");
    house.commit("h", 1, (1..=8).map(at).collect());
    let hems = house.store.server.database.collection::<Document>(HEMS);
    let tamper = hems.update_one(doc! {}, doc! { "$set": { "mark": 0_i64 } });
    house.store.server.wait(async { tamper.await }).unwrap();
    let again = HemEntries { hem: hem("h"), epoch: Epoch(1), entries: (1..=9).map(at).collect() };
    let error = house.store.commit(&[again], Timestamp(T0)).unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(house.after("h", 0, 100).through, Seq(0));
}

#[test]
fn a_minute_that_is_touched_while_it_is_rolled_up_is_rolled_up_again() {
    let Some(_) = server() else { return };
    let house = House::new();
    house.open("h");
    house.commit("h", 1, vec![reading(1, T0, 10.0, None)]);
    let now = Timestamp(T0 + HOUR);
    let due = house.store.make(crate::telemetry::buckets::Level::Minute, now).unwrap();
    house.commit("h", 1, vec![reading(2, T0 + 1_000, 30.0, None)]);
    let level = crate::telemetry::buckets::Level::Minute;
    assert_eq!(house.store.replace(level, &due.made, now).unwrap(), 1);
    let mean = || house.series(Quantity::Watts, T0, T0 + HOUR, 60, Tz::UTC).points[0].mean;
    assert_eq!(mean(), 20.0);
    house.roll_up();
    assert_eq!(mean(), 20.0);
}
