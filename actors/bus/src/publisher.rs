//! The door to the bus for actors that do not know it: they tell their facts to plain ports, and
//! this actor publishes them on the cloud's exchanges. Its mailbox is the only place they wait.

use actix::{Actor, Context, Handler};
use memcloud_domain::messages::{
    CommandChanged, HemConnected, HemDisconnected, HemHeard, HemStatusChanged, JobReported,
    LatestSeen, ReadingsCommitted,
};
use memcloud_supervision::{Child, ChildSpec, Observe, Scope, supervised};
use serde_json::json;

use crate::split::split;
use crate::{CloudBus, CloudEvent};

/// Publishes what siblings tell it: `Port<ReadingsCommitted>`, `Port<HemConnected>`, ….
#[derive(Debug)]
pub struct Publisher {
    bus: CloudBus,
}

impl Publisher {
    /// How many facts may wait. What does not fit is lost, which hints may be.
    pub const MAILBOX: usize = 4_096;

    /// Makes one for a bus.
    #[must_use]
    pub fn new(bus: CloudBus) -> Self {
        Self { bus }
    }

    /// Starts one below a scope, named `publisher`.
    pub fn start(scope: &Scope, bus: CloudBus) -> Child<Self> {
        let spec = ChildSpec::new("publisher").mailbox(Self::MAILBOX);
        scope.supervise(spec, move |_| Self::new(bus.clone()))
    }
}

impl Actor for Publisher {
    type Context = Context<Self>;
}

impl Observe for Publisher {
    fn observe(&self) -> serde_json::Value {
        let readings = self.bus.readings.figures();
        let events = self.bus.events.figures();
        json!({
            "readings": {"published": readings.published, "dropped": readings.dropped, "queues": readings.queues},
            "events": {"published": events.published, "dropped": events.dropped, "queues": events.queues},
        })
    }
}

supervised!(Publisher);

impl Handler<ReadingsCommitted> for Publisher {
    type Result = ();

    fn handle(&mut self, committed: ReadingsCommitted, _: &mut Context<Self>) {
        for part in split(committed, self.bus.entries_per_message) {
            let microgrid = part.microgrid.clone();
            self.bus.readings.publish(microgrid.as_str(), part);
        }
    }
}

impl Handler<HemStatusChanged> for Publisher {
    type Result = ();

    fn handle(&mut self, fact: HemStatusChanged, _: &mut Context<Self>) {
        self.bus.statuses.publish("", CloudEvent::from(fact));
    }
}

macro_rules! publish_event {
    ($($fact:ident),*) => {$(
        impl Handler<$fact> for Publisher {
            type Result = ();

            fn handle(&mut self, fact: $fact, _: &mut Context<Self>) {
                self.bus.events.publish("", CloudEvent::from(fact));
            }
        }
    )*};
}
publish_event!(HemConnected, HemDisconnected, HemHeard, LatestSeen, JobReported, CommandChanged);
