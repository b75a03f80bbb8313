//! What can go wrong at a client.

use std::path::PathBuf;

use memcloud_rest::Problem;

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
    /// The cloud answered with a problem; programs go by its `code`.
    #[error("{} ({}): {}", .0.title, .0.code, .0.detail)]
    Problem(Box<Problem>),
    /// No whole answer came. What was asked for may or may not have been done.
    #[error("no answer from {url}: {reason}")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why, as far as it is known.
        reason: String,
    },
    /// An answer came that no MEMCloud of this version gives.
    #[error("{url} did not answer as MEMCloud does: {reason}")]
    UnexpectedAnswer {
        /// What was asked.
        url: String,
        /// What is odd about it.
        reason: String,
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

impl SdkError {
    /// The stable code of a problem that the cloud answered.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            _ => None,
        }
    }
}
