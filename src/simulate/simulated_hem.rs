//! A HEM without its socket: a home, the numbers of its readings, and what is not acknowledged yet. The
//! rules are those of the socket protocol; what is left out is TLS and JSON. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use memcloud_domain::messages::{CommandAnswered, Durability, OutgoingCommand};
use memcloud_domain::{
    Entry, Epoch, HemEvent, HemId, MicrogridId, NodeDeclaration, NodeReading, Reading, Secret, Seq,
    Timestamp, Watts,
};
use memcloud_emulator::Home;
use memcloud_worker::apps::load_priority::{GRID_RESTORED, ISLANDED};
use tokio::sync::watch;

use super::received_commands::ReceivedCommands;

/// How many readings are handed over in one message after an outage.
const BATCH: usize = 500;

/// A connection.
#[derive(Debug)]
struct Session {
    epoch: Epoch,
    durable: watch::Receiver<Durability>,
    /// What was handed over in it.
    sent: Seq,
}

#[derive(Debug)]
enum Link {
    Down,
    Connecting,
    Up(Session),
}

/// A HEM without its socket.
#[derive(Debug)]
pub(super) struct SimulatedHem {
    hem: HemId,
    key: Secret,
    nodes: Vec<NodeDeclaration>,
    home: Home,
    link: Link,
    last: Seq,
    /// What is not acknowledged, ascending.
    kept: VecDeque<Entry>,
    islanded: bool,
    commands: ReceivedCommands,
}

impl SimulatedHem {
    pub(super) fn new(hem: HemId, key: Secret, nodes: Vec<NodeDeclaration>, home: Home) -> Self {
        Self {
            hem,
            key,
            nodes,
            home,
            link: Link::Down,
            last: Seq::NONE,
            kept: VecDeque::new(),
            islanded: false,
            commands: ReceivedCommands::default(),
        }
    }

    pub(super) fn hem(&self) -> &HemId {
        &self.hem
    }

    pub(super) fn key(&self) -> &Secret {
        &self.key
    }

    pub(super) fn nodes(&self) -> &[NodeDeclaration] {
        &self.nodes
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    /// The number of its newest reading.
    pub(super) fn last(&self) -> Seq {
        self.last
    }

    /// How many entries wait for their acknowledgement.
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// The epoch of its open connection.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        match &self.link {
            Link::Up(session) => Some(session.epoch),
            Link::Down | Link::Connecting => None,
        }
    }

    pub(super) fn is_down(&self) -> bool {
        matches!(self.link, Link::Down)
    }

    /// Takes a reading, and keeps it until it is acknowledged. Before it the home says that the grid has
    /// gone, or is back: `island` is what the microgrid's own source gives, W, while it is gone.
    pub(super) fn sample(&mut self, at: Timestamp, island: Option<f64>) {
        if island.is_some() != self.islanded {
            self.islanded = island.is_some();
            let kind = if self.islanded { ISLANDED } else { GRID_RESTORED };
            let seq = self.next_number();
            self.kept.push_back(Entry::Event(HemEvent {
                seq,
                ts: at,
                received: at,
                kind: kind.to_owned(),
                node: None,
                on: None,
                watts: island.map(Watts),
                until: None,
                text: None,
            }));
        }
        let seq = self.next_number();
        let nodes = self.home.sample(at).into_iter().map(only_energy).collect();
        self.kept.push_back(Entry::Reading(Reading { seq, ts: at, received: at, nodes }));
    }

    fn next_number(&mut self) -> Seq {
        self.last = Seq(self.last.0 + 1);
        self.last
    }

    pub(super) fn begin_to_connect(&mut self) {
        self.link = Link::Connecting;
    }

    /// It was welcomed.
    pub(super) fn welcomed(
        &mut self,
        epoch: Epoch,
        mark: Seq,
        durable: watch::Receiver<Durability>,
    ) {
        self.forget_through(mark);
        self.link = Link::Up(Session { epoch, durable, sent: mark });
    }

    /// Carries a command out, or says again what became of it.
    pub(super) fn carry_out(
        &mut self,
        command: &OutgoingCommand,
        microgrid: &MicrogridId,
        epoch: Epoch,
        now: Timestamp,
    ) -> CommandAnswered {
        let (home, last) = (&mut self.home, self.last);
        let result = self.commands.answer(command, last, now, || {
            let lease = command.lease_ms.map(Duration::from_millis);
            home.carry_out(command.node, &command.action, lease, now)
        });
        CommandAnswered {
            hem: self.hem.clone(),
            microgrid: microgrid.clone(),
            epoch,
            command: command.command.clone(),
            outcome: result.outcome,
            seq: Some(result.seq),
            reason: result.reason,
            at: now,
        }
    }

    /// Its link is cut; answers the epoch of the connection that is over.
    pub(super) fn cut(&mut self) -> Option<Epoch> {
        let epoch = self.epoch();
        self.link = Link::Down;
        epoch
    }

    /// Forgets what is durable. Where the cloud ended the session, the link is down.
    pub(super) fn take_acknowledgements(&mut self) {
        let Link::Up(session) = &mut self.link else { return };
        let durability = *session.durable.borrow_and_update();
        if durability.fenced {
            self.link = Link::Down;
        }
        self.forget_through(durability.through);
    }

    fn forget_through(&mut self, through: Seq) {
        while self.kept.front().is_some_and(|entry| entry.seq() <= through) {
            self.kept.pop_front();
        }
    }

    /// What is to be handed over next, received now. Said again until [`SimulatedHem::sent`] is.
    pub(super) fn next_batch(&self, now: Timestamp) -> Option<(Epoch, Vec<Entry>)> {
        let Link::Up(session) = &self.link else { return None };
        let first = self.kept.partition_point(|entry| entry.seq() <= session.sent);
        let entries: Vec<Entry> =
            self.kept.range(first..).take(BATCH).map(|entry| received(entry, now)).collect();
        if entries.is_empty() { None } else { Some((session.epoch, entries)) }
    }

    pub(super) fn sent(&mut self, through: Seq) {
        if let Link::Up(session) = &mut self.link {
            session.sent = session.sent.max(through);
        }
    }
}

/// What accounts and jobs go by: power, counters, charge and switch.
fn only_energy(measured: NodeReading) -> NodeReading {
    NodeReading { volts: None, amps: None, vars: None, hertz: None, ..measured }
}

/// The same entry, as it arrives now.
fn received(entry: &Entry, now: Timestamp) -> Entry {
    let mut arrived = entry.clone();
    match &mut arrived {
        Entry::Reading(reading) => reading.received = now,
        Entry::Event(event) => event.received = now,
        Entry::Refused(refusal) => refusal.received = now,
    }
    arrived
}
