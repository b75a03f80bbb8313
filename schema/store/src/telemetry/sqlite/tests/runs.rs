//! Hot runs: what one commit brought of a HEM lies in few rows.

use diesel_migrations::MigrationHarness;

use super::*;
use crate::telemetry::row::put_reading;

fn rows_of(house: &House) -> i64 {
    use crate::telemetry::schema::hot_runs;
    let count = |connection: &mut SqliteConnection| {
        Ok(hot_runs::table.count().get_result::<i64>(connection)?)
    };
    house.store.read(count).unwrap()
}

#[test]
fn a_commit_writes_one_row_for_a_hem_up_to_a_runs_length() {
    let place = Folder::fresh();
    let house = House { store: place.open_with(SqliteOptions::default()), place };
    house.open("h");
    house.commit("h", 1, (1..=8).map(at).collect());
    assert_eq!(rows_of(&house), 1);
    house.commit("h", 1, (9..=258).map(at).collect());
    assert_eq!(rows_of(&house), 1 + 3);
    assert_eq!(house.store.figures().unwrap().hot_readings, 258, "readings are counted, not rows");
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
fn readings_of_a_file_from_before_runs_are_all_there_and_go_on() {
    let place = Folder::fresh();
    let mut old = connect(IOT_STORE, &place.location(), Access::Create, BUSY).unwrap();
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
    let house = House { store: place.open(), place };
    assert_eq!(house.after("h", 0, 100).entries, before);
    house.commit("h", 1, (25..=40).map(at).collect());
    house.upkeep(UpkeepTask::Seal, T0);
    assert_eq!(house.after("h", 0, 100).entries, (1..=40).map(at).collect::<Vec<Entry>>());
    assert_eq!(house.store.figures().unwrap().hot_readings, 10);
}
