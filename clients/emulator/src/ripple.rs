//! The small unrest of a household's meter within a slot of five seconds.

use memcloud_domain::Timestamp;

use crate::home::hours_between;
use crate::nodes::NODE_COUNT;
use crate::noise::signed;

/// The small unrest of a household's meter, second by second: what the plugs take more, the grid
/// feeds more. It adds up to nothing over a slot and is too small to turn either around.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ripple {
    first: f64,
    second: f64,
}

impl Ripple {
    pub(crate) fn of(home_key: u64, slot_start: Timestamp, plugs: f64, grid: f64) -> Self {
        let step = u64::from_ne_bytes(slot_start.as_millis().to_ne_bytes());
        let most = (1.0 + 0.015 * plugs).min(0.5 * plugs).min(0.5 * grid.abs());
        Self {
            first: most * signed(home_key, step),
            second: most * signed(home_key, step.wrapping_add(1)),
        }
    }

    fn watts(self) -> [f64; 5] {
        [self.first, self.second, 0.0, -self.first, -self.second]
    }

    pub(crate) fn shift(self, watts: &mut [f64; NODE_COUNT], into_slot_ms: i64) {
        let second = usize::try_from(into_slot_ms / 1_000).unwrap_or(0);
        let ripple = self.watts().get(second).copied().unwrap_or(0.0);
        let [grid, .., plugs] = watts;
        *plugs += ripple;
        *grid -= ripple;
    }

    /// What it adds to the plugs from the slot's start on, Wh.
    pub(crate) fn energy_wh(self, into_slot_ms: i64) -> f64 {
        let mut left = into_slot_ms;
        let mut energy = 0.0;
        for watts in self.watts() {
            let span = left.clamp(0, 1_000);
            energy += watts * hours_between(Timestamp(0), Timestamp(span));
            left -= span;
        }
        energy
    }
}
