//! API tokens: what programs and the command line sign in with.

use memcloud_domain::{Access, Timestamp};
use uuid::Uuid;

use super::SecretHash;

/// An API token, as kept: without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id.
    pub id: Uuid,
    /// Its name, for people.
    pub name: String,
    /// What it may do.
    pub access: Access,
    /// When it was made.
    pub created: Timestamp,
}

/// An API token to be made.
#[derive(Debug, Clone)]
pub struct NewApiToken {
    /// Its id.
    pub id: Uuid,
    /// Its name, for people.
    pub name: String,
    /// The token's hash.
    pub hash: SecretHash,
    /// What it may do.
    pub access: Access,
    /// When.
    pub created: Timestamp,
}
