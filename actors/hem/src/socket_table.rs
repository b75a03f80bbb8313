//! Which HEM is on which socket: a later connection wins, and the earlier one is told before the later
//! one goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use memcloud_domain::HemId;
use memcloud_domain::messages::CutHem;
use memcloud_supervision::{Observe, Port, Scope, supervised};
use tokio::time::Instant;

use crate::session::{Claimed, StandDownReason};

/// How long a socket may take to stand down before the next one goes on without it: its commits are
/// fenced off by their epoch anyway.
const STAND_DOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// How often sockets that ended without a word are swept out.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// A cut is remembered for so long, for sockets that were authenticated before it and claim after it.
const CUT_MEMORY: Duration = Duration::from_secs(60);
/// So many cuts are remembered at most.
const MAX_CUTS: usize = 10_000;

/// A `HemSocket` asks the `SocketTable` for its HEM, before it opens the session. When it is answered
/// the earlier socket hands nothing over any more.
#[derive(Debug, Message)]
#[rtype(result = "Claimed")]
pub(crate) struct ClaimHem {
    pub(crate) hem: HemId,
    pub(crate) connection: u64,
    /// When the registrar was asked: a key that was revoked since is not good.
    pub(crate) authenticated_at: Instant,
    pub(crate) socket: Port<StandDown>,
}

/// A `HemSocket` tells the `SocketTable` that it is over. May be lost: the table sweeps.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ReleaseHem {
    pub(crate) hem: HemId,
    pub(crate) connection: u64,
}

/// The `SocketTable` asks a `HemSocket` to close; when it is answered, nothing more is handed over.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct StandDown(pub(crate) StandDownReason);

/// Asks the `SocketTable` for the HEMs that have a socket here, by id.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Vec<HemId>")]
pub struct ListConnectedHems {
    /// Beyond this one.
    pub after: Option<HemId>,
    /// At most so many.
    pub limit: usize,
}

struct Socket {
    connection: u64,
    port: Port<StandDown>,
}

/// The table of connected HEMs.
pub struct SocketTable {
    scope: Scope,
    sockets: BTreeMap<HemId, Socket>,
    cuts: BTreeMap<HemId, Instant>,
    replaced: u64,
}

impl SocketTable {
    pub(crate) fn new(scope: Scope) -> Self {
        Self { scope, sockets: BTreeMap::new(), cuts: BTreeMap::new(), replaced: 0 }
    }

    fn sweep(&mut self) {
        self.sockets.retain(|_, socket| socket.port.recipient().connected());
        let now = self.scope.clock().instant();
        self.cuts.retain(|_, at| now < *at + CUT_MEMORY);
    }
}

impl Actor for SocketTable {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(SWEEP_INTERVAL, |table, _| table.sweep());
    }
}

impl Observe for SocketTable {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({"connected": self.sockets.len(), "replaced": self.replaced})
    }
}

supervised!(SocketTable);

impl Handler<ClaimHem> for SocketTable {
    type Result = ResponseFuture<Claimed>;

    fn handle(&mut self, claim: ClaimHem, _: &mut Context<Self>) -> Self::Result {
        let ClaimHem { hem, connection, authenticated_at, socket } = claim;
        if self.cuts.get(&hem).is_some_and(|cut| *cut >= authenticated_at) {
            return Box::pin(async { Claimed::Cut });
        }
        let earlier = self.sockets.insert(hem, Socket { connection, port: socket });
        if earlier.is_some() {
            self.replaced += 1;
        }
        Box::pin(async move {
            if let Some(earlier) = earlier {
                let stand_down = StandDown(StandDownReason::Replaced);
                // One that does not answer is gone, or fenced off by the epoch of the next.
                let _ = earlier.port.ask(stand_down, STAND_DOWN_TIMEOUT).await;
            }
            Claimed::Granted
        })
    }
}

impl Handler<ReleaseHem> for SocketTable {
    type Result = ();

    fn handle(&mut self, release: ReleaseHem, _: &mut Context<Self>) {
        let is_its_own = |socket: &Socket| socket.connection == release.connection;
        if self.sockets.get(&release.hem).is_some_and(is_its_own) {
            self.sockets.remove(&release.hem);
        }
    }
}

impl Handler<CutHem> for SocketTable {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, cut: CutHem, _: &mut Context<Self>) -> Self::Result {
        if self.cuts.len() >= MAX_CUTS {
            self.cuts.pop_first();
        }
        self.cuts.insert(cut.hem.clone(), self.scope.clock().instant());
        let socket = self.sockets.remove(&cut.hem);
        Box::pin(async move {
            if let Some(socket) = socket {
                let stand_down = StandDown(StandDownReason::Cut);
                let _ = socket.port.ask(stand_down, STAND_DOWN_TIMEOUT).await;
            }
        })
    }
}

impl Handler<ListConnectedHems> for SocketTable {
    type Result = MessageResult<ListConnectedHems>;

    fn handle(&mut self, list: ListConnectedHems, _: &mut Context<Self>) -> Self::Result {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = list.after.as_ref().map_or(Unbounded, Excluded);
        let hems = self.sockets.range::<HemId, _>((after, Unbounded));
        MessageResult(hems.map(|(hem, _)| hem.clone()).take(list.limit).collect())
    }
}
