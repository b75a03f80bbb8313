//! Exchanges and queues with the semantics of AMQP: a fanout exchange gives a message to every
//! queue, a topic exchange to the queues whose pattern fits its routing key.
//!
//! The bus carries hints, never the truth: publishing never waits, and a queue that is full loses
//! its oldest message, counts it and tells its reader, who then reads the store. Behind the port
//! [`Exchange`] stands the in-process adapter; the adapter on RabbitMQ (feature `rabbitmq`)
//! passes the same suite.

pub mod cloud;
pub mod committed_batch;
pub mod exchange;
pub mod in_process;
pub mod notes;
pub mod pattern;
pub mod publisher;
pub mod queue;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
mod split;
#[cfg(feature = "suite")]
pub mod suite;

pub use cloud::{CloudBus, CloudEvent, EVENTS, READINGS};
pub use committed_batch::CommittedBatch;
pub use exchange::{BrokerFigures, BusMessage, Exchange, ExchangeFigures, ExchangeKind};
pub use in_process::InProcessExchange;
pub use notes::{Audience, NOTES, Note, Says};
pub use pattern::{BusError, Pattern};
pub use publisher::Publisher;
pub use queue::{Delivery, Queue, QueueInlet, queue};
