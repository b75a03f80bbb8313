//! The pure core of the historian: which entries go into which commit, and what follows from its
//! outcome. It starts nothing itself: it takes events with the time, and answers with effects.
//!
//! At most one [`Job`] is in flight. A job commits what was gathered and then opens sessions, so that
//! whatever a HEM's earlier connections handed over is on disk (or fenced off) before its mark is
//! read: the barrier of a welcome.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::{Durability, HemBatch, ReadingsCommitted, Unavailable};
use memcloud_domain::{Entry, Epoch, HemId, MicrogridId, Seq, SessionOpened, Timestamp};
use memcloud_store::StoreError;
use memcloud_store::telemetry::{CommitOutcome, HemEntries, NewSession};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::commit_job::{Job, JobReport};
use crate::metrics::HistorianMetrics;

/// What is away when the store is.
pub(crate) const IOT_STORE: &str = "iot store";

/// When to commit, and when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitPolicy {
    /// Commit as soon as so many entries wait …
    pub entries: usize,
    /// … or the oldest has waited so long.
    pub delay: Duration,
    /// No commit holds more entries than this (or one element, if that is larger).
    pub max_entries: usize,
    /// The pause after the first failure; it doubles with each further one …
    pub first_retry: Duration,
    /// … up to this.
    pub last_retry: Duration,
}

impl Default for CommitPolicy {
    fn default() -> Self {
        Self {
            entries: 1_000,
            delay: Duration::from_millis(20),
            max_entries: 5_000,
            first_retry: Duration::from_millis(100),
            last_retry: Duration::from_secs(5),
        }
    }
}

/// Whether the store takes what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreHealth {
    /// It does.
    Healthy,
    /// It does not: acks wait.
    Away {
        /// Why, as the store says it.
        reason: String,
        /// Since when.
        since: Instant,
    },
}

/// Where the answer to an `OpenSession` goes.
pub type OpenReply = oneshot::Sender<Result<SessionOpened, Unavailable>>;

/// A connection that waits for its epoch and mark.
#[derive(Debug)]
pub struct Opening {
    /// Which HEM, and whose.
    pub session: NewSession,
    /// Where its durability is said.
    pub durable: watch::Sender<Durability>,
    /// Where the answer goes.
    pub reply: OpenReply,
}

/// What happens to the core.
#[derive(Debug)]
pub enum Event {
    /// A socket asks for an epoch and a mark.
    Open(Opening),
    /// A socket hands entries over.
    Entries(HemEntries),
    /// A socket is gone.
    Close {
        /// Which HEM.
        hem: HemId,
        /// The connection's epoch.
        epoch: Epoch,
    },
    /// The job in flight is done.
    Finished {
        /// With what.
        report: JobReport,
        /// How long it took.
        took: Duration,
        /// The wall time.
        at: Timestamp,
    },
    /// The [`GroupCommit::deadline`] may have passed.
    Tick,
}

/// What the core wants done, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Answer an `OpenSession`. Whoever asked may be gone.
    Answer(OpenReply, Result<SessionOpened, Unavailable>),
    /// Publish what a commit stored.
    Publish(ReadingsCommitted),
    /// Run a job on a blocking thread and bring its report back.
    Run(Job),
    /// Someone must look: entries of one HEM cannot be stored, for a reason that does not pass.
    Alarm {
        /// Which HEM.
        hem: HemId,
        /// Why.
        reason: String,
    },
}

/// An open session. Whatever ends it without a successor, its socket learns that nothing more of it
/// will be stored: so a crash of the historian makes HEMs reconnect and send again.
#[derive(Debug)]
struct Session {
    epoch: Epoch,
    durable: watch::Sender<Durability>,
}

impl Session {
    fn is_durable_through(&self, through: Seq) {
        self.durable.send_if_modified(|durability| {
            let moves = through > durability.through;
            durability.through = durability.through.max(through);
            moves
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.durable.send_modify(|durability| durability.fenced = true);
    }
}

#[derive(Debug)]
struct InFlight {
    batch: Arc<Vec<HemEntries>>,
    entries: usize,
    opens: Vec<Opening>,
    isolated: bool,
}

#[derive(Debug)]
struct Retry {
    batch: Arc<Vec<HemEntries>>,
    entries: usize,
    isolated: bool,
    at: Instant,
}

/// The group commit.
#[derive(Debug)]
pub struct GroupCommit {
    policy: CommitPolicy,
    metrics: Arc<HistorianMetrics>,
    sessions: HashMap<HemId, Session>,
    queue: VecDeque<HemEntries>,
    queued: usize,
    oldest: Option<Instant>,
    opening: Vec<Opening>,
    in_flight: Option<InFlight>,
    retry: Option<Retry>,
    failures: u32,
    health: StoreHealth,
    flushing: bool,
}

impl GroupCommit {
    /// A core with nothing in it.
    #[must_use]
    pub fn new(policy: CommitPolicy, metrics: Arc<HistorianMetrics>) -> Self {
        Self {
            policy,
            metrics,
            sessions: HashMap::new(),
            queue: VecDeque::new(),
            queued: 0,
            oldest: None,
            opening: Vec::new(),
            in_flight: None,
            retry: None,
            failures: 0,
            health: StoreHealth::Healthy,
            flushing: false,
        }
    }

    /// Takes an event and says what is to be done.
    pub fn accept(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Open(opening) => self.open(opening, now, &mut effects),
            Event::Entries(entries) => self.take(entries, now),
            Event::Close { hem, epoch } => self.close(&hem, epoch),
            Event::Finished { report, took, at } => {
                self.finish(report, took, at, now, &mut effects);
            }
            Event::Tick => {}
        }
        self.start_what_is_due(now, &mut effects);
        effects
    }

    /// Takes nothing more, and commits what waits without delay.
    pub fn flush(&mut self, now: Instant) -> Vec<Effect> {
        self.flushing = true;
        let mut effects = Vec::new();
        for opening in self.opening.drain(..) {
            effects.push(Effect::Answer(opening.reply, Err(shutting_down())));
        }
        self.start_what_is_due(now, &mut effects);
        effects
    }

    /// When the core wants a [`Event::Tick`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.in_flight.is_some() {
            return None;
        }
        if let Some(retry) = &self.retry {
            return Some(retry.at);
        }
        self.oldest.map(|oldest| oldest + self.policy.delay)
    }

    /// Whether nothing waits for the disk.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.waiting() == 0
    }

    /// How many entries wait for the disk.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let flying = self.in_flight.as_ref().map_or(0, |flight| flight.entries);
        let stuck = self.retry.as_ref().map_or(0, |retry| retry.entries);
        self.queued + flying + stuck
    }

    /// How many sessions are open.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Whether the store takes what it is given.
    #[must_use]
    pub fn health(&self) -> &StoreHealth {
        &self.health
    }

    /// Forgets sessions whose sockets are gone without having said so.
    pub fn forget_abandoned_sessions(&mut self) {
        self.sessions.retain(|_, session| !session.durable.is_closed());
        self.metrics.sessions.set(self.sessions.len());
    }

    fn open(&mut self, opening: Opening, now: Instant, effects: &mut Vec<Effect>) {
        let refusal = if self.flushing {
            Some(shutting_down())
        } else {
            match (&self.health, &self.retry) {
                (StoreHealth::Away { reason, .. }, Some(retry)) if now < retry.at => {
                    Some(Unavailable { what: IOT_STORE, reason: reason.clone() })
                }
                _ => None,
            }
        };
        match refusal {
            Some(refusal) => effects.push(Effect::Answer(opening.reply, Err(refusal))),
            None => self.opening.push(opening),
        }
    }

    fn take(&mut self, entries: HemEntries, now: Instant) {
        let count = entries.entries.len();
        self.metrics.received.add(count);
        let is_current =
            self.sessions.get(&entries.hem).is_some_and(|session| session.epoch == entries.epoch);
        if !is_current || self.flushing {
            self.metrics.dropped.add(count);
            return;
        }
        if count == 0 {
            return;
        }
        self.queued += count;
        self.oldest.get_or_insert(now);
        self.queue.push_back(entries);
        self.metrics.waiting.set(self.waiting());
    }

    /// What the connection handed over is still committed.
    fn close(&mut self, hem: &HemId, epoch: Epoch) {
        if self.sessions.get(hem).is_some_and(|session| session.epoch == epoch) {
            self.sessions.remove(hem);
            self.metrics.sessions.set(self.sessions.len());
        }
    }

    /// Ends a session of which something was not stored: with it goes what it handed over since, so
    /// that its mark cannot jump over what is missing.
    fn abandon(&mut self, hem: &HemId, epoch: Epoch) {
        self.close(hem, epoch);
        let before = self.queued;
        self.queue.retain(|later| {
            let keep = later.hem != *hem || later.epoch != epoch;
            if !keep {
                self.queued -= later.entries.len();
            }
            keep
        });
        self.metrics.dropped.add(before - self.queued);
        if self.queue.is_empty() {
            self.oldest = None;
        }
    }

    fn start_what_is_due(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.in_flight.is_some() {
            return;
        }
        let (batch, isolated) = if let Some(retry) = self.retry.take() {
            if now < retry.at {
                self.retry = Some(retry);
                return;
            }
            // What was gathered meanwhile waits for the next commit: a retry is the same commit again.
            (retry.batch, retry.isolated)
        } else {
            let overdue = self.oldest.is_some_and(|oldest| now >= oldest + self.policy.delay);
            let is_due = self.queued >= self.policy.entries
                || overdue
                || !self.opening.is_empty()
                || (self.flushing && self.queued > 0);
            if !is_due {
                return;
            }
            self.metrics.commit_began(now);
            (Arc::new(self.gather(now)), false)
        };
        // The barrier: sessions open after all that was handed over before they were asked for.
        let opens = if self.queued == 0 {
            std::mem::take(&mut self.opening)
        } else {
            self.ready_openings()
        };
        let job = Job {
            batch: Arc::clone(&batch),
            opens: opens.iter().map(|opening| opening.session.clone()).collect(),
            isolated,
        };
        let entries = batch.iter().map(|element| element.entries.len()).sum();
        self.in_flight = Some(InFlight { batch, entries, opens, isolated });
        effects.push(Effect::Run(job));
    }

    /// Those that wait to be opened and of whose HEM nothing is queued any more.
    fn ready_openings(&mut self) -> Vec<Opening> {
        if self.opening.is_empty() {
            return Vec::new();
        }
        let busy: std::collections::HashSet<&HemId> =
            self.queue.iter().map(|entries| &entries.hem).collect();
        let (held, ready): (Vec<Opening>, Vec<Opening>) = std::mem::take(&mut self.opening)
            .into_iter()
            .partition(|opening| busy.contains(&opening.session.hem));
        self.opening = held;
        ready
    }

    /// Takes a commit's worth from the queue; entries of the same connection become one element.
    fn gather(&mut self, now: Instant) -> Vec<HemEntries> {
        let mut batch: Vec<HemEntries> = Vec::new();
        let mut places: HashMap<(HemId, Epoch), usize> = HashMap::new();
        let mut taken = 0;
        while let Some(next) = self.queue.front() {
            let count = next.entries.len();
            if taken > 0 && taken + count > self.policy.max_entries {
                break;
            }
            taken += count;
            let Some(mut next) = self.queue.pop_front() else { break };
            let place = *places.entry((next.hem.clone(), next.epoch)).or_insert(batch.len());
            match batch.get_mut(place) {
                Some(element) => element.entries.append(&mut next.entries),
                None => batch.push(next),
            }
        }
        self.queued -= taken;
        // What stays behind has waited about as long: it goes with the very next commit.
        self.oldest = (!self.queue.is_empty()).then_some(now);
        batch
    }

    fn finish(
        &mut self,
        report: JobReport,
        took: Duration,
        at: Timestamp,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(flight) = self.in_flight.take() else { return };
        match report.committed {
            Ok(outcomes) => {
                self.metrics.commit_ended();
                self.settle(flight.batch, outcomes, took, at, effects);
            }
            Err(error) => {
                self.metrics.failed_commits.increment();
                let may_pass = error.is_temporary() || flight.isolated;
                self.answer_all(flight.opens, &error.to_string(), effects);
                let (batch, entries) = (flight.batch, flight.entries);
                if may_pass {
                    let again = Retry { batch, entries, isolated: flight.isolated, at: now };
                    self.went_away(again, error.to_string(), now);
                } else {
                    // Find the one that cannot be stored; the others must not wait for it.
                    self.retry = Some(Retry { batch, entries, isolated: true, at: now });
                }
                return;
            }
        }
        match report.opened {
            Some(Ok(opened)) => {
                self.came_back();
                self.begin(flight.opens, opened, effects);
            }
            Some(Err(error)) => {
                self.answer_all(flight.opens, &error.to_string(), effects);
                if error.is_temporary() {
                    let probe =
                        Retry { batch: Arc::default(), entries: 0, isolated: false, at: now };
                    self.went_away(probe, error.to_string(), now);
                }
            }
            None => self.answer_all(flight.opens, "the commit before it failed", effects),
        }
        self.metrics.waiting.set(self.waiting());
    }

    fn answer_all(&self, opens: Vec<Opening>, reason: &str, effects: &mut Vec<Effect>) {
        for opening in opens {
            let away = Unavailable { what: IOT_STORE, reason: reason.to_owned() };
            effects.push(Effect::Answer(opening.reply, Err(away)));
        }
    }

    fn begin(
        &mut self,
        opens: Vec<Opening>,
        opened: Vec<SessionOpened>,
        effects: &mut Vec<Effect>,
    ) {
        for (opening, granted) in opens.into_iter().zip(opened) {
            self.metrics.sessions_opened.increment();
            let session = Session { epoch: granted.epoch, durable: opening.durable };
            session.is_durable_through(granted.mark);
            // The session of an earlier connection is dropped here, and so fenced.
            self.sessions.insert(opening.session.hem, session);
            effects.push(Effect::Answer(opening.reply, Ok(granted)));
        }
        self.metrics.sessions.set(self.sessions.len());
    }

    /// Says what is durable, then publishes it.
    fn settle(
        &mut self,
        batch: Arc<Vec<HemEntries>>,
        outcomes: Vec<Result<CommitOutcome, StoreError>>,
        took: Duration,
        at: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let batch = Arc::try_unwrap(batch).unwrap_or_else(|shared| shared.as_ref().clone());
        let size: usize = batch.iter().map(|element| element.entries.len()).sum();
        if size > 0 {
            self.metrics.commits.increment();
            self.metrics.commit_sizes.observe(size as u64);
            self.metrics.commit_took(took);
        }
        let mut stored: BTreeMap<MicrogridId, Vec<HemBatch>> = BTreeMap::new();
        for (element, outcome) in batch.into_iter().zip(outcomes) {
            match outcome {
                Ok(CommitOutcome::Stored { microgrid, after, through }) => {
                    if let Some(session) = self.current(&element.hem, element.epoch) {
                        session.is_durable_through(through);
                    }
                    let Some(hem_batch) = self.count_stored(element, after, through) else {
                        continue;
                    };
                    stored.entry(microgrid).or_default().push(hem_batch);
                }
                Ok(CommitOutcome::Fenced) => {
                    self.metrics.dropped.add(element.entries.len());
                    self.close(&element.hem, element.epoch);
                }
                Err(error) => {
                    self.metrics.dropped.add(element.entries.len());
                    self.abandon(&element.hem, element.epoch);
                    effects.push(Effect::Alarm { hem: element.hem, reason: error.to_string() });
                }
            }
        }
        for (microgrid, batches) in stored {
            let batches = Arc::new(batches);
            effects.push(Effect::Publish(ReadingsCommitted { microgrid, at, batches }));
        }
    }

    fn count_stored(&self, element: HemEntries, after: Seq, through: Seq) -> Option<HemBatch> {
        let HemEntries { ref hem, epoch, ref entries } = element;
        let (hem, handed_over) = (hem.clone(), entries.len());
        let fresh = element.into_fresh(after);
        let refused = fresh.iter().filter(|entry| matches!(entry, Entry::Refused(_))).count();
        self.metrics.replayed.add(handed_over - fresh.len());
        self.metrics.refused.add(refused);
        self.metrics.stored.add(fresh.len() - refused);
        (!fresh.is_empty()).then_some(HemBatch { hem, epoch, after, through, entries: fresh })
    }

    fn current(&self, hem: &HemId, epoch: Epoch) -> Option<&Session> {
        self.sessions.get(hem).filter(|session| session.epoch == epoch)
    }

    fn went_away(&mut self, mut again: Retry, reason: String, now: Instant) {
        let doublings = self.failures.min(16);
        let pause = (self.policy.first_retry * 2_u32.pow(doublings)).min(self.policy.last_retry);
        self.failures = self.failures.saturating_add(1);
        again.at = now + pause;
        self.retry = Some(again);
        let since = match &self.health {
            StoreHealth::Away { since, .. } => *since,
            StoreHealth::Healthy => now,
        };
        self.health = StoreHealth::Away { reason, since };
    }

    fn came_back(&mut self) {
        self.failures = 0;
        self.health = StoreHealth::Healthy;
    }
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        // Their sessions are fenced as they drop, and their HEMs send these again.
        self.metrics.dropped.add(self.waiting());
        self.metrics.waiting.set(0);
        self.metrics.sessions.set(0);
        self.metrics.commit_ended();
    }
}

fn shutting_down() -> Unavailable {
    Unavailable { what: IOT_STORE, reason: "the historian is shutting down".to_owned() }
}

#[cfg(test)]
mod tests;
