//! What a HEM knows of its commands: each id is carried out at most once, the last 64 are answered
//! again, and an order below the last carried out for the same node and action is superseded.

use std::collections::VecDeque;
use std::io;

use memcloud_domain::Seq;
use memcloud_wire::{Command, CommandResult, Instruction, Outcome};

use super::journal::Record;

/// So many ids are kept.
const KEPT: usize = 64;
/// A node and action each; 257 places with 7 actions are all there can be.
const MOST_PLACES: usize = 257 * 7;

/// The ledger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    commands: VecDeque<Known>,
    orders: Vec<(Box<str>, u64)>,
}

#[derive(Debug, Clone)]
struct Known {
    command: String,
    result: Option<CommandResult>,
    /// It began in this run of the process, and may yet end.
    may_end: bool,
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
                None if known.may_end => Verdict::Pending,
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
        let place = match command.node {
            Some(node) => format!("{node}/{action}"),
            None => format!("-/{action}"),
        };
        let last_order = self.orders.iter().find(|(known, _)| **known == *place);
        if last_order.is_some_and(|(_, order)| command.order < *order) {
            return answer(Outcome::Superseded, None);
        }
        Verdict::CarryOut { place }
    }

    /// A command is about to be carried out in this run.
    pub(crate) fn begin(&mut self, command: &str, place: &str, order: u64) {
        self.remember_order(place, order);
        self.push(Known { command: command.to_owned(), result: None, may_end: true });
    }

    /// A command was begun in an earlier run.
    pub(crate) fn remember_begun(&mut self, command: &str) {
        self.push(Known { command: command.to_owned(), result: None, may_end: false });
    }

    /// An order was carried out at a node and action.
    pub(crate) fn remember_order(&mut self, place: &str, order: u64) {
        if let Some((_, known)) = self.orders.iter_mut().find(|(known, _)| **known == *place) {
            *known = order.max(*known);
        } else if self.orders.len() < MOST_PLACES {
            self.orders.push((place.into(), order));
        }
    }

    /// How a command ended.
    pub(crate) fn remember_result(&mut self, result: &CommandResult) {
        match self.commands.iter_mut().find(|known| known.command == result.command) {
            Some(known) => known.result = Some(result.clone()),
            None => self.push(Known {
                command: result.command.clone(),
                result: Some(result.clone()),
                may_end: false,
            }),
        }
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
        for known in &self.commands {
            match &known.result {
                Some(result) => put(Record::Result(result))?,
                None => put(Record::Begun { command: &known.command })?,
            }
        }
        Ok(())
    }
}
