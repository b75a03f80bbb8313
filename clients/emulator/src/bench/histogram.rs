//! A histogram of durations: 32 steps to each doubling, so that a percentile is within 3 %.

use std::time::Duration;

use serde::Serialize;

const STEPS: usize = 32;
const DOUBLINGS: usize = 40;

/// Counts durations by size.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; STEPS * DOUBLINGS], total: 0, longest_us: 0 }
    }
}

impl Histogram {
    /// Counts a duration so many times.
    pub(super) fn count(&mut self, duration: Duration, times: u64) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(place_of(us)) {
            *count += times;
        }
        self.total += times;
        self.longest_us = self.longest_us.max(us);
    }

    /// Takes in another one.
    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.longest_us = self.longest_us.max(other.longest_us);
    }

    /// The duration in ms that so many per mille do not exceed.
    fn per_mille(&self, share: u64) -> f64 {
        let wanted = (self.total * share).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return ms(top_of(place).min(self.longest_us));
            }
        }
        ms(self.longest_us)
    }

    /// What a report shows of it.
    pub(super) fn percentiles(&self) -> Percentiles {
        Percentiles {
            count: self.total,
            p50: self.per_mille(500),
            p90: self.per_mille(900),
            p99: self.per_mille(990),
            p999: self.per_mille(999),
            max: ms(self.longest_us),
        }
    }
}

/// Percentiles of a duration, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many were measured.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// Nine of ten are below.
    pub p90: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// 999 of 1,000 are below.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

fn ms(us: u64) -> f64 {
    f64::from(u32::try_from(us).unwrap_or(u32::MAX)) / 1_000.0
}

/// The place of a duration: exact below `STEPS`, then `STEPS` places to each doubling.
fn place_of(us: u64) -> usize {
    let steps = u64::try_from(STEPS).unwrap_or(1);
    if us < steps {
        return usize::try_from(us).unwrap_or(0);
    }
    let doubling = us.ilog2() - steps.ilog2();
    let within = (us >> doubling) - steps;
    let place = (u64::from(doubling) + 1) * steps + within;
    usize::try_from(place).unwrap_or(usize::MAX).min(STEPS * DOUBLINGS - 1)
}

/// The longest duration of a place.
fn top_of(place: usize) -> u64 {
    let steps = u64::try_from(STEPS).unwrap_or(1);
    let place = u64::try_from(place).unwrap_or(0);
    if place < steps {
        return place;
    }
    let doubling = place / steps - 1;
    ((place % steps + steps + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_a_place_that_reaches_at_most_a_thirtieth_above_it() {
        for us in (0..10_000).chain((10_000..1_000_000_000).step_by(7_654_321)) {
            let top = top_of(place_of(us));
            assert!(top >= us && top <= us + us / 30 + 1, "{us} {top}");
        }
    }

    #[test]
    fn percentiles_of_an_even_spread_are_where_they_belong() {
        let mut histogram = Histogram::default();
        for us in 1..=100_000 {
            histogram.count(Duration::from_micros(us), 1);
        }
        let found = histogram.percentiles();
        for (value, expected) in
            [(found.p50, 50.0), (found.p90, 90.0), (found.p99, 99.0), (found.max, 100.0)]
        {
            assert!((value - expected).abs() <= expected * 0.04, "{found:?}");
        }
        assert_eq!(Histogram::default().percentiles().p99, 0.0);
    }
}
