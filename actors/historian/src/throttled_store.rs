//! A store that is slower than the one it wraps, or away: for measuring and testing what overload
//! and outages do to everything before it. Not for production.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono_tz::Tz;
use memcloud_domain::{
    HemBatch, HemEvent, HemId, HemMark, MicrogridId, Page, Reading, Refusal, Seq, Series,
    SessionOpened, Timestamp,
};
use memcloud_store::StoreError;
use memcloud_store::telemetry::{
    CommitOutcome, HemEntries, NewSession, PageQuery, SeriesQuery, StoreFigures, TelemetryStore,
    Upkeep, UpkeepTask,
};

/// A store that writes at most so many rows a second, that can be sent away, and that can be made to
/// reject a HEM.
///
/// A commit sleeps on its blocking thread for as long as its rows take at that rate, after the real
/// commit. With a rate of 0 nothing is slowed.
#[derive(Debug)]
pub struct ThrottledStore<S> {
    inner: S,
    rows_per_second: AtomicU64,
    away: Mutex<Option<String>>,
    rejected: Mutex<Option<HemId>>,
    crashing: Mutex<Option<HemId>>,
}

impl<S: TelemetryStore> ThrottledStore<S> {
    /// Wraps a store.
    pub fn new(inner: S, rows_per_second: u64) -> Self {
        let rows_per_second = AtomicU64::new(rows_per_second);
        let (rejected, crashing) = (Mutex::new(None), Mutex::new(None));
        Self { inner, rows_per_second, away: Mutex::new(None), rejected, crashing }
    }

    /// Changes the rate; 0 is unlimited.
    pub fn set_rate(&self, rows_per_second: u64) {
        self.rows_per_second.store(rows_per_second, Ordering::Relaxed);
    }

    /// From now on every write fails as if the store were away, until it is told to come back.
    pub fn go_away(&self, reason: &str) {
        *lock(&self.away) = Some(reason.to_owned());
    }

    /// Ends [`ThrottledStore::go_away`], [`ThrottledStore::reject`] and [`ThrottledStore::crash_on`].
    pub fn come_back(&self) {
        *lock(&self.crashing) = None;
        *lock(&self.rejected) = None;
        *lock(&self.away) = None;
    }

    /// From now on every commit with entries of this HEM fails for a reason that does not pass.
    pub fn reject(&self, hem: HemId) {
        *lock(&self.rejected) = Some(hem);
    }

    /// From now on every commit with entries of this HEM panics.
    pub fn crash_on(&self, hem: HemId) {
        *lock(&self.crashing) = Some(hem);
    }

    /// The wrapped store.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn check(&self) -> Result<(), StoreError> {
        let away = lock(&self.away);
        match away.as_ref() {
            None => Ok(()),
            Some(reason) => {
                Err(StoreError::Away { what: "iot store", reason: reason.clone(), source: None })
            }
        }
    }

    fn slow_down(&self, rows: usize) {
        let rate = self.rows_per_second.load(Ordering::Relaxed);
        if let Some(micros) = (rows as u64).saturating_mul(1_000_000).checked_div(rate) {
            std::thread::sleep(Duration::from_micros(micros));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: TelemetryStore> TelemetryStore for ThrottledStore<S> {
    fn open_sessions(&self, sessions: &[NewSession]) -> Result<Vec<SessionOpened>, StoreError> {
        self.check()?;
        self.inner.open_sessions(sessions)
    }

    fn commit(
        &self,
        batch: &[HemEntries],
        now: Timestamp,
    ) -> Result<Vec<CommitOutcome>, StoreError> {
        self.check()?;
        let concerns = |hem: &Mutex<Option<HemId>>| {
            let hem = lock(hem).clone();
            hem.is_some_and(|hem| batch.iter().any(|element| element.hem == hem))
        };
        if concerns(&self.crashing) {
            #[expect(clippy::panic, reason = "it is what was asked for")]
            {
                panic!("a crash that was asked for");
            }
        }
        if concerns(&self.rejected) {
            let reason = "a fault that was asked for".to_owned();
            return Err(StoreError::Conflict { what: "entries", reason });
        }
        let outcomes = self.inner.commit(batch, now)?;
        self.slow_down(batch.iter().map(|element| element.entries.len()).sum());
        Ok(outcomes)
    }

    fn marks(&self, microgrid: Option<&MicrogridId>) -> Result<Vec<HemMark>, StoreError> {
        self.inner.marks(microgrid)
    }

    fn entries_after(&self, hem: &HemId, after: Seq, limit: usize) -> Result<HemBatch, StoreError> {
        self.inner.entries_after(hem, after, limit)
    }

    fn readings(&self, query: &PageQuery) -> Result<Page<Reading>, StoreError> {
        self.inner.readings(query)
    }

    fn events(&self, query: &PageQuery) -> Result<Page<HemEvent>, StoreError> {
        self.inner.events(query)
    }

    fn refusals(&self, query: &PageQuery) -> Result<Page<Refusal>, StoreError> {
        self.inner.refusals(query)
    }

    fn latest_reading(&self, hem: &HemId) -> Result<Option<Reading>, StoreError> {
        self.inner.latest_reading(hem)
    }

    fn series(&self, query: &SeriesQuery) -> Result<Series, StoreError> {
        self.inner.series(query)
    }

    fn set_time_zone(&self, microgrid: &MicrogridId, time_zone: Tz) -> Result<(), StoreError> {
        self.check()?;
        self.inner.set_time_zone(microgrid, time_zone)
    }

    fn upkeep(&self, task: UpkeepTask, now: Timestamp) -> Result<Upkeep, StoreError> {
        self.check()?;
        self.inner.upkeep(task, now)
    }

    fn figures(&self) -> Result<StoreFigures, StoreError> {
        self.inner.figures()
    }
}
