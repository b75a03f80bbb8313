//! Pages of readings.

use std::collections::BTreeSet;

use memcloud_domain::{
    Entry, NodeId, NodeReading, Order, Reading, Seq, TimeRange, Timestamp, Watts,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;

pub(crate) fn pages_cover_hot_and_sealed_readings_in_both_directions_and_by_time<P: Place>() {
    let house = House::<P>::new();
    house.open("h");
    // The clock of this HEM jumps back and forth.
    let at = |seq: u64| T0 + (seq * 37 % 50).cast_signed() * 1_000;
    let entries = (1..=50).map(|seq| reading(seq, at(seq), 1.0, None)).collect();
    house.commit("h", 1, entries);
    house.upkeep(UpkeepTask::Seal, T0);
    let all: Vec<u64> = (1..=50).collect();
    let everything = TimeRange::default();
    assert_eq!(house.seqs("h", everything, Order::Ascending), all);
    let mut reversed = all.clone();
    reversed.reverse();
    assert_eq!(house.seqs("h", everything, Order::Descending), reversed);
    let range = TimeRange { from: Some(Timestamp(T0 + 10_000)), to: Some(Timestamp(T0 + 30_000)) };
    let inside: Vec<u64> =
        all.iter().copied().filter(|seq| (10..30).contains(&(seq * 37 % 50))).collect();
    assert_eq!(house.seqs("h", range, Order::Ascending), inside);
    assert_eq!(house.seqs("stranger", everything, Order::Ascending), [0_u64; 0]);
}

pub(crate) fn the_latest_reading_has_the_newest_value_of_each_node<P: Place>() {
    let house = House::<P>::new();
    house.open("h");
    let of_node = |seq: u64, ts: i64, node: u8, watts: f64| {
        let mut one = NodeReading::empty(NodeId(node));
        one.watts = Some(Watts(watts));
        let (seq, ts) = (Seq(seq), Timestamp(ts));
        Entry::Reading(Reading { seq, ts, received: ts, nodes: vec![one] })
    };
    let mut entries: Vec<Entry> =
        (1..=30).map(|seq| of_node(seq, T0 + seq.cast_signed(), 2, seq as f64)).collect();
    entries.push(of_node(31, T0 + 40, 1, 7.0));
    // A late one: its time counts, not its number.
    entries.push(of_node(32, T0 - 5_000, 2, 999.0));
    house.commit("h", 1, entries);
    house.upkeep(UpkeepTask::Seal, T0);
    let latest = house.store.latest_reading(&hem("h")).unwrap().unwrap();
    let watts: Vec<(u8, f64)> =
        latest.nodes.iter().map(|node| (node.node.0, node.watts.unwrap().0)).collect();
    assert_eq!(
        (latest.seq, latest.ts, watts),
        (Seq(31), Timestamp(T0 + 40), vec![(1, 7.0), (2, 30.0)])
    );
    assert_eq!(house.store.latest_reading(&hem("stranger")).unwrap(), None);
}

/// However numbers jump and times wander, whatever is sealed between: every page of every window is
/// what the readings alone say.
pub(crate) fn pages_are_right_wherever_runs_and_chunks_begin<P: Place>() {
    let commit = (1_u64..40, 1_i64..25, 0_i64..60, any::<bool>());
    let commits = proptest::collection::vec(commit, 1..12);
    let window = (0_u64..500, 0_i64..90_000, 1_i64..60_000);
    let windows = proptest::collection::vec(window, 6);
    let mut runner = TestRunner::new(config::<P>());
    runner
        .run(&(commits, windows), |(commits, windows)| check_pages::<P>(commits, windows))
        .unwrap();
}

fn check_pages<P: Place>(
    commits: Vec<(u64, i64, i64, bool)>,
    windows: Vec<(u64, i64, i64)>,
) -> Result<(), TestCaseError> {
    let house = House::<P>::new();
    house.open("h");
    let (mut seq, mut all) = (0, Vec::new());
    for (jump, count, wander, seals) in commits {
        seq += jump;
        let mut entries = Vec::new();
        for place in 0..count {
            let ts = T0 + (place * wander * 977) % 90_000;
            entries.push(reading(seq, ts, 1.0, None));
            all.push((seq, ts));
            seq += 1 + (place.unsigned_abs() % 3);
        }
        house.commit("h", 1, entries);
        if seals {
            house.store.upkeep(UpkeepTask::Seal, Timestamp(T0)).unwrap();
        }
    }
    let numbers: BTreeSet<u64> = all.iter().map(|(seq, _)| *seq).collect();
    prop_assert_eq!(numbers.len(), all.len());
    for (after, from, span) in windows {
        let range =
            TimeRange { from: Some(Timestamp(T0 + from)), to: Some(Timestamp(T0 + from + span)) };
        let inside: Vec<u64> = all
            .iter()
            .filter(|(_, ts)| (T0 + from..T0 + from + span).contains(ts))
            .map(|(seq, _)| *seq)
            .collect();
        prop_assert_eq!(house.seqs("h", range, Order::Ascending), inside.clone());
        let reversed: Vec<u64> = inside.into_iter().rev().collect();
        prop_assert_eq!(house.seqs("h", range, Order::Descending), reversed);
        let expected: Vec<u64> = numbers.range(after + 1..).take(30).copied().collect();
        let found = house.after("h", after, 30).entries;
        prop_assert_eq!(found.iter().map(|one| one.seq().0).collect::<Vec<u64>>(), expected);
        let below = house.page("h", TimeRange::default(), Some(after), Order::Descending);
        let expected: Vec<u64> = numbers.range(..after).rev().take(7).copied().collect();
        prop_assert_eq!(below.items.iter().map(|one| one.seq.0).collect::<Vec<u64>>(), expected);
    }
    Ok(())
}
