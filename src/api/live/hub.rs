//! What the live feed tells, once for all listeners: the hub takes it from the bus, numbers it, and
//! holds the last of it, so that a listener can go on after a break. It wakes who waits for commands.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use actix::{Actor, AsyncContext, Context, StreamHandler};
use memcloud_bus::{CloudBus, CloudEvent, CommittedBatch, Delivery, Pattern};
use memcloud_domain::MicrogridId;
use memcloud_domain::messages::ReadingsCommitted;
use memcloud_supervision::{Child, ChildSpec, Observe, RestartPolicy, Scope, supervised};
use serde_json::json;
use tokio::sync::watch;
use uuid::Uuid;

use crate::api::waiting::Waiters;

/// How many messages of the bus wait for the hub, which only files them.
const BUS_QUEUE: usize = 1_024;

/// Something that happened, with the number of its first update.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// The number of its first update; the others follow on it.
    pub(super) number: u64,
    /// What happened.
    pub(super) what: What,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// Entries of a HEM are on disk: an update each.
    Batch(MicrogridId, CommittedBatch),
    /// A fact: one update.
    Fact(Arc<CloudEvent>),
    /// So many messages of the bus did not reach the hub: one update that says so.
    Lost(u64),
}

impl Held {
    fn count(&self) -> u64 {
        match &self.what {
            What::Batch(_, batch) => batch.batch().entries.len() as u64,
            What::Fact(_) | What::Lost(_) => 1,
        }
    }

    /// The number after its last update.
    pub(super) fn end(&self) -> u64 {
        self.number + self.count()
    }
}

#[derive(Debug)]
struct Ring {
    held: VecDeque<Held>,
    /// The number that the next update gets; the first one has 1.
    next: u64,
    capacity: u64,
}

impl Ring {
    /// The number of the oldest update that is held.
    fn first(&self) -> u64 {
        self.held.front().map_or(self.next, |held| held.number)
    }

    fn push(&mut self, what: What) {
        let held = Held { number: self.next, what };
        if held.count() == 0 {
            return;
        }
        self.next = held.end();
        self.held.push_back(held);
        // The newest stays whole, however much it is.
        while self.held.len() > 1 && self.next - self.first() > self.capacity {
            self.held.pop_front();
        }
    }
}

/// What the ring holds from a number on.
#[derive(Debug)]
pub(super) struct Portion {
    /// What it holds, the first one perhaps with updates before the number.
    pub(super) held: Vec<Held>,
    /// Where to go on.
    pub(super) next: u64,
    /// How many updates were asked for that are no longer held.
    pub(super) gone: u64,
}

/// Where a listener goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// From this number on nothing is missing.
    From(u64),
    /// What it had is no longer held, or of another run of the cloud.
    TooLongAgo,
}

/// What the live feed tells, and told last. Shared by the actor that fills it and all listeners.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Tells this run of the cloud from others, in ids.
    run: String,
    ring: RwLock<Ring>,
    head: watch::Sender<u64>,
    waiters: Arc<Waiters>,
}

impl Hub {
    /// Holds so many updates.
    pub(crate) fn new(capacity: usize, waiters: Arc<Waiters>) -> Self {
        let mut run = Uuid::new_v4().simple().to_string();
        run.truncate(12);
        let ring = Ring { held: VecDeque::new(), next: 1, capacity: capacity.max(1) as u64 };
        Self { run, ring: RwLock::new(ring), head: watch::channel(1).0, waiters }
    }

    /// The id of an update.
    pub(super) fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    /// Where whoever heard the update of this id goes on.
    pub(super) fn position(&self, last_id: &str) -> Position {
        let number = last_id
            .strip_prefix(&self.run)
            .and_then(|rest| rest.strip_prefix('-')?.parse::<u64>().ok());
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        match number.and_then(|number| number.checked_add(1)) {
            Some(from) if (ring.first()..=ring.next).contains(&from) => Position::From(from),
            _ => Position::TooLongAgo,
        }
    }

    /// The number that the next update gets.
    pub(super) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Turns when there is something new.
    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// What is held from a number on and before another, at most so many.
    pub(super) fn read(&self, from: u64, before: u64, most: usize) -> Portion {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let gone = ring.first().min(before).saturating_sub(from);
        let begin = ring.held.partition_point(|held| held.end() <= from);
        let held: Vec<Held> = ring
            .held
            .iter()
            .skip(begin)
            .take_while(|held| held.number < before)
            .take(most)
            .cloned()
            .collect();
        let next = held.last().map_or(before, Held::end).min(before).max(from + gone);
        Portion { held, next, gone }
    }

    fn push(&self, what: impl IntoIterator<Item = What>) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        for what in what {
            ring.push(what);
        }
        let next = ring.next;
        drop(ring);
        self.head.send_replace(next);
    }

    fn note_lost(&self, count: u64) {
        if count > 0 {
            self.push([What::Lost(count)]);
        }
    }

    fn take_readings(&self, committed: &ReadingsCommitted) {
        let batches = CommittedBatch::of_commit(&committed.batches);
        self.push(batches.map(|batch| What::Batch(committed.microgrid.clone(), batch)));
    }

    fn take_event(&self, event: CloudEvent) {
        if let CloudEvent::CommandChanged(changed) = &event {
            self.waiters.tell(&changed.command);
        }
        let is_told = matches!(
            event,
            CloudEvent::LatestSeen(_)
                | CloudEvent::HemStatusChanged(_)
                | CloudEvent::JobReported(_)
                | CloudEvent::CommandChanged(_)
        );
        if is_told {
            self.push([What::Fact(Arc::new(event))]);
        }
    }
}

/// Takes from the bus what the hub holds.
pub(crate) struct LiveHub {
    bus: CloudBus,
    hub: Arc<Hub>,
    lost: u64,
}

impl LiveHub {
    /// Starts it below a scope, named `live-hub`.
    pub(crate) fn start(scope: &Scope, bus: &CloudBus, hub: &Arc<Hub>) -> Child<Self> {
        let (bus, hub) = (bus.clone(), Arc::clone(hub));
        let spec = ChildSpec::new("live-hub").policy(RestartPolicy::permanent());
        scope.supervise(spec, move |own| {
            if own.generation().0 > 1 {
                // What came while nobody took it is not known; that something may have, is.
                hub.note_lost(1);
            }
            Self { bus: bus.clone(), hub: Arc::clone(&hub), lost: 0 }
        })
    }
}

impl Actor for LiveHub {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.add_stream(self.bus.readings.bind(&Pattern::all(), BUS_QUEUE));
        context.add_stream(self.bus.events.bind(&Pattern::all(), BUS_QUEUE));
        context.add_stream(self.bus.statuses.bind(&Pattern::all(), BUS_QUEUE));
    }
}

impl Observe for LiveHub {
    fn observe(&self) -> serde_json::Value {
        let ring = self.hub.ring.read().unwrap_or_else(PoisonError::into_inner);
        json!({ "updates": ring.next - 1, "held": ring.next - ring.first(), "lost": self.lost })
    }
}

supervised!(LiveHub);

impl StreamHandler<Delivery<ReadingsCommitted>> for LiveHub {
    fn handle(&mut self, delivery: Delivery<ReadingsCommitted>, _: &mut Context<Self>) {
        self.lost += delivery.lost_before;
        self.hub.note_lost(delivery.lost_before);
        self.hub.take_readings(&delivery.message);
    }

    // The other stream goes on; both end with the bus.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl StreamHandler<Delivery<CloudEvent>> for LiveHub {
    fn handle(&mut self, delivery: Delivery<CloudEvent>, _: &mut Context<Self>) {
        self.lost += delivery.lost_before;
        self.hub.note_lost(delivery.lost_before);
        self.hub.take_event(delivery.message);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

#[cfg(test)]
mod tests {
    use memcloud_domain::messages::HemBatch;
    use memcloud_domain::{Entry, Epoch, HemId, Reading, Seq, Timestamp};

    use super::*;
    use crate::api::metrics::ApiMetrics;

    fn hub(capacity: usize) -> Hub {
        let metrics = ApiMetrics::new(&prometheus::Registry::new()).unwrap();
        Hub::new(capacity, Waiters::new(1, &metrics))
    }

    fn commit(hub: &Hub, entries: u64) {
        let reading = |seq| Reading {
            seq: Seq(seq),
            ts: Timestamp(0),
            received: Timestamp(0),
            nodes: Vec::new(),
        };
        let batch = HemBatch {
            hem: HemId::new("h").unwrap(),
            epoch: Epoch(1),
            after: Seq(0),
            through: Seq(entries),
            entries: (1..=entries).map(|seq| Entry::Reading(reading(seq))).collect(),
        };
        hub.take_readings(&ReadingsCommitted {
            microgrid: MicrogridId::new("m").unwrap(),
            at: Timestamp(0),
            batches: Arc::new(vec![batch]),
        });
    }

    fn numbers(hub: &Hub, from: u64) -> (Vec<u64>, u64) {
        let mut found = Vec::new();
        let (mut cursor, mut gone) = (from, 0);
        while cursor < hub.head() {
            let portion = hub.read(cursor, hub.head(), 2);
            gone += portion.gone;
            for held in portion.held {
                found.extend((held.number..held.end()).filter(|number| *number >= cursor));
            }
            assert!(portion.next > cursor);
            cursor = portion.next;
        }
        (found, gone)
    }

    #[test]
    fn every_update_has_a_number_and_is_read_once() {
        let hub = hub(100);
        for entries in [3, 0, 1, 5] {
            commit(&hub, entries);
        }
        assert_eq!(numbers(&hub, 1), ((1..=9).collect(), 0));
        assert_eq!(numbers(&hub, 6), ((6..=9).collect(), 0));
        assert_eq!(numbers(&hub, 10), (Vec::new(), 0));
    }

    #[test]
    fn what_is_no_longer_held_is_counted() {
        let hub = hub(10);
        for _ in 0..10 {
            commit(&hub, 3);
        }
        let (found, gone) = numbers(&hub, 1);
        assert_eq!(found.len() as u64 + gone, 30);
        assert!((7..=10).contains(&found.len()), "{found:?}");
        assert_eq!(found.last(), Some(&30));
    }

    #[test]
    fn who_comes_back_goes_on_behind_what_it_heard_if_that_is_still_held() {
        let hub = hub(10);
        assert_eq!(hub.position(&hub.id(0)), Position::From(1));
        for _ in 0..10 {
            commit(&hub, 3);
        }
        assert_eq!(hub.position(&hub.id(30)), Position::From(31));
        assert_eq!(hub.position(&hub.id(25)), Position::From(26));
        for gone in [hub.id(3), hub.id(31), hub.id(u64::MAX), "home-1:7".to_owned(), String::new()]
        {
            assert_eq!(hub.position(&gone), Position::TooLongAgo, "{gone}");
        }
    }
}
