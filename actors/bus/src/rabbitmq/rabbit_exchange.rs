//! An exchange on RabbitMQ, as this process sees it.

use std::marker::PhantomData;
use std::sync::Arc;

use super::shared::Shared;
use super::{RabbitMq, driver};
use crate::{BusMessage, Exchange, ExchangeFigures, ExchangeKind, Pattern, Queue, queue};

/// An exchange on RabbitMQ. Dropping it sends what waits, for a moment, and ends its queues.
pub struct RabbitExchange<M> {
    shared: Arc<Shared>,
    // The thread lives as long as an exchange needs it.
    _broker: RabbitMq,
    messages: PhantomData<fn(M)>,
}

impl<M> std::fmt::Debug for RabbitExchange<M> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RabbitExchange").field("name", &self.shared.name).finish()
    }
}

impl<M: BusMessage> RabbitExchange<M> {
    /// AMQP's limit for a routing key, in bytes.
    const MAX_KEY: usize = 255;

    pub(super) fn start(broker: &RabbitMq, name: &str, kind: ExchangeKind, outbox: usize) -> Self {
        // Readers take a number that they have seen of an instance for a repetition, so a process that
        // starts again must be another one.
        let instance = format!("{:016x}", rand::random::<u64>());
        let shared = Arc::new(Shared::new(name, kind, instance.clone(), outbox));
        driver::start(broker, Arc::clone(&shared), instance);
        Self { shared, _broker: broker.clone(), messages: PhantomData }
    }
}

impl<M: BusMessage> Exchange<M> for RabbitExchange<M> {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn kind(&self) -> ExchangeKind {
        self.shared.kind
    }

    fn publish(&self, key: &str, message: M) {
        if key.len() > Self::MAX_KEY {
            log::error!(exchange = self.shared.name.as_str(); "a message was dropped, since its routing key is too long");
            return;
        }
        self.shared.publish(key, Arc::new(message));
    }

    fn bind(&self, pattern: &Pattern, capacity: usize) -> Queue<M> {
        let (inlet, outlet) = queue(capacity);
        self.shared.bind(pattern, capacity, Box::new(inlet));
        outlet
    }

    fn away(&self) -> Option<String> {
        self.shared.away()
    }

    fn figures(&self) -> ExchangeFigures {
        self.shared.figures()
    }
}

impl<M> Drop for RabbitExchange<M> {
    fn drop(&mut self) {
        self.shared.close(RabbitMq::LAST_WORDS);
    }
}
