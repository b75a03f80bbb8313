//! The energy apps that come with MEMCloud.

mod calendar;
pub mod energy_accounting;
pub mod limit_watch;
pub mod load_priority;
pub mod peak_shaving;
pub mod schedule;
pub mod self_consumption;
pub mod steering;
pub(crate) mod terms;

pub use energy_accounting::EnergyAccounting;
pub use limit_watch::LimitWatch;
pub use load_priority::LoadPriority;
pub use peak_shaving::PeakShaving;
pub use schedule::Schedule;
pub use self_consumption::SelfConsumption;
