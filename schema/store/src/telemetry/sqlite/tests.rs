//! The suite of behaviours, and what SQLite alone has: files, locks, full disks, damaged rows.

use chrono_tz::Tz;
use diesel::connection::SimpleConnection;
use memcloud_domain::{Entry, Epoch, Quantity, Seq, Timestamp};

use super::*;
use crate::telemetry::buckets::{HOUR, Level};
use crate::telemetry::suite::{
    CHUNK_READINGS, KEEP_HOT, Place, T0, at, behaves_as_a_telemetry_store, hem, reading, refused,
    session, stored,
};

mod damage;
mod runs;

const SMALL_CHUNKS: SqliteOptions = SqliteOptions {
    readers: 2,
    writer_cache_kib: 1_024,
    chunk_readings: CHUNK_READINGS,
    keep_hot: KEEP_HOT,
};

/// A folder with a file.
struct Folder(tempfile::TempDir);

impl Place for Folder {
    type Store = SqliteTelemetry;
    const CASES: u32 = 24;

    fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> SqliteTelemetry {
        self.open_with(SMALL_CHUNKS)
    }
}

impl Folder {
    fn location(&self) -> Location {
        Location::new(self.0.path().join("iot.db"))
    }

    fn open_with(&self, options: SqliteOptions) -> SqliteTelemetry {
        SqliteTelemetry::open(self.location(), options).unwrap()
    }
}

type House = crate::telemetry::suite::House<Folder>;

behaves_as_a_telemetry_store!(Folder, if true);

#[test]
fn a_replay_within_a_batch_is_left_out_of_what_is_fresh() {
    let element = HemEntries {
        hem: hem("h"),
        epoch: Epoch(1),
        entries: vec![refused(3), refused(5), refused(5), refused(4), refused(6)],
    };
    let fresh: Vec<u64> = element.into_fresh(Seq(3)).iter().map(|entry| entry.seq().0).collect();
    assert_eq!(fresh, [5, 6]);
}

#[test]
fn a_minute_that_is_touched_while_it_is_rolled_up_is_rolled_up_again() {
    let house = House::new();
    house.open("h");
    house.commit("h", 1, vec![reading(1, T0, 10.0, None)]);
    let (now, seen) = (Timestamp(T0 + HOUR), house.store.commits.load(Ordering::Acquire));
    let due = house
        .store
        .read(|connection| house.store.make(connection, Level::Minute, seen, &[], now))
        .unwrap();
    house.commit("h", 1, vec![reading(2, T0 + 1_000, 30.0, None)]);
    house.store.write(|connection| house.store.replace(connection, &due.made, seen, now)).unwrap();
    let watts = |house: &House| house.series(Quantity::Watts, T0, T0 + HOUR, 60, Tz::UTC);
    assert_eq!(watts(&house).points[0].mean, 20.0);
    house.roll_up();
    assert_eq!(watts(&house).points[0].mean, 20.0);
}

/// Breaks the writer, sees that a commit fails for a reason that may pass and leaves nothing, lets
/// the next one heal.
fn breaks_and_heals(sabotage: &str, reason: &str) {
    let house = House::new();
    house.open("h");
    house.commit("h", 1, vec![reading(1, T0, 1.0, None)]);
    lock(&house.store.writer).as_mut().unwrap().batch_execute(sabotage).unwrap();
    let many: Vec<Entry> = (2..2_000).map(|seq| reading(seq, T0, seq as f64 / 7.0, None)).collect();
    let element = HemEntries { hem: hem("h"), epoch: Epoch(1), entries: many };
    let error = house.store.commit(std::slice::from_ref(&element), Timestamp(T0)).unwrap_err();
    assert!(error.is_temporary());
    assert!(error.to_string().contains(reason), "{error}");
    assert_eq!(house.after("h", 0, 10).through, Seq(1));
    house.store.commit(&[element], Timestamp(T0)).unwrap();
    assert_eq!(house.after("h", 1_998, 10).through, Seq(1_999));
}

#[test]
fn a_full_disk_is_away_with_its_reason_and_heals() {
    breaks_and_heals("PRAGMA max_page_count = 1", "full");
}

#[test]
fn a_read_only_file_is_away_with_its_reason_and_heals() {
    breaks_and_heals("PRAGMA query_only = ON", "readonly");
}

#[test]
fn a_locked_file_is_away_with_its_reason_and_heals() {
    let house = House::new();
    house.open("h");
    let mut other =
        SqliteConnection::establish(&house.place.0.path().join("iot.db").to_string_lossy())
            .unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let element =
        HemEntries { hem: hem("h"), epoch: Epoch(1), entries: vec![reading(1, T0, 1.0, None)] };
    let error = house.store.commit(std::slice::from_ref(&element), Timestamp(T0)).unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("locked"), "{error}");
    // Reading goes on meanwhile.
    assert_eq!(house.after("h", 0, 10).through, Seq(0));
    other.batch_execute("ROLLBACK").unwrap();
    house.store.commit(&[element], Timestamp(T0)).unwrap();
    assert_eq!(house.after("h", 0, 10).through, Seq(1));
}

#[test]
fn a_store_in_memory_does_all_the_same() {
    let store = SqliteTelemetry::open(Location::Memory, SMALL_CHUNKS).unwrap();
    store.open_sessions(&[session("h")]).unwrap();
    let entries: Vec<Entry> = (1..=30).map(|seq| reading(seq, T0, 1.0, None)).collect();
    let element = HemEntries { hem: hem("h"), epoch: Epoch(1), entries };
    store.commit(&[element], Timestamp(T0)).unwrap();
    store.upkeep(UpkeepTask::Seal, Timestamp(T0)).unwrap();
    assert_eq!(store.entries_after(&hem("h"), Seq(0), 100).unwrap().entries.len(), 30);
    assert_eq!(store.marks(None).unwrap().len(), 1);
    let other = MicrogridId::new("other").unwrap();
    assert_eq!(store.marks(Some(&other)).unwrap(), []);
}
