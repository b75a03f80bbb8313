//! Which dirty minutes are certainly marked in the store, so that a commit need not mark them again.
//!
//! Other processes take marks away too. But whoever does counts it in the HEM's document, which every
//! commit reads and writes: what is remembered holds as long as that count stands still.

use std::collections::{BTreeSet, HashMap};

/// Beyond so many HEMs it starts anew: it is only a cache.
const HEMS: usize = 100_000;
/// Beyond so many minutes of a HEM it forgets them.
const MINUTES: usize = 128;

#[derive(Debug, Default)]
struct Marked {
    rolled: i64,
    minutes: BTreeSet<i64>,
}

/// By the numbers of HEMs.
#[derive(Debug, Default)]
pub(super) struct MarkedMinutes {
    hems: HashMap<i64, Marked>,
}

impl MarkedMinutes {
    /// Whether a minute is marked, where the HEM's count is at `rolled`.
    pub(super) fn holds(&self, hem_no: i64, rolled: i64, minute: i64) -> bool {
        let marked = self.hems.get(&hem_no);
        marked.is_some_and(|marked| marked.rolled == rolled && marked.minutes.contains(&minute))
    }

    /// After a transaction that read `rolled`, marked the minutes and was committed.
    pub(super) fn remember(&mut self, hem_no: i64, rolled: i64, minutes: &[i64]) {
        if self.hems.len() >= HEMS && !self.hems.contains_key(&hem_no) {
            self.hems.clear();
        }
        let marked = self.hems.entry(hem_no).or_default();
        if marked.rolled != rolled || marked.minutes.len() + minutes.len() > MINUTES {
            marked.minutes.clear();
            marked.rolled = rolled;
        }
        if minutes.len() <= MINUTES {
            marked.minutes.extend(minutes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MarkedMinutes;

    #[test]
    fn what_was_marked_counts_until_a_mark_is_taken_away() {
        let mut marked = MarkedMinutes::default();
        marked.remember(1, 7, &[60, 120]);
        marked.remember(1, 7, &[180]);
        assert!(marked.holds(1, 7, 60) && marked.holds(1, 7, 180));
        assert!(!marked.holds(1, 8, 60) && !marked.holds(2, 7, 60));
        marked.remember(1, 8, &[240]);
        assert!(!marked.holds(1, 8, 60) && marked.holds(1, 8, 240));
    }

    #[test]
    fn it_never_holds_more_than_it_may_of_a_hem() {
        let mut marked = MarkedMinutes::default();
        for minute in 0..1_000 {
            marked.remember(1, 0, &[minute]);
        }
        assert!(marked.hems[&1].minutes.len() <= super::MINUTES);
        marked.remember(1, 0, &(0..1_000).collect::<Vec<i64>>());
        assert!(!marked.holds(1, 0, 5));
    }
}
