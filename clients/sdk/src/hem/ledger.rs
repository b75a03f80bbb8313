//! What a HEM knows of its commands: each id is carried out at most once, the last 64 are answered
//! again, and an order below the last carried out for the same node and action is superseded.

use std::collections::VecDeque;
use std::io;

use memcloud_domain::Seq;
use memcloud_wire::{Command, CommandResult, Instruction, Outcome};
use tokio::time::Instant;

use super::journal::Record;
use super::leases::{Leases, place_of};

/// So many ids are kept.
const KEPT: usize = 64;
/// A node and action each; 257 places with 7 actions are all there can be.
pub(crate) const MOST_PLACES: usize = 257 * 7;

/// The ledger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    commands: VecDeque<Known>,
    orders: Vec<(Box<str>, u64)>,
    pub(crate) leases: Leases,
}

#[derive(Debug, Clone)]
struct Known {
    command: String,
    result: Option<CommandResult>,
    /// It began in this run of the process, and may yet end: with what it would then hold.
    running: Option<Holding>,
}

/// What a command holds once it is carried out.
#[derive(Debug, Clone)]
struct Holding {
    place: String,
    lease_ends: Option<Instant>,
}

/// What became of the lease at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeaseChange {
    /// One runs.
    Runs(String),
    /// The one that ran is over: what was carried out now has none.
    Over(String),
}

/// What to do with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is new: store it, then carry it out. The text names its node and action.
    CarryOut { place: String },
    /// It is answered without being carried out.
    Answer(CommandResult),
    /// It is being carried out; its result will follow.
    Pending,
}

impl Ledger {
    /// Judges a command. `last` is the last number of the HEM.
    pub(crate) fn judge(&self, command: &Command, last: Seq) -> Verdict {
        let answer = |outcome, reason: Option<String>| {
            Verdict::Answer(CommandResult {
                command: command.command.clone(),
                outcome,
                seq: Some(last),
                reason,
            })
        };
        if let Some(known) = self.commands.iter().find(|known| known.command == command.command) {
            return match &known.result {
                Some(result) => Verdict::Answer(result.clone()),
                None if known.running.is_some() => Verdict::Pending,
                None => answer(Outcome::Interrupted, None),
            };
        }
        if command.expires_in_ms == 0 {
            return answer(Outcome::Refused, Some("expired".to_owned()));
        }
        let action = match &command.action {
            Instruction::Known(action) => action.name(),
            Instruction::Unrecognised { reason } => {
                return answer(Outcome::Refused, Some(reason.clone()));
            }
        };
        let place = place_of(command.node, action);
        let last_order = self.orders.iter().find(|(known, _)| **known == *place);
        if last_order.is_some_and(|(_, order)| command.order < *order) {
            return answer(Outcome::Superseded, None);
        }
        Verdict::CarryOut { place }
    }

    /// A command is about to be carried out in this run. Its lease would end at a moment.
    pub(crate) fn begin(&mut self, command: &Command, place: String, lease_ends: Option<Instant>) {
        self.remember_order(&place, command.order);
        let running = Some(Holding { place, lease_ends });
        self.push(Known { command: command.command.clone(), result: None, running });
    }

    /// A command was begun in an earlier run.
    pub(crate) fn remember_begun(&mut self, command: &str) {
        self.push(Known { command: command.to_owned(), result: None, running: None });
    }

    /// An order was carried out at a node and action.
    pub(crate) fn remember_order(&mut self, place: &str, order: u64) {
        if let Some((_, known)) = self.orders.iter_mut().find(|(known, _)| **known == *place) {
            *known = order.max(*known);
        } else if self.orders.len() < MOST_PLACES {
            self.orders.push((place.into(), order));
        }
    }

    /// How a command ended; and what that does to leases.
    pub(crate) fn remember_result(&mut self, result: &CommandResult) -> Option<LeaseChange> {
        let known = self.commands.iter_mut().find(|known| known.command == result.command);
        let Some(known) = known else {
            self.push(Known {
                command: result.command.clone(),
                result: Some(result.clone()),
                running: None,
            });
            return None;
        };
        known.result = Some(result.clone());
        let holding = known.running.take().filter(|_| result.outcome == Outcome::Done)?;
        if holding.lease_ends.is_some() {
            self.leases.run(&holding.place, holding.lease_ends);
            return Some(LeaseChange::Runs(holding.place));
        }
        self.leases.end(&holding.place).then_some(LeaseChange::Over(holding.place))
    }

    /// Whether the command is known and has not ended.
    pub(crate) fn is_open(&self, command: &str) -> bool {
        self.commands.iter().any(|known| known.command == command && known.result.is_none())
    }

    fn push(&mut self, known: Known) {
        if self.commands.len() >= KEPT {
            self.commands.pop_front();
        }
        self.commands.push_back(known);
    }

    /// The records from which it can be read again.
    pub(crate) fn each_record(
        &self,
        mut put: impl FnMut(Record<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        for (place, order) in &self.orders {
            put(Record::Order { place, order: *order })?;
        }
        for place in self.leases.places() {
            put(Record::Lease { place })?;
        }
        for known in &self.commands {
            match &known.result {
                Some(result) => put(Record::Result(result))?,
                None => put(Record::Begun { command: &known.command })?,
            }
        }
        Ok(())
    }
}
