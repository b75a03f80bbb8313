//! The ledger without disk and actors: what states mean ([`machine`]), what is kept in memory
//! ([`book`]), what is done to it ([`operation`]), and what goes into which transaction
//! ([`journal`]).

pub(crate) mod book;
pub(crate) mod journal;
pub mod machine;
pub(crate) mod operation;

pub use machine::{CommandEvent, Finding, step};
