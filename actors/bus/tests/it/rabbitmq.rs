//! An exchange on a real RabbitMQ passes the suite of every adapter.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use memcloud_bus::rabbitmq::{DEAD_LETTERS, RabbitExchange, RabbitMq, RabbitMqSettings};
use memcloud_bus::{BrokerFigures, Exchange, ExchangeKind, Pattern, suite};
use memcloud_supervision::Backoff;
use memcloud_test_engines::{amqp, wait_until};

const LONG: Duration = Duration::from_secs(60);

/// A client that tries again soon, as a test likes it.
pub(crate) fn client(url: &str) -> RabbitMq {
    let mut settings = RabbitMqSettings::default();
    settings.backoff = Backoff { max: Duration::from_millis(200), ..Backoff::default() };
    RabbitMq::start(url, settings).unwrap()
}

pub(crate) fn fresh_name() -> String {
    format!("test.{:016x}", rand::random::<u64>())
}

pub(crate) fn broker_figures(exchange: &RabbitExchange<u64>) -> BrokerFigures {
    exchange.figures().broker.unwrap()
}

/// Waits, without holding up the runtime, until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let asked = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, asked).await.unwrap_or_else(|_| panic!("{what}"));
}

pub(crate) async fn connected(
    client: &RabbitMq,
    name: &str,
    kind: ExchangeKind,
) -> RabbitExchange<u64> {
    let exchange = client.exchange(name, kind, 1_024);
    until("it connects", || broker_figures(&exchange).connected).await;
    exchange
}

fn connected_at_once(client: &RabbitMq, name: &str, kind: ExchangeKind) -> Arc<dyn Exchange<u64>> {
    let exchange = client.exchange(name, kind, 1_024);
    assert!(wait_until(LONG, || broker_figures(&exchange).connected));
    Arc::new(exchange)
}

#[tokio::test(flavor = "current_thread")]
async fn an_exchange_on_rabbitmq_passes_the_suite() {
    let Some(url) = amqp() else { return };
    let client = client(&url);
    suite::run(&|kind| connected_at_once(&client, &fresh_name(), kind)).await;
}

#[tokio::test(flavor = "current_thread")]
async fn two_processes_on_one_rabbitmq_pass_the_suite_of_several() {
    let Some(url) = amqp() else { return };
    let (here, there) = (client(&url), client(&url));
    suite::run_shared(&|kind| {
        let name = fresh_name();
        (connected_at_once(&here, &name, kind), connected_at_once(&there, &name, kind))
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn everything_that_is_published_is_confirmed() {
    let Some(url) = amqp() else { return };
    let exchange = connected(&client(&url), &fresh_name(), ExchangeKind::Topic).await;
    for number in 0..700 {
        exchange.publish("a", number);
    }
    until("all is confirmed", || broker_figures(&exchange).confirmed == 700).await;
    assert_eq!(broker_figures(&exchange).unconfirmed, 0);
    assert_eq!(exchange.away(), None);
}

#[tokio::test(flavor = "current_thread")]
async fn what_was_published_before_an_orderly_stop_arrives() {
    let Some(url) = amqp() else { return };
    let (leaving, staying) = (client(&url), client(&url));
    let name = fresh_name();
    let there = connected(&staying, &name, ExchangeKind::Topic).await;
    let mut reader = there.bind(&Pattern::all(), 1_000);
    until("it is bound", || there.figures().queues == 1).await;
    let here = connected(&leaving, &name, ExchangeKind::Topic).await;
    for number in 0..500 {
        here.publish("a", number);
    }
    leaving.stop(LONG).await;
    assert_eq!(broker_figures(&here).confirmed, 500);
    assert!(here.away().unwrap().contains("stopped"), "{:?}", here.away());
    for number in 0..500 {
        assert_eq!(reader.recv().await.unwrap().message, number);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_queue_on_rabbitmq_ends_when_its_exchange_is_gone() {
    let Some(url) = amqp() else { return };
    let exchange = connected(&client(&url), &fresh_name(), ExchangeKind::Fanout).await;
    let mut reader = exchange.bind(&Pattern::all(), 4);
    exchange.publish("", 1);
    assert_eq!(reader.recv().await.unwrap().message, 1);
    drop(exchange);
    assert!(reader.recv().await.is_none());
}

async fn channel(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

async fn put(channel: &Channel, exchange: &str, body: &[u8], properties: BasicProperties) {
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish(exchange.into(), "a".into(), options, body, properties).await;
    sent.unwrap().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn what_cannot_be_understood_goes_to_the_dead_letters_and_what_is_too_much_does_not() {
    let Some(url) = amqp() else { return };
    let name = fresh_name();
    let exchange = connected(&client(&url), &name, ExchangeKind::Topic).await;
    let mut reader = exchange.bind(&Pattern::all(), 3);
    until("it is bound", || exchange.figures().queues == 1).await;
    let (_connection, channel) = channel(&url).await;
    channel.queue_purge(DEAD_LETTERS.into(), QueuePurgeOptions::default()).await.unwrap();

    // A slow reader's overflow is counted, and is no dead letter.
    for number in 0..2_000 {
        exchange.publish("a", number);
    }
    until("all came or was lost", || {
        let figures = exchange.figures();
        figures.dropped + reader.len() as u64 == 2_000
    })
    .await;
    let mut accounted = 0;
    while accounted < 2_000 {
        let delivery = reader.recv().await.unwrap();
        accounted += delivery.lost_before + 1;
        assert_eq!(delivery.message + 1, accounted);
    }

    // Poison: of nobody's making, and with a number but a body that is none.
    put(&channel, &name, b"poison", BasicProperties::default()).await;
    let mut headers = FieldTable::default();
    headers.insert("publisher".into(), AMQPValue::LongString("another.1".into()));
    headers.insert("number".into(), AMQPValue::LongLongInt(1));
    let numbered = BasicProperties::default().with_type("memcloud/1".into()).with_headers(headers);
    put(&channel, &name, b"\"more poison\"", numbered).await;
    until("both are dead letters", || broker_figures(&exchange).dead_lettered == 2).await;
    exchange.publish("a", 2_000);
    let delivery = reader.recv().await.unwrap();
    assert_eq!((delivery.message, delivery.lost_before), (2_000, 1), "one was numbered");

    for body in [&b"poison"[..], b"\"more poison\""] {
        let letter = loop {
            // The broker moves it in its own time.
            let got = channel.basic_get(DEAD_LETTERS.into(), BasicGetOptions::default()).await;
            if let Some(letter) = got.unwrap() {
                break letter;
            }
        };
        assert_eq!(letter.data, body);
        letter.ack(BasicAckOptions::default()).await.unwrap();
    }
    let more = channel.basic_get(DEAD_LETTERS.into(), BasicGetOptions::default()).await.unwrap();
    assert!(more.is_none(), "what a full queue drops is no dead letter");
}
