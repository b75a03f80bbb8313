//! Dispatch as a whole: what is ordered, what is refused, and what `why` says, with a ledger that
//! takes everything.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

mod budgets;
mod claims;
mod house;
mod limits;
mod lives;
mod properties;
mod sentences;
