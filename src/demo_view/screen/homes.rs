//! The homes, one a line: what each does, and what is ordered there.

use memcloud_domain::Watts;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::text::{fitted, heading};
use crate::demo_view::figures::{ago, bar, percent, power, signed_power};
use crate::demo_view::palette::{
    ALARM, BATTERY, EXPORT, FAINT, GRID, QUIET, SOLAR, TEXT, USE, WAITING,
};
use crate::demo_view::snapshot::{DemoSnapshot, HomeLine};

/// The least room in which what is ordered can be read.
const LEAST_ORDERED: usize = 15;
/// The room in which all that is ordered of a home can usually be read.
const ROOMY_ORDERED: usize = 30;

/// Which columns a home's line has at a width.
pub(super) struct Columns {
    name: usize,
    bar: usize,
    seen: bool,
    ordered: usize,
}

impl Columns {
    pub(super) fn for_width(width: usize, snapshot: &DemoSnapshot) -> Self {
        let longest = snapshot.homes.iter().map(|home| home.name.chars().count()).max();
        let name = longest.unwrap_or(0).clamp(6, if width >= 100 { 24 } else { 10 });
        // Dot and name, four powers, percent; then what the rest allows.
        let mut left = width.saturating_sub(3 + name + 4 * 10 + 7);
        // What is ordered comes first, then when the home was seen, then the bar.
        let is_steered = snapshot.homes.iter().any(|home| !home.ordered.is_empty());
        let ordered = match left {
            _ if !is_steered => 0,
            ..LEAST_ORDERED => 0,
            narrow if narrow < ROOMY_ORDERED + 14 => narrow.min(ROOMY_ORDERED),
            roomy => ROOMY_ORDERED.max(roomy.saturating_sub(8 + 26)),
        };
        left = left.saturating_sub(ordered);
        let seen = left >= 8;
        let bar = left.saturating_sub(if seen { 8 } else { 0 } + 2);
        Self { name, bar: if bar >= 4 { bar.min(24) } else { 0 }, seen, ordered }
    }

    pub(super) fn heading(&self) -> Line<'static> {
        let mut text = format!(
            " {:<name$}{:>10}{:>10}{:>10}",
            "Homes",
            "use",
            "solar",
            "battery",
            name = self.name + 2,
        );
        if self.bar > 0 {
            text.push_str(&format!("  {:<bar$}", "charge", bar = self.bar));
        }
        text.push_str(&format!("{:>7}{:>10}", if self.bar > 0 { "" } else { "charge" }, "grid"));
        if self.seen {
            text.push_str(&format!("{:>8}", "seen"));
        }
        if self.ordered > 0 {
            text.push_str(&format!("  {:<room$}", "ordered", room = self.ordered - 2));
        }
        heading(text)
    }

    pub(super) fn home(
        &self,
        home: &HomeLine,
        is_chosen: bool,
        snapshot: &DemoSnapshot,
    ) -> Line<'static> {
        let (dot, dot_colour, name_colour) = match (home.online, home.active) {
            (true, true) => ("●", BATTERY, Color::White),
            (true, false) => ("◐", SOLAR, Color::White),
            (false, _) => ("○", ALARM, QUIET),
        };
        let tinted = |colour| if home.online { colour } else { FAINT };
        let figure = |text: String, watts: Watts, colour| {
            let colour = if watts.value().abs() < 5.0 { FAINT } else { tinted(colour) };
            Span::styled(format!("{text:>10}"), colour)
        };
        let name_style = Style::new().fg(name_colour);
        let name_style =
            if is_chosen { name_style.add_modifier(Modifier::BOLD) } else { name_style };
        let mut spans = vec![
            Span::styled(if is_chosen { "›" } else { " " }, WAITING),
            Span::styled(format!("{dot} "), dot_colour),
            Span::styled(
                format!("{:<name$}", fitted(&home.name, self.name), name = self.name),
                name_style,
            ),
            figure(power(home.load), home.load, USE),
            figure(power(home.solar), home.solar, SOLAR),
            figure(signed_power(home.battery), home.battery, BATTERY),
        ];
        if self.bar > 0 {
            let (filled, rest) = bar(home.soc.map_or(0.0, |soc| soc.value()), self.bar);
            spans.push(Span::raw("  "));
            spans.push(Span::styled(filled, tinted(charge_colour(home))));
            spans.push(Span::styled(rest, FAINT));
        }
        let charge = home.soc.map(|soc| percent(soc.value())).unwrap_or_default();
        spans.push(Span::styled(format!("{charge:>7}"), tinted(TEXT)));
        let (arrow, colour) = if home.grid.value() < 0.0 { ("↑", EXPORT) } else { ("↓", GRID) };
        let arrow = if home.grid.value().abs() < 5.0 { " " } else { arrow };
        spans.push(figure(format!("{arrow}{}", power(home.grid.abs())), home.grid, colour));
        if self.seen {
            let seen = ago(home.last_seen, snapshot.at);
            let colour = if home.active { QUIET } else { SOLAR };
            spans.push(Span::styled(format!("{seen:>8}"), colour));
        }
        if self.ordered > 0 {
            let text = ordered_within(&home.ordered, self.ordered - 2);
            spans.push(Span::styled(format!("  {text}"), tinted(WAITING)));
        }
        Line::from(spans)
    }
}

/// As many orders as there is room for, and how many more there are.
fn ordered_within(ordered: &[String], room: usize) -> String {
    for shown in (1..=ordered.len()).rev() {
        let mut text = ordered.get(..shown).unwrap_or_default().join(", ");
        if shown < ordered.len() {
            text.push_str(&format!(" +{}", ordered.len() - shown));
        }
        if text.chars().count() <= room {
            return text;
        }
    }
    ordered.first().map(|first| fitted(first, room)).unwrap_or_default()
}

fn charge_colour(home: &HomeLine) -> Color {
    match home.soc {
        Some(soc) if soc.value() < 0.15 => WAITING,
        _ => BATTERY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_orders_as_many_are_shown_as_there_is_room_for() {
        let orders: Vec<String> =
            ["battery −1.25 kW", "heater off", "charger off"].map(str::to_owned).into();
        assert_eq!(ordered_within(&orders, 80), "battery −1.25 kW, heater off, charger off");
        assert_eq!(ordered_within(&orders, 32), "battery −1.25 kW, heater off +1");
        assert_eq!(ordered_within(&orders, 20), "battery −1.25 kW +2");
        assert_eq!(ordered_within(&orders, 10), "battery −…");
        assert_eq!(ordered_within(&[], 10), "");
    }
}
