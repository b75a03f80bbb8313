//! Enrolment tokens: with one, HEMs without a key join a microgrid.

use memcloud_domain::{MicrogridId, Timestamp};
use uuid::Uuid;

use super::SecretHash;

/// An enrolment token, as kept: without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    /// Its id.
    pub id: Uuid,
    /// Which microgrid it leads into.
    pub microgrid: MicrogridId,
    /// How many HEMs may enrol with it.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// From when on it is worthless.
    pub expires: Timestamp,
    /// When it was made.
    pub created: Timestamp,
}

/// An enrolment token to be made.
#[derive(Debug, Clone)]
pub struct NewEnrolmentToken {
    /// Its id.
    pub id: Uuid,
    /// Which microgrid it leads into.
    pub microgrid: MicrogridId,
    /// The token's hash.
    pub hash: SecretHash,
    /// How many HEMs may enrol with it.
    pub uses: u32,
    /// From when on it is worthless.
    pub expires: Timestamp,
    /// When.
    pub created: Timestamp,
}
