//! The parts that sentences are made of: powers, times, who asked for what, and what kept it from being.

use std::sync::Arc;

use chrono_tz::Tz;
use memcloud_domain::{Asker, NodeAction, NodeDeclaration, NodeKind, Setting, Timestamp};

use super::claim::Standing;
use super::decision::HomeOverride;
use super::envelope::{Bound, Breach, Flow};
use super::node::Pause;

/// A power for people: `350 W`, `2.0 kW`, `1.0 MW`; of the size, without the sign.
#[must_use]
pub fn power(watts: f64) -> String {
    let size = watts.abs();
    if size >= 999_950.0 {
        format!("{:.1} MW", size / 1e6)
    } else if size >= 999.5 {
        format!("{:.1} kW", size / 1e3)
    } else {
        format!("{size:.0} W")
    }
}

/// A time of the day, with its date where that is not today's.
#[must_use]
pub fn moment(at: Timestamp, now: Timestamp, zone: Tz) -> String {
    let at = at.to_datetime().with_timezone(&zone);
    let today = now.to_datetime().with_timezone(&zone).date_naive();
    let is_today = at.date_naive() == today;
    at.format(if is_today { "%H:%M" } else { "%-d %b %Y, %H:%M" }).to_string()
}

/// A text of someone else's, short enough for a sentence.
#[must_use]
pub fn cut(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    if text.chars().count() <= 120 {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(117).collect();
    short.push('…');
    short
}

/// Who, in a sentence that speaks of jobs anyway.
#[must_use]
pub fn who(asker: &Asker) -> String {
    match asker {
        Asker::Job { app, .. } => app.clone(),
        other => cut(&other.shown()),
    }
}

/// Who, and how important.
#[must_use]
pub fn who_ranked(claim: &Standing) -> String {
    format!("{} (priority {})", who(&claim.asker), claim.class.priority)
}

/// The node, in the middle of a sentence.
#[must_use]
pub fn node(declaration: &NodeDeclaration) -> String {
    let name = cut(&declaration.name);
    if name.is_empty() { format!("node {}", declaration.node) } else { format!("the {name}") }
}

/// A sentence's first letter.
#[must_use]
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What was asked for, after `asked for`.
#[must_use]
pub fn asked(setting: Setting, kind: NodeKind) -> String {
    match setting {
        Setting::Switch { on: true } => "it to be on".to_owned(),
        Setting::Switch { on: false } => "it to be off".to_owned(),
        Setting::Limit { watts } => format!("at most {}", power(watts.value())),
        Setting::Power { watts } => {
            let size = power(watts.value());
            match kind {
                _ if watts.value() >= 0.0 => size,
                NodeKind::Storage => format!("a discharge at {size}"),
                NodeKind::Source => size,
                NodeKind::Load | NodeKind::Charger | NodeKind::Grid => format!("−{size}"),
            }
        }
    }
}

/// What a node does under a setting: as a fact, and as what it is to do.
#[must_use]
pub fn does(setting: Setting, kind: NodeKind) -> (String, String) {
    let verb = |fact: &str, order: &str, rest: String| {
        (format!("{fact}{rest}"), format!("is to {order}{rest}"))
    };
    match setting {
        Setting::Switch { on } => verb("is ", "be ", if on { "on" } else { "off" }.to_owned()),
        Setting::Limit { watts } => {
            verb("stays", "stay", format!(" at or under {}", power(watts.value())))
        }
        Setting::Power { watts } => {
            let (watts, size) = (watts.value(), power(watts.value()));
            match kind {
                _ if watts.abs() < 0.5 => verb("is ", "be ", "held at 0 W".to_owned()),
                NodeKind::Storage if watts > 0.0 => {
                    verb("charges", "charge", format!(" at {size}"))
                }
                NodeKind::Storage => verb("discharges", "discharge", format!(" at {size}")),
                _ if watts < 0.0 => verb("feeds ", "feed ", size),
                _ => verb("draws ", "draw ", size),
            }
        }
    }
}

fn flow(flow: Flow) -> &'static str {
    match flow {
        Flow::Import => "import",
        Flow::Export => "export",
    }
}

/// What a setting was limited by.
#[must_use]
pub fn bound(bound: &Bound) -> String {
    match bound {
        Bound::NodeMaximum(watts) => format!("the node's maximum of {}", signed(*watts)),
        Bound::NodeMinimum(watts) => format!("the node's minimum of {}", signed(*watts)),
        Bound::Claim { asker, watts } => {
            format!("the limit of {} that {} set", power(*watts), who(asker))
        }
        Bound::Home { hem, flow: way, watts } => {
            format!("the {} limit of {} of {hem}", flow(*way), power(*watts))
        }
        Bound::Microgrid { flow: way, watts } => {
            format!("the microgrid's {} limit of {}", flow(*way), power(*watts))
        }
    }
}

fn signed(watts: f64) -> String {
    let sign = if watts < 0.0 { "−" } else { "" };
    format!("{sign}{}", power(watts))
}

fn control(control: NodeAction) -> &'static str {
    match control {
        NodeAction::Switch => "switch",
        NodeAction::SetPower => "set-power",
        NodeAction::LimitPower => "limit-power",
        NodeAction::SetSchedule => "set-schedule",
        NodeAction::SetPriority => "set-priority",
    }
}

/// Why something may not be, after `since`.
#[must_use]
pub fn breach(breach: &Breach) -> String {
    match breach {
        Breach::NoControl(wanted) => {
            format!("its home did not declare that it takes {}", control(*wanted))
        }
        Breach::Critical => {
            "it is critical, and jobs never switch off or hold down what is critical".to_owned()
        }
        Breach::CriticalWithoutReason => {
            "it is critical, and a command that may shed it must say why in its reason".to_owned()
        }
        Breach::NotAPower => "that is not a power".to_owned(),
        Breach::Absurd { can, declared: true, .. } => format!(
            "the node's limit is {}, and what is so far beyond it is taken for a mistake",
            power(*can)
        ),
        Breach::Absurd { can, declared: false, .. } => {
            format!("a node that declared no bounds is told at most {}", power(*can))
        }
        Breach::NoRoom(limit) => format!("{} leaves no room for it", bound(limit)),
    }
}

/// Why an order waits, after `waits`.
#[must_use]
pub fn pause(why: &Pause) -> String {
    match why {
        Pause::FleetBudget => {
            "until the fleet's budget of watts a minute has room again".to_owned()
        }
        Pause::HemIsBusy => "until its HEM has answered earlier commands".to_owned(),
        Pause::NodeRate => {
            "since jobs changed the node as often as they may in a minute".to_owned()
        }
        Pause::JobRate => "since the job had as many orders as it may in a minute".to_owned(),
        Pause::LedgerAway => "until the ledger of commands answers again".to_owned(),
        Pause::TurnedDown(reason) if reason.is_empty() => {
            "a minute, since its HEM turned the last order down".to_owned()
        }
        Pause::TurnedDown(reason) => {
            format!("a minute, since its HEM turned the last order down: {}", cut(reason))
        }
        Pause::TooLate => "a minute, since its HEM did not take the last order in time".to_owned(),
    }
}

/// What someone at home did.
#[must_use]
pub fn pressed(at_home: &HomeOverride, the_node: &str, now: Timestamp, zone: Tz) -> String {
    let switched = at_home.on.map(|on| if on { "on" } else { "off" });
    let at = moment(at_home.since, now, zone);
    let deed = match (switched, at_home.watts) {
        (Some(position), Some(watts)) => {
            format!("switched {the_node} {position} and set it to {}", signed(watts.value()))
        }
        (Some(position), None) => format!("switched {the_node} {position}"),
        (None, Some(watts)) => format!("set {the_node} to {}", signed(watts.value())),
        (None, None) => format!("took {the_node} over"),
    };
    format!("someone at home {deed} at {at}")
}

/// Someone at home, where an order needs a name for them.
#[must_use]
pub fn someone_at_home() -> Arc<Asker> {
    Arc::new(Asker::Person { id: "home".to_owned(), name: "someone at home".to_owned() })
}
