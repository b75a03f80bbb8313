//! Whether what a node measures can be true: a value that stands still while others move, and a single
//! value far outside what the node can do. Pure, of a fixed size, and a comparison or two per reading
//! while nothing is odd.

use memcloud_domain::{NodeDeclaration, NodeReading, Timestamp};

/// A value may stand still for so many readings in which another node's moved …
const STILL_READINGS: u32 = 20;
/// … and for so long, ms. A sensor that measures more than one quantity always shows some unrest;
const STILL_MS: i64 = 5 * 60_000;
/// one that gives nothing but its power may hold that for longer.
const STILL_POWER_MS: i64 = 30 * 60_000;
/// Beyond so many times its rating, and so much more, W, no node goes.
const BEYOND_RATING: f64 = 2.0;
const BEYOND_RATING_WATTS: f64 = 1_000.0;
/// A node without a rating does not go beyond so many times the most that it has shown, and so much
/// more, W.
const BEYOND_SHOWN: f64 = 20.0;
const BEYOND_SHOWN_WATTS: f64 = 10_000.0;
/// What stays beyond for longer than so many readings is no spike: the node is bigger than thought.
const LONGEST_SPIKE: u8 = 2;

/// What is remembered of one node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plausibility {
    /// Since when its values stand still.
    still_since: Timestamp,
    /// The HEM's count of readings in which something moved, when its values last did.
    still_from: u32,
    is_frozen: bool,
    /// What it shows at most, W, without the sign, while it is plausible.
    most_watts: f64,
    is_rated: bool,
    /// How many readings in a row were beyond that.
    beyond: u8,
}

/// What one reading shows of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Something in it differs from the reading before.
    pub(crate) moved: bool,
    /// The values before it were a spike, which is over.
    pub(crate) spike: bool,
}

impl Plausibility {
    pub(crate) fn new(declaration: Option<&NodeDeclaration>) -> Self {
        let mut fresh = Self {
            still_since: Timestamp::default(),
            still_from: 0,
            is_frozen: false,
            most_watts: BEYOND_SHOWN_WATTS,
            is_rated: false,
            beyond: 0,
        };
        fresh.declared(declaration);
        fresh
    }

    /// What the node is said to be able to do.
    pub(crate) fn declared(&mut self, declaration: Option<&NodeDeclaration>) {
        let said = declaration.map(|node| [node.rated_watts, node.min_watts, node.max_watts]);
        let sizes = said.into_iter().flatten().flatten().map(|watts| watts.value().abs());
        let rated = sizes.fold(0.0, f64::max);
        self.is_rated = rated > 0.0;
        self.most_watts = if self.is_rated {
            rated * BEYOND_RATING + BEYOND_RATING_WATTS
        } else {
            BEYOND_SHOWN_WATTS
        };
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// Takes the next reading of the node after another. `movements` counts the HEM's readings so far in
    /// which any node moved.
    pub(crate) fn follow(
        &mut self,
        before: &NodeReading,
        after: &NodeReading,
        ts: Timestamp,
        movements: u32,
    ) -> Sight {
        let moved = has_moved(before, after);
        if moved {
            self.still_since = ts;
            // With this reading something has moved once more.
            self.still_from = movements.wrapping_add(1);
            self.is_frozen = false;
        } else {
            self.is_frozen = self.is_stuck(after, ts, movements);
        }
        Sight { moved, spike: self.is_over_a_spike(after) }
    }

    fn is_stuck(&self, reading: &NodeReading, ts: Timestamp, movements: u32) -> bool {
        if reading.watts.is_none_or(|watts| watts.value() == 0.0) || reading.on == Some(false) {
            return false;
        }
        let least_ms = if has_more_than_power(reading) { STILL_MS } else { STILL_POWER_MS };
        movements.wrapping_sub(self.still_from) >= STILL_READINGS
            && ts.as_millis().saturating_sub(self.still_since.as_millis()) >= least_ms
    }

    fn is_over_a_spike(&mut self, reading: &NodeReading) -> bool {
        let Some(watts) = reading.watts else { return false };
        let size = watts.value().abs();
        if size <= self.most_watts {
            if !self.is_rated {
                self.most_watts = self.most_watts.max(size * BEYOND_SHOWN + BEYOND_SHOWN_WATTS);
            }
            return std::mem::take(&mut self.beyond) > 0;
        }
        self.beyond += 1;
        if self.beyond > LONGEST_SPIKE {
            self.beyond = 0;
            self.most_watts = size * BEYOND_RATING;
        }
        false
    }
}

/// Whether anything that the newer reading has differs from the one before.
fn has_moved(before: &NodeReading, after: &NodeReading) -> bool {
    fn moved<T: PartialEq>(before: Option<T>, after: Option<T>) -> bool {
        after.is_some() && before != after
    }
    moved(before.watts, after.watts)
        || moved(before.volts, after.volts)
        || moved(before.hertz, after.hertz)
        || moved(before.amps, after.amps)
        || moved(before.vars, after.vars)
        || moved(before.wh_in, after.wh_in)
        || moved(before.wh_out, after.wh_out)
        || moved(before.soc, after.soc)
        || moved(before.on, after.on)
}

fn has_more_than_power(reading: &NodeReading) -> bool {
    reading.volts.is_some()
        || reading.amps.is_some()
        || reading.vars.is_some()
        || reading.hertz.is_some()
        || reading.wh_in.is_some()
        || reading.wh_out.is_some()
}

#[cfg(test)]
mod tests {
    use memcloud_domain::{NodeId, NodeKind, Volts, WattHours, Watts};
    use proptest::prelude::*;

    use super::*;

    fn rated(watts: Option<f64>) -> NodeDeclaration {
        NodeDeclaration {
            node: NodeId(3),
            name: "load".to_owned(),
            kind: NodeKind::Load,
            rated_watts: watts.map(Watts),
            min_watts: None,
            max_watts: None,
            capacity_wh: None,
            critical: None,
            priority: None,
            controls: None,
            default: None,
        }
    }

    fn power(watts: f64) -> NodeReading {
        NodeReading { watts: Some(Watts(watts)), ..NodeReading::empty(NodeId(3)) }
    }

    fn metered(watts: f64) -> NodeReading {
        NodeReading { volts: Some(Volts(240.0)), ..power(watts) }
    }

    /// Shows a node a value again and again while others move; after how many seconds it is frozen.
    fn frozen_after(reading: NodeReading, seconds: i64) -> Option<i64> {
        let mut node = Plausibility::new(None);
        let mut before = NodeReading::empty(NodeId(3));
        for (count, second) in (0_u32..).zip(0..seconds) {
            node.follow(&before, &reading, Timestamp(second * 1_000), count);
            before = reading;
            if node.is_frozen() {
                return Some(second);
            }
        }
        None
    }

    #[test]
    fn a_value_that_stands_still_while_others_move_is_frozen_after_five_minutes() {
        assert_eq!(frozen_after(metered(812.5), 4_000), Some(300));
        assert_eq!(frozen_after(power(812.5), 4_000), Some(1_800), "a set-point may be held");
    }

    #[test]
    fn what_draws_nothing_or_is_switched_off_is_not_frozen() {
        assert_eq!(frozen_after(metered(0.0), 4_000), None);
        assert_eq!(frozen_after(NodeReading { on: Some(false), ..metered(3.0) }, 4_000), None);
    }

    #[test]
    fn a_home_that_stands_still_altogether_has_no_frozen_value() {
        let mut node = Plausibility::new(None);
        for second in 0..4_000 {
            node.follow(&metered(5.0), &metered(5.0), Timestamp(second * 1_000), 7);
            assert!(!node.is_frozen());
        }
    }

    #[test]
    fn a_counter_that_grows_shows_that_a_steady_power_is_true() {
        let mut node = Plausibility::new(None);
        let mut before = metered(100.0);
        for (count, second) in (0_u32..).zip(0..4_000_i64) {
            let wh_in = Some(WattHours(f64::from(count)));
            let after = NodeReading { wh_in, ..metered(100.0) };
            node.follow(&before, &after, Timestamp(second * 1_000), count);
            before = after;
            assert!(!node.is_frozen());
        }
    }

    #[test]
    fn a_value_that_moves_again_is_frozen_no_longer() {
        let mut node = Plausibility::new(None);
        for (count, second) in (0_u32..).zip(0..400_i64) {
            node.follow(&metered(9.0), &metered(9.0), Timestamp(second * 1_000), count);
        }
        assert!(node.is_frozen());
        node.follow(&metered(9.0), &metered(9.1), Timestamp(401_000), 401);
        assert!(!node.is_frozen());
    }

    /// The readings, from 0, at which a spike was seen to be over.
    fn spikes(declaration: &NodeDeclaration, watts: &[f64]) -> Vec<usize> {
        let mut node = Plausibility::new(Some(declaration));
        let seen = watts.windows(2).enumerate().filter(|(index, pair)| {
            let count = u32::try_from(*index).unwrap();
            let ts = Timestamp(i64::from(count) * 1_000);
            node.follow(&power(pair[0]), &power(pair[1]), ts, count).spike
        });
        seen.map(|(index, _)| index + 1).collect()
    }

    #[test]
    fn a_single_value_far_beyond_the_rating_is_a_spike_once_it_is_back() {
        let kettle = rated(Some(2_000.0));
        assert_eq!(spikes(&kettle, &[0.0, 1_990.0, 90_000.0, 1_980.0, 0.0]), [3]);
        assert_eq!(spikes(&kettle, &[0.0, -90_000.0, -90_001.0, 12.0]), [3]);
        assert!(spikes(&kettle, &[0.0, 2_400.0, 0.0, 4_900.0, 0.0]).is_empty());
    }

    #[test]
    fn a_node_that_stays_beyond_its_rating_is_bigger_than_it_said() {
        let small = rated(Some(100.0));
        assert!(
            spikes(&small, &[0.0, 7_000.0, 7_010.0, 7_020.0, 7_000.0, 50.0, 7_000.0, 1.0])
                .is_empty()
        );
    }

    #[test]
    fn a_node_without_a_rating_is_measured_by_what_it_has_shown() {
        let unknown = rated(None);
        assert_eq!(spikes(&unknown, &[0.0, 40.0, 60_000.0, 41.0]), [3]);
        let charger = [0.0, 7_200.0, 7_190.0, 0.0, 11_000.0, 0.0];
        assert!(spikes(&unknown, &charger).is_empty());
    }

    proptest! {
        #[test]
        fn within_its_rating_a_node_never_spikes_and_one_that_moves_never_freezes(
            watts in prop::collection::vec(-5_000.0..5_000.0_f64, 2..200),
        ) {
            let battery = rated(Some(5_000.0));
            prop_assert!(spikes(&battery, &watts).is_empty());
            let mut node = Plausibility::new(Some(&battery));
            for (count, pair) in (0_u32..).zip(watts.windows(2)) {
                let ts = Timestamp(i64::from(count) * 60_000);
                node.follow(&power(pair[0]), &power(pair[1]), ts, count);
                prop_assert!(!node.is_frozen() || pair[0] == pair[1]);
            }
        }
    }
}
