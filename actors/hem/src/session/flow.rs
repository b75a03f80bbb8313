//! The three brakes of a session, each a few numbers: credit (what is not durable yet), rate, and
//! the clock that runs while a HEM is silent and we listen.

use std::collections::VecDeque;
use std::time::Duration;

use memcloud_domain::Seq;
use tokio::time::Instant;

/// What was handed over and is not durable yet.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    parcels: VecDeque<Parcel>,
    numbers: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Parcel {
    last: Seq,
    numbers: u64,
    bytes: u64,
    at: Instant,
}

impl InFlight {
    /// Adds what one hand-over held.
    pub(super) fn add(&mut self, last: Seq, numbers: u64, bytes: u64, at: Instant) {
        self.numbers += numbers;
        self.bytes += bytes;
        self.parcels.push_back(Parcel { last, numbers, bytes, at });
    }

    /// Takes off what is durable through a number; answers the bytes that it held.
    pub(super) fn settle(&mut self, through: Seq) -> u64 {
        let before = self.bytes;
        while let Some(parcel) = self.parcels.front_mut() {
            if parcel.last <= through {
                self.numbers -= parcel.numbers;
                self.bytes -= parcel.bytes;
                self.parcels.pop_front();
                continue;
            }
            // A parcel may become durable in parts. At most so many of its numbers lie beyond.
            let left = parcel.numbers.min(parcel.last.0.saturating_sub(through.0));
            let freed = parcel.numbers - left;
            let freed_bytes = parcel.bytes / parcel.numbers.max(1) * freed;
            parcel.numbers = left;
            parcel.bytes -= freed_bytes;
            self.numbers -= freed;
            self.bytes -= freed_bytes;
            break;
        }
        before - self.bytes
    }

    pub(super) fn numbers(&self) -> u64 {
        self.numbers
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// When the oldest was handed over.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.parcels.front().map(|parcel| parcel.at)
    }
}

/// A rate with a burst: a bucket that fills at the rate, kept as the moment when it will be full.
#[derive(Debug)]
pub(super) struct RateLimit {
    full_at: Instant,
    interval: Duration,
    burst: Duration,
}

impl RateLimit {
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { full_at: now, interval, burst: interval * burst }
    }

    /// Takes something of this cost; the bucket may go into debt.
    pub(super) fn charge(&mut self, cost: u32, now: Instant) {
        self.full_at = self.full_at.max(now) + self.interval * cost;
    }

    /// Until when to wait for the debt to be paid; `None` where there is none.
    pub(super) fn wait_until(&self, now: Instant) -> Option<Instant> {
        if self.full_at > now + self.burst { self.full_at.checked_sub(self.burst) } else { None }
    }
}

/// Measures silence, but only while we listen.
#[derive(Debug)]
pub(super) struct SilenceClock {
    /// Silence before `since`.
    spent: Duration,
    /// Since when it runs; `None` while it stands still.
    since: Option<Instant>,
}

impl SilenceClock {
    pub(super) fn new(now: Instant) -> Self {
        Self { spent: Duration::ZERO, since: Some(now) }
    }

    /// The HEM was heard.
    pub(super) fn reset(&mut self, now: Instant) {
        self.spent = Duration::ZERO;
        if self.since.is_some() {
            self.since = Some(now);
        }
    }

    /// We do not listen any more.
    pub(super) fn stop(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.spent += now.saturating_duration_since(since);
        }
    }

    /// We listen again.
    pub(super) fn resume(&mut self, now: Instant) {
        if self.since.is_none() {
            self.since = Some(now);
        }
    }

    /// When the silence will have lasted this long; `None` while the clock stands still.
    pub(super) fn deadline(&self, limit: Duration) -> Option<Instant> {
        self.since.map(|since| since + limit.saturating_sub(self.spent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_comes_back_as_parcels_become_durable_even_in_parts() {
        let now = Instant::now();
        let mut in_flight = InFlight::default();
        in_flight.add(Seq(10), 10, 1_000, now);
        in_flight.add(Seq(15), 5, 500, now + Duration::from_secs(1));
        assert_eq!(in_flight.settle(Seq(4)), 400);
        assert_eq!((in_flight.numbers(), in_flight.oldest()), (11, Some(now)));
        assert_eq!(in_flight.settle(Seq(12)), 600 + 200);
        assert_eq!(in_flight.numbers(), 3);
        assert_eq!(in_flight.settle(Seq(15)), 300);
        assert!(in_flight.is_empty() && in_flight.bytes() == 0);
    }

    #[test]
    fn a_parcel_with_jumps_never_counts_less_than_what_may_be_open() {
        let now = Instant::now();
        let mut in_flight = InFlight::default();
        in_flight.add(Seq(1_000), 2, 200, now);
        assert_eq!(in_flight.settle(Seq(500)), 0);
        assert_eq!(in_flight.numbers(), 2);
    }

    #[test]
    fn a_burst_passes_and_the_rest_waits_for_the_rate() {
        let now = Instant::now();
        let mut rate = RateLimit::new(10, 20, now);
        rate.charge(20, now);
        assert_eq!(rate.wait_until(now), None);
        rate.charge(5, now);
        let until = rate.wait_until(now).unwrap();
        assert_eq!(until - now, Duration::from_millis(500));
        assert_eq!(rate.wait_until(until), None);
    }

    #[test]
    fn silence_does_not_count_while_nobody_listens() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut silence = SilenceClock::new(start);
        silence.stop(start + second);
        assert_eq!(silence.deadline(10 * second), None);
        silence.resume(start + 100 * second);
        assert_eq!(silence.deadline(10 * second), Some(start + 109 * second));
        silence.reset(start + 105 * second);
        assert_eq!(silence.deadline(10 * second), Some(start + 115 * second));
    }
}
