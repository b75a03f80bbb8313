//! Knows which HEMs are connected to this process, and says so to the others: to one that is new and asks,
//! when the bus is back, and now and then to all, since what was said once may have been lost.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message};
use memcloud_bus::{CloudBus, CloudEvent};
use memcloud_domain::HemId;
use memcloud_domain::messages::{HemConnected, HemDisconnected};
use memcloud_supervision::{Child, ChildSpec, Observe, RestartPolicy, Scope, supervised};
use serde_json::json;

/// How often the next of them are said, and how many.
const TURN: Duration = Duration::from_millis(100);
const PER_TURN: usize = 100;
/// How soon every HEM is said again at the earliest.
const ROUND: Duration = Duration::from_secs(60);
/// When the bus is back they are said at once, and again after this: by then the others have it back too.
const ROUND_AFTER_AWAY: Duration = Duration::from_secs(15);

/// Another process asks which HEMs are connected here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct SayWhoIsConnected;

/// The HEMs that are connected here; kept over the keeper's restarts, since nobody says it twice.
type Here = Arc<Mutex<BTreeMap<HemId, HemConnected>>>;

/// Knows which HEMs are connected to this process.
pub struct PresenceKeeper {
    bus: CloudBus,
    here: Here,
    /// Up to which HEM the round has come; absent: it rests.
    said: Option<Option<HemId>>,
    /// Whether somebody asked meanwhile.
    is_asked: bool,
    next_round: tokio::time::Instant,
    was_away: bool,
}

impl PresenceKeeper {
    /// So many messages may wait for it.
    pub const MAILBOX: usize = 8_192;

    /// Starts it below a scope, named `presence`. It is told of this process's own HEMs alone.
    pub fn start(scope: &Scope, bus: CloudBus) -> Child<Self> {
        let spec =
            ChildSpec::new("presence").policy(RestartPolicy::permanent()).mailbox(Self::MAILBOX);
        let here = Here::default();
        scope.supervise(spec, move |own| Self {
            bus: bus.clone(),
            here: Arc::clone(&here),
            said: None,
            is_asked: false,
            next_round: own.clock().instant() + ROUND,
            was_away: false,
        })
    }

    fn here(&self) -> MutexGuard<'_, BTreeMap<HemId, HemConnected>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&mut self, now: tokio::time::Instant) {
        let is_away = self.bus.away().is_some();
        let is_back = std::mem::replace(&mut self.was_away, is_away) && !is_away;
        if is_away {
            return;
        }
        if is_back {
            self.said = Some(None);
            self.next_round = now + ROUND_AFTER_AWAY;
        }
        if self.said.is_none() && (self.is_asked || now >= self.next_round) {
            self.is_asked = false;
            self.next_round = now + ROUND;
            self.said = Some(None);
        }
        let Some(after) = self.said.take() else { return };
        let from = after.as_ref().map_or(Unbounded, Excluded);
        let next: Vec<HemConnected> = self
            .here()
            .range::<HemId, _>((from, Unbounded))
            .map(|(_, connected)| connected.clone())
            .take(PER_TURN)
            .collect();
        if next.len() == PER_TURN {
            self.said = Some(next.last().map(|connected| connected.hem.clone()));
        }
        for connected in next {
            self.bus.events.publish("", CloudEvent::HemConnected(connected));
        }
    }
}

impl Actor for PresenceKeeper {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(TURN, |keeper, _| keeper.turn(tokio::time::Instant::now()));
    }
}

impl Observe for PresenceKeeper {
    fn observe(&self) -> serde_json::Value {
        json!({ "connected": self.here().len() })
    }
}

supervised!(PresenceKeeper);

impl Handler<HemConnected> for PresenceKeeper {
    type Result = ();

    fn handle(&mut self, connected: HemConnected, _: &mut Context<Self>) {
        self.here().insert(connected.hem.clone(), connected);
    }
}

impl Handler<HemDisconnected> for PresenceKeeper {
    type Result = ();

    fn handle(&mut self, gone: HemDisconnected, _: &mut Context<Self>) {
        let mut here = self.here();
        if here.get(&gone.hem).is_some_and(|known| known.epoch <= gone.epoch) {
            here.remove(&gone.hem);
        }
    }
}

impl Handler<SayWhoIsConnected> for PresenceKeeper {
    type Result = ();

    fn handle(&mut self, _: SayWhoIsConnected, _: &mut Context<Self>) {
        self.is_asked = true;
    }
}
