//! What every adapter of [`Exchange`] must show. Each function takes a maker of fresh exchanges and
//! panics with a sentence where the adapter differs.

use std::sync::Arc;

use crate::{Exchange, ExchangeKind, Pattern, Queue};

/// Makes a fresh exchange of a kind, which shares nothing with those made before.
pub type Maker<'a> = &'a dyn Fn(ExchangeKind) -> Arc<dyn Exchange<u64>>;

#[expect(clippy::expect_used, reason = "a suite reports by panicking")]
fn pattern(text: &str) -> Pattern {
    text.parse().expect("a good pattern")
}

#[expect(clippy::expect_used, reason = "a suite reports by panicking")]
async fn next(queue: &mut Queue<u64>) -> (u64, u64) {
    let delivery = queue.recv().await.expect("the queue is open");
    (delivery.message, delivery.lost_before)
}

/// Runs all of it.
pub async fn run(make: Maker<'_>) {
    a_topic_exchange_gives_a_message_to_the_queues_whose_pattern_fits(make).await;
    a_fanout_exchange_gives_a_message_to_every_queue(make).await;
    a_queue_keeps_the_order_of_its_publisher(make).await;
    a_full_queue_loses_its_oldest_and_says_how_many(make).await;
    a_slow_reader_costs_its_neighbour_nothing(make).await;
    a_queue_gets_nothing_from_before_it_was_bound(make).await;
    a_dropped_queue_is_unbound(make).await;
    a_waiting_reader_is_woken(make).await;
}

/// Topic semantics.
pub async fn a_topic_exchange_gives_a_message_to_the_queues_whose_pattern_fits(make: Maker<'_>) {
    let exchange = make(ExchangeKind::Topic);
    let mut one = exchange.bind(&pattern("fontana"), 8);
    let mut starred = exchange.bind(&pattern("*"), 8);
    let mut all = exchange.bind(&pattern("#"), 8);
    exchange.publish("fontana", 1);
    exchange.publish("lugano", 2);
    exchange.publish("lugano.home-1", 3);
    exchange.publish("fontana", 4);
    assert_eq!([next(&mut one).await.0, next(&mut one).await.0], [1, 4]);
    for expected in [1, 2, 4] {
        assert_eq!(next(&mut starred).await.0, expected);
    }
    for expected in [1, 2, 3, 4] {
        assert_eq!(next(&mut all).await.0, expected);
    }
}

/// Fanout semantics.
pub async fn a_fanout_exchange_gives_a_message_to_every_queue(make: Maker<'_>) {
    let exchange = make(ExchangeKind::Fanout);
    let mut first = exchange.bind(&pattern("only-this"), 8);
    let mut second = exchange.bind(&Pattern::all(), 8);
    exchange.publish("something-else", 7);
    assert_eq!(next(&mut first).await, (7, 0));
    assert_eq!(next(&mut second).await, (7, 0));
}

/// Order.
pub async fn a_queue_keeps_the_order_of_its_publisher(make: Maker<'_>) {
    let exchange = make(ExchangeKind::Topic);
    let mut reader = exchange.bind(&Pattern::all(), 1_000);
    for number in 0..500 {
        exchange.publish("a", number);
    }
    for number in 0..500 {
        assert_eq!(next(&mut reader).await, (number, 0));
    }
}

/// Loss.
pub async fn a_full_queue_loses_its_oldest_and_says_how_many(make: Maker<'_>) {
    let exchange = make(ExchangeKind::Topic);
    let mut reader = exchange.bind(&Pattern::all(), 3);
    for number in 0..10 {
        exchange.publish("a", number);
    }
    // A broker's adapter delivers what it likes of the first seven; the last three must come, and
    // what is missing must be said.
    let mut seen = 0;
    let mut lost = 0;
    loop {
        let (number, lost_before) = next(&mut reader).await;
        lost += lost_before;
        assert_eq!(number, seen + lost, "a delivery says exactly what was lost before it");
        seen += 1;
        if number == 9 {
            break;
        }
    }
    assert_eq!(seen + lost, 10);
    assert_eq!(reader.lost(), lost);
    exchange.publish("a", 10);
    assert_eq!(next(&mut reader).await, (10, 0), "a loss is said once");
}

/// Isolation.
pub async fn a_slow_reader_costs_its_neighbour_nothing(make: Maker<'_>) {
    let exchange = make(ExchangeKind::Fanout);
    let slow = exchange.bind(&Pattern::all(), 2);
    let mut quick = exchange.bind(&Pattern::all(), 2);
    for number in 0..100 {
        exchange.publish("", number);
        assert_eq!(next(&mut quick).await, (number, 0));
    }
    assert!(slow.len() <= 2, "a queue never holds more than its capacity");
}

/// Binding.
pub async fn a_queue_gets_nothing_from_before_it_was_bound(make: Maker<'_>) {
    let exchange = make(ExchangeKind::Topic);
    exchange.publish("a", 1);
    let mut reader = exchange.bind(&Pattern::all(), 4);
    exchange.publish("a", 2);
    assert_eq!(next(&mut reader).await, (2, 0));
}

/// Unbinding.
pub async fn a_dropped_queue_is_unbound(make: Maker<'_>) {
    let exchange = make(ExchangeKind::Topic);
    let dropped = exchange.bind(&Pattern::all(), 4);
    let mut kept = exchange.bind(&Pattern::all(), 4);
    drop(dropped);
    exchange.publish("a", 1);
    assert_eq!(next(&mut kept).await, (1, 0));
    assert_eq!(exchange.figures().queues, 1);
}

/// Waking.
pub async fn a_waiting_reader_is_woken(make: Maker<'_>) {
    let exchange = make(ExchangeKind::Topic);
    let mut reader = exchange.bind(&Pattern::all(), 4);
    let publishing = async {
        // The reader has been polled once by now and waits.
        exchange.publish("a", 5);
    };
    let (received, ()) = futures_util::future::join(next(&mut reader), publishing).await;
    assert_eq!(received, (5, 0));
}
