//! The SDK as its users see it: a HEM against a model of the cloud that speaks the real protocol.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod commands;
mod disk;
mod model;
mod numbers;
mod rest;
mod session;
