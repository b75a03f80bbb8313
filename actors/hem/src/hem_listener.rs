//! Accepts HEMs' connections.

use actix::{Actor, Context};
use memcloud_supervision::{Observe, supervised};

/// Accepts connections within bounds and starts a socket for each.
#[derive(Debug)]
pub struct HemListener {}

impl Actor for HemListener {
    type Context = Context<Self>;
}

impl Observe for HemListener {}

supervised!(HemListener);
