//! The first frame: who the HEM is. The server reads it as a [`Greeting`], which keeps the order of
//! the checks: JSON, type, protocol, credentials, id, nodes.

use memcloud_domain::{HemId, NodeDeclaration, Secret};
use serde::Serialize;

use crate::{CloudError, CloudFrame, ErrorCode};

/// `hello`, as a HEM makes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hello {
    /// Always [`crate::PROTOCOL`].
    pub protocol: u32,
    /// Who it is.
    pub hem: HemId,
    /// Its device key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// An enrolment token, for a HEM without a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrol: Option<Secret>,
    /// Its firmware, as it names it; at most [`crate::MAX_NAME`] characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Its nodes; absent: what is known stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<NodeDeclaration>>,
}

/// Why a first frame ends the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct HelloFault {
    /// `bad-frame`, `unauthorised` or `unsupported-protocol`.
    pub code: ErrorCode,
    /// What to do about it, for the HEM's maker.
    pub text: String,
}

impl HelloFault {
    /// The frame that answers it, before the connection is closed.
    #[must_use]
    pub fn answer(&self) -> CloudFrame {
        CloudFrame::Error(CloudError {
            code: self.code,
            text: self.text.clone(),
            seq: None,
            retry_after_ms: None,
        })
    }
}

/// A first frame that is JSON, a `hello`, and of our protocol. What comes later in the order of
/// checks is kept as it was found: first see to the credentials, then take `hem`, then `nodes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Greeting {
    /// Its device key. With both, the key counts.
    pub key: Option<Secret>,
    /// An enrolment token.
    pub enrol: Option<Secret>,
    /// Who it says it is.
    pub hem: Result<HemId, HelloFault>,
    /// Its firmware, cut to [`crate::MAX_NAME`] characters.
    pub firmware: Option<String>,
    /// Its nodes: none twice, at most 256.
    pub nodes: Result<Option<Vec<NodeDeclaration>>, HelloFault>,
}

impl Greeting {
    /// Reads the first line of a connection, without its `\n`.
    ///
    /// # Errors
    /// [`HelloFault`] with `bad-frame` where it is not JSON, `unauthorised` where it is anything but a
    /// `hello`, `unsupported-protocol` where `protocol` is not 1.
    pub fn decode(line: &[u8]) -> Result<Self, HelloFault> {
        todo!()
    }
}
