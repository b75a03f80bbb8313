//! What a HEM remembers of its commands, as the socket protocol asks of it: each id is carried out at
//! most once, the last ones are answered again with their result, and an order below the last carried
//! out for the same node and action is superseded.

use std::collections::VecDeque;

use memcloud_domain::messages::OutgoingCommand;
use memcloud_domain::{CommandId, CommandOutcome, NodeId, Seq, Timestamp};

/// So many results are remembered.
const REMEMBERED: usize = 64;

/// How a command ended at the HEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandResult {
    pub(super) outcome: CommandOutcome,
    pub(super) seq: Seq,
    pub(super) reason: Option<String>,
}

type Place = (Option<NodeId>, &'static str);

/// What a HEM remembers of its commands.
#[derive(Debug, Default)]
pub(super) struct ReceivedCommands {
    results: VecDeque<(CommandId, CommandResult)>,
    orders: Vec<(Place, u64)>,
}

impl ReceivedCommands {
    /// The answer to a command: an earlier one, or what carrying it out gives. `last` is the HEM's
    /// newest number.
    pub(super) fn answer(
        &mut self,
        command: &OutgoingCommand,
        last: Seq,
        now: Timestamp,
        carry_out: impl FnOnce() -> (CommandOutcome, Option<String>),
    ) -> CommandResult {
        if let Some((_, known)) = self.results.iter().find(|(id, _)| *id == command.command) {
            return known.clone();
        }
        let place = (command.node, command.action.name());
        let (outcome, reason) = if now >= command.expires {
            (CommandOutcome::Refused, Some("expired".to_owned()))
        } else if self.last_order(place).is_some_and(|order| command.order < order) {
            (CommandOutcome::Superseded, None)
        } else {
            let (outcome, reason) = carry_out();
            if outcome == CommandOutcome::Done {
                self.remember_order(place, command.order);
            }
            (outcome, reason)
        };
        let result = CommandResult { outcome, seq: last, reason };
        if self.results.len() >= REMEMBERED {
            self.results.pop_front();
        }
        self.results.push_back((command.command.clone(), result.clone()));
        result
    }

    fn last_order(&self, place: Place) -> Option<u64> {
        self.orders.iter().find(|(known, _)| *known == place).map(|(_, order)| *order)
    }

    fn remember_order(&mut self, place: Place, order: u64) {
        match self.orders.iter_mut().find(|(known, _)| *known == place) {
            Some((_, known)) => *known = order,
            None => self.orders.push((place, order)),
        }
    }
}

#[cfg(test)]
mod tests {
    use memcloud_domain::CommandAction;

    use super::*;

    fn command(id: &str, order: u64) -> OutgoingCommand {
        OutgoingCommand {
            command: CommandId::new(id).unwrap(),
            order,
            node: Some(NodeId(5)),
            action: CommandAction::Switch { on: false },
            issued: Timestamp(0),
            expires: Timestamp(60_000),
            lease_ms: None,
        }
    }

    fn done() -> (CommandOutcome, Option<String>) {
        (CommandOutcome::Done, None)
    }

    fn never() -> (CommandOutcome, Option<String>) {
        panic!("it must not be carried out")
    }

    #[test]
    fn a_command_is_carried_out_once_and_in_order_and_never_when_it_is_over() {
        let mut received = ReceivedCommands::default();
        let now = Timestamp(1_000);
        let first = received.answer(&command("c2", 2), Seq(7), now, done);
        assert_eq!((first.outcome, first.seq), (CommandOutcome::Done, Seq(7)));
        let again = received.answer(&command("c2", 2), Seq(9), now, never);
        assert_eq!(again, first, "the same answer as before");
        let earlier = received.answer(&command("c1", 1), Seq(9), now, never);
        assert_eq!(earlier.outcome, CommandOutcome::Superseded);
        let late = received.answer(&command("c3", 3), Seq(9), Timestamp(60_000), never);
        assert_eq!(late.outcome, CommandOutcome::Refused);
        assert_eq!(late.reason.as_deref(), Some("expired"));
    }
}
