//! Commands to the HEM, and its answers.

use memcloud_domain::messages::{CommandAnswered, OutgoingCommand};
use memcloud_domain::{CommandId, Timestamp};
use memcloud_wire::{CloudFrame, Command, CommandResult, Instruction};

use super::live::Live;
use super::rules::COMMAND_OUTPUT_LIMIT;
use super::{Effect, Moment, Phase, Session};

impl Session {
    /// Whether commands go out: after the welcome, and before the end.
    pub(crate) fn takes_orders(&self) -> bool {
        matches!(&self.phase, Phase::Live(live) if live.ending.is_none())
    }

    /// Says commands to the HEM. One that does not read them is cut off: they are sent again when it is
    /// back.
    pub(super) fn order(
        &mut self,
        commands: &[OutgoingCommand],
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let metrics = &self.rules.metrics;
        let count = u64::try_from(commands.len()).unwrap_or(u64::MAX);
        if !self.takes_orders() {
            metrics.commands_unsent.add(count);
            return;
        }
        for command in commands {
            CloudFrame::Command(as_frame(command, now.wall)).encode(&mut self.output);
        }
        if self.output.len() > COMMAND_OUTPUT_LIMIT {
            metrics.commands_unsent.add(count);
            metrics.closed_unread.increment();
            return self.end("unread", effects);
        }
        metrics.commands_sent.add(count);
    }
}

fn as_frame(command: &OutgoingCommand, now: Timestamp) -> Command {
    let remains = command.expires.since(now).as_millis();
    Command {
        command: command.command.to_string(),
        order: command.order,
        node: command.node,
        action: Instruction::Known(command.action.clone()),
        issued: command.issued,
        expires_in_ms: u64::try_from(remains).unwrap_or(u64::MAX),
        lease_ms: command.lease_ms,
    }
}

/// What the command processor is told of an answer; or why it is none.
pub(super) fn answer(
    live: &Live,
    result: CommandResult,
    now: Timestamp,
) -> Result<CommandAnswered, String> {
    let command = CommandId::new(&result.command)
        .map_err(|error| format!("`command` is no id that the cloud sent: {error}"))?;
    Ok(CommandAnswered {
        hem: live.hem.clone(),
        microgrid: live.microgrid.clone(),
        epoch: live.epoch,
        command,
        outcome: result.outcome,
        seq: result.seq,
        reason: result.reason,
        at: now,
    })
}
