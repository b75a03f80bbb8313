//! Lists.

use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// What to pass as `after` for the next page; null on the last one. Opaque.
    pub next: Option<String>,
}

/// How many items a page has when nobody asks.
pub const DEFAULT_LIMIT: u16 = 100;
/// How many items a page has at most.
pub const MAX_LIMIT: u16 = 1_000;
