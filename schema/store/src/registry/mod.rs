//! The web data: microgrids, HEMs and their keys, tokens, jobs with their results and logs, the
//! answers kept for idempotency keys, the command ledger, and the rows of a cluster. `Registry` is the port,
//! `CommandStore` that of the ledger, `ClusterStore` that of a cluster, `SqlRegistry` the adapter of all on a
//! SQLite file (`web.db`) or, with the feature
//! `mysql`, on a MySQL or MariaDB server. What is kept is one file per table, written once for both; the
//! rules of admission are pure, in `admission`.
//! A row that is found by what is unique to it is read by `get_result` and not by `first`, which binds a
//! `LIMIT`: SQLite prepares a statement anew whenever a bound limit may have changed its plan.
//!
//! Nothing in here makes a secret or reads a clock: hashes, ids and moments are given in.

pub mod admission;
pub mod api_token;
mod cluster;
pub mod cluster_store;
mod command;
mod command_openness;
pub mod command_store;
mod command_updates;
mod connection;
mod dialect;
mod engine;
pub mod enrolment_token;
pub mod error;
pub mod hem;
pub mod idempotency;
pub mod job;
pub mod job_log;
pub mod job_result;
mod log_carrier;
pub mod microgrid;
#[cfg(feature = "mysql")]
mod mysql;
pub mod paging;
mod pool;
pub mod port;
mod schema;
pub mod secret_hash;
#[cfg(feature = "mysql")]
mod silence_watch;
pub mod sql_registry;
#[cfg(test)]
mod tests;
pub mod web_store_address;

pub use admission::{Arrival, ArrivalAnswer, Proof};
pub use api_token::{ApiToken, NewApiToken};
pub use cluster_store::{Beat, Claimed, ClusterStore, OwnerRow, ProcessRow, Pulse};
pub use command_store::{CommandFilter, CommandStore};
pub use enrolment_token::{EnrolmentToken, NewEnrolmentToken};
pub use error::RegistryError;
pub use hem::{Hem, HemChange, KeyState, NewHem};
pub use idempotency::{
    Beginning, IdempotencyLimits, IdempotencyScope, IdempotentAnswer, IdempotentRequest,
};
pub use job::{CheckpointToSave, JobChange, NewJob, Saved};
pub use job_log::NumberedLogLine;
pub use job_result::{InvalidCursor, ResultCursor, ResultPage, ResultQuery};
pub use microgrid::{Microgrid, MicrogridChange, NewMicrogrid};
pub use paging::{Listing, PageRequest};
pub use port::Registry;
pub use secret_hash::SecretHash;
pub use sql_registry::SqlRegistry;
pub use web_store_address::{InvalidAddress, WebStoreAddress, without_password};
