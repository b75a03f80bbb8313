//! A short run of the mutator; `cargo run --release -p memcloud-wire --example mutate` is the long one.

use crate::mutator::Mutator;

#[test]
fn mutated_frames_neither_panic_nor_grow() {
    let mut mutator = Mutator::new(20_261_123);
    for _ in 0..30_000 {
        mutator.step();
    }
    let outcomes = mutator.outcomes();
    // The mutator is worth its name only while it reaches every outcome.
    assert!(outcomes.taken > 1_000, "{outcomes:?}");
    assert!(outcomes.malformed > 1_000, "{outcomes:?}");
    assert!(outcomes.bad_frame > 1_000, "{outcomes:?}");
    assert!(outcomes.unknown_type > 500, "{outcomes:?}");
    assert!(outcomes.greetings > 500, "{outcomes:?}");
    assert!(outcomes.cloud_frames > 500, "{outcomes:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut mutator = Mutator::new(seed);
        (0..500).for_each(|_| mutator.step());
        mutator.outcomes()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
