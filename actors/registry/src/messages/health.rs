//! Whether the registry can do its work.

use actix::Message;
use memcloud_domain::messages::Unavailable;

/// REST (`/health/ready`) asks the `Registrar` whether the web store can be read and written.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), Unavailable>")]
pub struct GetHealth;
