//! Errors, as RFC 9457 `application/problem+json`.

use memcloud_domain::CommandState;
use serde::{Deserialize, Serialize};

/// What went wrong. `code` is stable and meant for programs; `detail` is meant for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Where the error is explained: an address relative to the server.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(example = "/api/errors#not-found"))]
    pub kind: String,
    /// The error in a few words; the same for every occurrence.
    #[cfg_attr(feature = "openapi", schema(example = "There is no such thing"))]
    pub title: String,
    /// The HTTP status.
    #[cfg_attr(feature = "openapi", schema(minimum = 400, maximum = 599, example = 404))]
    pub status: u16,
    /// The error's stable name.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z]+(-[a-z]+)*$", example = "not-found"))]
    pub code: String,
    /// What happened this time, and what to do.
    pub detail: String,
    /// What it is about: of `secret-shown`, the id of what had been made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Of `too-late`: how far the command is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schemas::CommandState>))]
    pub state: Option<CommandState>,
}

impl Problem {
    /// The content type.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";
}
