//! Who may do what.

use serde::{Deserialize, Serialize};

use crate::MicrogridId;

/// What a token or person may do; each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees.
    Viewer,
    /// Sees, and wishes for the one job that its token is for.
    Job,
    /// Sees, and runs: commands, jobs.
    Operator,
    /// Sees, runs, and changes what there is.
    Admin,
}

impl Role {
    /// The role's name in REST and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Job => "job",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// A role, for all microgrids or for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The role.
    pub role: Role,
    /// The one microgrid it holds for; absent: all of them.
    pub microgrid: Option<MicrogridId>,
}

impl Access {
    /// Whether it grants a role for a microgrid.
    #[must_use]
    pub fn allows(&self, role: Role, microgrid: &MicrogridId) -> bool {
        self.role >= role && self.microgrid.as_ref().is_none_or(|own| own == microgrid)
    }

    /// Whether it grants a role for the whole platform.
    #[must_use]
    pub fn allows_everywhere(&self, role: Role) -> bool {
        self.role >= role && self.microgrid.is_none()
    }
}
