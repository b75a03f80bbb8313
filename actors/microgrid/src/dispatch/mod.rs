//! Dispatch: what people, jobs and the home itself want of each node becomes at most one command per
//! node and kind of setting, and a sentence that says why. A pure core: no actor, no clock, no I/O.

pub mod counts;
pub mod limits;

pub use counts::DispatchCounts;
pub use limits::DispatchLimits;
