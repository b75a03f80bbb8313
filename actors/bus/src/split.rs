//! Splits what a commit stored into messages of a bounded size, so that a broker carries no giants.
//! Each part is a message in its own right: its marks join those of the part before.

use std::sync::Arc;

use memcloud_domain::HemBatch;
use memcloud_domain::messages::ReadingsCommitted;

/// The same commit in parts of at most so many entries (at least 1).
pub(crate) fn split(committed: ReadingsCommitted, at_most: usize) -> Vec<ReadingsCommitted> {
    let at_most = at_most.max(1);
    let entries: usize = committed.batches.iter().map(|batch| batch.entries.len()).sum();
    if entries <= at_most {
        return vec![committed];
    }
    let ReadingsCommitted { microgrid, at, batches } = committed;
    let part = |batches: Vec<HemBatch>| ReadingsCommitted {
        microgrid: microgrid.clone(),
        at,
        batches: Arc::new(batches),
    };
    let mut parts = Vec::new();
    let mut filling: Vec<HemBatch> = Vec::new();
    let mut filled = 0;
    for mut batch in Arc::unwrap_or_clone(batches) {
        while filled + batch.entries.len() > at_most {
            let rest = batch.entries.split_off(at_most - filled);
            let last = batch.entries.last().map(memcloud_domain::Entry::seq);
            // The whole batch goes into the next part, where nothing of it fits into this one.
            if let Some(through) = last {
                let entries = std::mem::replace(&mut batch.entries, rest);
                filling.push(HemBatch { through, entries, hem: batch.hem.clone(), ..batch });
                batch.after = through;
            } else {
                batch.entries = rest;
            }
            parts.push(part(std::mem::take(&mut filling)));
            filled = 0;
        }
        filled += batch.entries.len();
        filling.push(batch);
    }
    if !filling.is_empty() {
        parts.push(part(filling));
    }
    parts
}

#[cfg(test)]
mod tests {
    use memcloud_domain::{Entry, Epoch, HemId, Reading, Seq, Timestamp};
    use proptest::prelude::*;

    use super::*;

    const NOON: Timestamp = Timestamp(1_777_636_800_000);

    fn batch(hem: usize, entries: u64) -> HemBatch {
        let hem: HemId = format!("home-{hem}").parse().unwrap();
        let reading =
            |number| Reading { seq: Seq(number), ts: NOON, received: NOON, nodes: vec![] };
        // The mark is beyond the last entry, as after numbers that were skipped.
        let entries_of = (11..11 + entries).map(|number| Entry::Reading(reading(number))).collect();
        HemBatch {
            hem,
            epoch: Epoch(1),
            after: Seq(10),
            through: Seq(20 + entries),
            entries: entries_of,
        }
    }

    proptest! {
        #[test]
        fn the_parts_are_small_hold_everything_once_and_their_marks_are_a_chain(
            sizes in prop::collection::vec(0_u64..12, 0..8),
            at_most in 1_usize..10,
        ) {
            let batches: Vec<_> = sizes.iter().enumerate().map(|(hem, size)| batch(hem, *size)).collect();
            let microgrid = "fontana".parse().unwrap();
            let whole = ReadingsCommitted { microgrid, at: NOON, batches: Arc::new(batches.clone()) };
            let mut joined: Vec<HemBatch> = Vec::new();
            for part in split(whole, at_most) {
                let entries: usize = part.batches.iter().map(|batch| batch.entries.len()).sum();
                prop_assert!(entries <= at_most);
                for batch in part.batches.iter() {
                    match joined.last_mut() {
                        Some(last) if last.hem == batch.hem => {
                            prop_assert_eq!(last.through, batch.after);
                            last.through = batch.through;
                            last.entries.extend(batch.entries.iter().cloned());
                        }
                        _ => joined.push(batch.clone()),
                    }
                }
            }
            prop_assert_eq!(joined, batches);
        }
    }
}
