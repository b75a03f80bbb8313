//! HEMs, their device keys and what they declared.

use memcloud_domain::{HemId, MicrogridId, NodeDeclaration, Timestamp};

use super::SecretHash;

/// How a HEM's device key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Made, but never used: an enrolment of the same id may still replace it.
    Pending,
    /// The HEM has shown who it is at least once: only an admin changes its key.
    Established,
    /// Revoked: until it is rotated nobody comes in under this id, not by certificate either.
    Revoked,
}

impl KeyState {
    /// The state's name in REST.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Established => "established",
            Self::Revoked => "revoked",
        }
    }
}

/// A HEM, as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Hem {
    /// Its id.
    pub id: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// Its name, for people.
    pub name: String,
    /// When it was registered or enrolled.
    pub created: Timestamp,
    /// Its firmware, as it named it last.
    pub firmware: Option<String>,
    /// Its nodes, as it declared them last.
    pub nodes: Vec<NodeDeclaration>,
    /// How its key stands.
    pub key: KeyState,
}

/// A HEM to be registered.
#[derive(Debug, Clone)]
pub struct NewHem {
    /// Its id.
    pub id: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// Its name, for people; absent: its id.
    pub name: Option<String>,
    /// The hash of its new key.
    pub key: SecretHash,
    /// When.
    pub created: Timestamp,
}

/// What is to change of a HEM; absent: stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HemChange {
    /// Its name.
    pub name: Option<String>,
}
