//! The Chief Microgrid Operator: it creates one supervisor per microgrid, when the microgrid's first
//! HEM sends data or its first command or job comes, and passes on what concerns it.
//!
//! It needs no database and no HTTP: whom it asks is given as ports, and [`Standalone`] answers them
//! all from memory, so that any actix program can run energy apps in a few lines.

pub mod chief_microgrid_operator;
pub mod messages;
pub mod standalone;

pub use chief_microgrid_operator::{
    ChiefMicrogridOperator, OperatorAssembly, OperatorLimits, OperatorPorts,
};
pub use messages::{ListMicrogridSupervisors, RemoveMicrogrid, SupervisorStanding};
pub use standalone::Standalone;
