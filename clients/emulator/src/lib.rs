//! A fleet of HEMs with the physics of real homes.
//!
//! [`dataset`] holds a recorded year of homes, [`profile`] lays it on today's calendar and makes
//! further homes from it, [`home`] turns that into the readings of eight nodes at any moment.
//! All of this is pure: the same seed and moments give the same readings, in real time, in simulated
//! time and for a back-fill. [`fleet`] connects thousands of them to a cloud.

pub mod battery;
pub mod bench;
pub mod calendar;
pub mod clock;
pub mod dataset;
pub mod error;
pub mod fleet;
pub mod home;
mod hour_plan;
pub mod keyring;
pub mod local_api;
mod measurement;
pub mod misbehaviour;
pub mod nodes;
mod noise;
pub mod orders;
pub mod profile;
mod ripple;
mod shape;
mod split;

pub use battery::{Battery, BatteryRule};
pub use dataset::{Conditions, Dataset};
pub use error::EmulatorError;
pub use fleet::{Backfill, Fleet, FleetConfig, FleetProgress, record_path};
pub use home::{Home, HomeState};
pub use misbehaviour::Misbehaviour;
pub use nodes::{NODE_COUNT, declarations};
pub use orders::{OVERRIDE, Orders};
pub use profile::HomeProfile;
