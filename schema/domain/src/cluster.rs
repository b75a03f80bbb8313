//! Several equal processes that run one cloud, and which of them runs which microgrid.

use serde::{Deserialize, Serialize};

use crate::{Epoch, MicrogridId, ProcessId};

/// A process's right to run a microgrid: to decide on its commands, and to step its jobs. Whoever takes
/// it over has a higher epoch, and nothing that is written under the lower one counts from then on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tenure {
    /// Which microgrid.
    pub microgrid: MicrogridId,
    /// Whose right it is.
    pub process: ProcessId,
    /// The how-manieth owner this is; of one microgrid it only grows.
    pub epoch: Epoch,
}

/// Who runs a microgrid, as a process of the cloud sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This process.
    Here,
    /// Another one.
    There {
        /// Which.
        process: ProcessId,
        /// Where its REST API answers other processes: `host:port`.
        address: String,
    },
    /// Nobody at present; somebody takes it on within seconds.
    Nobody,
}
