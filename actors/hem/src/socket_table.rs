//! Which HEM is on which socket: a later connection wins, and the earlier one is told.

use actix::{Actor, Context, Handler};
use memcloud_domain::messages::CutHem;
use memcloud_supervision::{Observe, supervised};

/// The table of connected HEMs.
#[derive(Debug)]
pub struct SocketTable {}

impl Actor for SocketTable {
    type Context = Context<Self>;
}

impl Observe for SocketTable {}

supervised!(SocketTable);

impl Handler<CutHem> for SocketTable {
    type Result = ();
    fn handle(&mut self, _: CutHem, _: &mut Context<Self>) {}
}
