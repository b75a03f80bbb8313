//! Which HEM is on which socket: a later connection wins, and the earlier one is told before the later
//! one goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use memcloud_domain::HemId;
use memcloud_domain::messages::{
    CutHem, HemConnected, NotConnected, OutgoingCommand, SendCommands,
};
use memcloud_supervision::{Observe, Port, Scope, supervised};
use tokio::time::Instant;

use crate::session::{Claimed, StandDownReason};

/// How long a socket may take to stand down before the next one goes on without it: its commits are
/// fenced off by their epoch anyway.
const STAND_DOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a socket may take to take commands; it is busy for less, or it is gone.
const ORDER_TIMEOUT: Duration = Duration::from_secs(5);
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
    pub(crate) socket: SocketPorts,
}

/// Where the `SocketTable` reaches a socket.
#[derive(Debug, Clone)]
pub(crate) struct SocketPorts {
    pub(crate) stand_down: Port<StandDown>,
    pub(crate) orders: Port<PassOrders>,
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

/// The `SocketTable` passes commands to a `HemSocket`. Answered once they are among what the HEM is sent
/// next; before its welcome it is `NotConnected`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), NotConnected>")]
pub(crate) struct PassOrders(pub(crate) Vec<OutgoingCommand>);

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
    ports: SocketPorts,
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
        self.sockets.retain(|_, socket| socket.ports.stand_down.recipient().connected());
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
        let earlier = self.sockets.insert(hem, Socket { connection, ports: socket });
        if earlier.is_some() {
            self.replaced += 1;
        }
        Box::pin(async move {
            if let Some(earlier) = earlier {
                let stand_down = StandDown(StandDownReason::Replaced);
                // One that does not answer is gone, or fenced off by the epoch of the next.
                let _ = earlier.ports.stand_down.ask(stand_down, STAND_DOWN_TIMEOUT).await;
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
                let _ = socket.ports.stand_down.ask(stand_down, STAND_DOWN_TIMEOUT).await;
            }
        })
    }
}

/// A HEM was welcomed at another process: its socket here is over, unless it is the later one.
impl Handler<HemConnected> for SocketTable {
    type Result = ();

    fn handle(&mut self, connected: HemConnected, _: &mut Context<Self>) {
        if let Some(socket) = self.sockets.get(&connected.hem) {
            let reason = StandDownReason::WelcomedElsewhere(connected.epoch);
            // One without room is fenced off by the epoch.
            drop(socket.ports.stand_down.tell(StandDown(reason)));
        }
    }
}

impl Handler<SendCommands> for SocketTable {
    type Result = ResponseFuture<Result<(), NotConnected>>;

    fn handle(&mut self, send: SendCommands, _: &mut Context<Self>) -> Self::Result {
        let orders = self.sockets.get(&send.hem).map(|socket| socket.ports.orders.clone());
        Box::pin(async move {
            let orders = orders.ok_or(NotConnected)?;
            let passed = orders.ask(PassOrders(send.commands), ORDER_TIMEOUT).await;
            passed.unwrap_or(Err(NotConnected))
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use actix::ActorContext;
    use memcloud_supervision::{Child, ChildSpec, RestartPolicy, Universe};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A socket that notes what it is told, and perhaps does not answer.
    struct Chair {
        told: Arc<Mutex<Vec<StandDownReason>>>,
    }

    impl Actor for Chair {
        type Context = Context<Self>;
    }

    impl Observe for Chair {}

    supervised!(Chair);

    impl Handler<PassOrders> for Chair {
        type Result = Result<(), NotConnected>;
        fn handle(&mut self, _: PassOrders, _: &mut Context<Self>) -> Self::Result {
            Ok(())
        }
    }

    impl Handler<StandDown> for Chair {
        type Result = ();
        fn handle(&mut self, stand_down: StandDown, context: &mut Context<Self>) {
            self.told.lock().unwrap().push(stand_down.0);
            context.stop();
        }
    }

    struct Hall {
        scope: Scope,
        table: Child<SocketTable>,
        hem: HemId,
    }

    impl Hall {
        fn new(scope: Scope) -> Self {
            let table = scope.supervise(ChildSpec::new("table"), SocketTable::new);
            Self { scope, table, hem: HemId::new("home-1").unwrap() }
        }

        fn chair(&self) -> (SocketPorts, Arc<Mutex<Vec<StandDownReason>>>) {
            let told: Arc<Mutex<Vec<StandDownReason>>> = Arc::default();
            let spec = ChildSpec::new("chair").policy(RestartPolicy::temporary());
            let own = Arc::clone(&told);
            let chair = self.scope.supervise(spec, move |_| Chair { told: Arc::clone(&own) });
            (SocketPorts { stand_down: chair.port(), orders: chair.port() }, told)
        }

        async fn claim(&self, connection: u64, socket: &SocketPorts) -> Claimed {
            self.claim_as_of(connection, socket, self.scope.clock().instant()).await
        }

        async fn claim_as_of(
            &self,
            connection: u64,
            socket: &SocketPorts,
            authenticated_at: Instant,
        ) -> Claimed {
            let (hem, socket) = (self.hem.clone(), socket.clone());
            let claim = ClaimHem { hem, connection, authenticated_at, socket };
            self.table.ask(claim, PATIENCE).await.unwrap()
        }

        async fn connected(&self) -> usize {
            let list = ListConnectedHems { after: None, limit: 10 };
            self.table.ask(list, PATIENCE).await.unwrap().len()
        }
    }

    #[test]
    fn the_earlier_socket_has_stood_down_when_the_later_one_goes_on() {
        Universe::run(0, |scope| async {
            let hall = Hall::new(scope);
            let (first, told) = hall.chair();
            let (second, _) = hall.chair();
            assert_eq!(hall.claim(1, &first).await, Claimed::Granted);
            assert!(told.lock().unwrap().is_empty());
            assert_eq!(hall.claim(2, &second).await, Claimed::Granted);
            assert_eq!(*told.lock().unwrap(), [StandDownReason::Replaced]);
            // The earlier one says goodbye late, and takes nothing with it.
            let release = ReleaseHem { hem: hall.hem.clone(), connection: 1 };
            hall.table.ask(release, PATIENCE).await.unwrap();
            assert_eq!(hall.connected().await, 1);
        });
    }

    #[test]
    fn a_key_that_is_revoked_between_its_check_and_the_claim_is_worth_nothing() {
        Universe::run(0, |scope| async {
            let hall = Hall::new(scope);
            let (socket, told) = hall.chair();
            let checked_at = hall.scope.clock().instant();
            hall.table.ask(CutHem { hem: hall.hem.clone() }, PATIENCE).await.unwrap();
            assert_eq!(hall.claim_as_of(1, &socket, checked_at).await, Claimed::Cut);
            assert_eq!(hall.connected().await, 0);
            hall.scope.clock().sleep(Duration::from_millis(1)).await;
            assert_eq!(hall.claim(2, &socket).await, Claimed::Granted, "with its new key");
            hall.table.ask(CutHem { hem: hall.hem.clone() }, PATIENCE).await.unwrap();
            assert_eq!(*told.lock().unwrap(), [StandDownReason::Cut]);
        });
    }

    #[test]
    fn a_socket_that_ended_without_a_word_is_swept_out() {
        Universe::run(0, |scope| async {
            let hall = Hall::new(scope);
            let (socket, _) = hall.chair();
            hall.claim(1, &socket).await;
            // It is gone, and its release was lost.
            socket.stand_down.ask(StandDown(StandDownReason::Cut), PATIENCE).await.unwrap();
            hall.scope.clock().sleep(SWEEP_INTERVAL * 2).await;
            assert_eq!(hall.connected().await, 0);
        });
    }

    #[test]
    fn commands_reach_the_one_socket_that_a_hem_has() {
        Universe::run(0, |scope| async {
            let hall = Hall::new(scope);
            let send = SendCommands { hem: hall.hem.clone(), commands: Vec::new() };
            let ask = || hall.table.ask(send.clone(), PATIENCE);
            assert_eq!(ask().await.unwrap(), Err(NotConnected));
            let (socket, _) = hall.chair();
            hall.claim(1, &socket).await;
            assert_eq!(ask().await.unwrap(), Ok(()));
            // It is gone, and its release was lost.
            socket.stand_down.ask(StandDown(StandDownReason::Cut), PATIENCE).await.unwrap();
            assert_eq!(ask().await.unwrap(), Err(NotConnected));
        });
    }
}
