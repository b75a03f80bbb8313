//! REST, the live feed, health and metrics. Handlers are thin: their signature says what they ask of
//! the caller and of the request, they put a question to an actor, and shape its answer.

mod accept;
mod caller;
mod command_check;
mod csv;
mod cursor;
pub mod error;
mod extract;
pub mod handles;
mod health;
mod idempotency;
mod live;
mod metrics;
mod openapi;
mod owner;
mod rate;
mod routes;
mod server;
mod state;
#[cfg(test)]
mod tests;
mod waiting;

pub use error::{ApiError, ErrorCode};
pub use handles::{
    ClusterPorts, CommandPorts, DispatchPorts, Handles, HealthProbe, HistorianPorts,
    RegistrarPorts, StatusPorts,
};
pub use openapi::openapi;
pub use server::{ApiServer, serve};

/// The base of all paths of this version.
pub(crate) const BASE: &str = "/api/v1";
