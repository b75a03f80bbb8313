//! What is counted of commands, for `/metrics`: plain atomics that any thread may read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memcloud_domain::CommandState;

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
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| Count::default()).collect();
        Self { bounds, buckets, sum: AtomicU64::new(0) }
    }

    pub(crate) fn observe(&self, value: u64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.increment();
        }
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
        self.buckets.iter().map(Count::get).sum()
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

/// Bounds of transactions, rows.
const SIZES: &[u64] = &[1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500];
/// Bounds of durations, microseconds.
const MICROSECONDS: &[u64] = &[
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];
/// Bounds of the time from `sent` to the answer, milliseconds.
const MILLISECONDS: &[u64] =
    &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000];

/// What is counted of commands.
#[derive(Debug)]
pub struct CommandMetrics {
    /// Commands that came into each state, in the order of [`CommandState::ALL`].
    states: [Count; CommandState::ALL.len()],
    /// Commands that were turned down before they had a row: wrong arguments, too many open.
    pub turned_down: Count,
    /// Commands that went to a socket, first or again.
    pub handed_over: Count,
    /// Of those, again: after a welcome, or because the result was overdue.
    pub resent: Count,
    /// Answers of HEMs that changed nothing: repeated, unknown, of another HEM's command.
    pub moot_answers: Count,
    /// Answers of HEMs for which there was no space; they are asked again.
    pub dropped_answers: Count,
    /// Transactions that were not written because another process runs the microgrid.
    pub fenced_writes: Count,
    /// Offers to dispatch that found its mailbox full, or nobody; they are made again.
    pub unheard_offers: Count,
    /// `CommandChanged` for which a listener had no space.
    pub dropped_changes: Count,
    /// Orders that the fleet's budget of watts held back.
    pub over_fleet_budget: Count,
    /// Orders that were held back because their HEM has too many unanswered.
    pub busy_hems: Count,
    /// Commands in memory (a gauge): what waits, is under way, or holds.
    pub open: Count,
    /// Requests, results and findings that wait for the disk (a gauge).
    pub waiting: Count,
    /// Commands whose effect is looked for in readings (a gauge).
    pub watched: Count,
    /// Reads of stored readings, to see an effect.
    pub looked_up: Count,
    /// Requests that were turned down because the store was away, or too many waited.
    pub unavailable: Count,
    /// Transactions that succeeded.
    pub commits: Count,
    /// Transactions that failed and were (or will be) tried again.
    pub failed_commits: Count,
    /// Rows per transaction.
    pub commit_sizes: Histogram,
    /// How long transactions took, microseconds.
    pub commit_microseconds: Histogram,
    /// From `sent` to the answer, milliseconds, both on disk.
    pub answer_milliseconds: Histogram,
    /// Rows deleted by retention.
    pub deleted: Count,
}

impl CommandMetrics {
    /// How many commands came into a state.
    #[must_use]
    pub fn came_into(&self, state: CommandState) -> u64 {
        self.slot(state).map_or(0, Count::get)
    }

    pub(crate) fn count_state(&self, state: CommandState) {
        if let Some(count) = self.slot(state) {
            count.increment();
        }
    }

    fn slot(&self, state: CommandState) -> Option<&Count> {
        let index = CommandState::ALL.iter().position(|known| *known == state)?;
        self.states.get(index)
    }

    pub(crate) fn commit_took(&self, span: Duration) {
        self.commit_microseconds.observe(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
    }
}

impl Default for CommandMetrics {
    fn default() -> Self {
        Self {
            states: std::array::from_fn(|_| Count::default()),
            turned_down: Count::default(),
            handed_over: Count::default(),
            resent: Count::default(),
            moot_answers: Count::default(),
            dropped_answers: Count::default(),
            fenced_writes: Count::default(),
            unheard_offers: Count::default(),
            dropped_changes: Count::default(),
            over_fleet_budget: Count::default(),
            busy_hems: Count::default(),
            open: Count::default(),
            waiting: Count::default(),
            watched: Count::default(),
            looked_up: Count::default(),
            unavailable: Count::default(),
            commits: Count::default(),
            failed_commits: Count::default(),
            commit_sizes: Histogram::new(SIZES),
            commit_microseconds: Histogram::new(MICROSECONDS),
            answer_milliseconds: Histogram::new(MILLISECONDS),
            deleted: Count::default(),
        }
    }
}
