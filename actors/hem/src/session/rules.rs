//! The numbers that a session lives by, the same for all of them.

use std::time::Duration;

use tokio::time::Instant;

use memcloud_domain::Timestamp;

use crate::{HemConfig, HemMetrics};

/// The limits of every session, and where they are counted.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) config: HemConfig,
    pub(crate) metrics: std::sync::Arc<HemMetrics>,
}

/// When something happens to a session, and what it needs to know of the world then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Monotonic time.
    pub(crate) at: Instant,
    /// Wall time.
    pub(crate) wall: Timestamp,
    /// Whether the IoT store takes commits.
    pub(crate) store_is_healthy: bool,
}

/// Beyond so much unread output a HEM is not read: it would only cause more.
pub(super) const OUTPUT_LIMIT: usize = 64 << 10;
/// Beyond so much unread output an acknowledgement waits, and later ones take its place.
pub(super) const ACK_OUTPUT_LIMIT: usize = 8 << 10;
/// So much output may wait with a command at its end; a HEM that has that much to read does not read.
pub(super) const COMMAND_OUTPUT_LIMIT: usize = 256 << 10;
/// How much of an unfinished hello is borne while the process is over its buffer limit.
pub(super) const HELLO_SHARE: usize = 16 << 10;
/// A read that brings so much may have left more behind: the next one does not wait.
pub(super) const FULL_READ: usize = 16 << 10;
/// How often a socket that waits for the process's buffer looks again.
pub(super) const BUFFER_RECHECK: Duration = Duration::from_millis(250);
/// How often the age of the oldest unacknowledged reading is looked at.
pub(super) const ACK_RECHECK: Duration = Duration::from_secs(1);
/// `HemHeard` and `too-fast` are said at most so often.
pub(super) const HEARD_INTERVAL: Duration = Duration::from_secs(5);
/// How long a fatal `gap`, or a HEM's own end, waits for the acknowledgements before it.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a shutdown waits for them.
pub(super) const SHUTDOWN_DRAIN: Duration = Duration::from_millis(400);

impl Rules {
    /// The bytes that each HEM may hold while the process is over its limit: an equal share, and
    /// never less than one frame.
    pub(super) fn share(&self) -> usize {
        let online = usize::try_from(self.metrics.online.get()).unwrap_or(usize::MAX).max(1);
        (self.config.max_buffered_bytes / online).max(self.config.max_frame)
    }

    /// Whether the process holds more than it may.
    pub(super) fn is_over_buffer_limit(&self) -> bool {
        let limit = u64::try_from(self.config.max_buffered_bytes).unwrap_or(u64::MAX);
        self.metrics.buffered_bytes.get() > limit
    }
}
