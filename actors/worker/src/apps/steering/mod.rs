//! What apps that steer have in common: what they wished last, what a battery can do, how a total is
//! shared, which loads are shed, and of which homes too little is known. All of it pure.

mod battery;
mod peak_day;
mod picture;
mod share;
mod shed_orders;
mod shedding;
mod sight;
mod standing;

pub use battery::{Battery, Room, SocWindow, power_range, reads_as_battery};
pub(crate) use peak_day::{MICROGRID, Measured, PEAK_DAY, PeakDay};
pub(crate) use picture::{Lens, Picture};
pub use share::share;
pub use shed_orders::{LOAD_SHED, ShedOrders};
pub use shedding::{Change, Load, Shed, ShedRules, Shedding, sheddable};
pub(crate) use sight::Darkness;
pub use sight::{Sight, named};
pub use standing::Standing;

/// Powers are wished in steps of this, W: below it a change is noise.
pub const STEP_WATTS: f64 = 10.0;

/// The priority of a load that declares none.
pub const USUAL_PRIORITY: i32 = 50;

/// A power of the next step below, towards zero.
#[must_use]
pub fn rounded_down(watts: f64) -> f64 {
    // No minus zero: it would read as another setting.
    (watts / STEP_WATTS).trunc() * STEP_WATTS + 0.0
}

/// A power of the next step above, away from zero.
#[must_use]
pub fn rounded_up(watts: f64) -> f64 {
    (watts.abs() / STEP_WATTS - 1e-9).ceil().max(0.0) * STEP_WATTS * watts.signum() + 0.0
}
