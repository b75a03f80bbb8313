//! A fleet of HEMs with the physics of real homes.
//!
//! [`dataset`] holds a recorded year of homes, [`profile`] lays it on today's calendar and makes
//! further homes from it, [`home`] turns that into the readings of eight nodes at any moment.
//! All of this is pure: the same seed and moments give the same readings, in real time, in simulated time
//! and for a back-fill.

pub mod battery;
pub mod calendar;
pub mod dataset;
pub mod error;
pub mod home;
mod measurement;
pub mod nodes;
mod noise;
pub mod profile;
mod shape;
mod split;

pub use dataset::{Conditions, Dataset};
pub use error::EmulatorError;
pub use home::{Home, HomeState};
pub use nodes::{NODE_COUNT, declarations};
pub use profile::HomeProfile;
