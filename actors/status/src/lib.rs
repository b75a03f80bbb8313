//! Every HEM's status for REST and MEMWeb: online, active, the newest value of each node, totals of
//! home and microgrid, and what is odd about the data. Kept in memory alone: what is durable is the
//! historian's.

mod board;
#[cfg(test)]
mod board_tests;
mod hem_record;
pub mod messages;
mod plausibility;
pub mod settings;
pub mod status_monitor;
mod totals;

pub use messages::{
    ForgetHem, GetHemStatus, GetMicrogridStatus, ListHemStatuses, ListMicrogridStatuses,
    MicrogridStatus, StatusPage,
};
pub use settings::StatusSettings;
pub use status_monitor::StatusMonitor;
