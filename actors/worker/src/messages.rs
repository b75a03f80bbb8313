//! What a `MicrogridSupervisor` says to its jobs.

use actix::Message;
use memcloud_domain::messages::{JobWished, Unavailable};
use memcloud_domain::{HemId, NodeId, Timestamp, Wish};
use serde::{Deserialize, Serialize};

use crate::{Hearing, NotAdmitted};

/// Its `MicrogridSupervisor` has a job saved before it is stopped: it takes nothing more, finishes its
/// step, saves. Answers once that is done, or could not be.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Unavailable>")]
pub struct DrainJob;

/// Its `MicrogridSupervisor` asks a job how far it is.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "JobProgress")]
pub struct GetProgress;

/// The `ChiefMicrogridOperator` tells its supervisors, and they their jobs, that the bus lost hints:
/// jobs look in the store now, not within five seconds. May be lost.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct ReadingsMissed;

/// Its `MicrogridSupervisor` has a job of the app `external` admit what its program submitted; without
/// wishes that is a sign of life. Answers what dispatch is to weigh, leases cut to what they may be.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<JobWished, NotAdmitted>")]
pub struct AdmitWishes {
    /// What the program wants.
    pub wishes: Vec<Wish>,
    /// Nodes of which it wants nothing any more; taken before the wishes.
    pub withdrawn: Vec<(HemId, NodeId)>,
}

/// Its `MicrogridSupervisor` has a line of warning written into a job's log. May be lost.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct NoteInLog {
    /// The line.
    pub text: String,
}

/// How far a job is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobProgress {
    /// Whether its app has seen everything that is known to be stored.
    pub caught_up: bool,
    /// HEMs of which more is stored than its app has seen.
    pub behind: usize,
    /// Entries that wait for the next step.
    pub backlog: usize,
    /// Entries that its app has seen since this life began.
    pub seen: u64,
    /// Steps since this life began.
    pub steps: u64,
    /// When it was saved last, in this life.
    pub saved: Option<Timestamp>,
    /// Why the life before this one ended.
    pub last_failure: Option<String>,
    /// Of a job of the app `external`: whether its program is heard of.
    pub hearing: Option<Hearing>,
}
