//! Several members of a cluster on one web store, in real time with short leases: its clock is the
//! database's, which nobody simulates.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod members;
mod neighbours;
mod notes;
