//! Series, held against what the readings alone say.

use std::collections::BTreeMap;

use chrono_tz::America;
use memcloud_domain::{Entry, Quantity, Reading, Series, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::telemetry::buckets::{HOUR, Level, MINUTE, Plan};
use crate::telemetry::rollup::Bucket;
use crate::telemetry::series;

/// What a series must be, from nothing but the readings.
fn model(readings: &[Reading], quantity: Quantity, plan: &Plan, from: i64, to: i64) -> Series {
    let of_level = |readings: Vec<&Reading>| {
        let mut by_bucket: BTreeMap<i64, Vec<Reading>> = BTreeMap::new();
        for reading in readings {
            let start = plan.level.start(reading.ts.0, plan.zone);
            by_bucket.entry(start).or_default().push(reading.clone());
        }
        by_bucket
            .iter()
            .filter_map(|(start, all)| Some((*start, *Bucket::of(all).nodes.get(&1)?)))
            .collect::<BTreeMap<i64, _>>()
    };
    let from = plan.level.start(from, plan.zone);
    let before = of_level(readings.iter().filter(|one| one.ts.0 < from).collect());
    // Roll-ups are whole: a range that ends within a bucket has all of it.
    let mut inside = of_level(readings.iter().filter(|one| one.ts.0 >= from).collect());
    inside.retain(|start, _| *start < to);
    let parts = series::parts_of(quantity, before.values().next_back(), &inside);
    series::series(quantity, plan, &parts)
}

fn assert_close(one: &Series, other: &Series) {
    assert_eq!(one.points.len(), other.points.len(), "{one:?}\n{other:?}");
    for (one, other) in one.points.iter().zip(&other.points) {
        assert_eq!((one.ts, one.estimated), (other.ts, other.estimated));
        for (one, other) in [(one.min, other.min), (one.mean, other.mean), (one.max, other.max)] {
            assert!((one - other).abs() < 1e-3, "{one} is not {other}");
        }
    }
}

#[derive(Debug, Clone)]
struct Arrival {
    ts: i64,
    watts: i32,
    counted: Option<u32>,
    then: u8,
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let one =
        (0_i64..60 * HOUR, -900_i32..900, proptest::option::of(0_u32..5_000), 0_u8..12).prop_map(
            |(offset, watts, counted, then)| Arrival { ts: T0 + offset, watts, counted, then },
        );
    proptest::collection::vec(one, 1..60)
}

/// Whatever comes late, and however roll-ups and sealing fall between: every series is what the
/// readings alone say, at once and for ever after.
pub(crate) fn a_series_is_right_whenever_readings_arrive_and_upkeep_runs<P: Place>() {
    let mut runner = TestRunner::new(config::<P>());
    runner.run(&arrivals(), |arrivals| check_series::<P>(&arrivals)).unwrap();
}

fn check_series<P: Place>(arrivals: &[Arrival]) -> Result<(), TestCaseError> {
    let house = House::<P>::new();
    house.store.set_time_zone(&fontana(), America::St_Johns).unwrap();
    house.open("h");
    let mut readings = Vec::new();
    for (seq, arrival) in (1..).zip(arrivals) {
        let counted = arrival.counted.map(f64::from);
        let entry = reading(seq, arrival.ts, f64::from(arrival.watts), counted);
        let Entry::Reading(taken) = &entry else { unreachable!() };
        readings.push(taken.clone());
        house.commit("h", 1, vec![entry]);
        match arrival.then {
            0 => {
                house.store.upkeep(UpkeepTask::Seal, Timestamp(T0)).unwrap();
            }
            1 | 2 => {
                let now = Timestamp(T0 + 90 * HOUR);
                house.store.upkeep(UpkeepTask::RollUp, now).unwrap();
            }
            _ => {}
        }
    }
    for pass in 0..2 {
        for quantity in [Quantity::Watts, Quantity::EnergyIn, Quantity::EnergyOut] {
            for (from, to, points) in [
                (T0, T0 + 60 * HOUR, 4_000),
                (T0 + 7 * HOUR, T0 + 60 * HOUR, 300),
                (T0 + 20 * MINUTE, T0 + 50 * HOUR, 60),
                (T0, T0 + 96 * HOUR, 6),
            ] {
                let plan = Plan::new(from, to, points, America::St_Johns, Level::Minute);
                let expected = model(&readings, quantity, &plan, from, to);
                let series = house.series(quantity, from, to, points, America::St_Johns);
                prop_assert_eq!(series.step_seconds, expected.step_seconds);
                assert_close(&series, &expected);
            }
        }
        if pass == 0 {
            house.roll_up();
        }
    }
    Ok(())
}
