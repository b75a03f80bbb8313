//! Whether what is asked for can be a command, and the record that is made of it.

use std::time::Duration;

use memcloud_domain::messages::{CommandError, OrderDraft, Origin};
use memcloud_domain::{
    CommandAction, CommandId, CommandRecord, CommandRequest, CommandState, Timestamp, Transition,
};

use crate::CommandsConfig;
use crate::config::LONGEST_SPAN;

/// No node of a home moves more.
const GREATEST_WATTS: f64 = 10_000_000.0;
/// A reason has at most so many characters.
const LONGEST_REASON: usize = 300;
/// A schedule has at most so many times for on, and for off.
const LONGEST_SCHEDULE: usize = 96;
/// The times of a schedule lie within so much of now.
const SCHEDULE_REACH: Duration = Duration::from_secs(366 * 86_400);
/// So many commands are asked for at once.
const AT_ONCE: usize = 10_000;

/// Checks requests, all or none.
pub(crate) fn check(requests: &[CommandRequest], now: Timestamp) -> Result<(), CommandError> {
    if requests.len() > AT_ONCE {
        let text =
            format!("{} commands are too many at once; ask for at most {AT_ONCE}", requests.len());
        return Err(CommandError::Invalid(text));
    }
    requests.iter().try_for_each(|request| check_one(request, now).map_err(CommandError::Invalid))
}

/// Checks what dispatch made of it: what is wrong here could not be read from the ledger again.
pub(crate) fn check_order(draft: &OrderDraft, now: Timestamp) -> Result<(), String> {
    check_action(&draft.action, now)?;
    check_span("the lease", draft.lease_ms)?;
    match &draft.origin {
        Origin::Wish { expires_ms, .. } => check_span("the expiry", Some(*expires_ms)),
        Origin::Command(_) => Ok(()),
    }
}

fn check_one(request: &CommandRequest, now: Timestamp) -> Result<(), String> {
    let name = request.action.name();
    match (request.action.control(), request.node) {
        (Some(_), None) => return Err(format!("{name} needs a node")),
        (None, Some(_)) => return Err(format!("{name} is for the HEM itself: leave the node out")),
        _ => {}
    }
    check_action(&request.action, now)?;
    if request.reason.chars().count() > LONGEST_REASON {
        return Err(format!("the reason is longer than {LONGEST_REASON} characters"));
    }
    if request.reason.chars().any(char::is_control) {
        return Err("the reason has control characters; write one plain sentence".to_owned());
    }
    if request.lease_ms.is_some() && request.action.setting().is_none() {
        return Err(format!("{name} has no lease; leave it out"));
    }
    check_span("the lease", request.lease_ms)?;
    check_span("the expiry", request.expires_ms)
}

fn check_action(action: &CommandAction, now: Timestamp) -> Result<(), String> {
    match action {
        CommandAction::SetPower { watts } => {
            if !watts.0.is_finite() || watts.0.abs() > GREATEST_WATTS {
                return Err(format!(
                    "watts must lie between -{GREATEST_WATTS} and {GREATEST_WATTS}"
                ));
            }
        }
        CommandAction::LimitPower { watts } => {
            if !(0.0..=GREATEST_WATTS).contains(&watts.0) {
                return Err(format!(
                    "watts of a limit must lie between 0 and {GREATEST_WATTS}; it is a size, without a sign"
                ));
            }
        }
        CommandAction::SetSchedule { on_at, off_at } => {
            if on_at.len() > LONGEST_SCHEDULE || off_at.len() > LONGEST_SCHEDULE {
                return Err(format!(
                    "a schedule has at most {LONGEST_SCHEDULE} times for on, and for off"
                ));
            }
            let (from, to) = (now.minus(SCHEDULE_REACH), now.plus(SCHEDULE_REACH));
            if on_at.iter().chain(off_at).any(|at| *at < from || *at > to) {
                return Err(
                    "the times of a schedule must lie within a year of now, in Unix milliseconds"
                        .to_owned(),
                );
            }
        }
        CommandAction::ReportEvery { seconds } => {
            if !(1..=86_400).contains(seconds) {
                return Err("seconds must lie between 1 and 86400".to_owned());
            }
        }
        CommandAction::Switch { .. }
        | CommandAction::SetPriority { .. }
        | CommandAction::Restart => {}
    }
    Ok(())
}

fn check_span(what: &str, span_ms: Option<u64>) -> Result<(), String> {
    match span_ms {
        Some(0) => Err(format!("{what} must be longer than 0")),
        Some(span) if u128::from(span) > LONGEST_SPAN.as_millis() => {
            Err(format!("{what} must be at most a day"))
        }
        _ => Ok(()),
    }
}

/// The record of a request that was found right.
pub(crate) fn record(
    request: CommandRequest,
    id: CommandId,
    now: Timestamp,
    config: &CommandsConfig,
) -> CommandRecord {
    let expires = request.expires_ms.map_or(config.expires, Duration::from_millis);
    let lease_ms = request.lease_ms.or_else(|| default_lease(&request.action, config));
    CommandRecord {
        id,
        microgrid: request.microgrid,
        hem: request.hem,
        node: request.node,
        action: request.action,
        asker: request.asker,
        reason: request.reason,
        priority: request.priority,
        issued: now,
        expires: now.plus(expires),
        lease_ms,
        ordered: None,
        order: None,
        acted_at: None,
        state: CommandState::Accepted,
        history: vec![Transition {
            state: CommandState::Accepted,
            at: now,
            because: None,
            evidence: None,
        }],
    }
}

/// A set-point and a limit end by themselves; what else is asked for stays unless asked otherwise.
fn default_lease(action: &CommandAction, config: &CommandsConfig) -> Option<u64> {
    match action {
        CommandAction::SetPower { .. } | CommandAction::LimitPower { .. } => {
            u64::try_from(config.lease.as_millis()).ok()
        }
        _ => None,
    }
}
