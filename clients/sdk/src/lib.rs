//! The client side of MEMCloud: [`rest`] is the typed REST API, [`live`] the live feed, and [`hem`] a
//! HEM with its unacknowledged queue, for makers of devices, fleets and tests.

mod backoff;
pub mod error;
pub mod hem;
pub mod live;
pub mod rest;

pub use error::SdkError;
