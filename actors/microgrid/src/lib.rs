//! A supervisor per microgrid: it owns the microgrid's message bus and a worker job for each energy
//! app that runs there.

pub mod assembly;
pub mod error;
pub mod jobs;
pub mod messages;
pub mod microgrid_bus;
pub mod microgrid_supervisor;

pub use assembly::{MicrogridAssembly, MicrogridLimits, MicrogridPorts};
pub use error::MicrogridError;
pub use messages::{
    AssignJob, GetJob, HappenedInMicrogrid, JobStanding, ListJobs, RemoveJob, StartJob, StopJob,
};
pub use microgrid_bus::MicrogridBus;
pub use microgrid_supervisor::MicrogridSupervisor;
