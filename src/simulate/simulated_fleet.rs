//! The actor that stands where sockets and homes would: it takes every home a step on, hands what they
//! measure to the historian as their sockets would, and their commands to them.

use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult};
use memcloud_domain::messages::{
    AuthenticateHem, CloseSession, CommandAnswered, Durability, HemConnected, HemCredential,
    HemDisconnected, NotConnected, OpenSession, SendCommands, SessionOpened, StoreEntries,
};
use memcloud_domain::{MicrogridId, Seq, Timestamp};
use memcloud_emulator::HomeState;
use memcloud_supervision::{Observe, Port, Scope, supervised};
use serde_json::json;
use tokio::sync::watch;

use super::simulated_hem::SimulatedHem;
use super::timeline::Timeline;

/// How long a question to the cloud may take. Nothing takes time in here, but for restarts.
const DEADLINE: Duration = Duration::from_secs(10);

/// The simulation has all homes live on until a moment, and measure then. Answers how they are.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<HomeState>")]
pub(super) struct LiveUntil(pub(super) Timestamp);

/// The simulation asks how much of what was measured the cloud has.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "FleetFigures")]
pub(super) struct GetFigures;

/// How much was measured and acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FleetFigures {
    /// Readings and events that homes took.
    pub(super) taken: u64,
    /// Of those, what is not acknowledged.
    pub(super) unacknowledged: u64,
}

/// Whom the fleet asks and tells.
#[derive(Debug, Clone)]
pub(super) struct FleetPorts {
    pub(super) authenticate: Port<AuthenticateHem>,
    pub(super) open: Port<OpenSession>,
    pub(super) store: Port<StoreEntries>,
    pub(super) close: Port<CloseSession>,
    pub(super) answered: Port<CommandAnswered>,
    pub(super) connected: Vec<Port<HemConnected>>,
    pub(super) disconnected: Vec<Port<HemDisconnected>>,
}

/// Stands where sockets and homes would.
#[derive(Debug)]
pub(super) struct SimulatedFleet {
    scope: Scope,
    ports: FleetPorts,
    microgrid: MicrogridId,
    timeline: Timeline,
    hems: Vec<SimulatedHem>,
}

impl SimulatedFleet {
    pub(super) fn new(
        scope: Scope,
        ports: FleetPorts,
        microgrid: MicrogridId,
        timeline: Timeline,
        hems: Vec<SimulatedHem>,
    ) -> Self {
        Self { scope, ports, microgrid, timeline, hems }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.scope.clock().unix_ms())
    }

    /// Connects a home as its socket would: who it is, its epoch and mark, and then all that waits.
    fn connect(&mut self, place: usize, context: &mut Context<Self>) {
        let Some(hem) = self.hems.get_mut(place) else { return };
        hem.begin_to_connect();
        let arrival = AuthenticateHem {
            hem: hem.hem().clone(),
            credential: HemCredential::Key(hem.key().clone()),
            nodes: Some(hem.nodes().to_vec()),
            firmware: Some("simulated".to_owned()),
        };
        let (durable, watched) = watch::channel(Durability { through: Seq::NONE, fenced: false });
        let open =
            OpenSession { hem: hem.hem().clone(), microgrid: self.microgrid.clone(), durable };
        let ports = self.ports.clone();
        let welcoming = async move {
            let welcomed = ports.authenticate.ask(arrival, DEADLINE).await;
            welcomed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            let opened = ports.open.ask(open, DEADLINE).await;
            opened.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        };
        context.spawn(wrap_future(welcoming).map(
            move |opened: Result<SessionOpened, String>, fleet: &mut Self, _| match opened {
                Ok(opened) => fleet.welcomed(place, &opened, watched),
                Err(reason) => fleet.turned_away(place, &reason),
            },
        ));
    }

    fn welcomed(
        &mut self,
        place: usize,
        opened: &SessionOpened,
        durable: watch::Receiver<Durability>,
    ) {
        let now = self.now();
        let Some(hem) = self.hems.get_mut(place) else { return };
        hem.welcomed(opened.epoch, opened.mark, durable);
        let connected = HemConnected {
            hem: hem.hem().clone(),
            microgrid: self.microgrid.clone(),
            epoch: opened.epoch,
            mark: opened.mark,
            nodes: hem.nodes().to_vec(),
            process: None,
            at: now,
        };
        for port in &self.ports.connected {
            // A fact that may be lost.
            drop(port.tell(connected.clone()));
        }
        hand_over(hem, &self.ports.store, now);
    }

    fn turned_away(&mut self, place: usize, reason: &str) {
        let Some(hem) = self.hems.get_mut(place) else { return };
        log::warn!("hem.id" = hem.hem().as_str(), reason = reason; "a simulated HEM was turned away");
        // It tries again with its next reading.
        hem.cut();
    }

    fn cut(&mut self, place: usize) {
        let now = self.now();
        let Some(hem) = self.hems.get_mut(place) else { return };
        let Some(epoch) = hem.cut() else { return };
        // What may be lost is said again by the next connection.
        drop(self.ports.close.tell(CloseSession { hem: hem.hem().clone(), epoch }));
        let disconnected = HemDisconnected {
            hem: hem.hem().clone(),
            microgrid: self.microgrid.clone(),
            epoch,
            at: now,
            reason: "closed".to_owned(),
        };
        for port in &self.ports.disconnected {
            drop(port.tell(disconnected.clone()));
        }
    }
}

/// Hands over what waits, as far as there is room for it; the rest goes with the next reading.
fn hand_over(hem: &mut SimulatedHem, store: &Port<StoreEntries>, now: Timestamp) {
    while let Some((epoch, entries)) = hem.next_batch(now) {
        let through = entries.last().map_or(Seq::NONE, memcloud_domain::Entry::seq);
        let message = StoreEntries { hem: hem.hem().clone(), epoch, entries };
        if store.tell(message).is_err() {
            return;
        }
        hem.sent(through);
    }
}

impl Actor for SimulatedFleet {
    type Context = Context<Self>;
}

impl Observe for SimulatedFleet {
    fn observe(&self) -> serde_json::Value {
        json!({ "hems": self.hems.len() })
    }
}

supervised!(SimulatedFleet);

impl Handler<LiveUntil> for SimulatedFleet {
    type Result = MessageResult<LiveUntil>;

    fn handle(&mut self, LiveUntil(until): LiveUntil, context: &mut Context<Self>) -> Self::Result {
        let now = self.now();
        let island = self.timeline.island(until).map(|island| island.source_watts);
        let mut states = Vec::with_capacity(self.hems.len());
        for place in 0..self.hems.len() {
            let linked = self.timeline.is_linked(place, until);
            let Some(hem) = self.hems.get_mut(place) else { break };
            hem.take_acknowledgements();
            hem.sample(until, island);
            states.push(hem.home().state().clone());
            match (linked, hem.is_down()) {
                (true, true) => self.connect(place, context),
                (true, false) => hand_over(hem, &self.ports.store, now),
                (false, _) => self.cut(place),
            }
        }
        MessageResult(states)
    }
}

impl Handler<SendCommands> for SimulatedFleet {
    type Result = Result<(), NotConnected>;

    fn handle(&mut self, send: SendCommands, _: &mut Context<Self>) -> Self::Result {
        let now = self.now();
        let hem = self.hems.iter_mut().find(|hem| *hem.hem() == send.hem).ok_or(NotConnected)?;
        let epoch = hem.epoch().ok_or(NotConnected)?;
        for command in &send.commands {
            let answer = hem.carry_out(command, &self.microgrid, epoch, now);
            // One that is lost is asked for again, and answered again.
            drop(self.ports.answered.tell(answer));
        }
        Ok(())
    }
}

impl Handler<GetFigures> for SimulatedFleet {
    type Result = MessageResult<GetFigures>;

    fn handle(&mut self, _: GetFigures, _: &mut Context<Self>) -> Self::Result {
        let mut figures = FleetFigures::default();
        for hem in &mut self.hems {
            hem.take_acknowledgements();
            figures.taken += hem.last().0;
            figures.unacknowledged += u64::try_from(hem.kept()).unwrap_or(u64::MAX);
        }
        MessageResult(figures)
    }
}
