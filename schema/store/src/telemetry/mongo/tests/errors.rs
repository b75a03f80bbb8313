//! Servers that are away or slow, and what a person has to put right.

use std::net::TcpListener;
use std::time::Instant;

use super::*;

const IMPATIENT: MongoOptions = MongoOptions {
    server_selection: Duration::from_millis(300),
    patience: Duration::from_millis(600),
    ..SMALL_CHUNKS
};

#[expect(clippy::disallowed_methods, reason = "how long it really took is what is tested")]
fn open_in_time(url: &str) -> StoreError {
    let begun = Instant::now();
    let error = MongoTelemetry::open(url, IMPATIENT).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    error
}

#[test]
fn a_server_that_is_not_there_is_away_in_time() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = open_in_time(&format!("mongodb://{free}/x?directConnection=true"));
    assert!(error.is_temporary(), "{error}");
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_is_away_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let error = open_in_time(&format!("mongodb://{address}/x?directConnection=true"));
    assert!(error.is_temporary(), "{error}");
}

#[test]
fn a_url_that_cannot_be_is_refused_without_its_password() {
    for url in ["mongodb://", "mongodb://me:hunter%2@host/x", "mongodb://me:hunter2@host:port/x"] {
        let error = open_in_time(url);
        assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter"), "{error}");
    }
}

#[test]
fn a_wrong_password_is_refused_with_what_to_do_and_not_repeated() {
    let Some(server) = server() else { return };
    let with_user = server.replacen("://", "://nobody:password@", 1);
    let error = open_in_time(&database_url(&with_user, "x"));
    assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
    assert!(error.to_string().contains("authSource"), "{error}");
    assert!(!format!("{error} {error:?}").contains("password@"), "{error}");
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let Some(_) = server() else { return };
    let house = House::new();
    let schema = house.store.server.database.collection::<Document>(documents::SCHEMA);
    let newer = schema.update_one(doc! {}, doc! { "$set": { "version": 99 } });
    house.store.server.wait(async { newer.await }).unwrap();
    let error = MongoTelemetry::open(&house.place.url(), SMALL_CHUNKS).unwrap_err();
    assert!(error.to_string().contains("version 99"), "{error}");
}

#[test]
fn processes_that_start_at_a_time_find_the_database_made_once() {
    let Some(_) = server() else { return };
    let place = Database::fresh();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| place.open());
        }
    });
    let house = House { store: place.open(), place };
    assert_eq!(house.count(documents::SCHEMA), 1);
}
