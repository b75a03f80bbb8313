//! The energy of one node, per quarter-hour, in whatever order its samples come.
//!
//! Of each quarter only the first and the last counter values are kept, and what was counted between
//! them; what lies between the last of one quarter and the first of the next is shared out by time.
//! So a late sample only moves energy between quarters, and the sum over any span is the difference
//! of the counters at its ends. A counter that goes back was reset: what it shows then was counted
//! since. A node without counters is integrated from its power, minute by minute, and marked.

use std::collections::BTreeMap;

use memcloud_domain::{NodeReading, is_credible};
use serde::{Deserialize, Serialize};

use super::saved::Saved;
use crate::apps::calendar::{QUARTER_MS, Quarter, quarter_of, start_of};

/// What a ledger is told to believe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rules {
    /// Gaps up to this are sampling; over longer ones counted energy is marked, and power not assumed.
    pub(super) max_gap_ms: i64,
    /// Counted energy is not shared out over gaps longer than this: nobody knows when it was.
    pub(super) max_bridge_ms: i64,
    /// More than this is not a node's power but a counter that was replaced, W.
    pub(super) max_watts: f64,
}

/// The energy of a node in a quarter.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct NodeEnergy {
    /// Taken from the home's bus, Wh.
    pub(super) wh_in: f64,
    /// Fed to it, Wh.
    pub(super) wh_out: f64,
    pub(super) estimated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) ts: i64,
    pub(super) wh_in: f64,
    pub(super) wh_out: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Counted {
    pub(super) first: Sample,
    pub(super) last: Sample,
    pub(super) between: NodeEnergy,
}

/// The power of a quarter by minutes. A minute is closed when a sample of another comes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Powered {
    /// Which of the 15 minutes were sampled.
    pub(super) mask: u16,
    /// Sums of the closed minutes' means, W.
    pub(super) means: (f64, f64),
    /// The open minute, its sums and how many samples they are of.
    pub(super) open: (u8, f64, f64, u32),
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct QuarterRow {
    pub(super) counted: Option<Counted>,
    pub(super) powered: Option<Powered>,
}

/// The energy of one node over the quarters that are open.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub(super) struct NodeLedger {
    /// What the counters showed where the open quarters begin.
    pub(super) anchor: Option<Sample>,
    pub(super) quarters: BTreeMap<Quarter, QuarterRow>,
}

impl NodeLedger {
    /// Takes a sample; answers which quarters it changed, the first and the last.
    pub(super) fn take(
        &mut self,
        ts: i64,
        reading: &NodeReading,
        rules: &Rules,
    ) -> Option<(Quarter, Quarter)> {
        let sound = |value: f64| (is_credible(value) && value >= 0.0).then_some(to_milli(value));
        let wh_in = reading.wh_in.and_then(|counter| sound(counter.value()));
        let wh_out = reading.wh_out.and_then(|counter| sound(counter.value()));
        if wh_in.is_some() || wh_out.is_some() {
            // A counter that a node does not send counts nothing.
            let (wh_in, wh_out) = (wh_in.unwrap_or(0.0), wh_out.unwrap_or(0.0));
            return self.take_counters(Sample { ts, wh_in, wh_out }, rules);
        }
        let watts = reading.watts.map(|watts| watts.value()).filter(|watts| is_credible(*watts))?;
        let watts = to_milli(watts);
        let quarter = quarter_of(ts);
        let row = self.quarters.entry(quarter).or_default();
        let powered = row.powered.get_or_insert_default();
        // A neighbour's edge may be filled because of it.
        powered.take(ts, watts).then_some((quarter - 1, quarter + 1))
    }

    fn take_counters(&mut self, sample: Sample, rules: &Rules) -> Option<(Quarter, Quarter)> {
        let quarter = quarter_of(sample.ts);
        let row = self.quarters.entry(quarter).or_default();
        match &mut row.counted {
            None => {
                let between = NodeEnergy::default();
                row.counted = Some(Counted { first: sample, last: sample, between });
            }
            Some(counted) if sample.ts >= counted.last.ts => {
                counted.between.add(rules.between(&counted.last, &sample));
                counted.last = sample;
            }
            Some(counted) if sample.ts < counted.first.ts => {
                counted.between.add(rules.between(&sample, &counted.first));
                counted.first = sample;
            }
            // Between two known values of a counter that only grows a third says nothing new.
            Some(_) => return None,
        }
        let before = self.before(quarter).map_or(quarter, |sample| quarter_of(sample.ts));
        let after = self.after(quarter).map_or(quarter, |sample| quarter_of(sample.ts));
        let reach = rules.max_bridge_ms.div_euclid(QUARTER_MS) + 1;
        Some((before.max(quarter - reach), after.min(quarter + reach)))
    }

    /// The energy of a quarter.
    pub(super) fn energy(&self, quarter: Quarter, rules: &Rules) -> NodeEnergy {
        let row = self.quarters.get(&quarter);
        let (start, end) = (start_of(quarter), start_of(quarter + 1));
        let before = self.before(quarter);
        let after = self.after(quarter);
        let mut energy = NodeEnergy::default();
        match (row.and_then(|row| row.counted), before, after) {
            (Some(counted), before, after) => {
                energy.add(counted.between);
                if let Some(before) = before {
                    energy.add(rules.share(&before, &counted.first, start, end));
                }
                if let Some(after) = after {
                    energy.add(rules.share(&counted.last, &after, start, end));
                }
                return energy;
            }
            (None, Some(before), Some(after)) if rules.bridges(&before, &after) => {
                return rules.share(&before, &after, start, end);
            }
            _ => {}
        }
        if let Some(powered) = row.and_then(|row| row.powered) {
            let neighbour = |quarter: Quarter| self.quarters.get(&quarter)?.powered;
            energy = powered.energy(neighbour(quarter - 1), neighbour(quarter + 1), rules);
        }
        energy
    }

    /// Forgets a quarter and all before it; what the counters showed at its end is kept.
    pub(super) fn settle(&mut self, quarter: Quarter, rules: &Rules) {
        let end = start_of(quarter + 1);
        let known = self.quarters.get(&quarter).and_then(|row| row.counted);
        let last = known.map(|counted| counted.last).or_else(|| self.before(quarter));
        if let Some(last) = last {
            self.anchor = Some(match self.after(quarter) {
                Some(next) if rules.bridges(&last, &next) => {
                    // Counted back from the next value, so that exactly what is left is left, also
                    // when the counter was reset in between.
                    let left = rules.share(&last, &next, end, next.ts);
                    Sample {
                        ts: end,
                        wh_in: next.wh_in - left.wh_in,
                        wh_out: next.wh_out - left.wh_out,
                    }
                }
                Some(_) => last,
                // Whatever the next value brings falls into the time that is still open.
                None => Sample { ts: end.max(last.ts), ..last },
            });
        }
        self.quarters = self.quarters.split_off(&(quarter + 1));
    }

    /// The first quarter that is kept.
    pub(super) fn first(&self) -> Option<Quarter> {
        self.quarters.keys().next().copied()
    }

    fn before(&self, quarter: Quarter) -> Option<Sample> {
        let kept = self.quarters.range(..quarter).rev().find_map(|(_, row)| row.counted);
        kept.map(|counted| counted.last).or(self.anchor)
    }

    fn after(&self, quarter: Quarter) -> Option<Sample> {
        let kept = self.quarters.range(quarter + 1..).find_map(|(_, row)| row.counted);
        kept.map(|counted| counted.first)
    }
}

/// To a thousandth: less is noise, and would be most of what is saved.
fn to_milli(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

impl NodeEnergy {
    fn add(&mut self, other: Self) {
        self.wh_in += other.wh_in;
        self.wh_out += other.wh_out;
        self.estimated |= other.estimated;
    }
}

impl Rules {
    fn bridges(&self, from: &Sample, to: &Sample) -> bool {
        to.ts - from.ts <= self.max_bridge_ms
    }

    /// What was counted between two values.
    #[expect(clippy::cast_precision_loss, reason = "a span in milliseconds is far below 2^52")]
    fn between(&self, from: &Sample, to: &Sample) -> NodeEnergy {
        let hours = (to.ts - from.ts).max(60_000) as f64 / 3_600_000.0;
        let most = self.max_watts * hours;
        let mut estimated = false;
        let mut counted = |from: f64, to: f64| {
            // After a reset the counter shows what it counted since.
            let energy = if to >= from { to - from } else { to };
            // Less than a milliwatt-hour back is rounding, not a reset.
            let is_rounding = to < from && from - to < 1e-3;
            if is_rounding {
                return 0.0;
            }
            estimated |= to < from || energy > most;
            if energy > most { 0.0 } else { energy }
        };
        let wh_in = counted(from.wh_in, to.wh_in);
        let wh_out = counted(from.wh_out, to.wh_out);
        NodeEnergy { wh_in, wh_out, estimated }
    }

    /// The part of what was counted between two values that falls into a span.
    #[expect(clippy::cast_precision_loss, reason = "a span in milliseconds is far below 2^52")]
    fn share(&self, from: &Sample, to: &Sample, start: i64, end: i64) -> NodeEnergy {
        let whole = to.ts - from.ts;
        let overlap = end.min(to.ts) - start.max(from.ts);
        if whole <= 0 || overlap <= 0 || !self.bridges(from, to) {
            return NodeEnergy::default();
        }
        let part = overlap as f64 / whole as f64;
        let all = self.between(from, to);
        NodeEnergy {
            wh_in: all.wh_in * part,
            wh_out: all.wh_out * part,
            estimated: all.estimated || whole > self.max_gap_ms,
        }
    }
}

const MINUTES: u8 = 15;

impl Powered {
    /// Takes a power; whether it changed anything.
    fn take(&mut self, ts: i64, watts: f64) -> bool {
        let minute = u8::try_from(ts.rem_euclid(QUARTER_MS) / 60_000).unwrap_or(0);
        let (open, sum_in, sum_out, count) = &mut self.open;
        if *count > 0 && *open != minute {
            if self.mask & (1 << minute) != 0 {
                // That minute is closed.
                return false;
            }
            let mean = |sum: f64| sum / f64::from(*count);
            self.means.0 += mean(*sum_in);
            self.means.1 += mean(*sum_out);
            (*sum_in, *sum_out, *count) = (0.0, 0.0, 0);
        }
        *open = minute;
        *count = count.saturating_add(1);
        *sum_in += watts.max(0.0);
        *sum_out += (-watts).max(0.0);
        self.mask |= 1 << minute;
        true
    }

    fn is_sampled(&self, minute: u8) -> bool {
        self.mask & (1 << minute) != 0
    }

    /// Minutes without a sample before the first one, and after the last one.
    fn edges(&self) -> (u8, u8) {
        let leading = (0..MINUTES).take_while(|minute| !self.is_sampled(*minute)).count();
        let trailing = (0..MINUTES).rev().take_while(|minute| !self.is_sampled(*minute)).count();
        (u8::try_from(leading).unwrap_or(MINUTES), u8::try_from(trailing).unwrap_or(MINUTES))
    }

    /// The quarter's mean power over its sampled minutes and over those short gaps between samples.
    fn energy(&self, before: Option<Self>, after: Option<Self>, rules: &Rules) -> NodeEnergy {
        let sampled = self.mask.count_ones();
        if sampled == 0 {
            return NodeEnergy::default();
        }
        let max_gap = u8::try_from((rules.max_gap_ms / 60_000).clamp(0, 60)).unwrap_or(60);
        let (leading, trailing) = self.edges();
        let mut minutes = u32::from(0_u8);
        let mut run = 0_u8;
        for minute in leading..MINUTES - trailing {
            if self.is_sampled(minute) {
                minutes += 1 + if run <= max_gap { u32::from(run) } else { 0 };
                run = 0;
            } else {
                run += 1;
            }
        }
        if before.is_some_and(|before| before.edges().1 + leading <= max_gap) {
            minutes += u32::from(leading);
        }
        if after.is_some_and(|after| after.edges().0 + trailing <= max_gap) {
            minutes += u32::from(trailing);
        }
        let (_, sum_in, sum_out, count) = self.open;
        let open = |sum: f64| if count > 0 { sum / f64::from(count) } else { 0.0 };
        let hours = f64::from(minutes) / 60.0 / f64::from(sampled);
        NodeEnergy {
            wh_in: (self.means.0 + open(sum_in)) * hours,
            wh_out: (self.means.1 + open(sum_out)) * hours,
            estimated: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use memcloud_domain::{NodeId, WattHours, Watts};
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules =
        Rules { max_gap_ms: QUARTER_MS, max_bridge_ms: 8 * 86_400_000, max_watts: 100_000.0 };

    fn counter(wh_in: f64) -> NodeReading {
        NodeReading {
            wh_in: Some(WattHours(wh_in)),
            wh_out: Some(WattHours(0.0)),
            ..NodeReading::empty(NodeId(0))
        }
    }

    fn power(watts: f64) -> NodeReading {
        NodeReading { watts: Some(Watts(watts)), ..NodeReading::empty(NodeId(0)) }
    }

    fn total(ledger: &NodeLedger, quarters: std::ops::Range<Quarter>) -> f64 {
        quarters.map(|quarter| ledger.energy(quarter, &RULES).wh_in).sum()
    }

    #[test]
    fn a_gap_is_shared_out_by_time_until_late_samples_say_better() {
        let mut ledger = NodeLedger::default();
        ledger.take(0, &counter(100.0), &RULES);
        ledger.take(4 * QUARTER_MS, &counter(500.0), &RULES);
        assert_eq!(ledger.energy(1, &RULES).wh_in, 100.0);
        assert!(ledger.energy(1, &RULES).estimated);
        for quarter in 1..4 {
            ledger.take(quarter * QUARTER_MS, &counter(500.0), &RULES);
        }
        assert_eq!(ledger.energy(0, &RULES).wh_in, 400.0);
        assert_eq!(ledger.energy(1, &RULES).wh_in, 0.0);
        assert!(!ledger.energy(1, &RULES).estimated);
    }

    #[test]
    fn after_a_reset_counts_what_the_counter_shows_unless_no_node_could_have() {
        let mut ledger = NodeLedger::default();
        for (minute, value) in [(0, 1_000.0), (1, 1_010.0), (2, 5.0), (3, 8.0), (4, 5_000_000.0)] {
            ledger.take(minute * 60_000, &counter(value), &RULES);
        }
        let energy = ledger.energy(0, &RULES);
        assert_eq!(energy.wh_in, 10.0 + 5.0 + 3.0);
        assert!(energy.estimated, "a replaced counter is not silently believed");
    }

    #[test]
    fn power_is_integrated_over_short_gaps_and_not_over_long_ones() {
        let mut ledger = NodeLedger::default();
        // One sample every five minutes for an hour, then nothing for an hour, then one more.
        for sample in 0..12 {
            ledger.take(sample * 300_000, &power(600.0), &RULES);
        }
        ledger.take(8 * QUARTER_MS, &power(600.0), &RULES);
        for quarter in 0..3 {
            assert!((ledger.energy(quarter, &RULES).wh_in - 150.0).abs() < 1e-9, "{quarter}");
        }
        // The last quarter of the hour is known up to its last sample.
        assert!((ledger.energy(3, &RULES).wh_in - 600.0 * 11.0 / 60.0).abs() < 1e-9);
        assert_eq!(total(&ledger, 4..8), 0.0);
    }

    #[test]
    fn a_node_that_was_silent_longer_than_quarters_stay_open_loses_no_energy() {
        let mut ledger = NodeLedger::default();
        ledger.take(0, &counter(100.0), &RULES);
        let mut settled = 0.0;
        for quarter in 0..100 {
            settled += ledger.energy(quarter, &RULES).wh_in;
            ledger.settle(quarter, &RULES);
        }
        ledger.take(150 * QUARTER_MS, &counter(900.0), &RULES);
        assert!((settled + total(&ledger, 100..151) - 800.0).abs() < 1e-6);
    }

    proptest! {
        /// Steps of a counter at strictly rising times, cut into batches that come in any order, some
        /// of them twice: the energy over all time is the difference of the ends.
        #[test]
        fn counted_energy_is_conserved_whatever_the_order_and_repetition(
            steps in prop::collection::vec((1_i64..4_000_000, 0_u32..500_000), 2..60),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
        ) {
            let mut samples = Vec::new();
            let (mut ts, mut value) = (0, 1_000.0);
            for (span, energy) in steps {
                samples.push((ts, value));
                ts += span;
                value += f64::from(energy) / 1e3;
            }
            let mut ledger = NodeLedger::default();
            let shuffled = order.iter().map(|index| *index.get(&samples));
            for (ts, value) in shuffled.chain(samples.iter().copied()) {
                ledger.take(ts, &counter(value), &RULES);
            }
            let (first, last) = (samples[0], samples[samples.len() - 1]);
            let found = total(&ledger, 0..quarter_of(last.0) + 1);
            prop_assert!((found - (last.1 - first.1)).abs() < 1e-6, "{found}");
        }

        /// Settling old quarters, and saving in between, neither makes nor loses energy, resets included.
        #[test]
        fn settling_conserves_energy(
            steps in prop::collection::vec((1_i64..4_000_000, 0_u32..500_000, prop::bool::weighted(0.1)), 2..60),
            keep in 1_i64..20,
        ) {
            let mut whole = NodeLedger::default();
            let mut settling = NodeLedger::default();
            let (mut ts, mut value, mut settled, mut floor) = (0, 1_000.0, 0.0, 0);
            for (span, energy, is_reset) in steps {
                whole.take(ts, &counter(value), &RULES);
                settling.take(ts, &counter(value), &RULES);
                while floor < quarter_of(ts) - keep {
                    settled += settling.energy(floor, &RULES).wh_in;
                    settling.settle(floor, &RULES);
                    floor += 1;
                }
                ts += span;
                let energy = f64::from(energy) / 1e3;
                value = if is_reset { energy } else { value + energy };
                if floor % 3 == 0 {
                    let saved = serde_json::to_string(&settling).unwrap();
                    settling = serde_json::from_str(&saved).unwrap();
                }
            }
            let beyond = quarter_of(ts) + 1;
            let expected = total(&whole, 0..beyond);
            let found = settled + total(&settling, floor..beyond);
            prop_assert!((found - expected).abs() < 1e-6, "{found} of {expected}");
        }
    }
}
