//! How stored telemetry is asked for and answered: the plain parts of the historian's messages,
//! which a store understands without actix.

use serde::{Deserialize, Serialize};

use crate::{Entry, Epoch, HemId, NodeId, Seq, Timestamp};

/// A session of a HEM, durably begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOpened {
    /// The epoch of this connection.
    pub epoch: Epoch,
    /// The highest number that needs no sending again.
    pub mark: Seq,
}

/// What one commit stored of one HEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HemBatch {
    /// Which HEM.
    pub hem: HemId,
    /// The connection's epoch.
    pub epoch: Epoch,
    /// The mark before this commit: whoever has seen everything up to it misses nothing by taking
    /// `entries` next.
    pub after: Seq,
    /// The mark after it.
    pub through: Seq,
    /// What was stored, ascending by number.
    pub entries: Vec<Entry>,
}

/// How far a HEM's numbers are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HemMark {
    /// Which HEM.
    pub hem: HemId,
    /// The highest number on disk or refused by name.
    pub mark: Seq,
    /// The epoch of its newest connection.
    pub epoch: Epoch,
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// By rising number.
    #[default]
    Ascending,
    /// By falling number.
    Descending,
}

/// A span of time, half open. An absent end is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
}

/// One page of something that is numbered.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items, in the order asked for.
    pub items: Vec<T>,
    /// The number to pass as `after` for the next page; absent on the last.
    pub next: Option<Seq>,
}

/// Of whom a series is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeriesSubject {
    /// One node of a HEM.
    Node(HemId, NodeId),
    /// The sum over some nodes, e.g. all grid nodes of a microgrid.
    Sum(Vec<(HemId, NodeId)>),
}
