//! The in-process exchange passes the suite of every adapter.

use std::sync::Arc;

use memcloud_bus::{Exchange, InProcessExchange, Pattern, suite};
use proptest::prelude::*;

#[tokio::test(flavor = "current_thread")]
async fn the_in_process_exchange_passes_the_suite() {
    suite::run(&|kind| Arc::new(InProcessExchange::new("test", kind))).await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_exchange_that_is_shared_within_a_process_passes_the_suite_of_several() {
    suite::run_shared(&|kind| {
        let exchange = Arc::new(InProcessExchange::new("test", kind));
        (exchange.clone(), exchange)
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_queue_ends_when_its_exchange_is_gone_and_everything_was_read() {
    let exchange = InProcessExchange::new("test", memcloud_bus::ExchangeKind::Fanout);
    let mut queue = exchange.bind(&Pattern::all(), 4);
    exchange.publish("", 1_u64);
    drop(exchange);
    assert_eq!(queue.recv().await.unwrap().message, 1);
    assert!(queue.recv().await.is_none());
}

#[test]
fn a_reader_on_another_thread_is_woken_for_every_message() {
    let exchange = Arc::new(InProcessExchange::new("test", memcloud_bus::ExchangeKind::Fanout));
    let mut queue = exchange.bind(&Pattern::all(), 16);
    let publisher = std::thread::spawn({
        let exchange = Arc::clone(&exchange);
        move || {
            for number in 0..20_000_u64 {
                exchange.publish("", number);
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let accounted = runtime.block_on(async {
        let mut accounted = 0;
        while accounted < 20_000 {
            let delivery = queue.recv().await.unwrap();
            accounted += delivery.lost_before + 1;
            assert_eq!(delivery.message + 1, accounted);
        }
        accounted
    });
    publisher.join().unwrap();
    assert_eq!(accounted, 20_000);
}

proptest! {
    #[test]
    fn what_is_read_and_what_is_said_to_be_lost_is_what_was_published(
        capacity in 1_usize..6,
        // true publishes, false reads.
        moves in prop::collection::vec(any::<bool>(), 0..200),
    ) {
        let exchange = InProcessExchange::new("test", memcloud_bus::ExchangeKind::Fanout);
        let mut queue = exchange.bind(&Pattern::all(), capacity);
        let (mut published, mut accounted) = (0_u64, 0_u64);
        for publishes in moves {
            if publishes {
                exchange.publish("", published);
                published += 1;
            } else if let Some(delivery) = queue.try_recv() {
                accounted += delivery.lost_before;
                prop_assert_eq!(delivery.message, accounted);
                accounted += 1;
            }
            prop_assert!(queue.len() <= capacity);
        }
        while let Some(delivery) = queue.try_recv() {
            accounted += delivery.lost_before + 1;
        }
        prop_assert_eq!(accounted, published);
        prop_assert_eq!(exchange.figures().dropped, queue.lost());
    }
}
