//! What a transaction is, whatever the engine.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

on_every_engine! {
    a_panic_in_a_transaction_leaves_nothing_and_stops_nobody,
    readers_are_served_while_another_process_writes,
    many_threads_share_the_readers,
}

fn a_panic_in_a_transaction_leaves_nothing_and_stops_nobody(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        registry.write::<()>(|connection| {
            super::super::microgrid::insert(connection, &a_microgrid("half")).unwrap();
            panic!("in the middle");
        })
    }));
    assert!(panicked.is_err());
    assert!(registry.microgrid(&microgrid_id("half")).is_err());
    registry.create_microgrid(&a_microgrid("after")).unwrap();
    for _ in 0..10 {
        let panicked =
            catch_unwind(AssertUnwindSafe(|| registry.read::<()>(|_| panic!("while reading"))));
        assert!(panicked.is_err());
    }
    assert_eq!(registry.microgrids(&PageRequest::first(10)).unwrap().items.len(), 2);
}

fn readers_are_served_while_another_process_writes(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    let other = registry.opened_again();
    other
        .write(|connection| {
            super::super::microgrid::insert(connection, &a_microgrid("new"))?;
            assert_eq!(registry.microgrids(&PageRequest::first(10))?.items.len(), 1);
            Ok(())
        })
        .unwrap();
    assert_eq!(registry.microgrids(&PageRequest::first(10)).unwrap().items.len(), 2);
}

fn many_threads_share_the_readers(registry: Fixture) {
    let registry = registry.with_microgrid("fontana");
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..50 {
                    registry.microgrid(&microgrid_id("fontana")).unwrap();
                }
            });
        }
    });
}
