//! The port that every bus adapter implements.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Pattern, Queue};

/// What can travel on a bus: also between processes, hence serialisable.
pub trait BusMessage: Clone + Send + Sync + Serialize + DeserializeOwned + 'static {}

impl<M: Clone + Send + Sync + Serialize + DeserializeOwned + 'static> BusMessage for M {}

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeKind {
    /// The queues whose pattern fits the routing key.
    Topic,
    /// Every queue; keys and patterns are ignored.
    Fanout,
}

/// What went through an exchange since it was made. For metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExchangeFigures {
    /// Messages that were published.
    pub published: u64,
    /// Copies that were put in queues.
    pub routed: u64,
    /// Copies that full queues lost.
    pub dropped: u64,
    /// Queues that are bound now.
    pub queues: usize,
    /// What only an exchange on a broker counts.
    pub broker: Option<BrokerFigures>,
}

/// What an exchange on a broker counts beside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BrokerFigures {
    /// Whether there is a connection now.
    pub connected: bool,
    /// Connections that were made, the first included.
    pub connections: u64,
    /// Messages that the broker took.
    pub confirmed: u64,
    /// Messages that were sent, and for which the broker has not answered.
    pub unconfirmed: u64,
    /// Messages that never reached the broker: it was away, the outbox was full, or it refused them.
    pub unsent: u64,
    /// Deliveries that had been here before, and were left out.
    pub repeated: u64,
    /// Deliveries that could not be understood, and went to the dead letters.
    pub dead_lettered: u64,
}

/// Where messages of one type are published and queues are bound. Shared as `Arc<dyn Exchange<M>>`.
pub trait Exchange<M: BusMessage>: Send + Sync {
    /// Its name, e.g. `memcloud.readings`.
    fn name(&self) -> &str;

    /// Who gets a message.
    fn kind(&self) -> ExchangeKind;

    /// Hands a message to the queues that it is for. Never waits: a full queue loses its oldest.
    /// The key's words are separated by dots.
    fn publish(&self, key: &str, message: M);

    /// Binds a new queue that holds at most so many messages (at least 1). It gets what is published
    /// from now on; dropping it unbinds it.
    fn bind(&self, pattern: &Pattern, capacity: usize) -> Queue<M>;

    /// Why nothing gets through it at present, if that is so. Nobody waits for it meanwhile.
    fn away(&self) -> Option<String> {
        None
    }

    /// What went through it.
    fn figures(&self) -> ExchangeFigures;
}
