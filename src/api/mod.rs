//! REST, the live feed, health and metrics. Handlers are thin: their signature says what they ask of
//! the caller and of the request, they put a question to an actor, and shape its answer.

mod accept;
mod csv;
mod cursor;
pub mod error;
mod extract;
pub mod handles;

pub use error::{ApiError, ErrorCode};
pub use handles::{Handles, HealthProbe, HistorianPorts, RegistrarPorts};
