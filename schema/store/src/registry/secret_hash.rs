//! What is kept of a key or token: its SHA-256. The secrets have 256 random bits, so a slow hash
//! would add nothing.

use std::fmt;
use std::hint::black_box;

use memcloud_domain::Secret;
use sha2::{Digest, Sha256};

/// The SHA-256 of a key or token. Its `Debug` shows nothing.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Hashes a secret.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        Self(Sha256::digest(secret.expose().as_bytes()).into())
    }

    /// The bytes, as kept.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether a kept hash is the same, in a time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, kept: &[u8]) -> bool {
        let mut difference = u8::from(kept.len() != self.0.len());
        for (own, other) in self.0.iter().zip(kept) {
            difference = black_box(difference | (own ^ other));
        }
        black_box(difference) == 0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_only_its_own_secret() {
        let hash = SecretHash::of(&Secret::new("one"));
        assert!(hash.matches(SecretHash::of(&Secret::new("one")).as_bytes()));
        assert!(!hash.matches(SecretHash::of(&Secret::new("two")).as_bytes()));
        assert!(!hash.matches(&[]));
        assert!(!hash.matches(&hash.as_bytes()[..31]));
    }

    #[test]
    fn a_hash_does_not_show_itself() {
        assert_eq!(format!("{:?}", SecretHash::of(&Secret::new("one"))), "SecretHash(…)");
    }
}
