//! What a member of a cluster counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a member of a cluster counts since its process started, and how it stands.
#[derive(Debug, Default)]
pub struct ClusterMetrics {
    /// Processes that live.
    pub live: Figure,
    /// Microgrids that this process runs.
    pub held: Figure,
    /// 1 while it runs none because it cannot say that it lives.
    pub suspended: Figure,
    /// Microgrids that were taken.
    pub taken: Figure,
    /// Microgrids that were handed over in order.
    pub handed_over: Figure,
    /// Microgrids that were left out of order: the lease was over, or nearly.
    pub dropped: Figure,
    /// Beats that the database did not take.
    pub failed_beats: Figure,
    /// Commands that went to a HEM at another process.
    pub passed_commands: Figure,
}

/// A number that is counted or set.
#[derive(Debug, Default)]
pub struct Figure(AtomicU64);

impl Figure {
    /// What it is.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}
