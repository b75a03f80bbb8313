//! How many listen. Each holds a seat for as long as its connection lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::IntGauge;

use crate::api::error::{ApiError, ApiResult, ErrorCode};
use crate::api::metrics::ApiMetrics;

/// The seats.
#[derive(Debug)]
pub(crate) struct Listeners {
    most: usize,
    taken: Arc<AtomicUsize>,
    shown: IntGauge,
    refused: prometheus::IntCounter,
}

/// A seat; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Seat {
    taken: Arc<AtomicUsize>,
    shown: IntGauge,
}

impl Listeners {
    /// So many seats.
    pub(crate) fn new(most: usize, metrics: &ApiMetrics) -> Self {
        Self {
            most,
            taken: Arc::default(),
            shown: metrics.live_listeners.clone(),
            refused: metrics.live_refused.clone(),
        }
    }

    /// Takes a seat.
    ///
    /// # Errors
    /// `too-many-listeners` where none is free.
    pub(crate) fn seat(&self) -> ApiResult<Seat> {
        let one_more = |taken: usize| (taken < self.most).then_some(taken + 1);
        if self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_err() {
            self.refused.inc();
            return Err(ApiError::new(
                ErrorCode::TooManyListeners,
                format!("{} listen already (`http.max_live`); try again later", self.most),
            ));
        }
        self.shown.inc();
        Ok(Seat { taken: Arc::clone(&self.taken), shown: self.shown.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
        self.shown.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_that_is_left_can_be_taken_again() {
        let metrics = ApiMetrics::new(&prometheus::Registry::new()).unwrap();
        let listeners = Listeners::new(2, &metrics);
        let first = listeners.seat().unwrap();
        let second = listeners.seat().unwrap();
        assert_eq!(listeners.seat().unwrap_err().code(), ErrorCode::TooManyListeners);
        assert_eq!(metrics.live_listeners.get(), 2);
        drop(first);
        let third = listeners.seat().unwrap();
        drop((second, third));
        assert_eq!(metrics.live_listeners.get(), 0);
        assert_eq!(metrics.live_refused.get(), 1);
    }
}
