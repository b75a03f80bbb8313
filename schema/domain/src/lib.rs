//! What is said in MEMCloud: ids, quantities with their units, readings, events, statuses, and
//! the public messages between its actors. No behaviour, no I/O, no actix but behind the feature
//! `actix`, which makes the messages `actix::Message`s.

pub mod access;
pub mod cluster;
#[cfg(feature = "actix")]
mod cluster_messages;
pub mod command;
#[cfg(feature = "actix")]
mod command_messages;
pub mod entry;
pub mod ids;
pub mod job;
#[cfg(feature = "actix")]
pub mod messages;
pub mod node;
pub mod quantities;
pub mod query;
pub mod reading;
pub mod secret;
pub mod series;
pub mod status;
pub mod time;

pub use access::{Access, Role};
pub use cluster::{Owner, Tenure};
pub use command::{
    Asker, Claim, ClaimFate, CommandAction, CommandOutcome, CommandRecord, CommandRequest,
    CommandState, Evidence, NodeWhy, Setting, SettingWhy, Sighting, Transition, Wish,
};
pub use entry::{Entry, HemEvent, Refusal, RefusalCode};
pub use ids::{CommandId, Epoch, HemId, InvalidId, JobId, MicrogridId, NodeId, ProcessId, Seq};
pub use job::{JobCheckpoint, JobLogLevel, JobLogLine, JobRecord, JobResult, JobState};
pub use node::{DefaultState, NodeAction, NodeDeclaration, NodeKind};
pub use quantities::{
    Amps, Hertz, PowerLimits, Quantity, StateOfCharge, Vars, Volts, WattHours, Watts, is_credible,
};
pub use query::{HemBatch, HemMark, Order, Page, SeriesSubject, SessionOpened, TimeRange};
pub use reading::{NodeReading, Reading};
pub use secret::Secret;
pub use series::{Resolution, Series, SeriesPoint};
pub use status::{HemStatus, NodeStatus, PowerTotals, QualityFlag};
pub use time::Timestamp;
