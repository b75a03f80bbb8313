//! Whatever takes a number in a HEM's sequence: a reading, an event, or something refused.

use serde::{Deserialize, Serialize};

use crate::{NodeId, Reading, Seq, Timestamp, Watts};

/// Something that happened at a HEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HemEvent {
    /// Its number, from the same sequence as the readings'.
    pub seq: Seq,
    /// When it happened.
    pub ts: Timestamp,
    /// When the cloud received it.
    pub received: Timestamp,
    /// What happened: `relay-tripped`, `booted`, `low-battery`, `override`, …
    pub kind: String,
    /// At which node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The switch position it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
    /// The power it speaks of, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watts: Option<Watts>,
    /// Until when it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// More, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Why a reading or event can never be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RefusalCode {
    /// JSON with a usable number, but otherwise wrong.
    Malformed,
    /// Before 2010, or more than a day ahead.
    BadTime,
    /// Older than the raw retention.
    TooOld,
    /// Beyond the batch limit.
    BatchTooLong,
}

impl RefusalCode {
    /// The code as on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadTime => "bad-time",
            Self::TooOld => "too-old",
            Self::BatchTooLong => "batch-too-long",
        }
    }
}

/// A number that was refused by name: recorded with its code, passed over by the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The number.
    pub seq: Seq,
    /// When the cloud received it.
    pub received: Timestamp,
    /// Why.
    pub code: RefusalCode,
}

/// What takes a number in a HEM's sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A sample of the nodes.
    Reading(Reading),
    /// Something that happened.
    Event(HemEvent),
    /// Something that can never be stored; only its number and the reason are.
    Refused(Refusal),
}

impl Entry {
    /// Its number.
    #[must_use]
    pub fn seq(&self) -> Seq {
        match self {
            Self::Reading(reading) => reading.seq,
            Self::Event(event) => event.seq,
            Self::Refused(refusal) => refusal.seq,
        }
    }

    /// When it was taken at the HEM; of something refused, when the cloud received it.
    #[must_use]
    pub fn ts(&self) -> Timestamp {
        match self {
            Self::Reading(reading) => reading.ts,
            Self::Event(event) => event.ts,
            Self::Refused(refusal) => refusal.received,
        }
    }
}
