//! The supervision tree and the server's health.

use serde::{Deserialize, Serialize};

/// An actor in the supervision tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TreeActor {
    /// Its name under its parent.
    pub name: String,
    /// Its type.
    pub actor: String,
    /// `running`, `backing_off`, `stopping`, `stopped` or `failed`.
    pub state: String,
    /// How often it was restarted.
    pub restarts: u64,
    /// Messages that wait in its mailbox.
    pub mailbox_depth: u64,
    /// The mailbox's capacity.
    pub mailbox_capacity: u64,
    /// Why it last ended; null if it never did.
    pub last_exit: Option<serde_json::Value>,
    /// What it shows of itself.
    pub observed: serde_json::Value,
    /// Its children, by name.
    #[cfg_attr(feature = "openapi", schema(no_recursion))]
    pub children: Vec<TreeActor>,
    /// How many more children there are than are listed.
    pub more_children: u64,
}

/// Whether the server can do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// It can.
    Ok,
    /// Something it needs is away.
    Unavailable,
}

/// The server's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Whether the server can do its work.
    pub status: HealthState,
    /// What is away, and why. Empty when all is well.
    pub away: Vec<Away>,
}

/// Something that is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Away {
    /// What: `iot store`, `web store`, `bus`, …
    pub what: String,
    /// Why, as far as it is known.
    pub reason: String,
}
