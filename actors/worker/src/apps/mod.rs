//! The energy apps that come with MEMCloud.

pub mod energy_accounting;
pub mod limit_watch;

pub use energy_accounting::EnergyAccounting;
pub use limit_watch::LimitWatch;
