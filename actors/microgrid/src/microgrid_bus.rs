//! A microgrid's own message bus: what its jobs listen to.

use std::sync::Arc;

use memcloud_bus::{CloudEvent, CommittedBatch, Exchange, ExchangeKind, InProcessExchange};
use memcloud_domain::MicrogridId;
use memcloud_domain::messages::{JobReported, ReadingsCommitted};

/// The exchanges of one microgrid, within its supervisor's process.
#[derive(Clone)]
pub struct MicrogridBus {
    /// What was committed; topic, key the HEM's id.
    pub readings: Arc<dyn Exchange<CommittedBatch>>,
    /// What happened in the microgrid; fanout.
    pub events: Arc<dyn Exchange<CloudEvent>>,
    /// What its jobs found and how they stand; topic, key the job's id.
    pub results: Arc<dyn Exchange<JobReported>>,
}

impl MicrogridBus {
    /// The exchanges of a microgrid, without queues.
    #[must_use]
    pub fn new(microgrid: &MicrogridId) -> Self {
        fn exchange<M: memcloud_bus::BusMessage>(
            microgrid: &MicrogridId,
            part: &str,
            kind: ExchangeKind,
        ) -> Arc<dyn Exchange<M>> {
            Arc::new(InProcessExchange::new(format!("microgrid.{microgrid}.{part}"), kind))
        }
        Self {
            readings: exchange(microgrid, "readings", ExchangeKind::Topic),
            events: exchange(microgrid, "events", ExchangeKind::Fanout),
            results: exchange(microgrid, "results", ExchangeKind::Topic),
        }
    }

    /// Publishes a commit, a message per HEM.
    pub fn publish(&self, committed: &ReadingsCommitted) {
        for batch in CommittedBatch::of_commit(&committed.batches) {
            let hem = batch.batch().hem.clone();
            self.readings.publish(hem.as_str(), batch);
        }
    }
}

impl std::fmt::Debug for MicrogridBus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("MicrogridBus")
            .field("readings", &self.readings.figures())
            .field("events", &self.events.figures())
            .field("results", &self.results.figures())
            .finish()
    }
}
