//! Which process should run a microgrid: the one that draws the highest number for it. Every process
//! comes to the same answer by itself, and when one comes or goes only its own microgrids move.
//! Rendezvous hashing: D. Thaler, C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates",
//! IEEE/ACM Transactions on Networking 6 (1998).

use memcloud_domain::{MicrogridId, ProcessId};

/// The process that should run a microgrid, of those that live.
pub(crate) fn preferred<'a>(
    microgrid: &MicrogridId,
    live: &'a [ProcessId],
) -> Option<&'a ProcessId> {
    live.iter().max_by_key(|process| (draw(process, microgrid), *process))
}

/// The number that a process draws for a microgrid: FNV-1a over both names, and the finaliser of
/// splitmix64, which spreads what differs in the last bytes alone. Not the standard library's hasher,
/// which may differ between two versions of the program that run at the same time.
fn draw(process: &ProcessId, microgrid: &MicrogridId) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let names = process.as_str().bytes().chain([0]).chain(microgrid.as_str().bytes());
    let mut hash = names.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes(count: usize) -> Vec<ProcessId> {
        (0..count).map(|number| ProcessId::new(&format!("process-{number}")).unwrap()).collect()
    }

    fn microgrids() -> impl Iterator<Item = MicrogridId> {
        (0..3_000).map(|number| MicrogridId::new(&format!("m-{number}")).unwrap())
    }

    #[test]
    fn each_process_gets_about_its_share() {
        let live = processes(3);
        for process in &live {
            let share = microgrids().filter(|id| preferred(id, &live) == Some(process)).count();
            assert!((850..1_150).contains(&share), "{share}");
        }
    }

    #[test]
    fn when_a_process_goes_only_its_own_microgrids_move() {
        let (before, after) = (processes(4), processes(3));
        for id in microgrids() {
            let then = preferred(&id, &before).unwrap();
            let now = preferred(&id, &after).unwrap();
            assert!(then == now || then == before.last().unwrap(), "{id}");
        }
    }

    #[test]
    fn the_order_of_the_names_does_not_matter() {
        let mut reversed = processes(5);
        reversed.reverse();
        for id in microgrids().take(100) {
            assert_eq!(preferred(&id, &processes(5)), preferred(&id, &reversed));
        }
        assert_eq!(preferred(&MicrogridId::new("m").unwrap(), &[]), None);
    }
}
