//! Who is asking.

use memcloud_domain::{JobId, MicrogridId, Role};
use serde::{Deserialize, Serialize};

/// Who the caller is to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhoAmI {
    /// The name of the token.
    pub name: String,
    /// What the caller may do.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schemas::Role))]
    pub role: Role,
    /// The one microgrid it may do it in; null: all of them.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schemas::Id>))]
    pub microgrid: Option<MicrogridId>,
    /// The one job that it wishes for; absent: the token is no job's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::schemas::Id>))]
    pub job: Option<JobId>,
}
