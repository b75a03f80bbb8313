//! How long a client waits before it connects again: longer after each failure, and never all clients
//! at the same moment.

use std::time::Duration;

use memcloud_wire::ErrorCode;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// After these the same would only happen again: a person has to do something.
const HOPELESS_FOR_NOW: Duration = Duration::from_secs(30);

/// After being replaced: another may use the same id, and two must not chase each other.
const REPLACED: Duration = Duration::from_secs(5);

/// The waits of one client.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
    random: SmallRng,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self { first, most, failures: 0, random: SmallRng::seed_from_u64(seed) }
    }

    /// The cloud let it in.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The wait after a failure: half of it certain, half by chance.
    pub(crate) fn next(
        &mut self,
        code: Option<ErrorCode>,
        retry_after: Option<Duration>,
    ) -> Duration {
        let doubled = self.first.saturating_mul(1_u32 << self.failures.min(20)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        let least = match code {
            Some(ErrorCode::Unauthorised | ErrorCode::UnsupportedProtocol) => HOPELESS_FOR_NOW,
            Some(ErrorCode::Replaced) => REPLACED,
            _ => Duration::ZERO,
        };
        let base = doubled.max(least.min(self.most));
        let jittered = base.mul_f64(self.random.random_range(0.5..1.0));
        // What the cloud asks for is the least; it has its own jitter, ours comes on top.
        retry_after
            .map_or(jittered, |asked| asked + asked.mul_f64(0.1 * self.random.random::<f64>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(500);
    const MOST: Duration = Duration::from_secs(60);

    #[test]
    fn the_wait_doubles_up_to_its_most_and_begins_anew_after_a_welcome() {
        let mut backoff = Backoff::new(FIRST, MOST, 1);
        let mut doubled = FIRST;
        for _ in 0..40 {
            let wait = backoff.next(None, None);
            assert!(wait >= doubled / 2 && wait <= doubled, "{wait:?} for {doubled:?}");
            doubled = (doubled * 2).min(MOST);
        }
        backoff.succeeded();
        assert!(backoff.next(None, None) <= FIRST);
    }

    #[test]
    fn the_cloud_is_not_asked_again_before_it_wants() {
        let mut backoff = Backoff::new(FIRST, MOST, 2);
        let asked = Duration::from_secs(7);
        let wait = backoff.next(Some(ErrorCode::Busy), Some(asked));
        assert!(wait >= asked && wait <= asked.mul_f64(1.1), "{wait:?}");
    }

    #[test]
    fn what_only_a_person_can_mend_is_tried_seldom() {
        let mut backoff = Backoff::new(FIRST, MOST, 3);
        assert!(backoff.next(Some(ErrorCode::Unauthorised), None) >= HOPELESS_FOR_NOW / 2);
    }
}
