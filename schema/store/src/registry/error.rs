//! Why the registry did not do what it was asked. REST answers 404, 409, 422 and 503 by these.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use memcloud_domain::MicrogridId;

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
    #[error(
        "there is already a {what} \"{id}\"; choose another id, or change the one that is there"
    )]
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
    /// Another process of the cluster runs the microgrid now: nothing was written.
    #[error("microgrid {microgrid} is run by another process now; nothing was written")]
    Fenced {
        /// Which microgrid.
        microgrid: MicrogridId,
    },
    /// Others change the same rows at this moment. The adapter undoes what it did and does it again, a
    /// bounded number of times, and then says `Unavailable`: no caller sees this.
    #[error("the web store is busy: {reason}")]
    Contended {
        /// What was in the way, as the engine says it.
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

impl RegistryError {
    /// There is no such thing.
    pub(crate) fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }

    /// The error as callers know it: they do not hear who was in the way of whom.
    pub(crate) fn said_to_callers(self) -> Self {
        match self {
            Self::Contended { reason } => Self::Unavailable { reason },
            other => other,
        }
    }

    /// A row, or a part of it, cannot be read.
    pub(crate) fn corrupt(what: &'static str, id: &str, reason: impl ToString) -> Self {
        Self::Corrupt { what, id: id.to_owned(), reason: reason.to_string() }
    }

    /// What it means that a row could not be inserted: that it is there already, or that the microgrid
    /// it belongs to is not.
    pub(crate) fn of_insert(
        error: DieselError,
        what: &'static str,
        id: &str,
        microgrid: Option<&str>,
    ) -> Self {
        match (error, microgrid) {
            (DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _), _) => {
                Self::AlreadyExists { what, id: id.to_owned() }
            }
            (
                DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _),
                Some(microgrid),
            ) => Self::not_found("microgrid", microgrid),
            (other, _) => Self::from(other),
        }
    }
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged { what, reason } => Self::Corrupt { what: "row", id: what, reason },
            StoreError::Away { reason, .. } => Self::Unavailable { reason },
            other => Self::Unavailable { reason: other.to_string() },
        }
    }
}

/// Whether an error says that others were in the way. A key that was not there when it was looked for,
/// or was, is that as well: who expects it handles it. The words are MySQL's for a deadlock and for a lock
/// that was waited for too long, which Diesel does not tell from others everywhere.
fn is_contention(error: &DieselError) -> bool {
    let DieselError::DatabaseError(kind, information) = error else { return false };
    match kind {
        DatabaseErrorKind::SerializationFailure
        | DatabaseErrorKind::UniqueViolation
        | DatabaseErrorKind::ForeignKeyViolation => true,
        _ => information.message().contains("try restarting transaction"),
    }
}

/// So that `?` works in a transaction. What is not about a row is about the database.
impl From<DieselError> for RegistryError {
    fn from(error: DieselError) -> Self {
        match error {
            error if is_contention(&error) => Self::Contended { reason: error.to_string() },
            DieselError::DeserializationError(cause) => {
                Self::Corrupt { what: "row", id: "?".to_owned(), reason: cause.to_string() }
            }
            other => Self::Unavailable { reason: other.to_string() },
        }
    }
}
