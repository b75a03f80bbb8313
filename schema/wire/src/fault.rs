//! What can be wrong with a frame, and the stable codes by which each side tells the other.

use std::borrow::Cow;
use std::fmt;

use memcloud_domain::{RefusalCode, Seq};
use serde::{Serialize, Serializer};

use crate::{CloudError, CloudFrame, Refused};

/// The codes of `error` frames. Their texts are stable; their meaning is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// Not UTF-8, not JSON, a number beyond a double, or no usable `seq`.
    BadFrame,
    /// JSON, but of no type that the cloud knows.
    UnknownType,
    /// A number at or below what this connection has taken already.
    StaleSeq,
    /// Over the rate; the cloud reads more slowly and drops nothing.
    TooFast,
    /// Id and key, token or certificate do not go together.
    Unauthorised,
    /// Another version than 1.
    UnsupportedProtocol,
    /// A line longer than `max_frame`.
    FrameTooLarge,
    /// A jump in the numbers over `hem.max_gap`.
    Gap,
    /// The cloud cannot keep up, or does not let anyone more in, for now.
    Busy,
    /// Another connection of the same HEM has taken over.
    Replaced,
    /// The cloud stops in good order.
    ShuttingDown,
    /// A code of a later version, as a client may read it; never sent.
    Unrecognised,
}

impl ErrorCode {
    /// All that are sent.
    pub const ALL: [Self; 11] = [
        Self::BadFrame,
        Self::UnknownType,
        Self::StaleSeq,
        Self::TooFast,
        Self::Unauthorised,
        Self::UnsupportedProtocol,
        Self::FrameTooLarge,
        Self::Gap,
        Self::Busy,
        Self::Replaced,
        Self::ShuttingDown,
    ];

    /// The code as on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadFrame => "bad-frame",
            Self::UnknownType => "unknown-type",
            Self::StaleSeq => "stale-seq",
            Self::TooFast => "too-fast",
            Self::Unauthorised => "unauthorised",
            Self::UnsupportedProtocol => "unsupported-protocol",
            Self::FrameTooLarge => "frame-too-large",
            Self::Gap => "gap",
            Self::Busy => "busy",
            Self::Replaced => "replaced",
            Self::ShuttingDown => "shutting-down",
            Self::Unrecognised => "unrecognised",
        }
    }

    /// The code of a text; of one that is not known, [`ErrorCode::Unrecognised`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|code| code.as_str() == text).unwrap_or(Self::Unrecognised)
    }

    /// Whether the cloud closes the connection after it. Before the welcome, every error is fatal.
    #[must_use]
    pub fn is_fatal(self) -> bool {
        match self {
            Self::BadFrame
            | Self::UnknownType
            | Self::StaleSeq
            | Self::TooFast
            | Self::Unrecognised => false,
            Self::Unauthorised
            | Self::UnsupportedProtocol
            | Self::FrameTooLarge
            | Self::Gap
            | Self::Busy
            | Self::Replaced
            | Self::ShuttingDown => true,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A reading or event whose number is known and which can never be stored: answered by `refused`,
/// and recorded with its code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{seq} is refused as {}: {text}", code.as_str())]
pub struct Unstorable {
    /// Its number.
    pub seq: Seq,
    /// `malformed`, or `batch-too-long`.
    pub code: RefusalCode,
    /// What is wrong with it, in a sentence for the HEM's maker.
    pub text: Cow<'static, str>,
}

impl Unstorable {
    /// The frame that answers it.
    #[must_use]
    pub fn answer(&self) -> CloudFrame {
        CloudFrame::Refused(Refused {
            seq: self.seq,
            code: self.code,
            text: self.text.clone().into_owned(),
        })
    }
}

/// Why a line did not become a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameFault {
    /// Not UTF-8, not JSON, a number beyond a double, no usable `seq`; or a frame without a number
    /// (`latest`, `result`, a later `hello`) whose fields are wrong.
    #[error("{0}")]
    BadFrame(Cow<'static, str>),
    /// JSON, but without a type, or of one that is not known.
    #[error("{0}")]
    UnknownType(Cow<'static, str>),
    /// A reading or event with a usable number, but otherwise wrong.
    #[error(transparent)]
    Unstorable(#[from] Unstorable),
    /// A line longer than the limit. The connection cannot go on.
    #[error("a frame is longer than {limit} bytes; send smaller batches")]
    FrameTooLarge {
        /// The limit, in bytes without the `\n`.
        limit: usize,
    },
}

impl FrameFault {
    /// The frame that answers it. `last_taken` is the last number taken in this connection.
    #[must_use]
    pub fn answer(&self, last_taken: Seq) -> CloudFrame {
        let (code, seq) = match self {
            Self::Unstorable(unstorable) => return unstorable.answer(),
            Self::BadFrame(_) => (ErrorCode::BadFrame, Some(last_taken)),
            Self::UnknownType(_) => (ErrorCode::UnknownType, None),
            Self::FrameTooLarge { .. } => (ErrorCode::FrameTooLarge, None),
        };
        CloudFrame::Error(CloudError { code, text: self.to_string(), seq, retry_after_ms: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_again_by_its_text() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), code);
        }
        assert_eq!(ErrorCode::parse("from-the-future"), ErrorCode::Unrecognised);
    }
}
