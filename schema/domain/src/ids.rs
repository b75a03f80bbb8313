//! The identities of microgrids, HEMs, nodes, jobs, and of a HEM's readings. Parsed at the edge,
//! trusted inside.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is not a valid id: 1 to 63 of a-z, 0-9, '_' and '-', the first a letter or digit"
)]
pub struct InvalidId {
    text: String,
}

impl InvalidId {
    fn of(text: &str) -> Self {
        // A hostile id must not fill the log.
        Self { text: text.chars().take(80).collect() }
    }
}

fn is_valid_id(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let Some((first, rest)) = text.as_bytes().split_first() else { return false };
    alphanumeric(*first)
        && rest.len() <= 62
        && rest.iter().all(|byte| alphanumeric(*byte) || matches!(byte, b'_' | b'-'))
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses `[a-z0-9][a-z0-9_-]{0,62}`.
            ///
            /// # Errors
            /// [`InvalidId`] where the text is not of that form.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                if is_valid_id(text) { Ok(Self(Arc::from(text))) } else { Err(InvalidId::of(text)) }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id! {
    /// A home's energy manager, named by whoever registers or enrols it.
    HemId
}
text_id! {
    /// A microgrid: a community of homes that is run as one.
    MicrogridId
}
text_id! {
    /// A worker job: one energy app deployed to one microgrid. Made by the cloud (`UUIDv7`).
    JobId
}
text_id! {
    /// A process of the cloud, named anew whenever it starts.
    ProcessId
}
text_id! {
    /// A command. Made by the cloud (`UUIDv7`), so that ids sort by age.
    CommandId
}

/// A node of a HEM: 0 to 255; a `HEMCore` board has 0 to 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u8);

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The number of a reading or event: per HEM, for its whole life, from 1 to 2^53 − 1.
///
/// As a mark, `Seq(0)` says that nothing has been stored yet.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The highest number that every JSON reader keeps exact.
    pub const MAX: Self = Self((1 << 53) - 1);
    /// The mark of a HEM of which nothing is stored.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for Seq {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Which connection of a HEM (or owner of a microgrid) is the current one: a higher epoch fences
/// off every lower one.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_lower_case_and_at_most_63_long() {
        for good in ["a", "0", "home-1", "a_b-c", &"x".repeat(63)] {
            assert!(HemId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a b", "é", "a/b", &"x".repeat(64)] {
            assert!(HemId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hostile_id_is_cut_in_its_error() {
        let error = HemId::new(&"é".repeat(10_000)).unwrap_err();
        assert!(error.to_string().len() < 300);
    }
}
