//! What goes into which transaction: operations are gathered while one transaction is under way, and go
//! together into the next. It starts nothing itself: it says what is to be written or looked up, and
//! is told what came of it. Only then are operations answered, commands sent and changes told.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::{CommandError, OutgoingCommand, Placement, Unavailable};
use memcloud_domain::{CommandId, CommandRecord, HemId, Timestamp};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::CommandsConfig;
use crate::ledger::book::Book;
use crate::ledger::operation::{
    Again, CancelFailure, Draft, Found, Operation, Outcome, outgoing, placement,
};
use crate::metrics::CommandMetrics;

/// What is away when the store is.
pub(crate) const WEB_STORE: &str = "web store";
/// So many commands that are not in memory are looked up for one transaction.
const LOOK_UPS: usize = 256;
/// So many commands are offered to dispatch again at a time, and so many HEMs looked for.
const SWEPT: usize = 4_096;

/// Where the answer to an operation goes.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Nobody waits.
    Nobody,
    Accepted(oneshot::Sender<Result<Vec<Arc<CommandRecord>>, CommandError>>),
    Placed(oneshot::Sender<Result<Vec<Placement>, Unavailable>>),
    Cancelled(oneshot::Sender<Result<Arc<CommandRecord>, CommandError>>),
}

impl Reply {
    /// What was asked for is not done.
    pub(crate) fn refuse(self, reason: &str) {
        let unavailable = || Unavailable { what: WEB_STORE, reason: reason.to_owned() };
        // Whoever does not wait for its answer any more loses only that.
        match self {
            Self::Nobody => {}
            Self::Accepted(reply) => drop(reply.send(Err(unavailable().into()))),
            Self::Placed(reply) => drop(reply.send(Err(unavailable()))),
            Self::Cancelled(reply) => drop(reply.send(Err(unavailable().into()))),
        }
    }
}

/// What the disk has, and others are to know or do. The later one adds to the earlier.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Commands that were found when the ledger was opened.
    pub(crate) opened: Vec<Arc<CommandRecord>>,
    /// Commands that changed.
    pub(crate) changed: Vec<Arc<CommandRecord>>,
    /// Commands of which readings cannot tell any more.
    pub(crate) dropped: Vec<CommandId>,
    /// What goes to HEMs, by order.
    pub(crate) to_send: BTreeMap<HemId, Vec<OutgoingCommand>>,
    /// On what dispatch is to decide.
    pub(crate) to_offer: Vec<Arc<CommandRecord>>,
    /// HEMs of which orders wait: are they connected?
    pub(crate) to_look_for: Vec<HemId>,
}

impl Told {
    pub(crate) fn is_empty(&self) -> bool {
        self.opened.is_empty()
            && self.changed.is_empty()
            && self.dropped.is_empty()
            && self.to_send.is_empty()
            && self.to_offer.is_empty()
            && self.to_look_for.is_empty()
    }

    pub(crate) fn add(&mut self, mut later: Self) {
        self.opened.append(&mut later.opened);
        self.changed.append(&mut later.changed);
        self.dropped.append(&mut later.dropped);
        for (hem, mut commands) in later.to_send {
            self.to_send.entry(hem).or_default().append(&mut commands);
        }
        self.to_offer.append(&mut later.to_offer);
        self.to_look_for.append(&mut later.to_look_for);
    }
}

/// What the store is to do next.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Read what is open, and the highest orders.
    Open,
    /// Write these rows.
    Write(Vec<Arc<CommandRecord>>),
    /// Look these commands up, and the highest orders of these HEMs.
    LookUp(Vec<CommandId>, Vec<HemId>),
}

/// What was looked up.
#[derive(Debug, Default)]
pub(crate) struct LookedUp {
    /// The commands that there are.
    pub(crate) commands: Vec<CommandRecord>,
    /// The highest order of each HEM that was asked for and has one.
    pub(crate) orders: Vec<(HemId, u64)>,
}

/// What the store has to begin with.
#[derive(Debug)]
pub(crate) struct Opened {
    /// What is open.
    pub(crate) open: Vec<CommandRecord>,
    /// The highest order of each HEM; absent: each is looked up when it is needed.
    pub(crate) orders: Option<Vec<(HemId, u64)>>,
}

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) kind: FailureKind,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The same may succeed later.
    MayPass,
    /// The same never succeeds.
    Lasts,
    /// Another process runs the microgrid.
    Fenced,
}

#[derive(Debug)]
struct Waiting {
    operation: Operation,
    reply: Reply,
    since: Instant,
}

#[derive(Debug)]
enum Flight {
    Open,
    LookUp(Vec<Waiting>, Vec<HemId>),
    Write { entries: Vec<(Waiting, Outcome)>, draft: Draft },
}

/// Since when the store has been away.
#[derive(Debug, Clone)]
pub(crate) struct Absence {
    pub(crate) reason: String,
    pub(crate) since: Instant,
    /// Whether it was writing that failed.
    writing: bool,
}

/// The ledger: what is in memory, what waits, and what is under way to the disk.
#[derive(Debug)]
pub(crate) struct Journal {
    book: Book,
    is_open: bool,
    metrics: Arc<CommandMetrics>,
    queue: VecDeque<Waiting>,
    waiting: usize,
    flight: Option<Flight>,
    failures: u32,
    retry: Option<Instant>,
    away: Option<Absence>,
    offered: Timestamp,
    sought: Timestamp,
    /// So many operations still go one by one, because one of them cannot be written.
    one_by_one: usize,
    told: Told,
}

impl Journal {
    /// A ledger that is to be opened yet.
    pub(crate) fn new(config: CommandsConfig, metrics: Arc<CommandMetrics>) -> Self {
        Self {
            book: Book::new(config, Vec::new(), None),
            is_open: false,
            metrics,
            queue: VecDeque::new(),
            waiting: 0,
            flight: None,
            failures: 0,
            retry: None,
            away: None,
            offered: Timestamp::default(),
            sought: Timestamp::default(),
            one_by_one: 0,
            told: Told::default(),
        }
    }

    /// Takes an operation in; what finds no place is answered so.
    pub(crate) fn take(&mut self, operation: Operation, reply: Reply, now: Instant) {
        let weight = operation.weight();
        let is_full = self.waiting + weight > self.book.config().waiting.max(weight);
        // Whether a HEM is connected is known from elsewhere too, but not whether it was deleted.
        if is_full && !matches!(operation, Operation::Remove(_)) {
            if let Operation::Answer(_) = operation {
                self.metrics.dropped_answers.increment();
            }
            self.refuse(reply, "too many commands wait for it already");
            return;
        }
        self.waiting += weight;
        self.queue.push_back(Waiting { operation, reply, since: now });
    }

    /// Gives everything up that waits or is under way: another process runs its microgrid.
    pub(crate) fn close(&mut self, reason: &str) {
        let under_way = match self.flight.take() {
            Some(Flight::LookUp(batch, _)) => batch,
            // Whether it was written is not known here. Whoever asks again is told.
            Some(Flight::Write { entries, .. }) => {
                entries.into_iter().map(|(waiting, _)| waiting).collect()
            }
            Some(Flight::Open) | None => Vec::new(),
        };
        let waiting = std::mem::take(&mut self.queue);
        for waiting in under_way.into_iter().chain(waiting) {
            self.refuse(waiting.reply, reason);
        }
        self.waiting = 0;
    }

    /// What the store is to do next, if anything and if it is free.
    pub(crate) fn begin(&mut self, at: Timestamp, now: Instant) -> Option<Errand> {
        if self.flight.is_some() || self.retry.is_some_and(|retry| now < retry) {
            return None;
        }
        self.retry = None;
        if !self.is_open {
            self.flight = Some(Flight::Open);
            return Some(Errand::Open);
        }
        self.sweep(at);
        loop {
            let batch = self.next_batch(at, now);
            if batch.is_empty() {
                return None;
            }
            let mut unknown = HashSet::new();
            for id in batch.iter().flat_map(|waiting| waiting.operation.named()) {
                if unknown.len() < LOOK_UPS && self.book.get(id).is_none() {
                    unknown.insert(id.clone());
                }
            }
            let hems: HashSet<HemId> = batch
                .iter()
                .flat_map(|waiting| waiting.operation.ordered_hems())
                .filter(|hem| !self.book.knows_order(hem))
                .cloned()
                .collect();
            if !unknown.is_empty() || !hems.is_empty() {
                let hems: Vec<HemId> = hems.into_iter().collect();
                self.flight = Some(Flight::LookUp(batch, hems.clone()));
                return Some(Errand::LookUp(unknown.into_iter().collect(), hems));
            }
            // What writes nothing is done at once.
            if let Some(errand) = self.apply(batch, &Found::new(), at) {
                return Some(errand);
            }
        }
    }

    /// The store has said what is open.
    pub(crate) fn opened(&mut self, result: Result<Opened, Failure>, now: Instant) {
        self.flight = None;
        match result {
            Ok(Opened { open, orders }) => {
                self.book = Book::new(*self.book.config(), open, orders);
                self.is_open = true;
                self.recovered();
                self.told.opened = self.book.all();
            }
            Err(failure) => self.failed(Vec::new(), failure, false, now),
        }
    }

    /// What waits goes first, then what is due; the more waits, the longer what is due does, but it
    /// comes into every transaction that has space.
    fn next_batch(&mut self, at: Timestamp, now: Instant) -> Vec<Waiting> {
        let most = if self.one_by_one > 0 { 1 } else { self.book.config().transaction };
        let mut weight = 0;
        let mut batch = Vec::new();
        while weight < most
            && let Some(next) = self.queue.pop_front()
        {
            weight += next.operation.weight();
            batch.push(next);
        }
        if most > 1 || batch.is_empty() {
            for id in self.book.due(at, most.saturating_sub(weight).max(1)) {
                let operation = Operation::Look(id);
                batch.push(Waiting { operation, reply: Reply::Nobody, since: now });
            }
        }
        batch
    }

    /// The store has found what was asked for.
    pub(crate) fn looked_up(
        &mut self,
        found: Result<LookedUp, Failure>,
        at: Timestamp,
        now: Instant,
    ) -> Option<Errand> {
        let Some(Flight::LookUp(batch, hems)) = self.flight.take() else { return None };
        match found {
            Ok(LookedUp { commands: records, orders }) => {
                self.book.learn_orders(hems, orders);
                if self.away.as_ref().is_some_and(|absence| !absence.writing) {
                    self.recovered();
                }
                let found = records.into_iter().map(|record| (record.id.clone(), Arc::new(record)));
                self.apply(batch, &found.collect(), at)
            }
            Err(failure) => {
                self.failed(batch, failure, false, now);
                None
            }
        }
    }

    fn apply(&mut self, batch: Vec<Waiting>, found: &Found, at: Timestamp) -> Option<Errand> {
        let mut draft = Draft::new(at);
        let entries = batch
            .into_iter()
            .map(|waiting| {
                let outcome = draft.apply(&waiting.operation, found, &mut self.book, &self.metrics);
                (waiting, outcome)
            })
            .collect();
        let rows = draft.rows();
        if rows.is_empty() {
            // There is nothing to be written, so it is as good as written.
            self.succeed(entries, draft);
            return None;
        }
        self.flight = Some(Flight::Write { entries, draft });
        Some(Errand::Write(rows))
    }

    /// The store has written what was given, or has not.
    pub(crate) fn written(&mut self, result: Result<(), Failure>, took: Duration, now: Instant) {
        let Some(Flight::Write { entries, draft }) = self.flight.take() else { return };
        match result {
            Ok(()) => {
                self.metrics.commits.increment();
                self.metrics.commit_sizes.observe(draft.rows().len() as u64);
                self.metrics.commit_took(took);
                self.recovered();
                self.succeed(entries, draft);
            }
            Err(failure) => {
                self.metrics.failed_commits.increment();
                draft.undo(&mut self.book);
                let batch = entries.into_iter().map(|(waiting, _)| waiting).collect();
                self.failed(batch, failure, true, now);
            }
        }
    }

    /// What the store was asked to do broke, whatever it was.
    pub(crate) fn broke(&mut self, failure: Failure, now: Instant) {
        match self.flight.take() {
            Some(Flight::LookUp(batch, _)) => self.failed(batch, failure, false, now),
            Some(Flight::Write { entries, draft }) => {
                self.flight = Some(Flight::Write { entries, draft });
                self.written(Err(failure), Duration::ZERO, now);
            }
            Some(Flight::Open) | None => self.failed(Vec::new(), failure, false, now),
        }
    }

    fn recovered(&mut self) {
        self.failures = 0;
        self.away = None;
    }

    fn failed(&mut self, mut batch: Vec<Waiting>, failure: Failure, writing: bool, now: Instant) {
        if failure.kind != FailureKind::MayPass && !batch.is_empty() {
            if batch.len() == 1 {
                self.give_up(batch.pop(), &failure.reason);
                return;
            }
            self.one_by_one = batch.len();
        } else {
            self.failures = self.failures.saturating_add(1);
            let config = self.book.config();
            let factor = 1_u32.checked_shl(self.failures - 1).unwrap_or(u32::MAX);
            let pause = config.first_retry.saturating_mul(factor).min(config.last_retry);
            self.retry = Some(now + pause);
            match &mut self.away {
                Some(absence) => {
                    absence.reason = failure.reason;
                    absence.writing |= writing;
                }
                None => self.away = Some(Absence { reason: failure.reason, since: now, writing }),
            }
        }
        for waiting in batch.into_iter().rev() {
            // What is due is found again.
            if !matches!(waiting.operation, Operation::Look(_)) {
                self.queue.push_front(waiting);
            }
        }
        self.give_up_late(now);
    }

    /// Answers those who have waited long enough for a store that is away: what they asked for is not
    /// done.
    pub(crate) fn give_up_late(&mut self, now: Instant) {
        let Some(Absence { reason, .. }) = self.away.clone() else { return };
        let deadline = self.book.config().write_deadline;
        let (kept, late): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|waiting| {
                matches!(waiting.reply, Reply::Nobody) || now < waiting.since + deadline
            });
        self.queue = kept;
        for waiting in late {
            self.waiting = self.waiting.saturating_sub(waiting.operation.weight());
            self.refuse(waiting.reply, &reason);
        }
    }

    fn give_up(&mut self, waiting: Option<Waiting>, reason: &str) {
        self.one_by_one = self.one_by_one.saturating_sub(1);
        let Some(waiting) = waiting else { return };
        log::error!(reason, operation:? = waiting.operation;
            "something cannot be written into the ledger of commands; it is given up");
        if let Operation::Look(command) = &waiting.operation {
            self.book.remove(command);
        } else {
            self.waiting = self.waiting.saturating_sub(waiting.operation.weight());
        }
        self.refuse(waiting.reply, reason);
    }

    fn succeed(&mut self, entries: Vec<(Waiting, Outcome)>, draft: Draft) {
        self.one_by_one = self.one_by_one.saturating_sub(entries.len());
        for (waiting, outcome) in entries {
            if !matches!(waiting.operation, Operation::Look(_)) {
                self.waiting = self.waiting.saturating_sub(waiting.operation.weight());
            }
            answer(waiting.reply, outcome, &draft);
        }
        for row in draft.rows() {
            let before = draft.was(&row.id).flatten();
            let known = before.map_or(0, |record| record.history.len());
            for step in row.history.iter().skip(known) {
                self.metrics.count_state(step.state);
            }
            self.told.changed.push(row);
        }
        self.tell_what_to_send(&draft);
        let to_offer = draft.to_offer.iter().filter_map(|id| self.book.get(id)).cloned();
        self.told.to_offer.extend(to_offer);
        self.told.dropped.extend(draft.dropped);
    }

    fn tell_what_to_send(&mut self, draft: &Draft) {
        let mut seen = HashSet::new();
        for (id, again) in &draft.to_send {
            let Some(record) = self.book.get(id).filter(|_| seen.insert(id)) else { continue };
            let Some(outgoing) = outgoing(record, &self.book) else { continue };
            if *again == Again::Again {
                self.metrics.resent.increment();
            }
            self.metrics.handed_over.increment();
            self.told.to_send.entry(record.hem.clone()).or_default().push(outgoing);
        }
    }

    /// Offers again what dispatch has not decided on, and asks for HEMs of which orders wait.
    fn sweep(&mut self, at: Timestamp) {
        let config = *self.book.config();
        // A clock that was set back does not keep anybody waiting.
        (self.offered, self.sought) = (self.offered.min(at), self.sought.min(at));
        if at >= self.offered.plus(config.offer_again) {
            self.offered = at;
            let before = at.minus(config.offer_again);
            let undecided = self.book.undecided(SWEPT).into_iter();
            self.told.to_offer.extend(undecided.filter(|record| record.issued <= before));
        }
        if at >= self.sought.plus(config.look_again) {
            self.sought = at;
            let sought = self.book.sought(SWEPT);
            self.told.to_look_for.extend(sought);
        }
    }

    /// How long nothing happens by itself; absent: until something is taken in or the store is done.
    pub(crate) fn rests(&self, at: Timestamp, now: Instant) -> Option<Duration> {
        let late = self.away.as_ref().and_then(|_| {
            let answered = |waiting: &&Waiting| !matches!(waiting.reply, Reply::Nobody);
            let first = self.queue.iter().find(answered)?;
            let deadline = first.since + self.book.config().write_deadline;
            Some(deadline.saturating_duration_since(now))
        });
        if self.flight.is_some() {
            return late;
        }
        if let Some(retry) = self.retry {
            let pause = retry.saturating_duration_since(now);
            return Some(late.map_or(pause, |late| late.min(pause)));
        }
        let config = self.book.config();
        let due = self.book.next_due();
        let offer = self.book.has_undecided().then(|| self.offered.plus(config.offer_again));
        let seek = self.book.has_held().then(|| self.sought.plus(config.look_again));
        let next = [due, offer, seek].into_iter().flatten().min()?;
        Some(next.since(at))
    }

    /// What others are to know and do since this was asked last.
    pub(crate) fn take_told(&mut self) -> Told {
        std::mem::take(&mut self.told)
    }

    /// A command as it is on disk, if it is in memory.
    pub(crate) fn durable(&self, id: &CommandId) -> Option<Arc<CommandRecord>> {
        let under_way = match &self.flight {
            Some(Flight::Write { draft, .. }) => draft.was(id),
            _ => None,
        };
        under_way.unwrap_or_else(|| self.book.get(id)).cloned()
    }

    /// How many operations wait for the disk.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many commands are in memory.
    pub(crate) fn open(&self) -> usize {
        self.book.len()
    }

    /// Why the store is away, and since when.
    pub(crate) fn away(&self) -> Option<&Absence> {
        self.away.as_ref()
    }

    fn refuse(&self, reply: Reply, reason: &str) {
        if !matches!(reply, Reply::Nobody) {
            self.metrics.unavailable.increment();
        }
        reply.refuse(reason);
    }
}

fn answer(reply: Reply, outcome: Outcome, draft: &Draft) {
    let made = |id: &CommandId| draft.made(id).cloned();
    match (reply, outcome) {
        (Reply::Accepted(reply), Outcome::Accepted(accepted)) => {
            let answer = accepted.map(|ids| ids.iter().filter_map(made).collect());
            drop(reply.send(answer));
        }
        (Reply::Placed(reply), Outcome::Placed(placed)) => {
            let answer = placed.into_iter().map(|placed| placement(placed, draft)).collect();
            drop(reply.send(Ok(answer)));
        }
        (Reply::Cancelled(reply), Outcome::Cancelled(cancelled)) => {
            let answer = match cancelled {
                Ok(id) => made(&id).ok_or(CommandError::Unknown),
                Err(CancelFailure::Unknown) => Err(CommandError::Unknown),
                Err(CancelFailure::TooLate(record)) => Err(CommandError::TooLate(record)),
            };
            drop(reply.send(answer));
        }
        _ => {}
    }
}
