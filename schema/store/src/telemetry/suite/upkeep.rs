//! Roll-ups, time zones, retention, and HEMs whose clocks are wrong.

use chrono::DateTime;
use chrono_tz::{Europe, Tz};
use memcloud_domain::{Entry, MicrogridId, Order, Quantity, Reading, Seq, TimeRange, Timestamp};

use super::*;
use crate::telemetry::Retention;
use crate::telemetry::buckets::{HOUR, MINUTE, QUARTER};

pub(crate) fn a_reading_after_its_minute_was_rolled_up_marks_it_again<P: Place>() {
    let house = House::<P>::new();
    house.open("h");
    house.commit("h", 1, vec![reading(1, T0, 10.0, None)]);
    house.roll_up();
    house.commit("h", 1, vec![reading(2, T0 + 1_000, 30.0, None)]);
    assert_eq!(house.store.figures().unwrap().dirty_buckets, 1);
    house.roll_up();
    assert_eq!(house.series(Quantity::Watts, T0, T0 + HOUR, 60, Tz::UTC).points[0].mean, 20.0);
}

pub(crate) fn days_follow_the_time_zone_of_their_microgrid_also_when_it_changes<P: Place>() {
    let house = House::<P>::new();
    let fontana = MicrogridId::new("fontana").unwrap();
    house.store.set_time_zone(&fontana, Europe::Berlin).unwrap();
    house.open("h");
    let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
    let (from, to) = (at("2026-03-28T00:00:00+01:00"), at("2026-03-31T00:00:00+02:00"));
    // 100 Wh a quarter over the day on which the clocks go forward: it has 23 hours.
    let entries = (0..=(to - from) / QUARTER)
        .zip(1..)
        .map(|(quarter, seq)| {
            reading(seq, from + quarter * QUARTER, 400.0, Some(100.0 * quarter as f64))
        })
        .collect();
    house.commit("h", 1, entries);
    house.roll_up();
    let energies = |zone: Tz, from: i64, to: i64| {
        let series = house.series(Quantity::EnergyIn, from, to, 3, zone);
        series.points.iter().map(|point| (point.ts.0, point.mean)).collect::<Vec<(i64, f64)>>()
    };
    let days =
        ["2026-03-28T00:00:00+01:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"]
            .map(at);
    let expected = [(days[0], 9_500.0), (days[1], 9_200.0), (days[2], 9_600.0)];
    assert_eq!(energies(Europe::Berlin, from, to), expected);
    // Asked in another zone before and after the microgrid moves there: the same.
    let (from, to) = (at("2026-03-28T00:00:00Z"), at("2026-03-31T00:00:00Z"));
    let in_utc = energies(Tz::UTC, from, to);
    assert_eq!(in_utc.len(), 3);
    house.store.set_time_zone(&fontana, Tz::UTC).unwrap();
    house.roll_up();
    assert_eq!(energies(Tz::UTC, from, to), in_utc);
}

pub(crate) fn retention_removes_raw_data_and_minutes_but_not_what_was_made_of_them<P: Place>() {
    let house = House::<P>::new();
    house.open("h");
    let entries = (0..200_u64)
        .map(|n| reading(n + 1, T0 + n.cast_signed() * 10 * MINUTE, 60.0, Some(n as f64 * 10.0)))
        .chain([event(201, T0), event(202, T0 + 33 * HOUR), refused(203)])
        .collect();
    house.commit("h", 1, entries);
    house.upkeep(UpkeepTask::Seal, T0);
    house.roll_up();
    let total = |house: &House<P>| {
        let series = house.series(Quantity::EnergyIn, T0, T0 + 48 * HOUR, 3, Tz::UTC);
        series.points.iter().map(|point| point.mean).sum::<f64>()
    };
    assert_eq!(total(&house), 1_990.0);
    let raw = std::time::Duration::from_secs(24 * 3_600);
    let task = UpkeepTask::Retain(Retention { raw, minute: raw });
    // One hour more than a day before this moment is hour 20.
    assert!(house.upkeep(task, T0 + 45 * HOUR) > 100);
    let left = house.seqs("h", TimeRange::default(), Order::Ascending);
    // Chunks go whole, hot readings one by one.
    assert!(left[0] > 20 * 6 - 10 && left[0] <= 20 * 6 + 1, "{}", left[0]);
    assert_eq!(left.len() as u64, 200 - left[0] + 1);
    let query = PageQuery {
        hem: hem("h"),
        range: TimeRange::default(),
        after: None,
        limit: 10,
        order: Order::Ascending,
    };
    assert_eq!(house.store.events(&query).unwrap().items.len(), 1);
    assert_eq!(house.store.refusals(&query).unwrap().items.len(), 0);
    assert_eq!(total(&house), 1_990.0);
    // Fine questions about the time before are answered from quarters.
    let series = house.series(Quantity::EnergyIn, T0, T0 + 24 * HOUR, 5_000, Tz::UTC);
    assert_eq!(series.step_seconds, 900);
    assert_eq!(house.upkeep(task, T0 + 45 * HOUR), 0);
    assert_eq!(
        house.commit("h", 1, vec![reading(5, T0, 0.0, None)]),
        CommitOutcome::Stored {
            microgrid: MicrogridId::new("fontana").unwrap(),
            after: Seq(203),
            through: Seq(203),
        }
    );
}

pub(crate) fn raw_data_that_waits_to_be_rolled_up_is_not_removed<P: Place>() {
    let house = House::<P>::new();
    house.open("h");
    house.commit("h", 1, vec![reading(1, T0, 60.0, None)]);
    let task = UpkeepTask::Retain(Retention::default());
    assert_eq!(house.upkeep(task, T0 + 365 * 24 * HOUR), 0);
    house.roll_up();
    assert_eq!(house.upkeep(task, T0 + 365 * 24 * HOUR), 1);
}

pub(crate) fn a_counter_dated_ahead_adds_no_energy_that_was_never_used<P: Place>() {
    let house = House::<P>::new();
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
