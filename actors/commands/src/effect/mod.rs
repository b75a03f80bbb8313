//! Whether a command took effect, judged by the readings that follow its result; and, once its lease is
//! over, whether the node fell back. Pure: what a reading says is in [`expectation`], what several say
//! together in [`observation`], and which commands are looked at when in [`watches`].

pub mod expectation;
pub mod observation;
pub(crate) mod watches;

pub use expectation::{Expectation, Look};
pub use observation::Observation;
