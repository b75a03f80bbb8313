//! A RabbitMQ that goes away and comes back, and connections that are cut.

use memcloud_bus::{Exchange, ExchangeKind, Pattern};
use memcloud_test_engines::{RabbitMq as Broker, amqp};

use crate::cuttable::Cuttable;
use crate::rabbitmq::{broker_figures, client, connected, fresh_name, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_nobody_waits_and_then_readers_are_told_what_they_missed() {
    if amqp().is_none() || !Broker::is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(folder.path()).unwrap();
    let name = fresh_name();
    let (here, there) = (client(&broker.url()), client(&broker.url()));
    let here = connected(&here, &name, ExchangeKind::Topic).await;
    let there = connected(&there, &name, ExchangeKind::Topic).await;
    let mut near = here.bind(&Pattern::all(), 100);
    let mut far = there.bind(&Pattern::all(), 100);
    until("both are bound", || here.figures().queues == 1 && there.figures().queues == 1).await;
    for number in 0..3 {
        here.publish("fontana", number);
        assert_eq!(near.recv().await.unwrap().message, number);
        assert_eq!(far.recv().await.unwrap().message, number);
    }

    broker.stop();
    until("both notice", || here.away().is_some() && there.away().is_some()).await;
    for number in 3..10 {
        here.publish("fontana", number);
    }
    let figures = broker_figures(&here);
    assert!(!figures.connected);
    assert_eq!((figures.confirmed, figures.unsent), (3, 7), "dropped and counted");
    assert_eq!(here.figures().queues, 0);

    broker.start_again().unwrap();
    until("both are bound again", || here.figures().queues == 1 && there.figures().queues == 1)
        .await;
    assert_eq!((here.away(), broker_figures(&here).connections), (None, 2));
    here.publish("fontana", 10);
    for reader in [&mut near, &mut far] {
        let delivery = reader.recv().await.unwrap();
        assert_eq!((delivery.message, delivery.lost_before), (10, 7));
    }
    // A key that was silent meanwhile: something may be missing, which was said with the last.
    here.publish("lugano", 11);
    assert_eq!(near.recv().await.unwrap().lost_before, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unconfirmed_at_a_cut_is_sent_again_and_nothing_is_read_twice() {
    const ROUNDS: u64 = 6;
    const MESSAGES: u64 = 400;
    let Some(url) = amqp() else { return };
    let port = url.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok());
    let way = Cuttable::to(port.unwrap()).await;
    let name = fresh_name();
    let (cut, steady) = (client(&way.url()), client(&url));
    let publisher = connected(&cut, &name, ExchangeKind::Topic).await;
    let listener = connected(&steady, &name, ExchangeKind::Topic).await;
    let mut reader = listener.bind(&Pattern::all(), 100_000);
    until("it is bound", || listener.figures().queues == 1).await;

    let mut number = 0;
    for round in 1..=ROUNDS {
        for sent in 0..MESSAGES {
            publisher.publish("fontana", number);
            number += 1;
            if sent == MESSAGES / 2 {
                way.cut();
            }
        }
        way.mend();
        until("it connects again", || broker_figures(&publisher).connections == round + 1).await;
    }
    publisher.publish("fontana", number);
    until("everything is settled", || {
        let figures = broker_figures(&publisher);
        figures.confirmed + figures.unsent == number + 1
    })
    .await;

    // The listener's connection was never cut: what it does not get, never reached the broker.
    let mut accounted = 0;
    let mut lost = 0;
    while accounted <= number {
        let delivery = reader.recv().await.unwrap();
        lost += delivery.lost_before;
        accounted += delivery.lost_before + 1;
        assert_eq!(delivery.message + 1, accounted, "in order, once, and the losses exact");
    }
    let unsent = broker_figures(&publisher).unsent;
    assert!(lost <= unsent, "{lost} were lost, and {unsent} never sent");
    println!(
        "{number} published over {ROUNDS} cuts: {} read, {lost} said to be lost, {} left out as repeated",
        number + 1 - lost,
        broker_figures(&listener).repeated
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_was_cut_off_is_told_that_something_may_be_missing() {
    let Some(url) = amqp() else { return };
    let port = url.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok());
    let way = Cuttable::to(port.unwrap()).await;
    let name = fresh_name();
    let (cut, steady) = (client(&way.url()), client(&url));
    let listener = connected(&cut, &name, ExchangeKind::Topic).await;
    let publisher = connected(&steady, &name, ExchangeKind::Topic).await;
    let mut reader = listener.bind(&Pattern::all(), 100);
    until("it is bound", || listener.figures().queues == 1).await;
    publisher.publish("fontana", 1);
    assert_eq!(reader.recv().await.unwrap().message, 1);

    way.cut();
    until("it notices", || listener.away().is_some()).await;
    for number in 2..6 {
        publisher.publish("fontana", number);
    }
    // Of this key nothing follows, so that no number will ever show that it is missing.
    publisher.publish("lugano", 6);
    until("the broker has them", || broker_figures(&publisher).confirmed == 6).await;
    way.mend();
    until("it is bound again", || listener.figures().queues == 1).await;
    publisher.publish("home", 7);
    let delivery = reader.recv().await.unwrap();
    assert_eq!((delivery.message, delivery.lost_before), (7, 1), "something may be missing");
    publisher.publish("fontana", 8);
    let delivery = reader.recv().await.unwrap();
    assert_eq!((delivery.message, delivery.lost_before), (8, 3), "four were, and one was said");
}
