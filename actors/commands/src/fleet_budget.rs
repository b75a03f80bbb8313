//! How many watts all orders together may move a minute: a stolen token's limit. A bucket of one minute's
//! watts that fills evenly; an order that moves more than the bucket holds is never placed.

use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// A bucket of watts.
#[derive(Debug)]
pub(crate) struct FleetBudget {
    per_minute: f64,
    level: f64,
    at: Instant,
}

impl FleetBudget {
    /// A full bucket; 0 is without limit.
    pub(crate) fn new(per_minute: f64, now: Instant) -> Self {
        Self { per_minute, level: per_minute, at: now }
    }

    /// Several processes share the fleet's watts evenly; what this one's bucket holds is cut to its share.
    pub(crate) fn share(&mut self, whole: f64, processes: usize, now: Instant) {
        self.fill(now);
        #[expect(clippy::cast_precision_loss, reason = "there are few processes")]
        let share = whole / processes.max(1) as f64;
        self.per_minute = share;
        self.level = self.level.min(share);
    }

    /// Takes watts out.
    ///
    /// # Errors
    /// When there are not enough: after how long there may be, ms.
    pub(crate) fn take(&mut self, watts: f64, now: Instant) -> Result<(), u64> {
        if self.per_minute <= 0.0 || watts == 0.0 {
            return Ok(());
        }
        self.fill(now);
        let wanted = watts.abs();
        if wanted <= self.level {
            self.level -= wanted;
            return Ok(());
        }
        let missing = (wanted - self.level) / self.per_minute;
        let pause = Duration::try_from_secs_f64(missing * MINUTE.as_secs_f64()).unwrap_or(MINUTE);
        Err(u64::try_from(pause.min(MINUTE).as_millis()).unwrap_or(u64::MAX) + 1)
    }

    /// Gives back what was not used.
    pub(crate) fn give_back(&mut self, watts: f64) {
        if self.per_minute > 0.0 && watts.is_finite() {
            self.level = (self.level + watts.abs()).min(self.per_minute);
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64() / MINUTE.as_secs_f64();
        self.level = (self.level + passed * self.per_minute).min(self.per_minute);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_a_minutes_watts_and_what_flows_in_are_ever_moved() {
        let start = Instant::now();
        let mut budget = FleetBudget::new(6_000.0, start);
        let mut moved = 0.0;
        for second in 0..600_u64 {
            let now = start + Duration::from_secs(second);
            while budget.take(500.0, now).is_ok() {
                moved += 500.0;
            }
            let passed = f64::from(u32::try_from(second).unwrap());
            assert!(moved <= 6_000.0 + 100.0 * passed, "{moved} W after {second} s");
        }
        assert!(moved >= 60_000.0, "{moved} W in ten minutes");
    }

    #[tokio::test(start_paused = true)]
    async fn processes_that_share_the_watts_move_no_more_than_one_alone() {
        let start = Instant::now();
        let mut budgets = [FleetBudget::new(6_000.0, start), FleetBudget::new(6_000.0, start)];
        for budget in &mut budgets {
            budget.share(6_000.0, 2, start);
        }
        let moved: f64 = budgets
            .iter_mut()
            .map(|budget| std::iter::from_fn(|| budget.take(500.0, start).ok()).count())
            .map(|orders| 500.0 * f64::from(u32::try_from(orders).unwrap()))
            .sum();
        assert!((moved - 6_000.0).abs() < 1.0, "{moved} W");
        // The other is gone: in a minute this one moves as much as both did.
        budgets[0].share(6_000.0, 1, start);
        let later = start + MINUTE;
        assert!(budgets[0].take(6_000.0, later).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_held_back_is_told_when_there_is_room() {
        let start = Instant::now();
        let mut budget = FleetBudget::new(6_000.0, start);
        budget.take(6_000.0, start).unwrap();
        let pause = budget.take(1_000.0, start).unwrap_err();
        assert_eq!(pause, 10_001);
        assert!(budget.take(1_000.0, start + Duration::from_millis(9_900)).is_err());
        assert!(budget.take(1_000.0, start + Duration::from_millis(pause)).is_ok());
        budget.give_back(1_000.0);
        assert!(budget.take(1_000.0, start + Duration::from_millis(pause)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_megawatt_through_a_small_bucket_never_passes_and_no_limit_is_no_limit() {
        let start = Instant::now();
        let mut budget = FleetBudget::new(6_000.0, start);
        for minute in 0..100 {
            let now = start + Duration::from_secs(minute * 60);
            assert!(budget.take(1e6, now).is_err());
            assert!(budget.take(f64::NAN, now).is_err());
        }
        assert!(FleetBudget::new(0.0, start).take(1e9, start).is_ok());
    }
}
