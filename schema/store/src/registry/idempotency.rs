//! What is kept of a POST with an `Idempotency-Key`, so that sending it again does nothing twice.

use std::time::Duration;

use memcloud_domain::Timestamp;

/// Whose key it is: keys of different callers never meet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyScope {
    /// The caller, e.g. the id of its API token.
    pub principal: String,
    /// The key that it chose, at most 255 characters.
    pub key: String,
}

/// A POST that carries a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentRequest {
    /// Whose key it is.
    pub scope: IdempotencyScope,
    /// SHA-256 over method, path and body: the same key with another one is a mistake.
    pub fingerprint: [u8; 32],
}

/// How a POST with a key is to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beginning {
    /// It is new: do it, then keep the answer.
    Fresh,
    /// It was done: give the same answer.
    Replay(IdempotentAnswer),
    /// The key was used for something else: 422.
    Conflict,
    /// It was done, and the answer carried a secret, which is not kept: 409 `secret-shown`.
    SecretShown {
        /// The id of what was made.
        id: String,
    },
    /// The first one is still being done: 409, ask again later.
    InProgress,
}

/// What was answered to a POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotentAnswer {
    /// An answer that may be given again.
    Body {
        /// The HTTP status.
        status: u16,
        /// The content type.
        content_type: String,
        /// The `Location`, if there was one.
        location: Option<String>,
        /// The body.
        body: String,
    },
    /// An answer that carried a secret: only the id of what was made is kept.
    Secret {
        /// The id of what was made.
        id: String,
    },
}

/// How long and how much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyLimits {
    /// How long an answer is kept.
    pub keep: Duration,
    /// How long a POST may take; after that it counts as never begun.
    pub lease: Duration,
    /// How many are kept, the newest.
    pub most: usize,
}

impl Default for IdempotencyLimits {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(24 * 60 * 60),
            lease: Duration::from_secs(60),
            most: 100_000,
        }
    }
}
