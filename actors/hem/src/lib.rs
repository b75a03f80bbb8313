//! The IoT unit: accepts HEMs over TLS, finds out who they are, and takes what they send to the
//! historian. One actor per socket, a thin shell over a pure session; a table of who is connected,
//! in which a later connection wins. What the store does with a reading is not its business: it
//! learns through a watch how far readings are durable, and acknowledges that. Nor what a command is
//! for: it passes commands to the HEM that is connected, and its answers back.

mod admission;
mod config;
mod conversation;
mod error;
mod hem_listener;
mod hem_socket;
mod metrics;
mod ports;
mod presence;
mod proxy_header;
mod session;
mod shared;
mod socket_table;
mod tls;
mod unit;

pub use config::{HemConfig, TlsFiles};
pub use error::HemError;
pub use hem_listener::HemListener;
pub use hem_socket::HemSocket;
pub use metrics::{Counter, Gauge, HemMetrics, Sample, SampleKind};
pub use ports::{HemPorts, StoreHealth};
pub use socket_table::{ListConnectedHems, SocketTable};
pub use unit::HemUnit;
