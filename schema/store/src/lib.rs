//! Where MEMCloud keeps things: the ports that actors write to and ask, and their adapters. The
//! telemetry store (`iot.db`) holds what HEMs measured; the registry (`web.db`, or a MySQL server) who they are.
//! Everything here blocks: actors call it on blocking threads.

pub mod error;
mod migrating;
pub mod registry;
pub mod sqlite;
pub mod telemetry;

pub use error::StoreError;
