//! What is done to the ledger: each operation is applied to the book within a transaction, and only
//! what reached the disk is answered, sent and told. So every decision stands on what is durable, and
//! a transaction that failed leaves nothing behind.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use memcloud_domain::messages::{
    CommandAnswered, CommandError, OrderDraft, Origin, OutgoingCommand, Placement, Verdict,
};
use memcloud_domain::{
    Asker, CommandId, CommandRecord, CommandState, Epoch, HemId, MicrogridId, Timestamp, Transition,
};

use crate::ledger::book::Book;
use crate::ledger::machine::{self, CommandEvent, step};
use crate::metrics::CommandMetrics;

/// Something that is done to the ledger.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// New commands, all or none.
    Accept(Vec<CommandRecord>),
    /// What dispatch decided.
    Place(MicrogridId, Vec<Placing>),
    /// A HEM is connected.
    Connected(HemId, Epoch),
    /// A connection is over.
    Disconnected(HemId, Epoch),
    /// A HEM answered.
    Answer(CommandAnswered),
    /// Readings show something of a command.
    Find(CommandId, CommandEvent),
    /// A person takes a command back.
    Cancel(CommandId, Asker),
    /// A HEM was deleted.
    Remove(HemId),
    /// A command's time has come.
    Look(CommandId),
}

/// A verdict, and the id of the row that it makes if it is made of a wish.
#[derive(Debug, Clone)]
pub(crate) struct Placing {
    pub(crate) verdict: Verdict,
    pub(crate) new: CommandId,
}

/// What an operation comes to, if the transaction does.
#[derive(Debug)]
pub(crate) enum Outcome {
    Nothing,
    Accepted(Result<Vec<CommandId>, CommandError>),
    Placed(Vec<Placed>),
    Cancelled(Result<CommandId, CancelFailure>),
}

#[derive(Debug)]
pub(crate) enum Placed {
    Written(CommandId),
    Busy,
    Moot(Arc<CommandRecord>),
    Unknown,
}

#[derive(Debug)]
pub(crate) enum CancelFailure {
    Unknown,
    TooLate(Arc<CommandRecord>),
}

/// Records that are not in memory, as the store has them.
pub(crate) type Found = HashMap<CommandId, Arc<CommandRecord>>;

impl Operation {
    /// The commands that it speaks of and changes whatever became of them.
    pub(crate) fn named(&self) -> Vec<&CommandId> {
        match self {
            Self::Answer(answer) => vec![&answer.command],
            Self::Cancel(command, _) => vec![command],
            Self::Place(_, placings) => placings.iter().filter_map(Placing::command).collect(),
            _ => Vec::new(),
        }
    }

    /// The HEMs that it may give an order to.
    pub(crate) fn ordered_hems(&self) -> impl Iterator<Item = &HemId> {
        let placings = match self {
            Self::Place(_, placings) => placings.as_slice(),
            _ => &[],
        };
        placings.iter().filter_map(|placing| match &placing.verdict {
            Verdict::Order(draft) => Some(&draft.hem),
            Verdict::Refuse { .. } => None,
        })
    }

    /// How many rows it makes, about.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Accept(records) => records.len(),
            Self::Place(_, placings) => placings.len(),
            _ => 1,
        }
    }
}

impl Placing {
    fn command(&self) -> Option<&CommandId> {
        match &self.verdict {
            Verdict::Order(OrderDraft { origin: Origin::Command(command), .. })
            | Verdict::Refuse { command, .. } => Some(command),
            Verdict::Order(_) => None,
        }
    }
}

/// A transaction in the making.
#[derive(Debug)]
pub(crate) struct Draft {
    now: Timestamp,
    /// What the book held before, to be put back if the transaction fails.
    before: HashMap<CommandId, Option<Arc<CommandRecord>>>,
    /// The rows.
    after: HashMap<CommandId, Arc<CommandRecord>>,
    /// Commands of which readings cannot tell any more.
    pub(crate) dropped: Vec<CommandId>,
    /// What goes to HEMs, and whether again.
    pub(crate) to_send: Vec<(CommandId, Again)>,
    /// New commands, on which dispatch is to decide.
    pub(crate) to_offer: Vec<CommandId>,
    /// HEMs that were not known to be connected before.
    connected: Vec<HemId>,
}

/// Whether something went to its HEM before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    First,
    Again,
}

impl Draft {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            before: HashMap::new(),
            after: HashMap::new(),
            dropped: Vec::new(),
            to_send: Vec::new(),
            to_offer: Vec::new(),
            connected: Vec::new(),
        }
    }

    /// The rows to be written, by age.
    pub(crate) fn rows(&self) -> Vec<Arc<CommandRecord>> {
        let mut rows: Vec<_> = self.after.values().cloned().collect();
        rows.sort_by(|one, other| one.id.cmp(&other.id));
        rows
    }

    /// A record as this transaction makes it.
    pub(crate) fn made(&self, id: &CommandId) -> Option<&Arc<CommandRecord>> {
        self.after.get(id)
    }

    /// A record as it was before this transaction: absent where this does not touch it.
    pub(crate) fn was(&self, id: &CommandId) -> Option<Option<&Arc<CommandRecord>>> {
        self.before.get(id).map(Option::as_ref)
    }

    /// Puts the book back to what it was.
    pub(crate) fn undo(self, book: &mut Book) {
        for (id, record) in self.before {
            match record {
                Some(record) => book.put(record),
                None => {
                    book.remove(&id);
                }
            }
        }
        // Their welcome is told again, as new.
        for hem in self.connected {
            book.disconnect(&hem, Epoch(u64::MAX));
        }
    }

    /// Applies an operation.
    pub(crate) fn apply(
        &mut self,
        operation: &Operation,
        found: &Found,
        book: &mut Book,
        metrics: &CommandMetrics,
    ) -> Outcome {
        match operation {
            Operation::Accept(records) => return Outcome::Accepted(self.accept(records, book)),
            Operation::Place(microgrid, placings) => {
                return Outcome::Placed(self.place(microgrid, placings, found, book, metrics));
            }
            Operation::Cancel(command, by) => {
                return Outcome::Cancelled(self.cancel(command, by, found, book));
            }
            Operation::Answer(answer) => self.answer(answer, found, book, metrics),
            Operation::Connected(hem, epoch) => self.connected(hem, *epoch, book),
            Operation::Disconnected(hem, epoch) => book.disconnect(hem, *epoch),
            Operation::Find(command, event) => self.find(command, event, book),
            Operation::Remove(hem) => self.remove(hem, book),
            Operation::Look(command) => self.look(command, book),
        }
        Outcome::Nothing
    }

    fn accept(
        &mut self,
        records: &[CommandRecord],
        book: &mut Book,
    ) -> Result<Vec<CommandId>, CommandError> {
        let mut per_hem: BTreeMap<&HemId, usize> = BTreeMap::new();
        for record in records {
            *per_hem.entry(&record.hem).or_default() += 1;
        }
        for (hem, more) in per_hem {
            let open = book.waiting(hem, self.now);
            if open + more > book.config().open_per_hem {
                return Err(CommandError::TooMany { hem: hem.clone(), open });
            }
        }
        let mut ids = Vec::with_capacity(records.len());
        for record in records {
            ids.push(record.id.clone());
            self.to_offer.push(record.id.clone());
            self.write(record.clone(), book);
        }
        Ok(ids)
    }

    fn place(
        &mut self,
        microgrid: &MicrogridId,
        placings: &[Placing],
        found: &Found,
        book: &mut Book,
        metrics: &CommandMetrics,
    ) -> Vec<Placed> {
        let mut placed = Vec::with_capacity(placings.len());
        for Placing { verdict, new } in placings {
            placed.push(match verdict {
                Verdict::Refuse { command, because } => {
                    let event = CommandEvent::TurnedDown { because: because.clone() };
                    self.decide(microgrid, command, &event, found, book)
                }
                Verdict::Order(draft) => match &draft.origin {
                    Origin::Command(command) => {
                        self.order(microgrid, command, draft, found, book, metrics)
                    }
                    Origin::Wish { asker, reason, priority, expires_ms } => {
                        let wish = CommandRecord {
                            id: new.clone(),
                            microgrid: microgrid.clone(),
                            hem: draft.hem.clone(),
                            node: draft.node,
                            action: draft.action.clone(),
                            asker: asker.clone(),
                            reason: machine::sentence(reason).unwrap_or_default(),
                            priority: *priority,
                            issued: self.now,
                            expires: self.now.plus(std::time::Duration::from_millis(*expires_ms)),
                            lease_ms: draft.lease_ms,
                            ordered: None,
                            order: None,
                            acted_at: None,
                            state: CommandState::Accepted,
                            history: vec![Transition {
                                state: CommandState::Accepted,
                                at: self.now,
                                because: None,
                                evidence: None,
                            }],
                        };
                        self.order_record(&wish, draft, book, metrics)
                    }
                },
            });
        }
        placed
    }

    fn decide(
        &mut self,
        microgrid: &MicrogridId,
        command: &CommandId,
        event: &CommandEvent,
        found: &Found,
        book: &mut Book,
    ) -> Placed {
        let Some(record) = self.known(command, found, book) else { return Placed::Unknown };
        if record.microgrid != *microgrid {
            return Placed::Unknown;
        }
        match step(&record, event, self.now) {
            Some(next) => {
                self.write(next, book);
                Placed::Written(command.clone())
            }
            None => Placed::Moot(record),
        }
    }

    fn order(
        &mut self,
        microgrid: &MicrogridId,
        command: &CommandId,
        draft: &OrderDraft,
        found: &Found,
        book: &mut Book,
        metrics: &CommandMetrics,
    ) -> Placed {
        let Some(record) = self.known(command, found, book) else { return Placed::Unknown };
        if record.microgrid != *microgrid || record.hem != draft.hem || record.node != draft.node {
            return Placed::Unknown;
        }
        if let Some(lapsed) = step(&record, &CommandEvent::Lapsed, self.now) {
            return Placed::Moot(self.write(lapsed, book));
        }
        if record.state != CommandState::Accepted || record.order.is_some() {
            return Placed::Moot(record);
        }
        self.order_record(&record, draft, book, metrics)
    }

    /// Gives a record that has none its order, and sends it if its HEM is there.
    fn order_record(
        &mut self,
        record: &CommandRecord,
        draft: &OrderDraft,
        book: &mut Book,
        metrics: &CommandMetrics,
    ) -> Placed {
        let is_new = book.get(&record.id).is_none();
        let is_connected = book.is_connected(&record.hem);
        let is_full = is_new && book.waiting(&record.hem, self.now) >= book.config().open_per_hem;
        let unanswered = book.unanswered(&record.hem, self.now);
        if is_full || is_connected && unanswered >= book.config().unanswered_per_hem {
            metrics.busy_hems.increment();
            return Placed::Busy;
        }
        let event = CommandEvent::Ordered {
            order: book.next_order(&record.hem),
            action: draft.action.clone(),
            lease_ms: draft.lease_ms,
            because: draft.because.clone(),
        };
        let Some(ordered) = step(record, &event, self.now) else {
            return Placed::Moot(Arc::new(record.clone()));
        };
        for replaced in book.replaced_by(&ordered) {
            let because = format!("a later order of {} took its place", ordered.asker.shown());
            self.advance(&replaced, &CommandEvent::Replaced { because }, book);
        }
        let sent = is_connected.then(|| step(&ordered, &CommandEvent::Sent, self.now)).flatten();
        if sent.is_some() {
            self.to_send.push((record.id.clone(), Again::First));
        }
        self.write(sent.unwrap_or(ordered), book);
        Placed::Written(record.id.clone())
    }

    fn cancel(
        &mut self,
        command: &CommandId,
        by: &Asker,
        found: &Found,
        book: &mut Book,
    ) -> Result<CommandId, CancelFailure> {
        let record = self.known(command, found, book).ok_or(CancelFailure::Unknown)?;
        match step(&record, &CommandEvent::Cancelled { by: by.shown() }, self.now) {
            Some(next) => {
                self.write(next, book);
                Ok(command.clone())
            }
            None => Err(CancelFailure::TooLate(record)),
        }
    }

    fn answer(
        &mut self,
        answer: &CommandAnswered,
        found: &Found,
        book: &mut Book,
        metrics: &CommandMetrics,
    ) {
        let event = CommandEvent::Answered {
            outcome: answer.outcome,
            seq: answer.seq,
            reason: answer.reason.clone(),
        };
        let at = answer.at.min(self.now);
        let next = self
            .known(&answer.command, found, book)
            // A HEM speaks of its own commands alone.
            .filter(|record| record.hem == answer.hem)
            .and_then(|record| step(&record, &event, at));
        let Some(next) = next else {
            metrics.moot_answers.increment();
            return;
        };
        if let Some(sent) = machine::sent_at(&next) {
            let took = u64::try_from(at.since(sent).as_millis()).unwrap_or(u64::MAX);
            metrics.answer_milliseconds.observe(took);
        }
        let hem = next.hem.clone();
        self.write(next, book);
        self.release(&hem, book);
    }

    /// After a welcome what waited is sent, and what was not answered is sent again.
    fn connected(&mut self, hem: &HemId, epoch: Epoch, book: &mut Book) {
        if book.connect(hem, epoch) {
            self.connected.push(hem.clone());
            for record in book.to_resend(hem, self.now) {
                self.to_send.push((record.id.clone(), Again::Again));
            }
        }
        self.release(hem, book);
    }

    /// Sends what waited, as far as a HEM may have unanswered commands.
    fn release(&mut self, hem: &HemId, book: &mut Book) {
        if !book.is_connected(hem) {
            return;
        }
        let unanswered = book.unanswered(hem, self.now);
        let mut room = book.config().unanswered_per_hem.saturating_sub(unanswered);
        for held in book.held(hem) {
            if room == 0 {
                return;
            }
            if self.advance(&held.id, &CommandEvent::Lapsed, book) {
                continue;
            }
            if self.advance(&held.id, &CommandEvent::Sent, book) {
                self.to_send.push((held.id.clone(), Again::First));
                room -= 1;
            }
        }
    }

    fn find(&mut self, command: &CommandId, event: &CommandEvent, book: &mut Book) {
        let Some(record) = book.get(command).cloned() else { return };
        if !book.is_disturbed(&record) {
            self.advance(command, event, book);
        }
    }

    fn remove(&mut self, hem: &HemId, book: &mut Book) {
        let ids: Vec<_> = book.of(hem).map(|record| record.id.clone()).collect();
        for id in ids {
            let by = "the deletion of the HEM".to_owned();
            let ended = self.advance(&id, &CommandEvent::Cancelled { by }, book)
                || self.advance(&id, &CommandEvent::Overdue, book);
            if !ended {
                self.drop_out(&id, book);
            }
        }
        book.forget(hem);
    }

    fn look(&mut self, command: &CommandId, book: &mut Book) {
        let Some(record) = book.get(command).cloned() else { return };
        match record.state {
            CommandState::Accepted => {
                self.advance(command, &CommandEvent::Lapsed, book);
            }
            CommandState::Sent => {
                self.advance(command, &CommandEvent::Overdue, book);
                if book.is_connected(&record.hem) {
                    self.to_send.push((command.clone(), Again::Again));
                }
            }
            _ => self.drop_out(command, book),
        }
    }

    /// Takes a step of a command in the book; answers whether there was one.
    fn advance(&mut self, id: &CommandId, event: &CommandEvent, book: &mut Book) -> bool {
        let next = book.get(id).and_then(|record| step(record, event, self.now));
        let Some(next) = next else { return false };
        self.write(next, book);
        true
    }

    fn write(&mut self, record: CommandRecord, book: &mut Book) -> Arc<CommandRecord> {
        let record = Arc::new(record);
        self.remember(&record.id, book);
        self.after.insert(record.id.clone(), Arc::clone(&record));
        book.put(Arc::clone(&record));
        for disturbed in book.disturbed_by(&record) {
            self.drop_out(&disturbed, book);
        }
        record
    }

    /// Nothing more will be seen of a command: it leaves the memory as it is.
    fn drop_out(&mut self, id: &CommandId, book: &mut Book) {
        self.remember(id, book);
        book.remove(id);
        self.dropped.push(id.clone());
    }

    fn remember(&mut self, id: &CommandId, book: &Book) {
        if !self.before.contains_key(id) {
            self.before.insert(id.clone(), book.get(id).cloned());
        }
    }

    fn known(&self, id: &CommandId, found: &Found, book: &Book) -> Option<Arc<CommandRecord>> {
        self.after.get(id).or_else(|| book.get(id)).or_else(|| found.get(id)).cloned()
    }
}

/// A command as it goes to its HEM. What a later order replaced must not be begun any more: the HEM is
/// only asked for its answer.
pub(crate) fn outgoing(record: &CommandRecord, book: &Book) -> Option<OutgoingCommand> {
    let is_replaced = book.is_replaced(record);
    Some(OutgoingCommand {
        command: record.id.clone(),
        order: record.order?,
        node: record.node,
        action: record.as_sent().clone(),
        issued: record.issued,
        expires: if is_replaced { record.issued.min(record.expires) } else { record.expires },
        lease_ms: record.lease_ms,
    })
}

/// How a placing is answered, once it is on disk.
pub(crate) fn placement(placed: Placed, draft: &Draft) -> Placement {
    match placed {
        Placed::Written(id) => match draft.made(&id) {
            Some(record) => Placement::Placed(Arc::clone(record)),
            None => Placement::Unknown,
        },
        Placed::Busy => Placement::HemIsBusy,
        Placed::Moot(record) => Placement::Moot(record),
        Placed::Unknown => Placement::Unknown,
    }
}
