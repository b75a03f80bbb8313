//! The emulator's tests, one binary.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod commands;
mod fleet;
mod orders;
mod physics;
mod stand_in_cloud;
