//! What a HEM says.

use memcloud_domain::{HemEvent, NodeId, NodeReading, Reading, Seq, Timestamp, Watts};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::line::push_line;
use crate::{CommandResult, FrameFault, Hello, SampleTime, Unstorable, hem_decode};

/// One numbered sample of any of the HEM's nodes: a `reading`, or an item of a `batch`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// Its number.
    pub seq: Seq,
    /// When it was taken.
    #[serde(flatten)]
    pub time: SampleTime,
    /// What the nodes measured; no node twice.
    pub nodes: Vec<NodeReading>,
}

impl Sample {
    /// The sample as a reading that was received at `received`.
    #[must_use]
    pub fn into_reading(self, received: Timestamp) -> Reading {
        Reading { seq: self.seq, ts: self.time.resolve(received), received, nodes: self.nodes }
    }
}

/// Something that happened at the HEM: `event`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Its number, from the same sequence as the readings'.
    pub seq: Seq,
    /// When it happened.
    #[serde(flatten)]
    pub time: SampleTime,
    /// What happened, 1 to [`crate::MAX_KIND`] characters.
    pub kind: String,
    /// At which node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The switch position it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
    /// The power it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watts: Option<Watts>,
    /// Until when it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// More, for people; at most [`crate::MAX_TEXT`] characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Event {
    /// The event as one that was received at `received`.
    #[must_use]
    pub fn into_hem_event(self, received: Timestamp) -> HemEvent {
        HemEvent {
            seq: self.seq,
            ts: self.time.resolve(received),
            received,
            kind: self.kind,
            node: self.node,
            on: self.on,
            watts: self.watts,
            until: self.until,
            text: self.text,
        }
    }
}

/// What is true now, unnumbered and not stored: `latest`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latest {
    /// When it was taken.
    #[serde(flatten)]
    pub time: SampleTime,
    /// What the nodes measure; no node twice.
    pub nodes: Vec<NodeReading>,
}

/// A frame's fields behind its type.
#[derive(Serialize)]
struct Typed<T: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    body: T,
}

/// What can be sent of a batch.
struct Items<'a>(&'a [Result<Sample, Unstorable>]);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Good<'a>(&'a [Result<Sample, Unstorable>]);
        impl Serialize for Good<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.iter().flatten())
            }
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("readings", &Good(self.0))?;
        map.end()
    }
}

/// A frame of a HEM.
#[derive(Debug, Clone, PartialEq)]
pub enum HemFrame {
    /// Who it is. The server reads its first frame as a [`crate::Greeting`] instead.
    Hello(Box<Hello>),
    /// One sample.
    Reading(Sample),
    /// Several, ascending. The decoder leaves what can never be stored in its place, as `Err`;
    /// [`HemFrame::encode`] leaves those out.
    Batch(Vec<Result<Sample, Unstorable>>),
    /// Something that happened.
    Event(Event),
    /// What is true now.
    Latest(Latest),
    /// The answer to a command.
    Result(CommandResult),
    /// Answered with `pong`.
    Ping,
}

impl HemFrame {
    /// Reads a line, without its `\n`. Of a batch longer than `max_batch` the items beyond are
    /// `Err` with `batch-too-long`.
    ///
    /// # Errors
    /// [`FrameFault`], which knows its answer. Never `FrameTooLarge`: that is the line decoder's.
    pub fn decode(line: &[u8], max_batch: usize) -> Result<Self, FrameFault> {
        hem_decode::decode(line, max_batch)
    }

    /// Appends the frame as a line, with its `\n`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => push_line(out, &Typed { kind: "hello", body: hello }),
            Self::Reading(sample) => push_line(out, &Typed { kind: "reading", body: sample }),
            Self::Batch(items) => push_line(out, &Typed { kind: "batch", body: Items(items) }),
            Self::Event(event) => push_line(out, &Typed { kind: "event", body: event }),
            Self::Latest(latest) => push_line(out, &Typed { kind: "latest", body: latest }),
            Self::Result(result) => push_line(out, &Typed { kind: "result", body: result }),
            Self::Ping => out.extend_from_slice(b"{\"type\":\"ping\"}\n"),
        }
    }

    /// How many numbers it takes up: the credit that it costs.
    #[must_use]
    pub fn numbers(&self) -> usize {
        match self {
            Self::Reading(_) | Self::Event(_) => 1,
            Self::Batch(items) => items.len(),
            Self::Hello(_) | Self::Latest(_) | Self::Result(_) | Self::Ping => 0,
        }
    }
}
