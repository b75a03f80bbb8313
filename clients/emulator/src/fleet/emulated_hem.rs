//! One emulated HEM: its home, its connection to the cloud, and the day's work between the two:
//! fill in what is missing, then a reading every interval.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use memcloud_domain::{HemId, NodeReading, Timestamp};
use memcloud_sdk::SdkError;
use memcloud_sdk::hem::{EventDetails, HemClient};
use memcloud_wire::SampleTime;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::state::HomeFile;
use super::{Backfill, Tally};
use crate::clock::Clock;
use crate::home::Home;
use crate::local_api;

/// While filling in, so many readings may wait for their acknowledgement; more would only sit in
/// memory.
const MOST_HELD_FILLING_IN: u64 = 4_000;
/// So many are recorded before other tasks get their turn.
const FILLED_IN_AT_ONCE: usize = 250;
/// How long to wait when the queue takes nothing.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);
/// How often the home is kept in its file.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// One emulated HEM.
pub(super) struct EmulatedHem {
    pub(super) id: HemId,
    pub(super) client: HemClient,
    home: Mutex<Home>,
    file: Option<PathBuf>,
    clock: Clock,
    tally: Arc<Tally>,
    /// The moment of the last recorded reading, Unix ms; `i64::MIN` for none.
    last_reading: AtomicI64,
    /// How many readings there were to fill in.
    to_fill_in: AtomicU64,
    /// Whether they are still being recorded.
    filling_in: AtomicBool,
}

impl EmulatedHem {
    pub(super) fn new(
        id: HemId,
        client: HemClient,
        home: Home,
        last_reading: Option<Timestamp>,
        file: Option<PathBuf>,
        clock: Clock,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            id,
            client,
            home: Mutex::new(home),
            file,
            clock,
            tally,
            last_reading: AtomicI64::new(last_reading.map_or(i64::MIN, Timestamp::as_millis)),
            to_fill_in: AtomicU64::new(0),
            filling_in: AtomicBool::new(false),
        }
    }

    fn home(&self) -> MutexGuard<'_, Home> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_reading(&self) -> Option<Timestamp> {
        Some(Timestamp(self.last_reading.load(Ordering::Relaxed)))
            .filter(|moment| moment.as_millis() != i64::MIN)
    }

    /// How much of the filling in is safe in the cloud, and how much there is.
    pub(super) fn filled_in(&self) -> (u64, u64) {
        let all = self.to_fill_in.load(Ordering::Relaxed);
        let counters = self.client.counters();
        (all.min(counters.acknowledged + counters.refused), all)
    }

    /// Fills in the past, then records a reading every interval, until told to stop.
    pub(super) async fn run(
        self: Arc<Self>,
        interval: Duration,
        phase: Duration,
        backfill: Option<Backfill>,
        mut stopped: watch::Receiver<bool>,
    ) {
        tokio::select! {
            () = self.work(interval, phase, backfill) => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        self.keep().await;
    }

    async fn work(&self, interval: Duration, phase: Duration, backfill: Option<Backfill>) {
        if let Some(backfill) = backfill {
            self.filling_in.store(true, Ordering::Relaxed);
            self.fill_in(backfill).await;
            self.filling_in.store(false, Ordering::Relaxed);
        }
        let mut ticks = tokio::time::interval_at(Instant::now() + phase, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut kept = Instant::now();
        let mut readings = Vec::new();
        loop {
            ticks.tick().await;
            self.record((self.clock)(), &mut readings);
            if kept.elapsed() >= KEEP_EVERY {
                kept = Instant::now();
                self.keep().await;
            }
        }
    }

    /// Records what is missing up to now, as fast as the cloud takes it. What is true now goes ahead
    /// of it, unnumbered.
    async fn fill_in(&self, backfill: Backfill) {
        let every = backfill.every.max(Duration::from_millis(1));
        let begin = (self.clock)();
        let earliest = begin.minus(backfill.span);
        let mut next = self.last_reading().map_or(earliest, |last| last.plus(every)).max(earliest);
        let missing = begin.since(next).as_millis() / every.as_millis();
        let missing = u64::try_from(missing).unwrap_or(u64::MAX);
        self.to_fill_in.store(missing, Ordering::Relaxed);
        if missing == 0 {
            return;
        }
        let mut present = self.home().clone();
        let mut said = Instant::now();
        let mut readings = Vec::new();
        while next < begin {
            let mut taken = 0;
            while next < begin && taken < FILLED_IN_AT_ONCE && self.record(next, &mut readings) {
                next = next.plus(every);
                taken += 1;
            }
            if taken == 0 {
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
            if said.elapsed() >= Duration::from_secs(1) {
                said = Instant::now();
                let now = (self.clock)();
                present.sample_into(now, &mut readings);
                self.client.latest(SampleTime::At(now), &readings);
            }
            tokio::task::yield_now().await;
            while self.client.counters().held >= MOST_HELD_FILLING_IN {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Samples and records; false where the queue would not take it.
    fn record(&self, moment: Timestamp, readings: &mut Vec<NodeReading>) -> bool {
        self.home().sample_into(moment, readings);
        match self.client.record(SampleTime::At(moment), readings) {
            Ok(_) => {
                self.last_reading.store(moment.as_millis(), Ordering::Relaxed);
                true
            }
            Err(error) => {
                let first = self.tally.count_skipped();
                if first {
                    log::warn!(hem = self.id.as_str(); "a reading was not recorded: {error}");
                }
                // What can never be sent must not hold up what can.
                matches!(error, SdkError::NotSendable(_))
            }
        }
    }

    /// Answers a datagram at home; what it switches is told to the cloud.
    pub(super) async fn answer_locally(&self, request: &[u8]) -> String {
        let now = (self.clock)();
        let answer = local_api::answer(request, &mut self.home(), now);
        for (node, on) in &answer.overrides {
            let details =
                EventDetails { node: Some(*node), on: Some(*on), ..EventDetails::default() };
            if let Err(error) = self.client.report(SampleTime::At(now), "override", details) {
                log::warn!(hem = self.id.as_str(); "an override was not recorded: {error}");
            }
        }
        if !answer.overrides.is_empty() {
            self.keep().await;
        }
        answer.text
    }

    /// Keeps the home in its file.
    async fn keep(&self) {
        let Some(path) = self.file.clone() else { return };
        let last_reading = self.last_reading();
        let home = {
            let mut home = self.home();
            // Someone at home may have looked at the present while the past is being filled in; the
            // home goes on from the past.
            if let Some(last) = last_reading
                && self.filling_in.load(Ordering::Relaxed)
            {
                home.sample(last);
            }
            home.state().clone()
        };
        let file = HomeFile { home, last_reading };
        let written = tokio::task::spawn_blocking(move || file.write(&path)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!(hem = self.id.as_str(); "its home was not kept: {error}"),
            Err(error) => log::error!(hem = self.id.as_str(); "its home was not kept: {error}"),
        }
    }
}
