//! Reads one queue of the broker into one queue of this process, which drops what its reader is too
//! slow for. What cannot be understood goes to the dead letters.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel, Connection, Consumer};

use super::shared::{Binding, Outcome, Shared};
use super::{DEAD_LETTERS, parcel};

/// Why a reader ended.
pub(super) enum ReaderEnded {
    /// Nobody reads its queue any more.
    Abandoned,
    /// Its channel or connection is gone.
    Failed(String),
}

/// A queue at the broker that is being read; it is gone with its channel.
pub(super) struct Reading {
    channel: Channel,
    consumer: Consumer,
}

/// Makes the broker's queue for a binding. It is this connection's alone, and lives no longer: what it
/// holds are hints.
pub(super) async fn open(
    connection: &Connection,
    exchange: &str,
    queue: &str,
    binding: &Binding,
    prefetch: u16,
) -> lapin::Result<Reading> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let capacity = u32::try_from(binding.capacity.max(1)).unwrap_or(u32::MAX);
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongUInt(capacity));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("drop-head".into()));
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(DEAD_LETTERS.into()));
    let ours = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    channel.queue_declare(queue.into(), ours, arguments).await?;
    let pattern = binding.pattern.to_string();
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            pattern.as_str().into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let options = BasicConsumeOptions::default();
    let consumer =
        channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
    Ok(Reading { channel, consumer })
}

/// Reads until nobody wants it, or the channel is gone.
pub(super) async fn read(
    shared: Arc<Shared>,
    binding: Arc<Binding>,
    reading: Reading,
) -> ReaderEnded {
    let Reading { channel, mut consumer } = reading;
    match read_all(&shared, &binding, &mut consumer).await {
        Ok(()) => {
            // The broker deletes the queue with its consumer.
            let _ = channel.close(200, "nobody reads it".into()).await;
            ReaderEnded::Abandoned
        }
        Err(error) => ReaderEnded::Failed(error.to_string()),
    }
}

async fn read_all(
    shared: &Shared,
    binding: &Binding,
    consumer: &mut Consumer,
) -> lapin::Result<()> {
    // As many as came together are acknowledged together.
    const TOGETHER: usize = 32;
    let mut unacknowledged: Option<Acker> = None;
    let mut waiting = 0;
    loop {
        let ready = if waiting < TOGETHER { consumer.next().now_or_never() } else { None };
        let next = match ready {
            Some(next) => next,
            None => {
                acknowledge(unacknowledged.take()).await?;
                waiting = 0;
                consumer.next().await
            }
        };
        let Some(delivery) = next else {
            let lost = std::io::Error::other("the broker has cancelled a queue");
            return Err(lost.into());
        };
        let delivery = delivery?;
        match take(shared, binding, &delivery) {
            Ok(Outcome::Abandoned) => return acknowledge(Some(delivery.acker)).await,
            Ok(Outcome::Delivered | Outcome::Repeated) => {
                unacknowledged = Some(delivery.acker);
                waiting += 1;
            }
            Err(error) => {
                log::warn!(exchange = shared.name.as_str(); "a message went to {DEAD_LETTERS}: {error}");
                shared.dead_lettered();
                delivery.acker.reject(BasicRejectOptions { requeue: false }).await?;
            }
        }
    }
}

fn take(
    shared: &Shared,
    binding: &Binding,
    delivery: &Delivery,
) -> Result<Outcome, parcel::ParcelError> {
    let (publisher, number) = parcel::origin(&delivery.properties)?;
    let key = delivery.routing_key.as_str();
    shared.arrived(binding, key, (&publisher, number), &delivery.data)
}

async fn acknowledge(last: Option<Acker>) -> lapin::Result<()> {
    if let Some(acker) = last {
        acker.ack(BasicAckOptions { multiple: true }).await?;
    }
    Ok(())
}
