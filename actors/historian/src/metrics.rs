//! What the historian counts, for `/metrics`: plain atomics that any thread may read.
//!
//! `received = stored + refused + replayed + dropped + waiting`: whoever sees a difference has found
//! a lost reading.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A counter, or a gauge where its doc line says so.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds.
    pub fn add(&self, amount: usize) {
        self.0.fetch_add(amount as u64, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Sets a gauge.
    pub fn set(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram with fixed bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    buckets: Vec<Count>,
    count: Count,
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| Count::default()).collect();
        Self { bounds, buckets, count: Count::default(), sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn observe(&self, value: u64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.increment();
        }
        self.count.increment();
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Upper bounds, inclusive, with how many values lie at or below each; the last bound is absent
    /// for those above all. Cumulative, as Prometheus wants it.
    #[must_use]
    pub fn cumulative(&self) -> Vec<(Option<u64>, u64)> {
        let bounds = self.bounds.iter().map(|bound| Some(*bound)).chain(std::iter::once(None));
        let mut below = 0;
        bounds
            .zip(&self.buckets)
            .map(|(bound, bucket)| {
                below += bucket.get();
                (bound, below)
            })
            .collect()
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

/// A commit that takes longer says that the store does not keep up.
const LONG_COMMIT: Duration = Duration::from_secs(5);
/// So do more waiting entries than two large commits hold.
const MUCH_WAITING: u64 = 10_000;
/// Bounds of commit sizes, entries.
const SIZES: &[u64] = &[1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
/// Bounds of durations, microseconds.
const MICROSECONDS: &[u64] = &[
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// What the historian counts. Entries are readings, events and refused numbers alike.
#[derive(Debug)]
pub struct HistorianMetrics {
    /// Entries that sockets handed over.
    pub received: Count,
    /// Of those, readings and events that were written.
    pub stored: Count,
    /// Of those, refused by name: written with their code.
    pub refused: Count,
    /// Of those, at or below the mark: stored before.
    pub replayed: Count,
    /// Of those, dropped, never acknowledged: a later connection had taken over, or the historian
    /// restarted. Their HEM sends them again.
    pub dropped: Count,
    /// Of those, not yet on disk (a gauge).
    pub waiting: Count,
    /// Sessions opened.
    pub sessions_opened: Count,
    /// Open sessions (a gauge).
    pub sessions: Count,
    /// Commits that succeeded.
    pub commits: Count,
    /// Commits that failed and were (or will be) tried again.
    pub failed_commits: Count,
    /// `ReadingsCommitted` that were published.
    pub published: Count,
    /// `ReadingsCommitted` for which the bus had no space: subscribers read them from the store.
    pub dropped_hints: Count,
    /// Reads that were turned down because too many waited.
    pub refused_reads: Count,
    /// Entries per commit.
    pub commit_sizes: Histogram,
    /// How long commits took, microseconds.
    pub commit_microseconds: Histogram,
    /// Buckets rolled up.
    pub rolled_up: Count,
    /// Readings sealed into chunks.
    pub sealed: Count,
    /// Rows and chunks deleted by retention.
    pub deleted: Count,
    /// Steps of upkeep that failed.
    pub failed_upkeep: Count,
    /// HEMs that a step left out, as something stored of them is damaged; each time it was tried.
    pub damaged: Count,
    /// When the commit began that is not through yet, its retries included.
    commit_began: Mutex<Option<Instant>>,
}

impl HistorianMetrics {
    /// Whether the store takes what it is given about as fast as it comes: no commit (its retries
    /// included) takes long, and no more waits than the next two commits hold. While it does not,
    /// acknowledgements are late through no fault of a HEM or its connection.
    #[must_use]
    pub fn keeps_up(&self, now: Instant) -> bool {
        let began = *self.commit_began.lock().unwrap_or_else(PoisonError::into_inner);
        let is_prompt =
            began.is_none_or(|began| now.saturating_duration_since(began) < LONG_COMMIT);
        is_prompt && self.waiting.get() <= MUCH_WAITING
    }

    pub(crate) fn commit_began(&self, now: Instant) {
        *self.commit_began.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    pub(crate) fn commit_ended(&self) {
        *self.commit_began.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Default for HistorianMetrics {
    fn default() -> Self {
        Self {
            received: Count::default(),
            stored: Count::default(),
            refused: Count::default(),
            replayed: Count::default(),
            dropped: Count::default(),
            waiting: Count::default(),
            sessions_opened: Count::default(),
            sessions: Count::default(),
            commits: Count::default(),
            failed_commits: Count::default(),
            published: Count::default(),
            dropped_hints: Count::default(),
            refused_reads: Count::default(),
            commit_sizes: Histogram::new(SIZES),
            commit_microseconds: Histogram::new(MICROSECONDS),
            rolled_up: Count::default(),
            sealed: Count::default(),
            deleted: Count::default(),
            failed_upkeep: Count::default(),
            damaged: Count::default(),
            commit_began: Mutex::new(None),
        }
    }
}

impl HistorianMetrics {
    pub(crate) fn commit_took(&self, span: Duration) {
        self.commit_microseconds.observe(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_every_value_once_and_bounds_are_inclusive() {
        let histogram = Histogram::new(&[10, 100]);
        for value in [0, 10, 11, 100, 101, u64::MAX / 2] {
            histogram.observe(value);
        }
        assert_eq!(histogram.cumulative(), vec![(Some(10), 2), (Some(100), 4), (None, 6)]);
        assert_eq!(histogram.count(), 6);
    }
}
