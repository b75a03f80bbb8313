//! What processes of one cloud say to each other beside facts: commands for a HEM's socket at another
//! process, answers for the owner of its microgrid, changes of the web data. Hints too: a command that
//! does not arrive is sent again, and so is its answer; what changed is read from the store in the end.

use memcloud_domain::ProcessId;
use memcloud_domain::messages::{
    CommandAnswered, CutHem, HemChanged, HemRemoved, JobChanged, JobRemoved, MicrogridChanged,
    MicrogridRemoved, SendCommands,
};
use serde::{Deserialize, Serialize};

use crate::{BusError, Pattern};

/// The topic exchange of notes: the key says for whom.
pub const NOTES: &str = "memcloud.notes";

/// Something that a process says to others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Who says it.
    pub from: ProcessId,
    /// What.
    pub says: Says,
}

/// What a process says to others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Says {
    /// It is new here: everyone says which HEMs are connected to them.
    WhoIsConnected,
    /// This goes to a HEM that is connected there.
    Send(SendCommands),
    /// A HEM answered; whoever runs its microgrid takes it.
    Answered(CommandAnswered),
    /// A HEM's key is no longer good.
    CutHem(CutHem),
    /// A HEM was made or changed.
    HemChanged(HemChanged),
    /// A HEM was deleted.
    HemRemoved(HemRemoved),
    /// A microgrid was made or changed.
    MicrogridChanged(MicrogridChanged),
    /// A microgrid was deleted.
    MicrogridRemoved(MicrogridRemoved),
    /// A job was made or changed.
    JobChanged(JobChanged),
    /// A job was deleted.
    JobRemoved(JobRemoved),
}

/// For whom a note is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Every process, the one that says it included.
    All,
    /// One process.
    Process(ProcessId),
}

impl Audience {
    /// The routing key.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Process(process) => format!("process.{process}"),
        }
    }

    /// The pattern of a queue for it.
    ///
    /// # Errors
    /// Never, for ids are words of a key.
    pub fn pattern(&self) -> Result<Pattern, BusError> {
        self.key().parse()
    }
}
