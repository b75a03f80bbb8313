//! What an exchange and its driver share. Everything here is done in a moment, under one lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::losses::{Arrival, Losses};
use super::outbox::{Outbox, Parcel};
use super::parcel::{Deliver, Encode, ParcelError};
use crate::{BrokerFigures, ExchangeFigures, ExchangeKind, Pattern};

/// What the broker does with a queue of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It does not know it yet.
    New,
    /// It gives it messages.
    Bound,
    /// It did, and the connection is gone.
    Interrupted,
}

/// A queue of this process, and what it has seen.
pub(super) struct Binding {
    pub(super) number: u64,
    pub(super) pattern: Pattern,
    pub(super) capacity: usize,
    inlet: Box<dyn Deliver>,
    ledger: Mutex<(Standing, Losses)>,
}

/// What became of a delivery.
pub(super) enum Outcome {
    /// It waits for its reader.
    Delivered,
    /// It was here before.
    Repeated,
    /// Its reader is gone.
    Abandoned,
}

impl Binding {
    /// The broker gives it messages from now on. If it did before, something may be missing.
    pub(super) fn bound(&self) -> u64 {
        let mut ledger = lock(&self.ledger);
        let (standing, losses) = &mut *ledger;
        let lost = if *standing == Standing::Interrupted { losses.interrupted() } else { 0 };
        *standing = Standing::Bound;
        self.inlet.note_lost(lost);
        lost
    }

    fn interrupted(&self) {
        let mut ledger = lock(&self.ledger);
        if ledger.0 == Standing::Bound {
            ledger.0 = Standing::Interrupted;
        }
    }

    fn is_bound(&self) -> bool {
        lock(&self.ledger).0 == Standing::Bound && !self.is_abandoned()
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.inlet.is_abandoned()
    }
}

/// What the next thing to do is.
pub(super) enum Work {
    /// Bind a new queue. This goes first, so that it gets what is published after it was asked for.
    Bind(Arc<Binding>),
    /// Send a message.
    Publish(Parcel),
}

struct State {
    outbox: Outbox,
    bindings: Vec<Arc<Binding>>,
    /// Of these, those that the driver has yet to bind. Only while connected.
    unbound: Vec<Arc<Binding>>,
    next_binding: u64,
    connected: bool,
    connections: u64,
    away: Option<String>,
    /// Set once nothing more is to be taken; how long the rest may take.
    closing: Option<Duration>,
}

/// What an exchange and its driver share.
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) kind: ExchangeKind,
    state: Mutex<State>,
    /// There is work, or it is closing. Only the driver waits for it.
    pub(super) wake: Notify,
    routed: AtomicU64,
    /// Copies that queues lost, here or at the broker.
    lost: AtomicU64,
    repeated: AtomicU64,
    dead_lettered: AtomicU64,
}

/// What is inside is whole between any two statements, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(name: &str, kind: ExchangeKind, instance: String, outbox: usize) -> Self {
        let state = State {
            outbox: Outbox::new(instance, outbox),
            bindings: Vec::new(),
            unbound: Vec::new(),
            next_binding: 0,
            connected: false,
            connections: 0,
            away: Some("it is not connected yet".to_owned()),
            closing: None,
        };
        Self {
            name: name.to_owned(),
            kind,
            state: Mutex::new(state),
            wake: Notify::new(),
            routed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
        }
    }

    /// The key under which messages are numbered: a fanout exchange has but one sequence.
    fn sequence<'a>(&self, key: &'a str) -> &'a str {
        if self.kind == ExchangeKind::Fanout { "" } else { key }
    }

    pub(super) fn publish(&self, key: &str, message: Arc<dyn Encode>) {
        let mut state = lock(&self.state);
        let can_be_sent = state.connected && state.closing.is_none();
        state.outbox.publish(self.sequence(key), message, can_be_sent);
        drop(state);
        self.wake.notify_one();
    }

    pub(super) fn bind(&self, pattern: &Pattern, capacity: usize, inlet: Box<dyn Deliver>) {
        let mut state = lock(&self.state);
        state.bindings.retain(|binding| !binding.is_abandoned());
        let losses = Losses::since(state.outbox.instance(), state.outbox.numbering());
        let binding = Arc::new(Binding {
            number: state.next_binding,
            pattern: pattern.clone(),
            capacity,
            inlet,
            ledger: Mutex::new((Standing::New, losses)),
        });
        state.next_binding += 1;
        state.bindings.push(Arc::clone(&binding));
        if state.connected {
            state.unbound.push(binding);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Takes the next thing to do; nothing to send unless that is possible.
    pub(super) fn take_work(&self, may_send: bool) -> Option<Work> {
        let mut state = lock(&self.state);
        if let Some(binding) = state.unbound.pop() {
            return Some(Work::Bind(binding));
        }
        if !may_send {
            return None;
        }
        state.outbox.take().map(Work::Publish)
    }

    /// The queues that a new connection must bind, before it is connected.
    pub(super) fn bindings(&self) -> Vec<Arc<Binding>> {
        let mut state = lock(&self.state);
        state.bindings.retain(|binding| !binding.is_abandoned());
        state.bindings.clone()
    }

    /// From now on messages are taken. Queues that were asked for while it was being set up are bound
    /// first.
    pub(super) fn connected(&self, already: &[Arc<Binding>]) {
        let mut state = lock(&self.state);
        let is_new =
            |binding: &&Arc<Binding>| !already.iter().any(|other| Arc::ptr_eq(other, binding));
        state.unbound = state.bindings.iter().filter(is_new).cloned().collect();
        state.connected = true;
        state.connections += 1;
        state.away = None;
    }

    pub(super) fn disconnected(&self, reason: String) {
        let mut state = lock(&self.state);
        if state.connected {
            state.outbox.connection_lost();
        }
        state.connected = false;
        state.unbound.clear();
        state.away = Some(reason);
        for binding in &state.bindings {
            binding.interrupted();
        }
    }

    /// Why nothing gets through, although it is connected; or that it does again.
    pub(super) fn blocked(&self, reason: Option<String>) {
        lock(&self.state).away = reason;
    }

    pub(super) fn settled(&self, taken: bool) {
        lock(&self.state).outbox.settled(taken);
    }

    pub(super) fn spoilt(&self) {
        lock(&self.state).outbox.spoilt();
    }

    pub(super) fn close(&self, within: Duration) {
        lock(&self.state).closing.get_or_insert(within);
        self.wake.notify_one();
    }

    pub(super) fn closing(&self) -> Option<Duration> {
        lock(&self.state).closing
    }

    /// Waits until it is closing. Only the driver waits, and for one thing at a time.
    pub(super) async fn until_closing(&self) {
        while self.closing().is_none() {
            self.wake.notified().await;
        }
    }

    pub(super) fn away(&self) -> Option<String> {
        lock(&self.state).away.clone()
    }

    /// Lets go of all queues: their readers see the end once they have read what waits.
    pub(super) fn end(&self) {
        let mut state = lock(&self.state);
        state.unbound.clear();
        let ended = std::mem::take(&mut state.bindings);
        drop(state);
        drop(ended);
    }

    /// A message came for a queue.
    pub(super) fn arrived(
        &self,
        binding: &Binding,
        key: &str,
        origin: (&str, u64),
        body: &[u8],
    ) -> Result<Outcome, ParcelError> {
        if binding.is_abandoned() {
            return Ok(Outcome::Abandoned);
        }
        let (publisher, number) = origin;
        let mut ledger = lock(&binding.ledger);
        match ledger.1.arrived(publisher, self.sequence(key), number) {
            Arrival::Known => {
                self.repeated.fetch_add(1, Ordering::Relaxed);
                return Ok(Outcome::Repeated);
            }
            Arrival::Next { lost } => {
                self.lost.fetch_add(lost, Ordering::Relaxed);
                binding.inlet.note_lost(lost);
            }
        }
        drop(ledger);
        let cost = match binding.inlet.deliver(body) {
            Ok(cost) => cost,
            Err(error) => {
                binding.inlet.note_lost(1);
                self.lost.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
        };
        self.routed.fetch_add(1, Ordering::Relaxed);
        self.lost.fetch_add(cost, Ordering::Relaxed);
        Ok(Outcome::Delivered)
    }

    /// A message was rejected. If it was one of a numbered sequence, the loss is said with the next.
    pub(super) fn dead_lettered(&self) {
        self.dead_lettered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn figures(&self) -> ExchangeFigures {
        let state = lock(&self.state);
        let lost = self.lost.load(Ordering::Relaxed);
        ExchangeFigures {
            published: state.outbox.published,
            routed: self.routed.load(Ordering::Relaxed),
            dropped: lost,
            queues: state.bindings.iter().filter(|binding| binding.is_bound()).count(),
            broker: Some(BrokerFigures {
                connected: state.connected,
                connections: state.connections,
                confirmed: state.outbox.confirmed,
                unconfirmed: state.outbox.unconfirmed() as u64,
                unsent: state.outbox.dropped,
                repeated: self.repeated.load(Ordering::Relaxed),
                dead_lettered: self.dead_lettered.load(Ordering::Relaxed),
            }),
        }
    }
}
