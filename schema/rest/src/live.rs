//! What the live feed says, one JSON object per WebSocket text message or SSE event.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use memcloud_domain::{HemId, JobId, JobState, MicrogridId, QualityFlag, Seq};
use serde::{Deserialize, Serialize};

use crate::jobs::split;
#[cfg(feature = "openapi")]
use crate::schemas;
use crate::{Command, JobResultItem, JobStateName, NodeValues, RawEvent, Totals};

/// One message of the live feed. More types may come: ignore those that you do not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LiveMessage {
    /// A reading is on disk.
    Reading {
        /// Whose microgrid.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        microgrid: MicrogridId,
        /// Whose.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        hem: HemId,
        /// Its number.
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        seq: Seq,
        /// When the HEM took it.
        ts: DateTime<Utc>,
        /// When the cloud received it.
        received: DateTime<Utc>,
        /// What the nodes measured.
        nodes: Vec<NodeValues>,
    },
    /// An unnumbered sample that is not stored: true now, and gone with the next reading.
    Latest {
        /// Whose microgrid.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        microgrid: MicrogridId,
        /// Whose.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        hem: HemId,
        /// When the HEM took it.
        ts: DateTime<Utc>,
        /// When the cloud received it.
        received: DateTime<Utc>,
        /// What the nodes measured.
        nodes: Vec<NodeValues>,
        /// Always true.
        unstored: bool,
    },
    /// A HEM's event is on disk.
    Event {
        /// Whose microgrid.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        microgrid: MicrogridId,
        /// Whose.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        hem: HemId,
        /// The event.
        event: RawEvent,
    },
    /// A HEM's status changed.
    Status {
        /// Whose microgrid.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        microgrid: MicrogridId,
        /// Whose.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        hem: HemId,
        /// When.
        at: DateTime<Utc>,
        /// How the HEM stands.
        #[serde(flatten)]
        device: LiveDevice,
    },
    /// A job found something out, or stands differently.
    Job {
        /// Whose microgrid.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        microgrid: MicrogridId,
        /// Which job.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        job: JobId,
        /// What happened.
        #[serde(flatten)]
        report: LiveJobReport,
    },
    /// A command is in another state, and that is on disk.
    Command {
        /// Whose microgrid.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        microgrid: MicrogridId,
        /// Whose.
        #[cfg_attr(feature = "openapi", schema(value_type = schemas::Id))]
        hem: HemId,
        /// The command, as it is now.
        command: Box<Command>,
    },
    /// The subscriber was too slow: so many messages were left out here.
    Lost {
        /// How many.
        count: u64,
    },
    /// The subscriber wanted to go on where the feed no longer reaches. What it missed is in the store:
    /// of each HEM, read `GET /hems/{hem}/readings?after=` the last number that you have, up to the one
    /// given here.
    Missed {
        /// Of each HEM the highest number that was stored before this feed begins.
        #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, u64>))]
        hems: BTreeMap<HemId, Seq>,
        /// Whether there are more HEMs than are named here (1,000).
        more: bool,
    },
}

/// A message of the live feed as a WebSocket carries it: with its id, to go on from there with `after`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LiveEvent {
    /// Its id; absent for `lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The message.
    #[serde(flatten)]
    pub message: LiveMessage,
}

/// How a HEM stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LiveDevice {
    /// Whether an authenticated socket is open now.
    pub online: bool,
    /// Whether a reading has arrived lately.
    pub active: bool,
    /// When anything was last heard from it.
    pub last_seen: Option<DateTime<Utc>>,
    /// What is odd about its data now.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<schemas::QualityFlag>))]
    pub flags: Vec<QualityFlag>,
    /// Its live totals.
    #[serde(flatten)]
    pub totals: Totals,
}

impl From<JobState> for LiveJobReport {
    fn from(state: JobState) -> Self {
        let (state, reason, _) = split(state);
        Self::State { state, reason }
    }
}

/// What happened at a job: one of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LiveJobReport {
    /// It found something out; already stored.
    Result(JobResultItem),
    /// It stands differently.
    State {
        /// Where it stands.
        state: JobStateName,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}
