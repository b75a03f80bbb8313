//! Takes commands, keeps the ledger of them, sends them, and sees what became of them.
//!
//! The [`CommandProcessor`] is whom others talk to; its child, the [`MessageTable`], is the durable
//! ledger: nothing is answered, and nothing is sent, before it is on disk. What a state means is in
//! the pure [`ledger`]; whether a command took effect is judged by the pure [`effect`] from readings.
//! Dispatch, which decides what becomes of competing wishes, is the microgrid supervisor's.

pub mod command_processor;
pub mod config;
pub mod effect;
mod fleet_budget;
pub mod ids;
mod known_hems;
pub mod ledger;
pub mod message_table;
pub mod messages;
pub mod metrics;
pub mod ports;
mod request;
mod shelves;

pub use command_processor::{CommandParts, CommandProcessor};
pub use config::{CommandsConfig, Holdings};
pub use ids::CommandIds;
pub use message_table::MessageTable;
pub use messages::{CommandsHealth, GetHealth};
pub use metrics::{CommandMetrics, Count, Histogram};
pub use ports::CommandPorts;
