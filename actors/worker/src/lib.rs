//! Worker jobs and the energy apps that they run.
//!
//! An [`EnergyApp`] is a pure step over what a microgrid's HEMs sent; a [`WorkerJob`] is the actor
//! around one: it sees to it that the app gets every stored entry at least once, in order per HEM,
//! that its state and results are kept, and that an app that panics or hangs harms nobody else.

pub mod app;
pub mod apps;
pub mod catalogue;
pub mod external;
pub mod in_memory;
pub mod intake;
pub mod latest;
pub mod ledger;
pub mod messages;
pub mod ports;
mod preparation;
pub mod roster;
pub mod step_threads;
pub mod wish_queue;
pub mod worker_job;

pub use app::{About, EnergyApp, Outcome, Portion, Seen, Start, View};
pub use apps::{
    EnergyAccounting, LimitWatch, LoadPriority, PeakShaving, Schedule, SelfConsumption,
};
pub use catalogue::{AppCatalogue, AppDescription, AppError, AppFactory, RunningApp};
pub use external::{
    External, ExternalConfiguration, ExternalGate, ExternalRules, Hearing, NotAdmitted, Noticed,
};
pub use in_memory::{
    AppendEntries, GetJobOutput, InMemoryHistory, InMemoryJobs, JobOutput, PutJob, PutRoster,
};
pub use latest::{HomeNow, Latest, NodeNow, Sample};
pub use messages::{AdmitWishes, DrainJob, GetProgress, JobProgress, NoteInLog, ReadingsMissed};
pub use ports::{JobAssembly, JobLimits, WorkerPorts};
pub use roster::Roster;
pub use step_threads::StepThreads;
pub use wish_queue::WishQueue;
pub use worker_job::WorkerJob;
