//! What can go wrong at a client.

use std::path::PathBuf;

/// Why something did not work at the client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SdkError {
    /// The queue of unacknowledged readings is full; nothing was taken.
    #[error("the queue holds {held} unacknowledged readings and events, its limit")]
    QueueFull {
        /// How many it holds.
        held: usize,
    },
    /// What was handed over cannot be said in the protocol.
    #[error("not sendable: {0}")]
    NotSendable(String),
    /// The queue's file cannot be used.
    #[error("the queue's file {} cannot be used", path.display())]
    Journal {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("{what} cannot be used: {reason}")]
    Tls {
        /// Which: a path, or what it was for.
        what: String,
        /// Why.
        reason: String,
    },
}
