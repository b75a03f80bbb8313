//! What is kept of all readings of a HEM in a bucket of time.
//!
//! A bucket is a pure function of its own readings, and two buckets that follow each other combine
//! into the bucket of both: so a quarter is its minutes, a day its quarters, and late readings need
//! only their own minute computed again. Energy lies within buckets and *between* them: what a counter
//! grew, or power held, from the last sample of one to the first of the next is nobody's until two are
//! combined; then it belongs to the later one.
//!
//! A reading counts for when it was taken: a time ahead of its receipt counts as the receipt, so that a
//! counter does not seem to go back once the clock is set right.
//!
//! Counters only grow; one that went back was reset and has counted from zero since. Power is held
//! from sample to sample, for at most [`HOLD`]; energy from it is an estimate.

use std::collections::BTreeMap;

use memcloud_domain::{NodeReading, Quantity, Reading, is_credible};

/// For at most so long a power is taken to hold after its sample, in milliseconds.
pub const HOLD: i64 = 5 * 60_000;

const MILLIS_PER_HOUR: f64 = 3_600_000.0;

/// The quantities of which least, mean and greatest are kept.
pub const STATS: [Quantity; 6] = [
    Quantity::Watts,
    Quantity::Volts,
    Quantity::Amps,
    Quantity::Vars,
    Quantity::Hertz,
    Quantity::Soc,
];

/// Least, greatest and sum of some samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    /// How many.
    pub count: u64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Their sum.
    pub sum: f64,
}

impl Stat {
    /// Of one sample.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self { count: 1, min: value, max: value, sum: value }
    }

    /// Takes more samples in.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
    }

    /// The mean of the samples.
    #[must_use]
    pub fn mean(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 samples")]
        let count = self.count as f64;
        // A sum is rounded: a mean is not to lie outside of its samples for it.
        (self.sum / count).clamp(self.min, self.max.max(self.min))
    }
}

/// A value at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When, Unix milliseconds.
    pub ts: i64,
    /// What.
    pub value: f64,
}

/// A counter's way through a bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counter {
    /// Its first sample.
    pub first: Sample,
    /// Its last sample.
    pub last: Sample,
    /// What it counted from the first to the last, resets minded.
    pub grown: f64,
    /// How often it went back.
    pub resets: u64,
}

impl Counter {
    /// Of one sample.
    #[must_use]
    pub fn of(sample: Sample) -> Self {
        Self { first: sample, last: sample, grown: 0.0, resets: 0 }
    }

    /// What was counted from the end of this bucket to the start of a later one, and whether the
    /// counter went back between.
    #[must_use]
    pub fn between(&self, later: &Self) -> (f64, bool) {
        if later.first.value >= self.last.value {
            (later.first.value - self.last.value, false)
        } else {
            (later.first.value.max(0.0), true)
        }
    }

    /// Takes a later bucket in.
    pub fn append(&mut self, later: &Self) {
        let (between, reset) = self.between(later);
        self.grown += between + later.grown;
        self.resets += later.resets + u64::from(reset);
        self.last = later.last;
    }
}

/// Power held through a bucket, as energy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Power {
    /// Its first sample.
    pub first: Sample,
    /// Its last sample.
    pub last: Sample,
    /// Energy taken from the first to the last sample, Wh.
    pub wh_in: f64,
    /// Energy fed from the first to the last sample, Wh.
    pub wh_out: f64,
}

impl Power {
    /// Of one sample.
    #[must_use]
    pub fn of(sample: Sample) -> Self {
        Self { first: sample, last: sample, wh_in: 0.0, wh_out: 0.0 }
    }

    /// Energy from the end of this bucket to the start of a later one: taken, fed.
    #[must_use]
    pub fn between(&self, later: &Self) -> (f64, f64) {
        let held = later.first.ts.saturating_sub(self.last.ts).clamp(0, HOLD);
        #[expect(clippy::cast_precision_loss, reason = "at most HOLD")]
        let energy = self.last.value * held as f64 / MILLIS_PER_HOUR;
        (energy.max(0.0), (-energy).max(0.0))
    }

    /// Takes a later bucket in.
    pub fn append(&mut self, later: &Self) {
        let (wh_in, wh_out) = self.between(later);
        self.wh_in += wh_in + later.wh_in;
        self.wh_out += wh_out + later.wh_out;
        self.last = later.last;
    }
}

/// What is kept of one node in a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NodeBucket {
    /// In the order of [`STATS`].
    pub stats: [Option<Stat>; 6],
    /// The counter of energy taken.
    pub counted_in: Option<Counter>,
    /// The counter of energy fed.
    pub counted_out: Option<Counter>,
    /// Power held.
    pub power: Option<Power>,
}

/// Extends what is there, or begins with it.
fn extend<T: Copy>(held: &mut Option<T>, later: Option<&T>, append: impl Fn(&mut T, &T)) {
    match (held.as_mut(), later) {
        (Some(held), Some(later)) => append(held, later),
        (None, Some(later)) => *held = Some(*later),
        (_, None) => {}
    }
}

impl NodeBucket {
    /// Of one sample.
    #[must_use]
    pub fn of(ts: i64, node: &NodeReading) -> Self {
        // What no home can have measured is not to spoil a sum for ever.
        let usable = |value: Option<f64>| value.filter(|value| is_credible(*value));
        let watts = usable(node.watts.map(|watts| watts.0));
        let values = [
            watts,
            usable(node.volts.map(|volts| volts.0)),
            usable(node.amps.map(|amps| amps.0)),
            usable(node.vars.map(|vars| vars.0)),
            usable(node.hertz.map(|hertz| hertz.0)),
            usable(node.soc.map(|soc| soc.0)),
        ];
        let sample = |value: f64| Sample { ts, value };
        Self {
            stats: values.map(|value| value.map(Stat::of)),
            counted_in: usable(node.wh_in.map(|wh| wh.0)).map(|wh| Counter::of(sample(wh))),
            counted_out: usable(node.wh_out.map(|wh| wh.0)).map(|wh| Counter::of(sample(wh))),
            power: watts.map(|watts| Power::of(sample(watts))),
        }
    }

    /// Takes a later bucket of the same node in.
    pub fn append(&mut self, later: &Self) {
        for (held, more) in self.stats.iter_mut().zip(&later.stats) {
            extend(held, more.as_ref(), Stat::merge);
        }
        extend(&mut self.counted_in, later.counted_in.as_ref(), Counter::append);
        extend(&mut self.counted_out, later.counted_out.as_ref(), Counter::append);
        extend(&mut self.power, later.power.as_ref(), Power::append);
    }

    /// The statistics of a quantity; energies have none.
    #[must_use]
    pub fn stat(&self, quantity: Quantity) -> Option<&Stat> {
        let place = STATS.iter().position(|stat| *stat == quantity)?;
        self.stats.get(place)?.as_ref()
    }

    /// Sums lose their last bits, which only addition put there: so that the same samples give the
    /// same bytes, and few.
    fn round(&mut self) {
        let round = |value: &mut f64| {
            let rounded = (*value * 1e6).round() / 1e6;
            if rounded.is_finite() {
                *value = rounded;
            }
        };
        for stat in self.stats.iter_mut().flatten().filter(|stat| stat.count > 1) {
            round(&mut stat.sum);
        }
        for counter in [&mut self.counted_in, &mut self.counted_out].into_iter().flatten() {
            round(&mut counter.grown);
        }
        if let Some(power) = &mut self.power {
            round(&mut power.wh_in);
            round(&mut power.wh_out);
        }
    }
}

/// What is kept of all nodes of a HEM in a bucket.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bucket {
    /// By node.
    pub nodes: BTreeMap<u8, NodeBucket>,
}

impl Bucket {
    /// Of all readings of a HEM in a bucket, in whatever order they arrived: what counts is when
    /// they were taken, and their number where that is the same.
    #[must_use]
    pub fn of(readings: &[Reading]) -> Self {
        let mut in_order: Vec<&Reading> = readings.iter().collect();
        in_order.sort_by_key(|reading| (reading.taken(), reading.seq));
        let mut bucket = Self::default();
        for reading in in_order {
            for node in &reading.nodes {
                let sample = NodeBucket::of(reading.taken().0, node);
                bucket.nodes.entry(node.node.0).or_default().append(&sample);
            }
        }
        bucket.round();
        bucket
    }

    /// Of buckets that follow each other in time.
    #[must_use]
    pub fn combined<'a>(buckets: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut whole = Self::default();
        for bucket in buckets {
            for (node, later) in &bucket.nodes {
                whole.nodes.entry(*node).or_default().append(later);
            }
        }
        whole.round();
        whole
    }

    fn round(&mut self) {
        self.nodes.values_mut().for_each(NodeBucket::round);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use memcloud_domain::{NodeId, Seq, Timestamp, WattHours, Watts};
    use proptest::prelude::*;

    use super::*;

    /// A reading of node 1 with power and both counters.
    pub(crate) fn sample(seq: u64, ts: i64, watts: f64, wh_in: Option<f64>) -> Reading {
        let mut node = NodeReading::empty(NodeId(1));
        node.watts = Some(Watts(watts));
        node.wh_in = wh_in.map(WattHours);
        Reading { seq: Seq(seq), ts: Timestamp(ts), received: Timestamp(ts), nodes: vec![node] }
    }

    fn samples() -> impl Strategy<Value = Vec<Reading>> {
        let one = (0_i64..3_600_000, -5_000.0..5_000.0_f64, proptest::option::of(0.0..1e6_f64));
        proptest::collection::vec(one, 1..80).prop_map(|all| {
            all.into_iter()
                .zip(1..)
                .map(|((ts, watts, wh), seq)| {
                    sample(seq, ts, watts.round(), wh.map(|wh| (wh * 10.0).round() / 10.0))
                })
                .collect()
        })
    }

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() <= 1e-4 + 1e-9 * one.abs().max(other.abs())
    }

    fn assert_same(one: &Bucket, other: &Bucket) {
        assert_eq!(one.nodes.len(), other.nodes.len());
        for (one, other) in one.nodes.values().zip(other.nodes.values()) {
            for (one, other) in one.stats.iter().zip(&other.stats) {
                match (one, other) {
                    (Some(one), Some(other)) => {
                        assert_eq!(
                            (one.count, one.min, one.max),
                            (other.count, other.min, other.max)
                        );
                        assert!(close(one.sum, other.sum));
                    }
                    (one, other) => assert_eq!(one, other),
                }
            }
            for (one, other) in
                [(one.counted_in, other.counted_in), (one.counted_out, other.counted_out)]
            {
                match (one, other) {
                    (Some(one), Some(other)) => {
                        assert_eq!(
                            (one.first, one.last, one.resets),
                            (other.first, other.last, other.resets)
                        );
                        assert!(close(one.grown, other.grown));
                    }
                    (one, other) => assert_eq!(one, other),
                }
            }
            let (one, other) = (one.power.unwrap(), other.power.unwrap());
            assert!(close(one.wh_in, other.wh_in) && close(one.wh_out, other.wh_out));
        }
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(
            readings in samples(), seed in any::<prop::sample::Index>(),
        ) {
            let mut shuffled = readings.clone();
            shuffled.rotate_left(seed.index(readings.len()));
            shuffled.reverse();
            prop_assert_eq!(Bucket::of(&shuffled), Bucket::of(&readings));
        }

        #[test]
        fn minutes_combined_are_the_hour(readings in samples()) {
            let mut minutes: BTreeMap<i64, Vec<Reading>> = BTreeMap::new();
            for reading in &readings {
                minutes.entry(reading.ts.0 / 60_000).or_default().push(reading.clone());
            }
            let minutes: Vec<Bucket> = minutes.values().map(|part| Bucket::of(part)).collect();
            assert_same(&Bucket::combined(&minutes), &Bucket::of(&readings));
            let halves: Vec<Bucket> = minutes.chunks(7).map(Bucket::combined).collect();
            assert_same(&Bucket::combined(&halves), &Bucket::of(&readings));
        }

        #[test]
        fn a_counter_that_only_grows_yields_exactly_what_it_grew(
            steps in proptest::collection::vec((1_i64..900_000, 0_u32..500), 2..100),
        ) {
            let (mut ts, mut tenths, mut readings) = (0, 10_000_u64, Vec::new());
            for (seq, (pause, growth)) in (1..).zip(steps) {
                ts += pause;
                tenths += u64::from(growth);
                readings.push(sample(seq, ts, 1.0, Some(tenths as f64 / 10.0)));
            }
            let counter = Bucket::of(&readings).nodes[&1].counted_in.unwrap();
            prop_assert!(close(counter.grown, tenths as f64 / 10.0 - counter.first.value));
            prop_assert_eq!(counter.resets, 0);
        }
    }

    #[test]
    fn a_counter_that_was_reset_goes_on_from_zero() {
        let readings = [
            sample(1, 0, 0.0, Some(1_000.0)),
            sample(2, 1_000, 0.0, Some(1_010.0)),
            sample(3, 2_000, 0.0, Some(3.0)),
            sample(4, 3_000, 0.0, Some(8.0)),
        ];
        let counter = Bucket::of(&readings).nodes[&1].counted_in.unwrap();
        assert_eq!((counter.grown, counter.resets), (18.0, 1));
    }

    #[test]
    fn one_reading_a_minute_gives_the_right_energy() {
        // 600 W for an hour, said once a minute: 60 samples span 59 minutes.
        let readings: Vec<Reading> = (0..60)
            .map(|minute| sample(minute + 1, minute.cast_signed() * 60_000, 600.0, None))
            .collect();
        let minutes: Vec<Bucket> =
            readings.iter().map(|one| Bucket::of(std::slice::from_ref(one))).collect();
        let power = Bucket::combined(&minutes).nodes[&1].power.unwrap();
        assert_eq!((power.wh_in, power.wh_out), (590.0, 0.0));
    }

    #[test]
    fn power_is_held_for_five_minutes_at_most() {
        let readings = [sample(1, 0, -1_200.0, None), sample(2, 3_600_000, -1_200.0, None)];
        let power = Bucket::of(&readings).nodes[&1].power.unwrap();
        assert_eq!((power.wh_in, power.wh_out), (0.0, 100.0));
    }

    #[test]
    fn a_quantity_that_is_not_a_number_spoils_nothing() {
        let readings = [sample(1, 0, f64::NAN, None), sample(2, 1_000, 5.0, None)];
        let stat = *Bucket::of(&readings).nodes[&1].stat(Quantity::Watts).unwrap();
        assert_eq!(stat, Stat::of(5.0));
    }

    #[test]
    fn what_no_home_can_measure_spoils_no_sum() {
        let readings = [
            sample(1, 0, 1.7e308, Some(1.0)),
            sample(2, 1_000, 1.7e308, Some(1.7e308)),
            sample(3, 2_000, 5.0, Some(2.0)),
        ];
        let node = Bucket::of(&readings).nodes[&1];
        assert_eq!(*node.stat(Quantity::Watts).unwrap(), Stat::of(5.0));
        let counter = node.counted_in.unwrap();
        assert_eq!((counter.grown, counter.resets), (1.0, 0));
    }
}
