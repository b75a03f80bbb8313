//! The operator, its supervisors and their jobs, each test in a world of its own; with paused time, but
//! for `draining`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as tests do")]

mod draining;
mod jobs;
mod ledger;
mod operator;
mod shared;
mod steering;
mod support;
