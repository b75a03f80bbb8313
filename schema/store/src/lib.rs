//! Where MEMCloud keeps things: the ports that actors write to and ask, and their adapters. The
//! telemetry store (`iot.db`) holds what HEMs measured; the registry (`web.db`) who they are.
//! Everything here blocks: actors call it on blocking threads.

pub mod error;
pub mod registry;
pub mod sqlite;
pub mod telemetry;

pub use error::StoreError;
