//! What becomes of a shedding decision: wishes, results and lines of log, the same for every app that
//! sheds.

use std::time::Duration;

use memcloud_domain::{HemId, NodeId, Setting, Timestamp};
use serde_json::json;

use super::shedding::Shed;
use super::{Change, Shedding, Standing};
use crate::{Outcome, Roster};

/// The kind of the results that tell of a load that was off.
pub const LOAD_SHED: &str = "load-shed";

/// For how long a load is wished on that declares no default to go back to.
const BACK_FOR: Duration = Duration::from_secs(60);
/// How many loads a line of log names.
const NAMED: usize = 20;

/// Why and for how long loads are wished off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShedOrders<'a> {
    /// The time.
    pub now: Timestamp,
    /// For how long a wish holds.
    pub lease: Duration,
    /// Why: `the import is over its limit of 10000 W`.
    pub why: &'a str,
}

impl ShedOrders<'_> {
    /// Wishes what was decided, keeps what is off wished off, and tells people.
    pub fn carry_out(
        &self,
        changes: &[Change],
        shedding: &Shedding,
        standing: &mut Standing,
        roster: &Roster,
        outcome: &mut Outcome,
    ) {
        let (mut off, mut back, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Shed { hem, node, shed } => {
                    self.report(hem, *node, shed, roster, Ended::NotYet, outcome);
                    off.push(shown(hem, *node, roster));
                }
                Change::Restored { hem, node, shed } => {
                    self.report(hem, *node, shed, roster, Ended::Restored, outcome);
                    self.bring_back(hem, *node, standing, roster, outcome);
                    back.push(shown(hem, *node, roster));
                }
                Change::Lost { hem, node, shed } => {
                    self.report(hem, *node, shed, roster, Ended::Lost, outcome);
                    standing.forget(hem, *node);
                    lost.push(shown(hem, *node, roster));
                }
            }
        }
        outcome.urgent |= !changes.is_empty();
        if !off.is_empty() {
            outcome.warn(format!("switched off, because {}: {}", self.why, listed(&off)));
        }
        if !back.is_empty() {
            outcome.info(format!("on again, because there is room: {}", listed(&back)));
        }
        if !lost.is_empty() {
            outcome.warn(format!("left to themselves, for want of readings: {}", listed(&lost)));
        }
        for (hem, node, shed) in shedding.off() {
            let setting = Setting::Switch { on: false };
            let why = || {
                format!("{}; it drew {:.0} W at priority {}", self.why, shed.watts, shed.priority)
            };
            standing.wish(outcome, self.now, hem, node, setting, self.lease, why);
        }
    }

    fn bring_back(
        &self,
        hem: &HemId,
        node: NodeId,
        standing: &mut Standing,
        roster: &Roster,
        outcome: &mut Outcome,
    ) {
        let default = roster.node(hem, node).and_then(|declared| declared.default);
        if default.and_then(|default| default.on) == Some(true) {
            standing.forget(hem, node);
            // Dispatch takes it back to its default.
            outcome.withdraw(hem, node);
            return;
        }
        outcome.wish(hem, node, Setting::Switch { on: true }, BACK_FOR, "there is room again");
        standing.forget(hem, node);
    }

    fn report(
        &self,
        hem: &HemId,
        node: NodeId,
        shed: &Shed,
        roster: &Roster,
        ended: Ended,
        outcome: &mut Outcome,
    ) {
        let name = roster.node(hem, node).map(|declared| declared.name.as_str());
        let body = json!({
            "node": node,
            "name": name,
            "watts": shed.watts.round(),
            "priority": shed.priority,
            "ended": ended != Ended::NotYet,
            "how": match ended {
                Ended::NotYet => "off",
                Ended::Restored => "restored",
                Ended::Lost => "left to itself",
            },
            "because": self.why,
        });
        // Two loads of a home may be shed at once: the node keeps their results apart.
        let subject = format!("{hem}/{node}");
        outcome.report(LOAD_SHED, &subject, shed.since, self.now, body);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    NotYet,
    Restored,
    Lost,
}

fn shown(hem: &HemId, node: NodeId, roster: &Roster) -> String {
    match roster.node(hem, node) {
        Some(declared) if !declared.name.is_empty() => format!("{hem} {}", declared.name),
        _ => format!("{hem} node {node}"),
    }
}

fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}
