//! Orders in a few words, and a command to try.

use memcloud_domain::{CommandAction, CommandState, NodeDeclaration, NodeKind, Setting};

use super::figures::{power, signed_power};
use super::snapshot::{Addresses, HomeLine};

/// What a node is called where there is little room.
pub(crate) fn short_name(node: &NodeDeclaration) -> String {
    match node.kind {
        NodeKind::Storage => "battery".to_owned(),
        NodeKind::Source => "solar".to_owned(),
        NodeKind::Charger => "charger".to_owned(),
        NodeKind::Grid => "grid".to_owned(),
        NodeKind::Load => node.name.to_lowercase(),
    }
}

/// What holds at a node: `battery −1.25 kW`, `water heater off`.
pub(crate) fn ordered(node: &str, setting: Setting) -> String {
    match setting {
        Setting::Switch { on } => format!("{node} {}", if on { "on" } else { "off" }),
        Setting::Power { watts } => format!("{node} {}", signed_power(watts).trim_start()),
        Setting::Limit { watts } => format!("{node} ≤ {}", power(watts)),
    }
}

/// What a command asks for; without a node it is the HEM's own.
pub(crate) fn asked(node: Option<&str>, action: &CommandAction) -> String {
    let node = node.unwrap_or("HEM");
    match action.setting() {
        Some(setting) => ordered(node, setting),
        None => match action {
            CommandAction::SetPriority { priority } => format!("{node} priority {priority}"),
            CommandAction::ReportEvery { seconds } => format!("{node} reports every {seconds} s"),
            CommandAction::SetSchedule { .. } => format!("{node} schedule"),
            other => format!("{node} {}", other.name()),
        },
    }
}

/// Whether there is nothing more to learn of a command, but that it is over.
pub(crate) fn is_told(state: CommandState) -> bool {
    matches!(
        state,
        CommandState::Effective
            | CommandState::Ineffective
            | CommandState::Refused
            | CommandState::Failed
            | CommandState::Expired
            | CommandState::Unconfirmed
    )
}

/// Lines to paste into a shell, none wider than 80 cells but for very long addresses: a command to a
/// home's battery that ends in `effective`, with its evidence. None before something is known of it.
pub(super) fn command_to_try(addresses: &Addresses, home: Option<&HomeLine>) -> Vec<String> {
    let Some((home, node)) = home.and_then(|home| Some((home, home.battery_node?))) else {
        return Vec::new();
    };
    if addresses.rest.is_empty() {
        return Vec::new();
    }
    // A battery that is nearly full is asked to give, any other to take: both can be seen.
    let is_full = home.soc.is_some_and(|soc| soc.value() > 0.9);
    let watts = if is_full { -800 } else { 800 };
    vec![
        format!("TOKEN={}", addresses.admin_token),
        "curl -sX POST -H \"Authorization: Bearer $TOKEN\" \\".to_owned(),
        "  -H 'Content-Type: application/json' \\".to_owned(),
        format!("  -d '{{\"node\":{node},\"action\":\"set-power\",\"watts\":{watts}}}' \\"),
        format!("  '{}/hems/{}/commands?wait=20s'", addresses.rest, home.name),
    ]
}

#[cfg(test)]
mod tests {
    use memcloud_domain::{Timestamp, Watts};

    use super::*;
    use crate::demo_view::tests::evening;

    #[test]
    fn orders_are_said_in_a_few_words() {
        for (action, words) in [
            (CommandAction::Switch { on: false }, "water heater off"),
            (CommandAction::SetPower { watts: Watts(-1_250.0) }, "water heater −1.25 kW"),
            (CommandAction::SetPower { watts: Watts(0.0) }, "water heater 0.00 kW"),
            (CommandAction::LimitPower { watts: Watts(500.0) }, "water heater ≤ 0.50 kW"),
            (CommandAction::SetPriority { priority: 7 }, "water heater priority 7"),
            (
                CommandAction::SetSchedule { on_at: vec![Timestamp(0)], off_at: vec![] },
                "water heater schedule",
            ),
        ] {
            assert_eq!(asked(Some("water heater"), &action), words);
        }
        assert_eq!(asked(None, &CommandAction::Restart), "HEM restart");
        assert_eq!(
            asked(None, &CommandAction::ReportEvery { seconds: 5 }),
            "HEM reports every 5 s"
        );
    }

    #[test]
    fn a_command_to_try_fits_a_terminal_and_names_a_home_that_has_a_battery() {
        let snapshot = evening();
        let lines = command_to_try(&snapshot.addresses, snapshot.homes.first());
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:?}");
        assert!(lines[3].contains("{\"node\":2,\"action\":\"set-power\",\"watts\":800}"));
        assert!(lines[4].ends_with("/hems/home-1/commands?wait=20s'"));
        let full = command_to_try(&snapshot.addresses, snapshot.homes.get(2));
        assert!(full[3].contains("-800"), "{full:?}");
        let without = HomeLine { battery_node: None, ..snapshot.homes[0].clone() };
        assert!(command_to_try(&snapshot.addresses, Some(&without)).is_empty());
        assert!(command_to_try(&Addresses::default(), snapshot.homes.first()).is_empty());
    }
}
