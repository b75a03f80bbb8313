//! Carries what was committed from the bus to an actor that does not know the bus: to the
//! `StatusMonitor`, which takes the next for what is lost, and to the `CommandProcessor`, which reads
//! the store before it says that a command had no effect.

use actix::{Actor, AsyncContext, Context, StreamHandler};
use memcloud_bus::{CloudBus, Delivery, Pattern};
use memcloud_domain::messages::ReadingsCommitted;
use memcloud_supervision::{Child, ChildSpec, Observe, Port, RestartPolicy, Scope, supervised};
use serde_json::json;

/// Commits that may wait.
const QUEUE: usize = 1_024;

/// Carries what was committed from the bus to an actor.
pub(crate) struct ReadingsFeed {
    bus: CloudBus,
    listener: Port<ReadingsCommitted>,
    lost: u64,
}

impl ReadingsFeed {
    /// Starts it below a scope.
    pub(crate) fn start(
        scope: &Scope,
        name: &'static str,
        bus: &CloudBus,
        listener: Port<ReadingsCommitted>,
    ) -> Child<Self> {
        let bus = bus.clone();
        let spec = ChildSpec::new(name).policy(RestartPolicy::permanent());
        scope.supervise(spec, move |_| Self {
            bus: bus.clone(),
            listener: listener.clone(),
            lost: 0,
        })
    }
}

impl Actor for ReadingsFeed {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.add_stream(self.bus.readings.bind(&Pattern::all(), QUEUE));
    }
}

impl Observe for ReadingsFeed {
    fn observe(&self) -> serde_json::Value {
        json!({ "lost": self.lost })
    }
}

supervised!(ReadingsFeed);

impl StreamHandler<Delivery<ReadingsCommitted>> for ReadingsFeed {
    fn handle(&mut self, delivery: Delivery<ReadingsCommitted>, _: &mut Context<Self>) {
        self.lost += delivery.lost_before;
        if self.listener.tell(delivery.message).is_err() {
            self.lost += 1;
        }
    }
}
