//! A supervisor per microgrid: it owns the microgrid's message bus and a worker job for each energy
//! app that runs there, and dispatches what they, people and the home itself want of its nodes.

pub mod assembly;
pub mod dispatch;
pub mod error;
mod homes;
pub mod jobs;
pub mod messages;
pub mod microgrid_bus;
pub mod microgrid_supervisor;
mod steering;

pub use assembly::{MicrogridAssembly, MicrogridLimits, MicrogridPorts};
pub use dispatch::{DispatchCounts, DispatchLimits};
pub use error::MicrogridError;
pub use messages::{
    AssignJob, ExplainNodes, GetJob, HappenedInMicrogrid, JobStanding, ListJobs, RemoveJob,
    StartJob, StopJob, SubmitWishes, WishRefused, WishesTaken,
};
pub use microgrid_bus::MicrogridBus;
pub use microgrid_supervisor::MicrogridSupervisor;
