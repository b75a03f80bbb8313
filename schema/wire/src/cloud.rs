//! What the cloud says.

use memcloud_domain::{HemId, MicrogridId, RefusalCode, Secret, Seq, Timestamp};
use serde::Serialize;

use crate::line::push_line;
use crate::{Command, ErrorCode, FrameFault, cloud_decode};

/// The HEM is let in: `welcome`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Welcome {
    /// Who was welcomed.
    pub hem: HemId,
    /// Whose it is.
    pub microgrid: MicrogridId,
    /// The cloud's time.
    pub time: Timestamp,
    /// The highest number that needs no sending again.
    pub seq: Seq,
    /// After two of these without a frame the HEM is offline.
    pub heartbeat_s: u32,
    /// How many readings and events may be unacknowledged.
    pub max_in_flight: u32,
    /// The longest batch.
    pub max_batch: u32,
    /// The longest line, in bytes without the `\n`.
    pub max_frame: u32,
    /// The new device key, after an enrolment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
}

/// Everything up to the number is on disk, or was refused by name: `ack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ack {
    /// Up to here.
    pub seq: Seq,
}

/// This reading or event can never be stored: `refused`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its number.
    pub seq: Seq,
    /// Why. A client reads a code of a later version as `malformed`, with the code in the text.
    pub code: RefusalCode,
    /// What is wrong with it.
    pub text: String,
}

/// Something is wrong: `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CloudError {
    /// What.
    pub code: ErrorCode,
    /// What to do about it.
    pub text: String,
    /// With `bad-frame` and `stale-seq`: the last number taken in this connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// When to come again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// A frame of the cloud.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum CloudFrame {
    /// The HEM is let in.
    Welcome(Welcome),
    /// Everything up to a number is safe.
    Ack(Ack),
    /// This can never be stored.
    Refused(Refused),
    /// Do this.
    Command(Command),
    /// Something is wrong.
    Error(CloudError),
    /// The answer to `ping`.
    Pong,
}

impl CloudFrame {
    /// Reads a line, without its `\n`, as a client does.
    ///
    /// # Errors
    /// [`FrameFault::BadFrame`], or [`FrameFault::UnknownType`], which a client passes over.
    pub fn decode(line: &[u8]) -> Result<Self, FrameFault> {
        cloud_decode::decode(line)
    }

    /// Appends the frame as a line, with its `\n`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        push_line(out, self);
    }
}
