//! From buckets to the points of a series: pure arithmetic, so that any adapter answers the same.

use std::collections::BTreeMap;

use memcloud_domain::{Quantity, Series, SeriesPoint, Timestamp};

use super::buckets::Plan;
use super::rollup::{Counter, NodeBucket};

/// What one bucket adds to a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// The least value in it.
    pub min: f64,
    /// The greatest value in it.
    pub max: f64,
    /// The sum of its samples; of an energy, the energy.
    pub sum: f64,
    /// How many samples.
    pub count: f64,
    /// Whether an energy is an estimate.
    pub estimated: bool,
}

/// What the buckets of one node say of a quantity, by their start.
///
/// `before` is the node's last bucket before them: energy between it and the first belongs to the
/// first. Where a node has a counter, it is believed, and power only until the counter begins.
#[must_use]
pub fn parts_of(
    quantity: Quantity,
    before: Option<&NodeBucket>,
    buckets: &BTreeMap<i64, NodeBucket>,
) -> BTreeMap<i64, Part> {
    match quantity {
        Quantity::EnergyIn | Quantity::EnergyOut => energies(quantity, before, buckets),
        quantity => buckets
            .iter()
            .filter_map(|(start, bucket)| {
                let stat = bucket.stat(quantity)?;
                #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 samples")]
                let count = stat.count as f64;
                let (min, max, sum) = (stat.min, stat.max, stat.sum);
                Some((*start, Part { min, max, sum, count, estimated: false }))
            })
            .collect(),
    }
}

fn energies(
    quantity: Quantity,
    before: Option<&NodeBucket>,
    buckets: &BTreeMap<i64, NodeBucket>,
) -> BTreeMap<i64, Part> {
    let counter_of = |bucket: &NodeBucket| match quantity {
        Quantity::EnergyOut => bucket.counted_out,
        _ => bucket.counted_in,
    };
    let of_direction = |(wh_in, wh_out): (f64, f64)| match quantity {
        Quantity::EnergyOut => wh_out,
        _ => wh_in,
    };
    let mut last_counter: Option<Counter> = before.and_then(counter_of);
    let mut last_power = before.and_then(|bucket| bucket.power);
    let mut parts = BTreeMap::new();
    for (start, bucket) in buckets {
        let counter = counter_of(bucket);
        let energy = if let Some(counter) = counter {
            let between = last_counter.map_or(0.0, |last| last.between(&counter).0);
            last_counter = Some(counter);
            Some((between + counter.grown, false))
        } else if last_counter.is_none() {
            bucket.power.map(|power| {
                let between = last_power.map_or((0.0, 0.0), |last| last.between(&power));
                (of_direction(between) + of_direction((power.wh_in, power.wh_out)), true)
            })
        } else {
            None
        };
        last_power = bucket.power.or(last_power);
        if let Some((sum, estimated)) = energy {
            parts.insert(*start, Part { min: sum, max: sum, sum, count: 1.0, estimated });
        }
    }
    parts
}

/// The sum over several nodes, bucket by bucket: of energies the sum, of all else the sum of means.
#[must_use]
pub fn summed(quantity: Quantity, nodes: Vec<BTreeMap<i64, Part>>) -> BTreeMap<i64, Part> {
    let is_energy = matches!(quantity, Quantity::EnergyIn | Quantity::EnergyOut);
    let mut sums: BTreeMap<i64, Part> = BTreeMap::new();
    for node in nodes {
        for (start, part) in node {
            let value = if is_energy { part.sum } else { part.sum / part.count };
            let nothing = Part { min: 0.0, max: 0.0, sum: 0.0, count: 1.0, estimated: false };
            let sum = sums.entry(start).or_insert(nothing);
            sum.sum += value;
            (sum.min, sum.max) = (sum.sum, sum.sum);
            sum.estimated |= part.estimated;
        }
    }
    sums
}

/// Buckets merged to points.
#[must_use]
pub fn series(quantity: Quantity, plan: &Plan, parts: &BTreeMap<i64, Part>) -> Series {
    let is_energy = matches!(quantity, Quantity::EnergyIn | Quantity::EnergyOut);
    let mut merged: Vec<(i64, Part)> = Vec::new();
    for (start, part) in parts {
        let point = plan.point_start(*start);
        match merged.last_mut() {
            Some((at, held)) if *at == point => {
                held.min = held.min.min(part.min);
                held.max = held.max.max(part.max);
                held.sum += part.sum;
                held.count += part.count;
                held.estimated |= part.estimated;
            }
            _ => merged.push((point, *part)),
        }
    }
    let points = merged
        .into_iter()
        .map(|(ts, part)| {
            let (min, mean, max) = if is_energy {
                let energy = tidy(part.sum);
                (energy, energy, energy)
            } else {
                (part.min, tidy(part.sum / part.count).clamp(part.min, part.max), part.max)
            };
            SeriesPoint { ts: Timestamp(ts), min, mean, max, estimated: part.estimated }
        })
        .collect();
    Series {
        points,
        unit: quantity.unit().to_owned(),
        resolution: plan.level.resolution(),
        step_seconds: plan.step_seconds(),
    }
}

/// Without the last bits that only addition put there.
fn tidy(value: f64) -> f64 {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded.is_finite() { rounded } else { value }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use memcloud_domain::Reading;

    use super::*;
    use crate::telemetry::buckets::{Level, MINUTE, Step};
    use crate::telemetry::rollup::Bucket;
    use crate::telemetry::rollup::tests::sample;

    fn minutes(readings: &[Reading]) -> BTreeMap<i64, NodeBucket> {
        let mut by_minute: BTreeMap<i64, Vec<Reading>> = BTreeMap::new();
        for reading in readings {
            by_minute.entry(reading.ts.0 / MINUTE * MINUTE).or_default().push(reading.clone());
        }
        by_minute.iter().map(|(start, all)| (*start, Bucket::of(all).nodes[&1])).collect()
    }

    fn five_minutes() -> Plan {
        Plan { level: Level::Minute, step: Step::Span(5 * MINUTE), zone: Tz::UTC }
    }

    #[test]
    fn a_counters_energy_between_minutes_belongs_to_the_later_point() {
        let readings: Vec<Reading> = (0_u64..10)
            .map(|minute| {
                let counted = 100.0 + 10.0 * minute as f64;
                sample(minute + 1, minute.cast_signed() * MINUTE, 600.0, Some(counted))
            })
            .collect();
        let parts = parts_of(Quantity::EnergyIn, None, &minutes(&readings));
        let series = series(Quantity::EnergyIn, &five_minutes(), &parts);
        let energies: Vec<f64> = series.points.iter().map(|point| point.mean).collect();
        assert_eq!(energies, [40.0, 50.0]);
        assert!(series.points.iter().all(|point| !point.estimated));
    }

    #[test]
    fn energy_without_a_counter_is_marked_estimated() {
        let readings: Vec<Reading> = (0_u64..5)
            .map(|minute| sample(minute + 1, minute.cast_signed() * MINUTE, -600.0, None))
            .collect();
        let all = minutes(&readings);
        let (first, rest) = (all[&0], all.into_iter().skip(1).collect());
        let parts = parts_of(Quantity::EnergyOut, Some(&first), &rest);
        let series = series(Quantity::EnergyOut, &five_minutes(), &parts);
        assert_eq!((series.points[0].mean, series.points[0].estimated), (40.0, true));
    }

    #[test]
    fn a_gap_in_a_counter_is_not_counted_twice() {
        let readings = [
            sample(1, 0, 600.0, Some(0.0)),
            sample(2, MINUTE, 600.0, None),
            sample(3, 2 * MINUTE, 600.0, Some(20.0)),
        ];
        let parts = parts_of(Quantity::EnergyIn, None, &minutes(&readings));
        let series = series(Quantity::EnergyIn, &five_minutes(), &parts);
        assert_eq!(series.points[0].mean, 20.0);
    }

    #[test]
    fn a_mean_is_over_samples_and_not_over_buckets() {
        let readings = [
            sample(1, 0, 10.0, None),
            sample(2, 1_000, 10.0, None),
            sample(3, 2_000, 10.0, None),
            sample(4, MINUTE, 50.0, None),
        ];
        let parts = parts_of(Quantity::Watts, None, &minutes(&readings));
        let point = series(Quantity::Watts, &five_minutes(), &parts).points[0];
        assert_eq!((point.min, point.mean, point.max), (10.0, 20.0, 50.0));
    }

    #[test]
    fn nodes_that_say_what_none_can_measure_cost_a_sum_nothing() {
        let mad = |watts: f64| minutes(&[sample(1, 0, watts, None), sample(2, 1, watts, None)]);
        let sane = minutes(&[sample(1, 0, 7.0, None)]);
        let parts = [mad(1.7e308), mad(-1.7e308), sane]
            .map(|node| parts_of(Quantity::Watts, None, &node))
            .to_vec();
        let sum = summed(Quantity::Watts, parts);
        assert_eq!(series(Quantity::Watts, &five_minutes(), &sum).points[0].mean, 7.0);
    }

    #[test]
    fn the_sum_over_nodes_is_the_sum_of_their_means() {
        let one = minutes(&[sample(1, 0, 10.0, None), sample(2, 1_000, 30.0, None)]);
        let other = minutes(&[sample(1, 0, -5.0, None)]);
        let parts = [one, other].map(|node| parts_of(Quantity::Watts, None, &node)).to_vec();
        let sum = summed(Quantity::Watts, parts);
        assert_eq!(series(Quantity::Watts, &five_minutes(), &sum).points[0].mean, 15.0);
    }
}
