//! Why a store did not do what was asked. What matters to a caller is [`StoreError::is_temporary`]:
//! ask again later, or give up.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// Why a store did not do what was asked. Unless a variant says otherwise, nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be used now: its disk is full, the file is read-only or locked, the server
    /// does not answer. What was asked may be asked again.
    #[error("{what} is away: {reason}")]
    Away {
        /// Which store: `iot store`, `web store`.
        what: &'static str,
        /// Why, as the engine says it.
        reason: String,
        /// The engine's error, where there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// What was asked contradicts what is stored: a unique or foreign key.
    #[error("{what} refused: {reason}")]
    Conflict {
        /// What was to be written.
        what: &'static str,
        /// Which constraint.
        reason: String,
    },
    /// There is no such thing.
    #[error("there is no {what} \"{id}\"")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Which one.
        id: String,
    },
    /// What is stored cannot be understood.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// Which row or payload.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was not opened: it is of a newer version, or a migration failed.
    #[error("cannot bring {path} up to date: {reason}")]
    Migration {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A value that this store cannot hold.
    #[error("{what} is not valid: {reason}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same request may succeed later without anybody changing it.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// Sorts an error of Diesel's: a constraint is a conflict; whatever else an engine says (full,
    /// read-only, locked, I/O, connection lost) may pass.
    #[must_use]
    pub fn from_diesel(what: &'static str, error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(
                DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::ForeignKeyViolation
                | DatabaseErrorKind::NotNullViolation
                | DatabaseErrorKind::CheckViolation
                | DatabaseErrorKind::RestrictViolation,
                information,
            ) => Self::Conflict { what, reason: information.message().to_owned() },
            DieselError::NotFound => Self::NotFound { what, id: String::new() },
            DieselError::DeserializationError(cause) => {
                Self::Damaged { what: what.to_owned(), reason: cause.to_string() }
            }
            other => Self::Away { what, reason: other.to_string(), source: Some(Box::new(other)) },
        }
    }
}

/// So that `?` works in a Diesel transaction; the adapter names the store at its edge.
impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        Self::from_diesel("store", error)
    }
}
