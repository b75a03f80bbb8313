//! HEMs whose clocks are wrong.

use super::*;

#[test]
fn a_counter_dated_ahead_adds_no_energy_that_was_never_used() {
    let house = House::new();
    house.open("h");
    let counted = |seq: u64, ts: i64, received: i64| {
        let Entry::Reading(one) = reading(seq, ts, 0.0, Some(1_000_000.0 + seq as f64)) else {
            unreachable!()
        };
        Entry::Reading(Reading { received: Timestamp(received), ..one })
    };
    // The clock of the HEM is 20 hours ahead for a while, then set right.
    let entries = (1..=48_u64).map(|half_hour| {
        let received = T0 + half_hour.cast_signed() * HOUR / 2;
        let ahead = if (5..9).contains(&half_hour) { 20 * HOUR } else { 0 };
        counted(half_hour, received + ahead, received)
    });
    for entry in entries {
        house.commit("h", 1, vec![entry]);
    }
    house.upkeep(UpkeepTask::Seal, T0);
    for _ in 0..2 {
        let series = house.series(Quantity::EnergyIn, T0, T0 + 48 * HOUR, 6, Tz::UTC);
        let total: f64 = series.points.iter().map(|point| point.mean).sum();
        assert_eq!(total, 47.0);
        house.roll_up();
    }
    let said = TimeRange { from: Some(Timestamp(T0 + 22 * HOUR)), to: None };
    let found = house.seqs("h", said, Order::Ascending);
    assert_eq!(found, [5, 6, 7, 8, 44, 45, 46, 47, 48], "raw readings keep what it said");
}
