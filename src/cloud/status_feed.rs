//! Carries what was committed from the bus to the `StatusMonitor`, who does not know the bus. What
//! the queue loses is no loss: the status takes the next.

use actix::{Actor, AsyncContext, Context, StreamHandler};
use memcloud_bus::{CloudBus, Delivery, Pattern};
use memcloud_domain::messages::ReadingsCommitted;
use memcloud_supervision::{Child, ChildSpec, Observe, Port, RestartPolicy, Scope, supervised};
use serde_json::json;

/// Commits that may wait for the status.
const QUEUE: usize = 1_024;

/// Carries what was committed from the bus to the `StatusMonitor`.
pub(super) struct StatusFeed {
    bus: CloudBus,
    status: Port<ReadingsCommitted>,
    lost: u64,
}

impl StatusFeed {
    /// Starts it below a scope, named `status-feed`.
    pub(super) fn start(
        scope: &Scope,
        bus: &CloudBus,
        status: Port<ReadingsCommitted>,
    ) -> Child<Self> {
        let bus = bus.clone();
        let spec = ChildSpec::new("status-feed").policy(RestartPolicy::permanent());
        scope.supervise(spec, move |_| Self { bus: bus.clone(), status: status.clone(), lost: 0 })
    }
}

impl Actor for StatusFeed {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.add_stream(self.bus.readings.bind(&Pattern::all(), QUEUE));
    }
}

impl Observe for StatusFeed {
    fn observe(&self) -> serde_json::Value {
        json!({ "lost": self.lost })
    }
}

supervised!(StatusFeed);

impl StreamHandler<Delivery<ReadingsCommitted>> for StatusFeed {
    fn handle(&mut self, delivery: Delivery<ReadingsCommitted>, _: &mut Context<Self>) {
        self.lost += delivery.lost_before;
        if self.status.tell(delivery.message).is_err() {
            self.lost += 1;
        }
    }
}
