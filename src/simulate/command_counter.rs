//! The actor that hears of every transition of a command, and counts in which states they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use actix::{Actor, Context, Handler};
use memcloud_domain::messages::CommandChanged;
use memcloud_domain::{CommandId, CommandState};
use memcloud_supervision::{Observe, supervised};
use serde_json::json;

use super::report::CommandsReport;

/// Of so many of the newest commands the state is remembered; older ones do not change any more.
const REMEMBERED: usize = 200_000;

/// What was counted; it outlives the actor.
#[derive(Debug, Clone, Default)]
pub(super) struct CommandCounts(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    report: CommandsReport,
    states: BTreeMap<CommandId, CommandState>,
}

impl CommandCounts {
    pub(super) fn report(&self) -> CommandsReport {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).report.clone()
    }

    fn changed(&self, change: &CommandChanged) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let command = &change.command;
        let before = counted.states.insert(command.id.clone(), command.state);
        if before != Some(command.state) {
            counted.report.changed(&command.hem, before, command.state);
        }
        while counted.states.len() > REMEMBERED {
            // Ids ascend with time.
            counted.states.pop_first();
        }
    }
}

/// Counts commands by their states.
#[derive(Debug)]
pub(super) struct CommandCounter {
    counts: CommandCounts,
}

impl CommandCounter {
    pub(super) fn new(counts: CommandCounts) -> Self {
        Self { counts }
    }
}

impl Actor for CommandCounter {
    type Context = Context<Self>;
}

impl Observe for CommandCounter {
    fn observe(&self) -> serde_json::Value {
        json!({ "commands": self.counts.report().total })
    }
}

supervised!(CommandCounter);

impl Handler<CommandChanged> for CommandCounter {
    type Result = ();

    fn handle(&mut self, change: CommandChanged, _: &mut Context<Self>) {
        self.counts.changed(&change);
    }
}
