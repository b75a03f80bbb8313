//! Damage: what cannot be read of one HEM must not stop the upkeep of the others.

use super::*;

const HALF_AN_HOUR: i64 = 1_800_000;

fn execute(house: &House, sql: &str) {
    house.store.write(|connection| Ok(connection.batch_execute(sql)?)).unwrap();
}

/// Two HEMs with a chunk's worth each; of the first, something is damaged by `sql`.
fn two_hems() -> House {
    let house = House::new();
    for name in ["bad", "good"] {
        house.open(name);
        let entries = (1..=30).map(|seq| reading(seq, T0 + seq.cast_signed(), 1.0, None));
        house.commit(name, 1, entries.collect());
    }
    house
}

fn step(house: &House, task: UpkeepTask, now: i64) -> Upkeep {
    house.store.upkeep(task, Timestamp(now)).unwrap()
}

#[test]
fn a_damaged_run_stops_the_sealing_of_its_hem_alone_and_is_tried_again() {
    let house = two_hems();
    execute(
        &house,
        "CREATE TEMP TABLE kept AS SELECT id, payload FROM hot_runs;
         UPDATE hot_runs SET payload = x'ff' WHERE hem_no = 1",
    );
    let damaged = |now| (0..9).map(|_| step(&house, UpkeepTask::Seal, now).damaged).sum::<usize>();
    assert_eq!(damaged(T0), 1);
    let sealed = house.store.figures().unwrap().sealed_readings;
    assert_eq!(sealed, 20, "all of the good one's");
    assert_eq!(step(&house, UpkeepTask::Seal, T0 + 2_000), Upkeep::default(), "not at once again");
    assert_eq!(damaged(T0 + HALF_AN_HOUR), 1);
    execute(
        &house,
        "UPDATE hot_runs SET payload = (SELECT payload FROM kept WHERE kept.id = hot_runs.id)",
    );
    house.upkeep(UpkeepTask::Seal, T0 + 2 * HALF_AN_HOUR);
    assert_eq!(house.store.figures().unwrap().sealed_readings, 40);
}

#[test]
fn a_damaged_chunk_stops_the_roll_ups_of_its_hem_alone() {
    let house = two_hems();
    house.upkeep(UpkeepTask::Seal, T0);
    execute(&house, "UPDATE chunks SET payload = x'00' WHERE hem_no = 1");
    let now = T0 + 24 * HOUR;
    let first = step(&house, UpkeepTask::RollUp, now);
    assert_eq!((first.done, first.damaged), (1, 1));
    for later in 1..20 {
        assert_eq!(step(&house, UpkeepTask::RollUp, now + later * 20_000).damaged, 0);
    }
    assert_eq!(house.store.figures().unwrap().dirty_buckets, 1, "the bad one's minute");
    assert_eq!(step(&house, UpkeepTask::RollUp, now + HALF_AN_HOUR).damaged, 1);
}

#[test]
fn a_damaged_roll_up_stops_the_coarser_ones_of_its_hem_alone() {
    let house = two_hems();
    let now = T0 + 24 * HOUR;
    assert_eq!(step(&house, UpkeepTask::RollUp, now).done, 2);
    execute(&house, "UPDATE rollups SET payload = x'ffff' WHERE hem_no = 1");
    let mut damaged = 0;
    for later in 1..20 {
        damaged += step(&house, UpkeepTask::RollUp, now + later * 20_000).damaged;
    }
    assert_eq!(damaged, 1);
    assert_eq!(house.store.figures().unwrap().dirty_buckets, 1, "the bad one's quarter");
}

#[test]
fn a_log_is_carried_over_beside_commits_and_begins_anew() {
    let house = House::new();
    house.open("h");
    let log = house.place.0.path().join("iot.db-wal");
    for round in 0..40_u64 {
        let entries = (1..=200).map(|seq| reading(round * 200 + seq, T0, seq as f64 / 7.0, None));
        house.commit("h", 1, entries.collect());
        assert_eq!(step(&house, UpkeepTask::Checkpoint, T0), Upkeep::default());
    }
    let bytes = std::fs::metadata(&log).unwrap().len();
    assert!(bytes < 400_000, "{bytes} bytes of log after 8,000 readings");
}
