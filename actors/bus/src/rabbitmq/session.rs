//! One connection of an exchange, from connecting to its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPUri;
use lapin::{Channel, Confirmation, Connection, ConnectionProperties, Event, PublisherConfirm};
use tokio::task::JoinSet;

use super::outbox::Parcel;
use super::reader::{self, ReaderEnded};
use super::shared::{Binding, Shared, Work};
use super::{DEAD_LETTERS, RabbitMqSettings, parcel};
use crate::ExchangeKind;

/// How a session ended.
pub(super) enum Ended {
    /// It was told to, and has said all that it could.
    Closed,
    /// The connection is gone, or never came to be.
    Lost(String),
}

/// Makes connections of an exchange, one at a time.
pub(super) struct Session {
    pub(super) uri: AMQPUri,
    pub(super) settings: RabbitMqSettings,
    pub(super) shared: Arc<Shared>,
    pub(super) instance: String,
    /// How many there were: the broker may still hold the queues of the last.
    pub(super) number: u64,
}

/// What a connection works with.
struct Open {
    connection: Connection,
    publishing: Channel,
    readers: JoinSet<ReaderEnded>,
    confirms: FuturesOrdered<PublisherConfirm>,
}

impl Session {
    /// Connects, and carries messages until the connection is lost or the exchange is closed.
    pub(super) async fn run(&mut self) -> Ended {
        self.number += 1;
        let within = self.settings.step_within;
        let opened = tokio::select! {
            opened = tokio::time::timeout(within, self.open()) => opened,
            () = self.shared.until_closing() => return Ended::Closed,
        };
        let mut open = match opened {
            Ok(Ok(open)) => open,
            Ok(Err(error)) => return Ended::Lost(error.to_string()),
            Err(_) => return Ended::Lost(format!("it did not answer in {within:?}")),
        };
        log::info!(exchange = self.shared.name.as_str(); "the bus is connected");
        let ended = self.carry(&mut open).await;
        // Its readers stop before the exchange hears of it: nothing is delivered in between.
        open.readers.shutdown().await;
        if matches!(ended, Ended::Closed) {
            let goodbye = open.connection.close(200, "goodbye".into());
            let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
        }
        ended
    }

    async fn open(&self) -> lapin::Result<Open> {
        let name = format!("memcloud {} {}", self.shared.name, self.instance);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(self.uri.clone(), properties).await?;
        let publishing = connection.create_channel().await?;
        publishing.confirm_select(ConfirmSelectOptions::default()).await?;
        self.declare(&publishing).await?;
        let mut open = Open {
            connection,
            publishing,
            readers: JoinSet::new(),
            confirms: FuturesOrdered::new(),
        };
        let bindings = self.shared.bindings();
        for binding in &bindings {
            self.read(&mut open, binding).await?;
        }
        self.shared.connected(&bindings);
        Ok(open)
    }

    /// The exchange, and where dead letters go.
    async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let kind = match self.shared.kind {
            ExchangeKind::Topic => lapin::ExchangeKind::Topic,
            ExchangeKind::Fanout => lapin::ExchangeKind::Fanout,
        };
        let none = FieldTable::default();
        channel
            .exchange_declare(self.shared.name.as_str().into(), kind, durable, none.clone())
            .await?;

        // A full queue hands its oldest to the dead letters too. Those are hints that were lost, and
        // counted; only what a reader rejected is to be kept, hence a headers exchange.
        let dead = DEAD_LETTERS;
        let headers = lapin::ExchangeKind::Headers;
        channel.exchange_declare(dead.into(), headers, durable, none).await?;
        let mut bound = FieldTable::default();
        bound.insert("x-max-length".into(), AMQPValue::LongUInt(self.settings.dead_letters));
        bound.insert("x-overflow".into(), AMQPValue::LongString("drop-head".into()));
        let kept = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(dead.into(), kept, bound).await?;
        let mut rejected = FieldTable::default();
        rejected.insert("x-match".into(), AMQPValue::LongString("all-with-x".into()));
        rejected.insert("x-first-death-reason".into(), AMQPValue::LongString("rejected".into()));
        let options = QueueBindOptions::default();
        channel.queue_bind(dead.into(), dead.into(), "".into(), options, rejected).await
    }

    async fn read(&self, open: &mut Open, binding: &Arc<Binding>) -> lapin::Result<()> {
        let name =
            format!("{}.{}.{}.{}", self.shared.name, self.instance, self.number, binding.number);
        let consumer = reader::open(
            &open.connection,
            &self.shared.name,
            &name,
            binding,
            self.settings.prefetch,
        )
        .await?;
        self.shared.note_lost(binding.bound());
        let reading = reader::read(Arc::clone(&self.shared), Arc::clone(binding), consumer);
        open.readers.spawn(reading);
        Ok(())
    }

    async fn carry(&self, open: &mut Open) -> Ended {
        let events = open.connection.events_listener();
        let mut events = std::pin::pin!(events);
        loop {
            if let Some(within) = self.shared.closing() {
                // What is left is lost, as the broker's word for it is.
                let _ = tokio::time::timeout(within, self.say_the_rest(open)).await;
                return Ended::Closed;
            }
            let may_send = open.confirms.len() < self.settings.unconfirmed;
            let done = tokio::select! {
                event = events.next() => self.heard(event),
                Some(confirm) = open.confirms.next(), if !open.confirms.is_empty() => {
                    self.confirmed(confirm)
                }
                Some(ended) = open.readers.join_next(), if !open.readers.is_empty() => match ended {
                    Ok(ReaderEnded::Abandoned) => Ok(()),
                    Ok(ReaderEnded::Failed(reason)) => Err(reason),
                    Err(panic) => Err(panic.to_string()),
                },
                work = self.next_work(may_send) => match work {
                    Some(work) => self.timely(self.work(open, work)).await,
                    None => Ok(()),
                },
            };
            if let Err(reason) = done {
                return Ended::Lost(reason);
            }
        }
    }

    /// The next thing to do; nothing when it is closing.
    async fn next_work(&self, may_send: bool) -> Option<Work> {
        loop {
            if let Some(work) = self.shared.take_work(may_send) {
                return Some(work);
            }
            if self.shared.closing().is_some() {
                return None;
            }
            self.shared.wake.notified().await;
        }
    }

    /// A broker that hangs must not hold up the loop for longer than a step may take.
    async fn timely(&self, step: impl Future<Output = lapin::Result<()>>) -> Result<(), String> {
        let within = self.settings.step_within;
        match tokio::time::timeout(within, step).await {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err(format!("it did not answer in {within:?}")),
        }
    }

    async fn work(&self, open: &mut Open, work: Work) -> lapin::Result<()> {
        match work {
            Work::Bind(binding) => self.read(open, &binding).await,
            Work::Publish(parcel) => self.send(open, &parcel).await,
        }
    }

    async fn send(&self, open: &mut Open, parcel: &Parcel) -> lapin::Result<()> {
        let body = match parcel.message.encode() {
            Ok(body) => body,
            Err(error) => {
                log::error!(exchange = self.shared.name.as_str(); "a message was dropped, since it cannot be sent: {error}");
                self.shared.spoilt();
                return Ok(());
            }
        };
        let confirm = open
            .publishing
            .basic_publish(
                self.shared.name.as_str().into(),
                parcel.key.as_ref().into(),
                BasicPublishOptions::default(),
                &body,
                parcel::properties(&parcel.publisher, parcel.number),
            )
            .await?;
        open.confirms.push_back(confirm);
        Ok(())
    }

    fn confirmed(&self, confirm: lapin::Result<Confirmation>) -> Result<(), String> {
        let confirmation = confirm.map_err(|error| error.to_string())?;
        self.shared.settled(confirmation.is_ack());
        Ok(())
    }

    fn heard(&self, event: Option<Event>) -> Result<(), String> {
        match event {
            Some(Event::Error(error)) => Err(error.to_string()),
            Some(Event::ConnectionBlocked(reason)) => {
                self.shared.blocked(Some(format!("the broker takes nothing at present: {reason}")));
                Ok(())
            }
            Some(Event::ConnectionUnblocked) => {
                self.shared.blocked(None);
                Ok(())
            }
            Some(_) => Ok(()),
            None => Err("the connection has ended".to_owned()),
        }
    }

    async fn say_the_rest(&self, open: &mut Open) {
        while let Some(Work::Publish(parcel)) = self.shared.take_work(true) {
            if self.send(open, &parcel).await.is_err() {
                return;
            }
        }
        while let Some(confirm) = open.confirms.next().await {
            if self.confirmed(confirm).is_err() {
                return;
            }
        }
    }
}
