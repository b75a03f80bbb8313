//! What a HEM has said and the cloud has not acknowledged: in order, numbered, bounded, and on disk
//! where that is wanted. The rules of the numbers live here.
//!
//! A number is final once it may have been sent. What was never sent is numbered behind whatever the
//! next welcome shows, so that a file whose tail a power cut tore off uses no number twice.

use std::collections::VecDeque;

use memcloud_domain::{Secret, Seq, Timestamp};
use memcloud_wire::Renumbering;
use tokio::time::Instant;

use super::journal::{Journal, Kept, Loaded, Record};
use super::ledger::Ledger;
use crate::SdkError;

/// After so many `bad-frame`s an item is given up.
const MOST_TRIES: u8 = 2;

/// Whether an item is a reading or an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemKind {
    Reading,
    Event,
}

/// When an item was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemTime {
    /// By a set clock.
    At(Timestamp),
    /// By no clock: it was so old when it was recorded.
    Age { age_ms: u64, recorded: Instant },
}

/// A reading or event.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) seq: Seq,
    pub(crate) kind: ItemKind,
    pub(crate) time: ItemTime,
    /// The rest of its frame behind the time, up to and with the closing brace.
    pub(crate) body: Box<str>,
    sent: Option<Instant>,
    /// Whether the cloud may have seen it under its number.
    number_is_final: bool,
    /// Frames of one batch share a number above 0.
    batch: u32,
    tries: u8,
    refused: bool,
}

impl Item {
    pub(crate) fn new(seq: Seq, kind: ItemKind, time: ItemTime, body: Box<str>) -> Self {
        Self {
            seq,
            kind,
            time,
            body,
            sent: None,
            number_is_final: false,
            batch: 0,
            tries: 0,
            refused: false,
        }
    }

    /// Whether it may travel in a batch.
    pub(crate) fn may_be_batched(&self) -> bool {
        self.kind == ItemKind::Reading && self.tries == 0
    }
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) seq: Seq,
    pub(crate) sent: Option<Instant>,
}

/// What a welcome did to the queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AtWelcome {
    pub(crate) acknowledged: Vec<Settled>,
    pub(crate) renumbered: usize,
}

/// What was made of a `bad-frame`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blamed {
    pub(crate) renumbered: usize,
    pub(crate) given_up: usize,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    items: VecDeque<Item>,
    /// So many, from the front, were sent in this connection.
    in_flight: usize,
    /// The next number to give.
    next: Seq,
    /// Nothing was ever welcomed since the numbers began.
    counter_is_new: bool,
    /// The cloud asked for new numbers (`gap`).
    must_renumber: bool,
    batches: u32,
    limit: usize,
    journal: Option<Journal>,
}

impl Queue {
    pub(crate) fn in_memory(limit: usize) -> Self {
        Self::over(Loaded::default(), limit, None)
    }

    /// The queue that a journal held.
    pub(crate) fn on_disk(journal: Journal, loaded: Loaded, limit: usize) -> Self {
        Self::over(loaded, limit, Some(journal))
    }

    fn over(loaded: Loaded, limit: usize, journal: Option<Journal>) -> Self {
        let mut items = loaded.items;
        for item in &mut items {
            // It may have been sent before the process ended.
            item.number_is_final = true;
        }
        let next = loaded.next.max(items.back().map_or(Seq(1), |item| after(item.seq)));
        Self {
            items,
            in_flight: 0,
            next: next.max(Seq(1)),
            counter_is_new: !loaded.welcomed,
            must_renumber: false,
            batches: 0,
            limit,
            journal,
        }
    }

    pub(crate) fn held(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The number that was given last.
    pub(crate) fn last(&self) -> Seq {
        Seq(self.next.0.saturating_sub(1))
    }

    /// What has not been sent in this connection.
    pub(crate) fn waiting(&self) -> impl ExactSizeIterator<Item = &Item> {
        self.items.range(self.in_flight..)
    }

    /// Writes to the file, where there is one.
    pub(crate) fn write(&mut self, record: Record<'_>) -> Result<(), SdkError> {
        match &mut self.journal {
            Some(journal) => journal.append(record),
            None => Ok(()),
        }
    }

    /// Takes an item.
    pub(crate) fn push(
        &mut self,
        kind: ItemKind,
        time: ItemTime,
        body: Box<str>,
    ) -> Result<Seq, SdkError> {
        if self.items.len() >= self.limit {
            return Err(SdkError::QueueFull { held: self.items.len() });
        }
        if self.next > Seq::MAX {
            return Err(SdkError::NotSendable("the numbers have come to their end".to_owned()));
        }
        let seq = self.next;
        let item = Item::new(seq, kind, time, body);
        self.write(Record::Item(&item))?;
        self.items.push_back(item);
        self.next = after(seq);
        Ok(seq)
    }

    /// A connection begins: `welcome` is the highest number that needs no sending again.
    pub(crate) fn welcomed(&mut self, welcome: Seq) -> Result<AtWelcome, SdkError> {
        let mut outcome = AtWelcome::default();
        self.disconnected();
        self.items.retain(|item| !item.refused);
        if !self.counter_is_new {
            while let Some(front) = self.items.front()
                && front.number_is_final
                && front.seq <= welcome
            {
                outcome.acknowledged.push(Settled { seq: front.seq, sent: front.sent });
                self.items.pop_front();
            }
            if !outcome.acknowledged.is_empty() {
                self.write(Record::Through(welcome))?;
            }
        }
        let first_to_renumber =
            match Renumbering::at_welcome(welcome, self.counter_is_new || self.must_renumber) {
                Renumbering::From { .. } => 0,
                Renumbering::Keep { .. } => {
                    self.items.iter().take_while(|item| item.number_is_final).count()
                }
            };
        let behind = first_to_renumber
            .checked_sub(1)
            .and_then(|last| self.items.get(last))
            .map_or(welcome, |item| item.seq.max(welcome));
        outcome.renumbered = self.renumber(first_to_renumber, after(behind))?;
        // Where nothing is held, the next number follows what the cloud has; else it follows our own.
        if self.items.is_empty() && (self.counter_is_new || self.must_renumber) {
            self.next = after(welcome);
        }
        self.next = self.next.max(after(welcome));
        if self.counter_is_new {
            self.write(Record::Welcomed)?;
        }
        self.counter_is_new = false;
        self.must_renumber = false;
        self.write(Record::Next(self.next))?;
        Ok(outcome)
    }

    /// Numbers everything from an index on, the first as `first`. Nothing where it is so already.
    fn renumber(&mut self, index: usize, first: Seq) -> Result<usize, SdkError> {
        let Some(old_first) = self.items.get(index).map(|item| item.seq) else { return Ok(0) };
        let is_new_number_ahead = first > old_first;
        if old_first == first || !(is_new_number_ahead || self.counter_is_new || self.must_renumber)
        {
            return Ok(0);
        }
        self.write(Record::Renumber { from: old_first, first })?;
        let mut seq = first;
        for item in self.items.range_mut(index..) {
            item.seq = seq;
            item.number_is_final = false;
            seq = after(seq);
        }
        self.next = seq;
        Ok(self.items.len() - index)
    }

    /// The first `count` that waited were handed to the connection, as one batch or one by one.
    pub(crate) fn mark_sent(&mut self, count: usize, as_batch: Batched, now: Instant) {
        let batch = match as_batch {
            Batched::Yes => {
                self.batches = self.batches.wrapping_add(1).max(1);
                self.batches
            }
            Batched::No => 0,
        };
        let end = (self.in_flight + count).min(self.items.len());
        for item in self.items.range_mut(self.in_flight..end) {
            item.sent = Some(now);
            item.number_is_final = true;
            item.batch = batch;
        }
        self.in_flight = end;
    }

    /// Everything that was sent, up to `through`, is safe or was refused by name.
    pub(crate) fn acknowledge(&mut self, through: Seq) -> Vec<Settled> {
        let mut settled = Vec::new();
        let mut passed = Seq::NONE;
        while self.in_flight > 0
            && let Some(front) = self.items.front()
            && front.seq <= through
        {
            passed = front.seq;
            if !front.refused {
                settled.push(Settled { seq: front.seq, sent: front.sent });
            }
            self.items.pop_front();
            self.in_flight -= 1;
        }
        if passed > Seq::NONE {
            // A mark that is lost costs nothing but sending again.
            self.write_if_possible(Record::Through(passed));
        }
        settled
    }

    /// The cloud can never store it. It is kept, empty, until the acknowledgement passes over it, so
    /// that both sides count the same credit. False where nothing of that number is in flight.
    pub(crate) fn refuse(&mut self, seq: Seq) -> bool {
        let Ok(index) = self.items.binary_search_by_key(&seq, |item| item.seq) else {
            return false;
        };
        let Some(item) = self.items.get_mut(index).filter(|item| !item.refused) else {
            return false;
        };
        item.refused = true;
        item.body = Box::default();
        self.write_if_possible(Record::Drop(seq));
        true
    }

    /// The frame that followed the number `taken` could not be read: what was in it goes to the back,
    /// under new numbers, one by one; what could not be read twice is given up.
    pub(crate) fn blame(&mut self, taken: Seq) -> Blamed {
        let mut outcome = Blamed::default();
        let Some(start) = self
            .items
            .iter()
            .take(self.in_flight)
            .position(|item| item.seq > taken && !item.refused)
        else {
            return outcome;
        };
        let batch = self.items.get(start).map_or(0, |item| item.batch);
        let count = if batch == 0 {
            1
        } else {
            self.items.range(start..self.in_flight).take_while(|item| item.batch == batch).count()
        };
        let blamed: Vec<Item> = self.items.drain(start..start + count).collect();
        self.in_flight -= blamed.len();
        for item in blamed {
            let old = item.seq;
            let tries = item.tries + 1;
            if tries >= MOST_TRIES {
                outcome.given_up += 1;
            } else if !item.refused {
                let again = Item { tries, ..Item::new(self.next, item.kind, item.time, item.body) };
                self.write_if_possible(Record::Item(&again));
                self.next = after(again.seq);
                self.items.push_back(again);
                outcome.renumbered += 1;
            }
            self.write_if_possible(Record::Drop(old));
        }
        outcome
    }

    /// The cloud wants new numbers at the next welcome.
    pub(crate) fn renumber_at_welcome(&mut self) {
        self.must_renumber = true;
    }

    /// The connection is over: what was in flight waits again.
    pub(crate) fn disconnected(&mut self) {
        self.in_flight = 0;
    }

    fn write_if_possible(&mut self, record: Record<'_>) {
        if let Err(error) = self.write(record) {
            log::warn!("the queue's file lags behind: {error}");
        }
    }

    /// Rewrites the file where most of it is out of date.
    pub(crate) fn compact_if_due(
        &mut self,
        key: Option<&Secret>,
        ledger: &Ledger,
    ) -> Result<(), SdkError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        if !journal.may_be_stale() {
            return Ok(());
        }
        let live: usize = self.items.iter().map(|item| item.body.len() + 64).sum();
        if !journal.is_mostly_stale(live) {
            return Ok(());
        }
        let kept = Kept { next: self.next, welcomed: !self.counter_is_new, key, ledger };
        journal.rewrite(kept, self.items.iter().filter(|item| !item.refused))
    }
}

/// Whether items travel as one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batched {
    Yes,
    No,
}

fn after(seq: Seq) -> Seq {
    Seq(seq.0.saturating_add(1))
}
