//! Why the registry did not do what it was asked. REST answers 404, 409, 422 and 503 by these.

use crate::StoreError;

/// Why the registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// There is no such thing.
    #[error("there is no {what} \"{id}\"")]
    NotFound {
        /// What was looked for: `microgrid`, `hem`, `job`, …
        what: &'static str,
        /// The id that was given.
        id: String,
    },
    /// There is one already.
    #[error("there is already a {what} \"{id}\"; choose another id, or change the one that is there")]
    AlreadyExists {
        /// What was to be made.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// What was given cannot be right.
    #[error("{what}: {reason}")]
    Invalid {
        /// Which field.
        what: &'static str,
        /// Why it cannot be, and what can.
        reason: String,
    },
    /// Others depend on it.
    #[error("the {what} \"{id}\" still has {by}; delete those first")]
    InUse {
        /// What was to be deleted.
        what: &'static str,
        /// Its id.
        id: String,
        /// What depends on it, e.g. `3 HEMs and 1 job`.
        by: String,
    },
    /// There are as many as there may be.
    #[error("there are already {limit} {what}; delete some first")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The database cannot be used now, or no one is free to ask it: nothing was done, ask again later.
    #[error("the web store is away: {reason}")]
    Unavailable {
        /// Why, as far as it is known.
        reason: String,
    },
    /// A row cannot be read: someone must look.
    #[error("the {what} \"{id}\" cannot be read from the web store: {reason}")]
    Corrupt {
        /// Of what.
        what: &'static str,
        /// Its id.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable { reason: error.to_string() }
    }
}

impl From<diesel::result::Error> for RegistryError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Unavailable { reason: error.to_string() }
    }
}

impl From<diesel::r2d2::PoolError> for RegistryError {
    fn from(error: diesel::r2d2::PoolError) -> Self {
        Self::Unavailable { reason: error.to_string() }
    }
}
