//! Time is given in. One clock for the wall and the monotonic time, real or simulated; simulated
//! time is the runtime's, so that pausing and advancing tokio's clock moves both.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where actors read the time.
#[derive(Debug, Clone)]
pub struct Clock {
    simulated_from: Option<(i64, tokio::time::Instant)>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { simulated_from: None }
    }

    /// A clock that shows a wall time now and moves with the runtime's time.
    #[must_use]
    pub fn simulated(unix_ms: i64) -> Self {
        Self { simulated_from: Some((unix_ms, tokio::time::Instant::now())) }
    }

    /// The wall time in Unix milliseconds.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everyone else asks")]
    pub fn unix_ms(&self) -> i64 {
        let (start, span) = match self.simulated_from {
            Some((start, since)) => (start, since.elapsed()),
            None => (0, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
        };
        start.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
    }

    /// Whether it is simulated. In simulated time slow work is done at once, see
    /// [`Scope::offload`](crate::Scope::offload).
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.simulated_from.is_some()
    }

    /// Monotonic time.
    #[must_use]
    pub fn instant(&self) -> tokio::time::Instant {
        tokio::time::Instant::now()
    }

    /// Waits.
    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// The moment that lies so far ahead. A span for ever is taken for thirty years.
pub(crate) fn ahead(span: Duration) -> tokio::time::Instant {
    let now = tokio::time::Instant::now();
    now.checked_add(span).unwrap_or(now + Duration::from_secs(30 * 365 * 86_400))
}
