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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use memcloud_domain::{CommandAction, NodeId, Timestamp};
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// A command of a number comes: the first time, or again.
        Comes(usize),
        /// The oldest that is being carried out ends.
        Ends(Outcome),
        /// The process is killed and begins again.
        Restarts,
    }

    fn step() -> impl Strategy<Value = Step> {
        let outcome = prop_oneof![Just(Outcome::Done), Just(Outcome::Failed)];
        prop_oneof![
            6 => (0_usize..40).prop_map(Step::Comes),
            4 => outcome.prop_map(Step::Ends),
            1 => Just(Step::Restarts),
        ]
    }

    fn command(number: usize, order: u64, node: u8, leased: bool) -> Command {
        Command {
            command: format!("c-{number}"),
            order,
            node: Some(NodeId(node)),
            action: Instruction::Known(CommandAction::Switch { on: true }),
            issued: Timestamp(0),
            expires_in_ms: 60_000,
            lease_ms: leased.then_some(1_000),
        }
    }

    /// What is read from the file after a kill.
    fn read_again(ledger: &Ledger) -> Ledger {
        let mut read = Ledger::default();
        ledger
            .each_record(|record| {
                match record {
                    Record::Order { place, order } => read.remember_order(place, order),
                    Record::Begun { command } => read.remember_begun(command),
                    Record::Lease { place } => read.leases.run(place, None),
                    Record::Result(result) => {
                        read.remember_result(result);
                    }
                    other => panic!("{other:?} is none of the ledger's"),
                }
                Ok(())
            })
            .unwrap();
        read
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn no_command_is_carried_out_twice_and_each_is_answered_the_same_for_good(
            steps in prop::collection::vec(step(), 1..120),
            commands in prop::collection::vec((0_u64..60, 1_u8..4, any::<bool>()), 40),
        ) {
            let now = Instant::now();
            let mut ledger = Ledger::default();
            let mut running: VecDeque<usize> = VecDeque::new();
            let mut carried_out: Vec<usize> = Vec::new();
            let mut answers: BTreeMap<usize, Outcome> = BTreeMap::new();
            let mut last_order: BTreeMap<u8, u64> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Comes(number) => {
                        let (order, node, leased) = commands[number];
                        let command = command(number, order, node, leased);
                        match ledger.judge(&command, Seq(7)) {
                            Verdict::CarryOut { place } => {
                                prop_assert!(!carried_out.contains(&number), "twice: {number}");
                                let last = last_order.entry(node).or_insert(0);
                                prop_assert!(order >= *last, "order {order} after {last}");
                                *last = order;
                                carried_out.push(number);
                                running.push_back(number);
                                let ends = command.lease_ms.map(|ms| now + Duration::from_millis(ms));
                                ledger.begin(&command, place, ends);
                            }
                            Verdict::Pending => prop_assert!(running.contains(&number)),
                            Verdict::Answer(result) => {
                                let earlier = answers.entry(number).or_insert(result.outcome);
                                prop_assert_eq!(*earlier, result.outcome, "an answer never changes");
                                prop_assert!(!running.contains(&number));
                                let is_known = carried_out.contains(&number);
                                prop_assert_eq!(is_known, result.outcome != Outcome::Superseded);
                                ledger.remember_result(&result);
                            }
                        }
                    }
                    Step::Ends(outcome) => {
                        let Some(number) = running.pop_front() else { continue };
                        let result = CommandResult {
                            command: format!("c-{number}"),
                            outcome,
                            seq: None,
                            reason: None,
                        };
                        answers.insert(number, outcome);
                        let change = ledger.remember_result(&result);
                        let runs = matches!(change, Some(LeaseChange::Runs(_)));
                        prop_assert_eq!(runs, outcome == Outcome::Done && commands[number].2);
                    }
                    Step::Restarts => {
                        for number in running.drain(..) {
                            answers.insert(number, Outcome::Interrupted);
                        }
                        ledger = read_again(&ledger);
                        let left = ledger.leases.ended(now).len();
                        prop_assert_eq!(left, ledger.leases.places().count());
                    }
                }
            }
        }
    }
}
