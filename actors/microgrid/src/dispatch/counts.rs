//! What dispatch counts, for `/metrics`: plain atomics that any thread may read, of all microgrids
//! together.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::Figures;

/// The counters of dispatch.
#[derive(Debug, Default)]
pub struct DispatchCounts {
    pub(crate) orders: AtomicU64,
    pub(crate) refused_by_envelope: AtomicU64,
    pub(crate) refused_by_rank: AtomicU64,
    pub(crate) refused_by_budget: AtomicU64,
    pub(crate) held_back: AtomicU64,
    pub(crate) over_fleet_budget: AtomicU64,
    pub(crate) wishes_standing: AtomicI64,
}

impl DispatchCounts {
    /// Orders that the ledger took.
    #[must_use]
    pub fn orders(&self) -> u64 {
        self.orders.load(Ordering::Relaxed)
    }

    /// Claims that the safety envelope turned down.
    #[must_use]
    pub fn refused_by_envelope(&self) -> u64 {
        self.refused_by_envelope.load(Ordering::Relaxed)
    }

    /// Commands that were turned down because someone outranked them.
    #[must_use]
    pub fn refused_by_rank(&self) -> u64 {
        self.refused_by_rank.load(Ordering::Relaxed)
    }

    /// Wishes that were turned down because their job had too many.
    #[must_use]
    pub fn refused_by_budget(&self) -> u64 {
        self.refused_by_budget.load(Ordering::Relaxed)
    }

    /// Orders that a job's or a node's rate held back for a while.
    #[must_use]
    pub fn held_back(&self) -> u64 {
        self.held_back.load(Ordering::Relaxed)
    }

    /// Orders that the fleet's budget of watts held back for a while.
    #[must_use]
    pub fn over_fleet_budget(&self) -> u64 {
        self.over_fleet_budget.load(Ordering::Relaxed)
    }

    /// A gauge: wishes that stand now.
    #[must_use]
    pub fn wishes_standing(&self) -> u64 {
        u64::try_from(self.wishes_standing.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

/// What one dispatcher has told the counters so far; what it counts as a gauge goes with it.
#[derive(Debug)]
pub struct Tally {
    counts: Arc<DispatchCounts>,
    told: Figures,
}

impl Tally {
    /// Nothing told yet.
    #[must_use]
    pub fn new(counts: Arc<DispatchCounts>) -> Self {
        Self { counts, told: Figures::default() }
    }

    /// Tells what is new.
    pub fn tell(&mut self, now: Figures) {
        let (counts, told) = (&self.counts, self.told);
        let pairs = [
            (&counts.orders, now.orders, told.orders),
            (&counts.refused_by_envelope, now.refused_by_envelope, told.refused_by_envelope),
            (&counts.refused_by_rank, now.refused_by_rank, told.refused_by_rank),
            (&counts.refused_by_budget, now.refused_by_budget, told.refused_by_budget),
            (&counts.held_back, now.held_back, told.held_back),
            (&counts.over_fleet_budget, now.over_fleet_budget, told.over_fleet_budget),
        ];
        for (count, now, told) in pairs {
            count.fetch_add(now.saturating_sub(told), Ordering::Relaxed);
        }
        let difference = signed(now.wishes_standing) - signed(told.wishes_standing);
        counts.wishes_standing.fetch_add(difference, Ordering::Relaxed);
        self.told = now;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let standing = signed(self.told.wishes_standing);
        self.counts.wishes_standing.fetch_sub(standing, Ordering::Relaxed);
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
