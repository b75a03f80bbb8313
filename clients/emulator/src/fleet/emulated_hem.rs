//! One emulated HEM: its home, its connection to the cloud, and the day's work between the two:
//! fill in what is missing, then a reading every interval, and what the cloud and the people at home
//! want of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use memcloud_domain::{CommandAction, HemId, NodeReading, Timestamp};
use memcloud_sdk::SdkError;
use memcloud_sdk::hem::{CommandReply, EventDetails, HemClient};
use memcloud_wire::{Command, Instruction, Outcome, SampleTime};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::scribe::{Entry, Scribe, line_of};
use super::state::HomeFile;
use super::{Backfill, Tally};
use crate::clock::Clock;
use crate::home::Home;
use crate::misbehaviour::{AnswerFate, Mischief};
use crate::{EmulatorError, OVERRIDE, local_api};

/// While filling in, so many readings may wait for their acknowledgement; more would only sit in
/// memory.
const MOST_HELD_FILLING_IN: u64 = 4_000;
/// So many are recorded before other tasks get their turn.
const FILLED_IN_AT_ONCE: usize = 250;
/// How long to wait when the queue takes nothing.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);
/// How often the home is kept in its file.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// Stays away so long when it hangs up instead of answering: longer than a cloud waits for an answer.
const HANGS_UP_FOR: Duration = Duration::from_secs(20);
/// An answer has left by then, before the board restarts.
const ANSWER_LEAVES: Duration = Duration::from_millis(300);
/// How long the board takes to start again.
const RESTART_TAKES: Duration = Duration::from_secs(3);

/// One emulated HEM.
pub(super) struct EmulatedHem {
    pub(super) id: HemId,
    pub(super) client: HemClient,
    home: Mutex<Home>,
    mischief: Mutex<Mischief>,
    file: Option<PathBuf>,
    clock: Clock,
    tally: Arc<Tally>,
    scribe: Option<Scribe>,
    /// The moment of the last recorded reading, Unix ms; `i64::MIN` for none.
    last_reading: AtomicI64,
    /// How many readings there were to fill in.
    to_fill_in: AtomicU64,
    /// Whether they are still being recorded.
    filling_in: AtomicBool,
    /// How many commands were carried out and buttons pressed.
    deeds: AtomicU64,
    restart: Notify,
    interval_changed: Notify,
    keeping: Mutex<()>,
}

/// What it is made of.
pub(super) struct Parts {
    pub(super) id: HemId,
    pub(super) client: HemClient,
    pub(super) home: Home,
    pub(super) last_reading: Option<Timestamp>,
    pub(super) file: Option<PathBuf>,
    pub(super) clock: Clock,
    pub(super) tally: Arc<Tally>,
    pub(super) scribe: Option<Scribe>,
    pub(super) mischief: Mischief,
}

/// How a command ends.
pub(super) struct Ending {
    pub(super) command: String,
    pub(super) outcome: Outcome,
    pub(super) reason: Option<String>,
    pub(super) answer: AnswerFate,
    pub(super) restarts: bool,
}

impl EmulatedHem {
    pub(super) fn new(parts: Parts) -> Self {
        let last_reading = parts.last_reading.map_or(i64::MIN, Timestamp::as_millis);
        Self {
            id: parts.id,
            client: parts.client,
            home: Mutex::new(parts.home),
            mischief: Mutex::new(parts.mischief),
            file: parts.file,
            clock: parts.clock,
            tally: parts.tally,
            scribe: parts.scribe,
            last_reading: AtomicI64::new(last_reading),
            to_fill_in: AtomicU64::new(0),
            filling_in: AtomicBool::new(false),
            deeds: AtomicU64::new(0),
            restart: Notify::new(),
            interval_changed: Notify::new(),
            keeping: Mutex::new(()),
        }
    }

    fn home(&self) -> MutexGuard<'_, Home> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mischief(&self) -> MutexGuard<'_, Mischief> {
        self.mischief.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ------------------------------------------------------------------------------- what it is told

    /// Carries out a command of the cloud. It is answered once what was done is on disk.
    pub(super) fn obey(self: &Arc<Self>, command: &Command) -> CommandReply {
        let Instruction::Known(action) = &command.action else {
            return CommandReply::Now(Outcome::Refused, Some("there is no such action".to_owned()));
        };
        let place = match self.scribe.as_ref().map(|scribe| (scribe.place(), scribe)) {
            Some((None, _)) => {
                let reason = "too much waits to be written down".to_owned();
                return CommandReply::Now(Outcome::Failed, Some(reason));
            }
            Some((Some(place), scribe)) => Some((place, scribe.keeps_records())),
            None => None,
        };
        let now = (self.clock)();
        let fate = self.mischief().fate_of(&command.command);
        let lease = command.lease_ms.map(Duration::from_millis);
        let (outcome, reason) = if fate.is_carried_out {
            self.home().carry_out(command.node, action, lease, now)
        } else {
            (Outcome::Done, None)
        };
        let is_carried_out = fate.is_carried_out && outcome == Outcome::Done;
        if is_carried_out {
            self.follow(action);
        }
        let restarts = is_carried_out && *action == CommandAction::Restart;
        let ending = Ending {
            command: command.command.clone(),
            outcome,
            reason,
            answer: fate.answer,
            restarts,
        };
        match place {
            Some((place, keeps_records)) => {
                let line = (keeps_records && is_carried_out).then(|| line_of(command, action, now));
                place.send(Entry { hem: Arc::clone(self), line, ending });
            }
            None => self.end(ending),
        }
        CommandReply::Later
    }

    /// What the board, beside the home, does with what was carried out.
    fn follow(&self, action: &CommandAction) {
        self.tally.carried_out.fetch_add(1, Ordering::Relaxed);
        self.deeds.fetch_add(1, Ordering::Relaxed);
        match action {
            CommandAction::ReportEvery { .. } => self.look_at_interval(),
            CommandAction::SetPriority { .. } => {
                let declared = self.home().declarations();
                self.client.declare(declared);
            }
            _ => {}
        }
    }

    /// The time between two readings may be another one now.
    pub(super) fn look_at_interval(&self) {
        self.interval_changed.notify_one();
    }

    /// Ends a command, as far as the home behaves.
    pub(super) fn end(&self, ending: Ending) {
        let Ending { command, outcome, reason, answer, restarts } = ending;
        match answer {
            AnswerFate::Said => self.client.finish(&command, outcome, reason),
            AnswerFate::Lost => self.client.finish_unheard(&command, outcome, reason),
            AnswerFate::HungUp => {
                self.client.finish_unheard(&command, outcome, reason);
                self.client.hang_up(HANGS_UP_FOR);
            }
        }
        if restarts {
            self.restart.notify_one();
        }
    }

    async fn start_again(&self) {
        tokio::time::sleep(ANSWER_LEAVES).await;
        self.client.hang_up(RESTART_TAKES);
        tokio::time::sleep(RESTART_TAKES).await;
        self.tell("booted", EventDetails::default(), (self.clock)());
    }

    fn tell(&self, kind: &str, details: EventDetails, now: Timestamp) {
        let now = self.mischief().by_its_clock(now);
        if let Err(error) = self.client.report(SampleTime::At(now), kind, details) {
            log::warn!(hem = self.id.as_str(); "an event was not recorded ({kind}): {error}");
        }
    }

    // -------------------------------------------------------------------------------- what it measures

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

    async fn work(
        self: &Arc<Self>,
        interval: Duration,
        phase: Duration,
        backfill: Option<Backfill>,
    ) {
        if let Some(backfill) = backfill {
            self.filling_in.store(true, Ordering::Relaxed);
            self.fill_in(backfill).await;
            self.filling_in.store(false, Ordering::Relaxed);
        }
        let mut due = Instant::now() + phase;
        let mut kept = Instant::now();
        let mut readings = Vec::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {
                    self.record((self.clock)(), &mut readings);
                    due = next_after(due, self.interval(interval), Instant::now());
                }
                () = self.interval_changed.notified() => {
                    due = Instant::now() + self.interval(interval);
                }
                () = self.restart.notified() => {
                    self.start_again().await;
                    due = Instant::now();
                }
            }
            if kept.elapsed() >= KEEP_EVERY {
                kept = Instant::now();
                self.keep().await;
            }
        }
    }

    /// The time between two readings: as ordered, else the usual one.
    fn interval(&self, usual: Duration) -> Duration {
        let mut home = self.home();
        home.live_through((self.clock)());
        let ordered = home.orders().report_every();
        ordered.map_or(usual, |seconds| Duration::from_secs(u64::from(seconds)))
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
        let mut deeds = self.deeds.load(Ordering::Relaxed);
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
                let newer = self.deeds.load(Ordering::Relaxed);
                if newer != deeds {
                    deeds = newer;
                    present = self.home().clone();
                }
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
        // The home is held until the reading has its number: a command that is carried out meanwhile
        // would be answered with a number after which this reading still shows the time before.
        let mut home = self.home();
        let mut mischief = self.mischief();
        if mischief.resets_counters(moment) {
            home.reset_counters(moment);
        }
        home.sample_into(moment, readings);
        let taken = mischief.spoil(moment, readings);
        drop(mischief);
        let recorded = self.client.record(SampleTime::At(taken), readings);
        drop(home);
        match recorded {
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
    pub(super) async fn answer_locally(self: &Arc<Self>, request: &[u8]) -> String {
        let now = (self.clock)();
        let answer = local_api::answer(request, &mut self.home(), now);
        for (node, on) in &answer.overrides {
            let details = EventDetails {
                node: Some(*node),
                on: Some(*on),
                until: Some(self.mischief().by_its_clock(now.plus(OVERRIDE))),
                ..EventDetails::default()
            };
            self.tell("override", details, now);
        }
        if !answer.overrides.is_empty() {
            self.deeds.fetch_add(1, Ordering::Relaxed);
            self.keep().await;
        }
        answer.text
    }

    /// Keeps the home in its file.
    async fn keep(self: &Arc<Self>) {
        if self.file.is_none() {
            return;
        }
        let hem = Arc::clone(self);
        match tokio::task::spawn_blocking(move || hem.keep_now()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!(hem = self.id.as_str(); "its home was not kept: {error}"),
            Err(error) => log::error!(hem = self.id.as_str(); "its home was not kept: {error}"),
        }
    }

    /// Keeps the home in its file; blocks.
    pub(super) fn keep_now(&self) -> Result<(), EmulatorError> {
        let Some(path) = &self.file else { return Ok(()) };
        // One at a time: they write beside the same file.
        let _turn = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
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
        HomeFile { home, last_reading }.write(path)
    }
}

/// When a reading is due after the one that was due at a moment: those that were missed are left out.
fn next_after(due: Instant, every: Duration, now: Instant) -> Instant {
    let next = due + every;
    if next > now { next } else { now + every }
}
