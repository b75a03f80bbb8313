//! Hot runs: what one commit brought of a HEM lies in few rows, and nobody notices.

use std::collections::BTreeSet;

use diesel_migrations::MigrationHarness;
use proptest::prelude::*;

use super::*;
use crate::telemetry::row::put_reading;

fn stored(after: u64, through: u64) -> CommitOutcome {
    let microgrid = MicrogridId::new("fontana").unwrap();
    CommitOutcome::Stored { microgrid, after: Seq(after), through: Seq(through) }
}

fn at(seq: u64) -> Entry {
    reading(seq, T0 + seq.cast_signed() * 1_000, 1.0, None)
}

fn rows_of(house: &House) -> i64 {
    use crate::telemetry::schema::hot_runs;
    let count = |connection: &mut SqliteConnection| {
        Ok(hot_runs::table.count().get_result::<i64>(connection)?)
    };
    house.store.read(count).unwrap()
}

#[test]
fn a_commit_writes_one_row_for_a_hem_up_to_a_runs_length() {
    let house = House::with(SqliteOptions::default());
    house.open("h");
    house.commit("h", 1, (1..=8).map(at).collect());
    assert_eq!(rows_of(&house), 1);
    house.commit("h", 1, (9..=258).map(at).collect());
    assert_eq!(rows_of(&house), 1 + 3);
    assert_eq!(house.store.figures().unwrap().hot_readings, 258, "readings are counted, not rows");
}

#[test]
fn a_replay_that_overlaps_a_run_stores_only_what_is_above_it() {
    let house = House::new();
    house.open("h");
    house.commit("h", 1, (1..=8).map(at).collect());
    assert_eq!(house.commit("h", 1, (5..=12).map(at).collect()), stored(8, 12));
    assert_eq!(house.commit("h", 1, (1..=12).map(at).collect()), stored(12, 12));
    let expected: Vec<Entry> = (1..=12).map(at).collect();
    assert_eq!(house.after("h", 0, 100).entries, expected);
    assert_eq!(house.store.figures().unwrap().hot_readings, 12);
}

#[test]
fn the_key_refuses_a_run_that_is_there_already_whatever_the_mark_says() {
    let house = House::new();
    house.open("h");
    house.commit("h", 1, (1..=8).map(at).collect());
    let tamper = |connection: &mut SqliteConnection| {
        Ok(connection.batch_execute("UPDATE marks SET mark = 0")?)
    };
    house.store.write(tamper).unwrap();
    lock(&house.store.known_hems).clear();
    let again = HemEntries { hem: hem("h"), epoch: Epoch(1), entries: (1..=9).map(at).collect() };
    let error = house.store.commit(&[again], Timestamp(T0)).unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(house.after("h", 0, 100).through, Seq(0));
}

#[test]
fn what_another_process_wrote_between_two_commits_is_heeded() {
    let house = House::new();
    house.open("h");
    house.commit("h", 1, vec![at(1)]);
    let location = Location::new(house.folder.path().join("iot.db"));
    let other = SqliteTelemetry::open(location, SMALL_CHUNKS).unwrap();
    assert_eq!(other.open_sessions(&[session("h")]).unwrap()[0].epoch, Epoch(2));
    let element = HemEntries { hem: hem("h"), epoch: Epoch(2), entries: vec![at(2)] };
    assert_eq!(other.commit(&[element], Timestamp(T0)).unwrap(), [stored(1, 2)]);
    assert_eq!(house.commit("h", 1, vec![at(3)]), CommitOutcome::Fenced);
    assert_eq!(house.commit("h", 2, vec![at(2), at(3)]), stored(2, 3));
    assert_eq!(house.store.figures().unwrap().hot_readings, 3);
}

#[test]
fn a_commit_that_failed_half_way_leaves_nothing_behind_in_memory() {
    let house = House::new();
    house.store.open_sessions(&[session("h"), session("other")]).unwrap();
    house.commit("h", 1, vec![at(1)]);
    let sabotage = |connection: &mut SqliteConnection| {
        Ok(connection.batch_execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON refusals BEGIN SELECT RAISE(ABORT, 'no'); END",
        )?)
    };
    house.store.write(sabotage).unwrap();
    let batch = [
        HemEntries { hem: hem("h"), epoch: Epoch(1), entries: vec![at(2)] },
        HemEntries { hem: hem("other"), epoch: Epoch(1), entries: vec![refused(1)] },
    ];
    house.store.commit(&batch, Timestamp(T0)).unwrap_err();
    assert_eq!(house.commit("h", 1, vec![at(2)]), stored(1, 2));
    assert_eq!(house.after("h", 0, 9).entries, [at(1), at(2)]);
}

#[test]
fn a_hem_that_moved_is_stored_for_its_new_microgrid() {
    let house = House::new();
    house.open("h");
    house.commit("h", 1, vec![at(1)]);
    let microgrid = MicrogridId::new("other").unwrap();
    let moved = NewSession { hem: hem("h"), microgrid: microgrid.clone() };
    house.store.open_sessions(&[moved]).unwrap();
    let outcome = house.commit("h", 2, vec![at(2)]);
    assert_eq!(outcome, CommitOutcome::Stored { microgrid, after: Seq(1), through: Seq(2) });
}

#[test]
fn readings_of_a_file_from_before_runs_are_all_there_and_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::new(folder.path().join("iot.db"));
    let mut old = connect(IOT_STORE, &location, Access::Create, BUSY).unwrap();
    old.run_next_migration(MIGRATIONS).unwrap();
    old.batch_execute(
        "INSERT INTO hems VALUES (1, 'h', 'fontana', 'UTC');
         INSERT INTO marks VALUES (1, 30, 1, 30, 0, 0, 0);",
    )
    .unwrap();
    let before: Vec<Entry> = (1..=30).map(at).collect();
    for entry in &before {
        let Entry::Reading(reading) = entry else { unreachable!() };
        let mut payload = Vec::new();
        put_reading(&mut payload, reading);
        let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        let (seq, ts) = (reading.seq.0, reading.ts.0);
        old.batch_execute(&format!(
            "INSERT INTO hot_readings (hem_no, seq, ts, payload) VALUES (1, {seq}, {ts}, x'{hex}')"
        ))
        .unwrap();
    }
    drop(old);
    let store = SqliteTelemetry::open(location, SMALL_CHUNKS).unwrap();
    let house = House { store, folder };
    assert_eq!(house.after("h", 0, 100).entries, before);
    house.commit("h", 1, (25..=40).map(at).collect());
    house.upkeep(UpkeepTask::Seal, T0);
    assert_eq!(house.after("h", 0, 100).entries, (1..=40).map(at).collect::<Vec<Entry>>());
    assert_eq!(house.store.figures().unwrap().hot_readings, 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However numbers jump and times wander, whatever is sealed between: every page of every window
    /// is what the readings alone say.
    #[test]
    fn pages_are_right_wherever_runs_and_chunks_begin(
        commits in proptest::collection::vec((1_u64..40, 1_i64..25, 0_i64..60, any::<bool>()), 1..12),
        windows in proptest::collection::vec((0_u64..500, 0_i64..90_000, 1_i64..60_000), 6),
    ) {
        let house = House::new();
        house.open("h");
        let (mut seq, mut all) = (0, Vec::new());
        for (jump, count, wander, seals) in commits {
            seq += jump;
            let mut entries = Vec::new();
            for place in 0..count {
                let ts = T0 + (place * wander * 977) % 90_000;
                entries.push(reading(seq, ts, 1.0, None));
                all.push((seq, ts));
                seq += 1 + (place.unsigned_abs() % 3);
            }
            house.commit("h", 1, entries);
            if seals {
                house.store.upkeep(UpkeepTask::Seal, Timestamp(T0)).unwrap();
            }
        }
        let numbers: BTreeSet<u64> = all.iter().map(|(seq, _)| *seq).collect();
        prop_assert_eq!(numbers.len(), all.len());
        for (after, from, span) in windows {
            let range = TimeRange { from: Some(Timestamp(T0 + from)), to: Some(Timestamp(T0 + from + span)) };
            let inside: Vec<u64> = all
                .iter()
                .filter(|(_, ts)| (T0 + from..T0 + from + span).contains(ts))
                .map(|(seq, _)| *seq)
                .collect();
            prop_assert_eq!(house.seqs("h", range, Order::Ascending), inside.clone());
            let reversed: Vec<u64> = inside.into_iter().rev().collect();
            prop_assert_eq!(house.seqs("h", range, Order::Descending), reversed);
            let expected: Vec<u64> = numbers.range(after + 1..).take(30).copied().collect();
            let found = house.after("h", after, 30).entries;
            prop_assert_eq!(found.iter().map(|one| one.seq().0).collect::<Vec<u64>>(), expected);
            let below = house.page("h", TimeRange::default(), Some(after), Order::Descending);
            let expected: Vec<u64> = numbers.range(..after).rev().take(7).copied().collect();
            prop_assert_eq!(below.items.iter().map(|one| one.seq.0).collect::<Vec<u64>>(), expected);
        }
    }
}
