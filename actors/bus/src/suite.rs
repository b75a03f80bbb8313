//! What every adapter of [`Exchange`] must show. Each function takes a maker of fresh exchanges and
//! panics with a sentence where the adapter differs.

use std::sync::Arc;

use crate::{Delivery, Exchange, ExchangeKind, Pattern, Queue};

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

/// Makes a fresh exchange as two processes see it: each its own, and what one publishes both hear.
pub type SharedMaker<'a> =
    &'a dyn Fn(ExchangeKind) -> (Arc<dyn Exchange<u64>>, Arc<dyn Exchange<u64>>);

/// Runs what an adapter must show that several processes share.
pub async fn run_shared(make: SharedMaker<'_>) {
    what_one_process_publishes_is_read_in_another(make).await;
    each_publisher_keeps_its_order_and_its_losses_are_said_apart(make).await;
    a_fanout_reaches_every_process_once(make).await;
}

/// Waits until a process has so many queues bound: between processes that takes a moment.
#[expect(clippy::panic, reason = "a suite reports by panicking")]
fn until_bound(exchange: &dyn Exchange<u64>, queues: usize) {
    for _ in 0..30_000 {
        if exchange.figures().queues == queues {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("{queues} queues should be bound, and {} are", exchange.figures().queues);
}

/// Sharing.
pub async fn what_one_process_publishes_is_read_in_another(make: SharedMaker<'_>) {
    let (here, there) = make(ExchangeKind::Topic);
    let mut reader = there.bind(&pattern("fontana"), 8);
    until_bound(there.as_ref(), 1);
    here.publish("lugano", 1);
    here.publish("fontana", 2);
    there.publish("fontana", 3);
    let mut read = [next(&mut reader).await, next(&mut reader).await];
    read.sort_unstable();
    assert_eq!(read, [(2, 0), (3, 0)]);
}

/// Order and loss, of two publishers at once.
pub async fn each_publisher_keeps_its_order_and_its_losses_are_said_apart(make: SharedMaker<'_>) {
    const MESSAGES: u64 = 300;
    let (here, there) = make(ExchangeKind::Topic);
    let mut reader = there.bind(&Pattern::all(), 16);
    until_bound(there.as_ref(), 1);
    for number in 0..MESSAGES {
        here.publish("a", number);
        there.publish("b", 10_000 + number);
    }
    let mut newest = [None; 2];
    let mut accounted = 0;
    let mut lost = 0;
    let mut number = MESSAGES;
    // What came last of one may be lost to what came later of the other, so each says more until both
    // are heard.
    while !newest
        .iter()
        .all(|seen: &Option<u64>| seen.is_some_and(|seen| seen % 10_000 >= MESSAGES))
    {
        assert!(number < 3_000, "both should be heard by now: {newest:?}");
        here.publish("a", number);
        there.publish("b", 10_000 + number);
        number += 1;
        std::thread::sleep(std::time::Duration::from_millis(10));
        while let Some(Delivery { message, lost_before }) = reader.try_recv() {
            lost += lost_before;
            accounted += 1 + lost_before;
            let [of_here, of_there] = &mut newest;
            let newest_of_its = if message < 10_000 { of_here } else { of_there };
            assert!(*newest_of_its < Some(message), "the order of a publisher is kept");
            *newest_of_its = Some(message);
        }
    }
    // How far another process had come when the queue was bound, a broker does not say: what is lost
    // before its first message may go unsaid, and nothing is said that was not lost.
    assert!(accounted <= 2 * number, "{accounted}");
    assert_eq!(reader.lost(), lost);
}

/// Fanout between processes.
pub async fn a_fanout_reaches_every_process_once(make: SharedMaker<'_>) {
    let (here, there) = make(ExchangeKind::Fanout);
    let mut readers = [here.bind(&Pattern::all(), 8), there.bind(&Pattern::all(), 8)];
    // One and the same exchange has both.
    let queues = here.figures().queues.max(1);
    until_bound(here.as_ref(), queues);
    until_bound(there.as_ref(), queues);
    here.publish("", 1);
    here.publish("", 2);
    for reader in &mut readers {
        assert_eq!([next(reader).await, next(reader).await], [(1, 0), (2, 0)]);
    }
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
