//! The client side of MEMCloud: [`hem`] is a HEM with its unacknowledged queue; typed REST and the
//! live feed are for those who watch and steer.

pub mod error;
pub mod hem;

pub use error::SdkError;
