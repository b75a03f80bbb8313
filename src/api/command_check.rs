//! Whether what a caller wants of a HEM or a node can be, before it becomes a command: the arguments by
//! themselves, and by what the node declares. Whether it *may* be is for dispatch to say.

use std::time::Duration;

use memcloud_domain::{
    Asker, CommandAction, CommandRequest, HemId, MicrogridId, NodeDeclaration, NodeId, Timestamp,
    Watts,
};
use memcloud_rest::NewCommand;
use memcloud_rest::commands::{A_DAY, LONGEST_REASON, MOST_TIMES};

use super::error::{ApiError, ApiResult, ErrorCode};

/// Who wins: from the least to the greatest.
pub(crate) const PRIORITIES: std::ops::RangeInclusive<i32> = -1_000..=1_000;
/// No node is set to more, whatever it declares: a slip of the pen.
const GREATEST_WATTS: f64 = 1e6;
/// How far ahead a schedule may reach.
const FURTHEST: Duration = Duration::from_hours(366 * 24);
/// How late a time of a schedule may come: clocks differ, and requests take their time.
const GRACE: Duration = Duration::from_mins(1);

/// What is wrong with a field.
pub(crate) fn invalid(field: &str, reason: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::InvalidValue, format!("{field}: {reason}"))
}

/// Something that a caller wants, right in itself; of which node is said later.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// What.
    pub(crate) action: CommandAction,
    reason: String,
    priority: i32,
    lease_ms: Option<u64>,
    expires_ms: Option<u64>,
}

impl Asked {
    /// Reads what is asked for.
    ///
    /// # Errors
    /// `invalid-value`, with the field and what it may be.
    pub(crate) fn read(new: &NewCommand, now: Timestamp) -> ApiResult<Self> {
        let action =
            new.arguments().of(new.action).map_err(|wrong| invalid(wrong.field, wrong.reason))?;
        check_arguments(&action, now)?;
        let reason = new.reason.clone().unwrap_or_default();
        check_reason(&reason)?;
        let priority = match (&action, new.priority) {
            // It is the argument.
            (CommandAction::SetPriority { .. }, _) | (_, None) => 0,
            (_, Some(priority)) => checked_priority(priority)?,
        };
        if new.lease_seconds.is_some() && action.setting().is_none() {
            return Err(invalid(
                "lease_seconds",
                format!("{} has no lease; switch, set-power and limit-power have", action.name()),
            ));
        }
        Ok(Self {
            action,
            reason,
            priority,
            lease_ms: checked_span("lease_seconds", new.lease_seconds)?,
            expires_ms: checked_span("expires_seconds", new.expires_seconds)?,
        })
    }

    /// Checks that a HEM's node can be told this.
    ///
    /// # Errors
    /// `invalid-value`, with what the node can be told.
    pub(crate) fn check_node(
        &self,
        hem: &HemId,
        declared: &[NodeDeclaration],
        node: Option<NodeId>,
    ) -> ApiResult<()> {
        let name = self.action.name();
        let (control, node) = match (self.action.control(), node) {
            (None, None) => return Ok(()),
            (None, Some(_)) => {
                return Err(invalid("node", format!("{name} is for the HEM itself; leave it out")));
            }
            (Some(_), None) => {
                return Err(invalid("node", format!("{name} is for a node; say which")));
            }
            (Some(control), Some(node)) => (control, node),
        };
        if declared.is_empty() {
            let reason = format!(
                "{hem} has not said yet which nodes it has; it does when it connects for the first time"
            );
            return Err(invalid("node", reason));
        }
        let Some(declaration) = declared.iter().find(|declaration| declaration.node == node) else {
            let there_are: Vec<_> =
                declared.iter().map(|declaration| declaration.node.to_string()).collect();
            let reason = format!("{hem} has no node {node}; it has {}", there_are.join(", "));
            return Err(invalid("node", reason));
        };
        let controls = declaration.can_be_told();
        if !controls.contains(&control) {
            let can: Vec<_> = controls.iter().map(|control| control.as_str()).collect();
            let can = if can.is_empty() { "nothing".to_owned() } else { can.join(", ") };
            return Err(invalid(
                "action",
                format!(
                    "node {node} of {hem} ({}) cannot be told {name}; it can be told {can}",
                    declaration.name
                ),
            ));
        }
        check_power(&self.action, hem, declaration)
    }

    /// The request for a HEM's node.
    pub(crate) fn request(
        &self,
        microgrid: &MicrogridId,
        hem: &HemId,
        node: Option<NodeId>,
        asker: &Asker,
    ) -> CommandRequest {
        CommandRequest {
            microgrid: microgrid.clone(),
            hem: hem.clone(),
            node,
            action: self.action.clone(),
            asker: asker.clone(),
            reason: self.reason.clone(),
            priority: self.priority,
            lease_ms: self.lease_ms,
            expires_ms: self.expires_ms,
        }
    }
}

/// A priority among others.
///
/// # Errors
/// `invalid-value`.
pub(crate) fn checked_priority(priority: i32) -> ApiResult<i32> {
    if PRIORITIES.contains(&priority) {
        return Ok(priority);
    }
    Err(invalid("priority", format!("{priority} is not from -1000 to 1000")))
}

/// Why something is wanted.
///
/// # Errors
/// `invalid-value`.
pub(crate) fn check_reason(reason: &str) -> ApiResult<()> {
    if reason.chars().count() > LONGEST_REASON {
        return Err(invalid("reason", format!("it has more than {LONGEST_REASON} characters")));
    }
    if reason.chars().any(char::is_control) {
        return Err(invalid("reason", "it has a control character"));
    }
    Ok(())
}

fn checked_span(field: &'static str, seconds: Option<u32>) -> ApiResult<Option<u64>> {
    match seconds {
        Some(seconds) if !(1..=A_DAY).contains(&seconds) => {
            Err(invalid(field, format!("{seconds} is not from 1 to {A_DAY}")))
        }
        seconds => Ok(seconds.map(|seconds| u64::from(seconds) * 1_000)),
    }
}

fn check_arguments(action: &CommandAction, now: Timestamp) -> ApiResult<()> {
    match action {
        CommandAction::SetPower { watts } if watts.0.abs() > GREATEST_WATTS => Err(invalid(
            "watts",
            format!("{} is not from -{GREATEST_WATTS} to {GREATEST_WATTS}", watts.0),
        )),
        CommandAction::LimitPower { watts } if !(0.0..=GREATEST_WATTS).contains(&watts.0) => {
            Err(invalid("watts", format!("{} is not from 0 to {GREATEST_WATTS}", watts.0)))
        }
        CommandAction::SetSchedule { on_at, off_at } => check_schedule(on_at, off_at, now),
        CommandAction::SetPriority { priority } => checked_priority(*priority).map(drop),
        CommandAction::ReportEvery { seconds } if !(1..=A_DAY).contains(seconds) => {
            Err(invalid("seconds", format!("{seconds} is not from 1 to {A_DAY}")))
        }
        _ => Ok(()),
    }
}

fn check_schedule(on_at: &[Timestamp], off_at: &[Timestamp], now: Timestamp) -> ApiResult<()> {
    if on_at.is_empty() && off_at.is_empty() {
        return Err(invalid("on_at", "set-schedule needs a time in on_at or off_at"));
    }
    for (field, times) in [("on_at", on_at), ("off_at", off_at)] {
        if times.len() > MOST_TIMES {
            return Err(invalid(field, format!("it has more than {MOST_TIMES} times")));
        }
        for time in times {
            if *time < now.minus(GRACE) || *time > now.plus(FURTHEST) {
                return Err(invalid(
                    field,
                    format!("{time} is not from now to a year ahead ({})", now.plus(FURTHEST)),
                ));
            }
        }
    }
    if let Some(both) = on_at.iter().find(|time| off_at.contains(time)) {
        return Err(invalid("off_at", format!("{both} is in on_at too")));
    }
    Ok(())
}

fn check_power(
    action: &CommandAction,
    hem: &HemId,
    declaration: &NodeDeclaration,
) -> ApiResult<()> {
    let (least, greatest) = declaration.settable_power();
    let (watts, least, greatest) = match action {
        CommandAction::SetPower { watts } => (watts, least, greatest),
        CommandAction::LimitPower { watts } => {
            let size = match (least, greatest) {
                (Some(least), Some(greatest)) => Some(Watts(least.0.abs().max(greatest.0.abs()))),
                _ => None,
            };
            (watts, Some(Watts::ZERO), size)
        }
        _ => return Ok(()),
    };
    let is_within = least.is_none_or(|least| watts.0 >= least.0)
        && greatest.is_none_or(|greatest| watts.0 <= greatest.0);
    if is_within {
        return Ok(());
    }
    let bounds = match (least, greatest) {
        (Some(least), Some(greatest)) => format!("from {} to {}", least.0, greatest.0),
        (Some(least), None) => format!("from {} on", least.0),
        (None, greatest) => format!("up to {}", greatest.map_or(0.0, |greatest| greatest.0)),
    };
    Err(invalid(
        "watts",
        format!(
            "{} is not what node {} of {hem} ({}) can be set to: {bounds} W",
            watts.0, declaration.node, declaration.name
        ),
    ))
}

#[cfg(test)]
mod tests {
    use memcloud_domain::NodeKind;
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_435_200_000);

    fn board() -> Vec<NodeDeclaration> {
        let nodes = json!([
            {"node": 0, "name": "Grid", "kind": "grid", "controls": []},
            {"node": 2, "name": "Battery", "kind": "storage", "min_watts": -5000.0,
             "max_watts": 3000.0, "controls": ["switch", "set-power", "limit-power"]},
            {"node": 5, "name": "Water heater", "kind": "load", "rated_watts": 4500.0}
        ]);
        serde_json::from_value(nodes).unwrap()
    }

    /// The action at its node; or what is wrong.
    fn try_out(body: Value) -> Result<CommandAction, String> {
        let new: NewCommand = serde_json::from_value(body).unwrap();
        let detail = |error: ApiError| error.problem().detail;
        let asked = Asked::read(&new, NOW).map_err(detail)?;
        let hem = HemId::new("home-1").unwrap();
        asked.check_node(&hem, &board(), new.node).map_err(detail)?;
        Ok(asked.action)
    }

    #[test]
    fn what_a_node_can_be_told_is_let_through() {
        for body in [
            json!({"node": 2, "action": "set-power", "watts": -5000, "lease_seconds": 86400}),
            json!({"node": 2, "action": "limit-power", "watts": 5000}),
            json!({"node": 5, "action": "switch", "on": false, "priority": -1000}),
            json!({"node": 5, "action": "set-schedule", "on_at": ["2026-11-23T13:00:00Z"]}),
            json!({"node": 5, "action": "set-priority", "priority": 1000}),
            json!({"action": "report-every", "seconds": 10}),
            json!({"action": "restart", "reason": "new firmware"}),
        ] {
            let tried = try_out(body.clone());
            assert!(tried.is_ok(), "{body}: {tried:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_said_with_what_can() {
        for (body, sentence) in [
            (
                json!({"node": 9, "action": "switch", "on": true}),
                "node: home-1 has no node 9; it has 0, 2, 5",
            ),
            (json!({"action": "switch", "on": true}), "node: switch is for a node; say which"),
            (
                json!({"node": 2, "action": "restart"}),
                "node: restart is for the HEM itself; leave it out",
            ),
            (
                json!({"node": 0, "action": "switch", "on": false}),
                "action: node 0 of home-1 (Grid) cannot be told switch; it can be told nothing",
            ),
            (
                json!({"node": 5, "action": "set-power", "watts": 10}),
                "action: node 5 of home-1 (Water heater) cannot be told set-power; it can be told switch, set-schedule, set-priority",
            ),
            (
                json!({"node": 2, "action": "set-power", "watts": 3001}),
                "watts: 3001 is not what node 2 of home-1 (Battery) can be set to: from -5000 to 3000 W",
            ),
            (
                json!({"node": 2, "action": "limit-power", "watts": -1}),
                "watts: -1 is not from 0 to 1000000",
            ),
            (
                json!({"node": 2, "action": "set-power", "watts": 1e9}),
                "watts: 1000000000 is not from -1000000 to 1000000",
            ),
            (json!({"node": 2, "action": "set-power"}), "watts: set-power needs it"),
            (
                json!({"node": 5, "action": "switch", "on": true, "seconds": 5}),
                "seconds: switch takes on",
            ),
            (
                json!({"node": 5, "action": "switch", "on": true, "lease_seconds": 86401}),
                "lease_seconds: 86401 is not from 1 to 86400",
            ),
            (
                json!({"action": "restart", "lease_seconds": 5}),
                "lease_seconds: restart has no lease; switch, set-power and limit-power have",
            ),
            (json!({"action": "report-every", "seconds": 0}), "seconds: 0 is not from 1 to 86400"),
            (
                json!({"node": 5, "action": "set-schedule"}),
                "on_at: set-schedule needs a time in on_at or off_at",
            ),
            (
                json!({"node": 5, "action": "set-schedule", "off_at": ["2025-01-01T00:00:00Z"]}),
                "off_at: 2025-01-01T00:00:00.000Z is not from now to a year ahead (2027-11-24T12:00:00.000Z)",
            ),
            (
                json!({"node": 5, "action": "switch", "on": true, "priority": 1001}),
                "priority: 1001 is not from -1000 to 1000",
            ),
            (
                json!({"action": "restart", "reason": "x".repeat(501)}),
                "reason: it has more than 500 characters",
            ),
        ] {
            assert_eq!(try_out(body.clone()).unwrap_err(), sentence, "{body}");
        }
    }

    #[test]
    fn a_home_that_never_said_its_nodes_is_told_apart() {
        let new: NewCommand =
            serde_json::from_value(json!({"node": 5, "action": "switch", "on": true})).unwrap();
        let asked = Asked::read(&new, NOW).unwrap();
        let error = asked.check_node(&HemId::new("h").unwrap(), &[], new.node).unwrap_err();
        assert!(error.problem().detail.contains("connects for the first time"));
    }

    #[test]
    fn every_kind_has_its_usual_controls_checked() {
        let declaration = |kind| NodeDeclaration { kind, controls: None, ..board().remove(2) };
        let new: NewCommand =
            serde_json::from_value(json!({"node": 5, "action": "switch", "on": true})).unwrap();
        let asked = Asked::read(&new, NOW).unwrap();
        let hem = HemId::new("h").unwrap();
        let works = |kind| asked.check_node(&hem, &[declaration(kind)], new.node).is_ok();
        assert!(works(NodeKind::Load) && works(NodeKind::Storage) && !works(NodeKind::Grid));
    }
}
