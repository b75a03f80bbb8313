//! Which dirty minutes are marked on disk already, and when readings last came into them. It saves a
//! row per reading, and tells a roll-up whether its minute was touched after its snapshot.

use std::collections::HashMap;

/// A minute of a HEM: its number and the minute's start.
pub(super) type Minute = (i64, i64);

/// That readings came into a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) minute: Minute,
    /// The highest number of them.
    pub(super) last_seq: i64,
}

/// When a minute was last touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) commit: u64,
    pub(super) last_seq: i64,
}

/// Beyond so many minutes the cache starts anew: it is only a cache.
const CAPACITY: usize = 200_000;

/// Which minutes are marked. A minute that it does not know may be marked all the same, and was last
/// touched no later than `floor`.
#[derive(Debug, Default)]
pub(super) struct DirtyCache {
    minutes: HashMap<Minute, Touch>,
    floor: u64,
}

impl DirtyCache {
    /// Whether the minute is certainly marked on disk.
    pub(super) fn is_marked(&self, minute: Minute) -> bool {
        self.minutes.contains_key(&minute)
    }

    /// After a commit that marked these on disk.
    pub(super) fn touch(&mut self, touched: &[Touched], commit: u64) {
        if self.minutes.len() + touched.len() > CAPACITY {
            self.minutes.clear();
            self.floor = commit;
        }
        for one in touched {
            self.minutes.insert(one.minute, Touch { commit, last_seq: one.last_seq });
        }
    }

    /// When a minute was last touched, where that is known.
    pub(super) fn touch_of(&self, minute: Minute) -> Option<Touch> {
        self.minutes.get(&minute).copied()
    }

    /// Whether nothing came into a minute after a commit.
    pub(super) fn is_settled(&self, minute: Minute, commit: u64) -> bool {
        self.minutes.get(&minute).map_or(self.floor, |touch| touch.commit) <= commit
    }

    /// After its mark on disk was removed.
    pub(super) fn forget(&mut self, minute: Minute) {
        self.minutes.remove(&minute);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_settled_until_a_later_commit_touches_it() {
        let mut cache = DirtyCache::default();
        cache.touch(&[Touched { minute: (1, 60), last_seq: 9 }], 5);
        assert!(cache.is_settled((1, 60), 5) && !cache.is_settled((1, 60), 4));
        assert!(cache.is_settled((2, 60), 0), "nothing was ever cleared");
    }

    #[test]
    fn what_a_full_cache_has_forgotten_is_not_taken_for_settled() {
        let mut cache = DirtyCache::default();
        for hem in 0..=200_000 {
            cache.touch(&[Touched { minute: (hem, 0), last_seq: 1 }], 7);
        }
        assert!(!cache.is_marked((0, 0)));
        assert!(!cache.is_settled((0, 0), 6) && cache.is_settled((0, 0), 7));
    }
}
