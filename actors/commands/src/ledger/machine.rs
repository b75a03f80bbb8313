//! The states of a command, and what leads from one to the next. A state never claims more than is
//! proven, and none goes back: whatever comes twice, late or in the wrong order changes nothing.

use memcloud_domain::{
    CommandAction, CommandOutcome, CommandRecord, CommandState, Evidence, Seq, Timestamp,
    Transition,
};

/// A HEM's reason of a refusal that says: it came too late.
const CAME_TOO_LATE: &str = "expired";
/// Of a HEM's or person's sentence so many characters are kept.
const LONGEST_SENTENCE: usize = 300;

/// Something that bears on a command.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandEvent {
    /// Dispatch made it an order.
    Ordered {
        /// Its place among the HEM's orders.
        order: u64,
        /// What goes to the HEM.
        action: CommandAction,
        /// How long it holds.
        lease_ms: Option<u64>,
        /// Why it is this, in a sentence.
        because: String,
    },
    /// Dispatch turned it down.
    TurnedDown {
        /// Why, in a sentence.
        because: String,
    },
    /// Its first byte is about to leave.
    Sent,
    /// The HEM answered.
    Answered {
        /// How it ended there.
        outcome: CommandOutcome,
        /// The HEM's last number when it acted.
        seq: Option<Seq>,
        /// Why, for people.
        reason: Option<String>,
    },
    /// The HEM did not answer in time.
    Overdue,
    /// It was not sent in time.
    Lapsed,
    /// It was taken back.
    Cancelled {
        /// By whom.
        by: String,
    },
    /// A later order took its place before it was sent.
    Replaced {
        /// By which, in a sentence.
        because: String,
    },
    /// Readings show its effect.
    EffectSeen(Finding),
    /// Readings show that it had none.
    EffectMissing(Finding),
    /// Its lease is over, and readings show that the node has fallen back.
    FellBack(Finding),
}

/// What readings show.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// In a sentence.
    pub because: String,
    /// The readings.
    pub evidence: Evidence,
}

/// What becomes of a command by an event: nothing, where the event proves nothing new of it.
#[must_use]
pub fn step(record: &CommandRecord, event: &CommandEvent, at: Timestamp) -> Option<CommandRecord> {
    use CommandState as State;
    match (record.state, event) {
        (State::Accepted, CommandEvent::Ordered { order, action, lease_ms, because }) => {
            if record.order.is_some() || at >= record.expires {
                return None;
            }
            let mut next = record.clone();
            next.order = Some(*order);
            next.ordered = (*action != record.action).then(|| action.clone());
            next.lease_ms = *lease_ms;
            if let Some(last) = next.history.last_mut() {
                last.because = sentence(because);
            }
            Some(next)
        }
        (State::Accepted, CommandEvent::Sent) => {
            let may_be_begun = record.order.is_some() && at < record.expires;
            may_be_begun.then(|| into(record, State::Sent, at, None))
        }
        (State::Accepted, CommandEvent::TurnedDown { because }) => {
            let is_undecided = record.order.is_none();
            is_undecided.then(|| into(record, State::Refused, at, sentence(because)))
        }
        (State::Accepted, CommandEvent::Lapsed) => {
            let why = match record.order {
                Some(_) => {
                    "the HEM was not connected, or had too many unanswered commands, in time"
                }
                None => "nothing decided on it in time",
            };
            (at >= record.expires).then(|| into(record, State::Expired, at, sentence(why)))
        }
        (State::Accepted, CommandEvent::Cancelled { by }) => {
            Some(into(record, State::Cancelled, at, sentence(&format!("{by} took it back"))))
        }
        (State::Accepted, CommandEvent::Replaced { because }) => {
            Some(into(record, State::Superseded, at, sentence(because)))
        }
        (State::Sent, CommandEvent::Overdue) => {
            let why = "the HEM did not answer in time; it may have carried it out or not";
            Some(into(record, State::Unconfirmed, at, sentence(why)))
        }
        (State::Sent | State::Unconfirmed, CommandEvent::Answered { outcome, seq, reason }) => {
            answered(record, *outcome, *seq, reason.as_deref(), at)
        }
        (_, CommandEvent::EffectSeen(finding)) => {
            let is_shown = is_watchable(record) && is_after_the_act(record, &finding.evidence, 1);
            is_shown.then(|| found(record, State::Effective, finding, at))
        }
        (_, CommandEvent::EffectMissing(finding)) => {
            let is_shown = is_watchable(record) && is_after_the_act(record, &finding.evidence, 2);
            is_shown.then(|| found(record, State::Ineffective, finding, at))
        }
        (State::Acknowledged | State::Effective, CommandEvent::FellBack(finding)) => {
            let is_over = lease_end(record).is_some_and(|end| at >= end);
            let is_shown = is_over && is_after_the_act(record, &finding.evidence, 1);
            is_shown.then(|| found(record, State::Reverted, finding, at))
        }
        _ => None,
    }
}

fn answered(
    record: &CommandRecord,
    outcome: CommandOutcome,
    seq: Option<Seq>,
    reason: Option<&str>,
    at: Timestamp,
) -> Option<CommandRecord> {
    let said = |default: &str| sentence(reason.unwrap_or(default));
    let (state, because) = match outcome {
        CommandOutcome::Done => (CommandState::Acknowledged, reason.and_then(sentence)),
        CommandOutcome::Refused if reason == Some(CAME_TOO_LATE) => {
            (CommandState::Expired, sentence("it came too late at the HEM, which did not begin it"))
        }
        CommandOutcome::Refused => (CommandState::Refused, said("the HEM turned it down")),
        CommandOutcome::Failed => {
            (CommandState::Failed, said("the HEM tried, and it did not work"))
        }
        CommandOutcome::Superseded => {
            (CommandState::Superseded, said("the HEM had carried a later order out before"))
        }
        CommandOutcome::Interrupted => {
            // It may have acted or not: that is what unconfirmed says. With the HEM's number it need not
            // be asked again; a second such answer tells nothing new.
            let tells =
                record.state == CommandState::Sent || record.acted_at.is_none() && seq.is_some();
            if !tells {
                return None;
            }
            let why = "the HEM restarted while it carried it out; it may have acted or not";
            (CommandState::Unconfirmed, sentence(why))
        }
    };
    let mut next = into(record, state, at, because);
    if matches!(outcome, CommandOutcome::Done | CommandOutcome::Interrupted) {
        next.acted_at = seq;
    }
    Some(next)
}

/// Whether readings may tell of its effect: the HEM says that it acted. Of one that was interrupted
/// nobody knows that; a node that was as asked all along would make it look effective.
#[must_use]
pub fn is_watchable(record: &CommandRecord) -> bool {
    record.state == CommandState::Acknowledged
        && record.node.is_some()
        && record.as_sent().setting().is_some()
}

/// Whether at least so many readings were seen, each of them taken after the HEM acted.
fn is_after_the_act(record: &CommandRecord, evidence: &Evidence, at_least: usize) -> bool {
    let is_later = |seq: Seq, ts: Timestamp| match record.acted_at {
        Some(acted_at) => seq > acted_at,
        None => answered_at(record).is_some_and(|answered| ts > answered),
    };
    evidence.seen.len() >= at_least
        && evidence.seen.iter().all(|sighting| is_later(sighting.seq, sighting.ts))
}

/// When the HEM's answer was written that says that it acted.
#[must_use]
pub fn answered_at(record: &CommandRecord) -> Option<Timestamp> {
    let is_answer = |step: &&Transition| step.state == CommandState::Acknowledged;
    record.history.iter().rfind(is_answer).map(|step| step.at)
}

/// When it was sent.
#[must_use]
pub fn sent_at(record: &CommandRecord) -> Option<Timestamp> {
    record.history.iter().find(|step| step.state == CommandState::Sent).map(|step| step.at)
}

/// When its lease is over at the latest: it runs at the HEM from the receipt, which lies before the
/// answer.
#[must_use]
pub fn lease_end(record: &CommandRecord) -> Option<Timestamp> {
    let lease = std::time::Duration::from_millis(record.lease_ms?);
    answered_at(record).map(|answered| answered.plus(lease))
}

/// Whether it is over for good.
#[must_use]
pub fn is_over(state: CommandState) -> bool {
    use CommandState as State;
    match state {
        State::Accepted
        | State::Sent
        | State::Unconfirmed
        | State::Acknowledged
        | State::Effective => false,
        State::Ineffective
        | State::Reverted
        | State::Refused
        | State::Failed
        | State::Superseded
        | State::Cancelled
        | State::Expired => true,
    }
}

fn found(
    record: &CommandRecord,
    state: CommandState,
    finding: &Finding,
    at: Timestamp,
) -> CommandRecord {
    let mut next = into(record, state, at, sentence(&finding.because));
    if let Some(last) = next.history.last_mut() {
        last.evidence = Some(finding.evidence.clone());
    }
    next
}

fn into(
    record: &CommandRecord,
    state: CommandState,
    at: Timestamp,
    because: Option<String>,
) -> CommandRecord {
    let mut next = record.clone();
    next.state = state;
    // A clock that was set back does not turn the history around.
    let at = next.history.last().map_or(at, |last| at.max(last.at));
    next.history.push(Transition { state, at, because, evidence: None });
    next
}

/// A sentence as it is kept: not longer than it needs to be, whoever wrote it.
pub(crate) fn sentence(text: &str) -> Option<String> {
    let kept: String = text.trim().chars().take(LONGEST_SENTENCE).collect();
    (!kept.is_empty()).then_some(kept)
}
