//! What the limits of a home and of the microgrid leave for a node: the import that is measured, plus
//! what was ordered and does not show yet. A claim counts what goes before it and its equals in full,
//! and what goes behind it as far as that could be cut.

use std::collections::BTreeMap;

use memcloud_domain::{HemId, PowerLimits, Watts};

use super::claim::Class;
use super::decision::Room;
use super::envelope::{Bound, Flow};

/// How a node that something was ordered of departs from what is measured, W.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Departure {
    /// By how much the import may rise yet.
    pub up: f64,
    /// The same, were the order cut in favour of another.
    pub up_if_cut: f64,
    /// By how much it may fall yet; zero or less.
    pub down: f64,
    /// The same, were the order cut.
    pub down_if_cut: f64,
}

impl Departure {
    /// Of a node that is to come to a power, and measures another.
    #[must_use]
    pub fn of(target: f64, measured: f64) -> Self {
        let up = (target - measured).max(0.0);
        let down = (target - measured).min(0.0);
        Self {
            up,
            up_if_cut: if target > 0.0 { -measured.max(0.0) } else { up },
            down,
            down_if_cut: if target < 0.0 { -measured.min(0.0) } else { down },
        }
    }

    fn plus(self, other: Self, sign: f64) -> Self {
        Self {
            up: self.up + sign * other.up,
            up_if_cut: self.up_if_cut + sign * other.up_if_cut,
            down: self.down + sign * other.down,
            down_if_cut: self.down_if_cut + sign * other.down_if_cut,
        }
    }
}

/// Departures by the class of who ordered them.
#[derive(Debug, Clone, Default)]
pub struct Departures {
    by_class: BTreeMap<Class, (usize, Departure)>,
}

impl Departures {
    /// Counts one in.
    pub fn add(&mut self, class: Class, departure: Departure) {
        let (count, sum) = self.by_class.entry(class).or_default();
        *count += 1;
        *sum = sum.plus(departure, 1.0);
    }

    /// Counts one out.
    pub fn remove(&mut self, class: Class, departure: Departure) {
        let Some((count, sum)) = self.by_class.get_mut(&class) else { return };
        *sum = sum.plus(departure, -1.0);
        *count = count.saturating_sub(1);
        if *count == 0 {
            // With the last one what rounding left behind goes too.
            self.by_class.remove(&class);
        }
    }

    /// By how much the import may rise and fall yet, as a claim of a class has to count it.
    #[must_use]
    pub fn seen_by(&self, class: Class) -> (f64, f64) {
        let mut seen = (0.0, 0.0);
        for (whose, (_, sum)) in &self.by_class {
            let (up, down) =
                if *whose >= class { (sum.up, sum.down) } else { (sum.up_if_cut, sum.down_if_cut) };
            seen = (seen.0 + up, seen.1 + down);
        }
        seen
    }

    /// By how much the import may rise and fall yet, all in all.
    #[must_use]
    pub fn in_all(&self) -> (f64, f64) {
        let sums = self.by_class.values();
        sums.fold((0.0, 0.0), |(up, down), (_, sum)| (up + sum.up, down + sum.down))
    }
}

/// Narrows a room by the limits of a home (`hem` named) or of the microgrid. `without` is the import
/// without the node that is asked about, `(up, down)` what others may still add to it.
pub fn narrow(
    room: &mut Room,
    limits: PowerLimits,
    hem: Option<&HemId>,
    without: f64,
    (up, down): (f64, f64),
) {
    let bound = |flow: Flow, watts: f64| match hem {
        Some(hem) => Bound::Home { hem: hem.clone(), flow, watts },
        None => Bound::Microgrid { flow, watts },
    };
    if let Some(limit) = limits.import_watts.map(Watts::value) {
        let high = limit - (without + up);
        if room.high.as_ref().is_none_or(|(known, _)| high < *known) {
            room.high = Some((high, bound(Flow::Import, limit)));
        }
    }
    if let Some(limit) = limits.export_watts.map(Watts::value) {
        let low = -limit - (without + down);
        if room.low.as_ref().is_none_or(|(known, _)| low > *known) {
            room.low = Some((low, bound(Flow::Export, limit)));
        }
    }
}

/// Whether there is any limit.
#[must_use]
pub fn limits_something(limits: PowerLimits) -> bool {
    limits.import_watts.is_some() || limits.export_watts.is_some()
}
