//! What is being steered: the newest commands and how far they are, and why a home is as it is.

use memcloud_domain::CommandState;
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};

use super::text::{fitted, heading, wrapped};
use crate::demo_view::figures::local_time;
use crate::demo_view::palette::{ALARM, BATTERY, FAINT, QUIET, TEXT, WAITING};
use crate::demo_view::snapshot::{CommandLine, DemoSnapshot};

/// What an order may take of a line.
const WHAT: usize = 24;
/// The longest name of a state.
const STATE: usize = 12;
/// In less room it is not said who asked, and only in more than the other why.
const LEAST_BY: usize = 6;
const ROOMY_BY: usize = 40;

/// A heading and the newest commands, as many as there is room for.
pub(super) fn command_lines(
    snapshot: &DemoSnapshot,
    width: usize,
    room: usize,
) -> Vec<Line<'static>> {
    let Some(shown) = room.checked_sub(1).filter(|shown| *shown > 0) else { return Vec::new() };
    let names = snapshot.homes.iter().map(|home| home.name.chars().count());
    let name = names.max().unwrap_or(0).clamp(6, 16);
    let mut lines = vec![heading(format!(" {:<40}", "Commands"))];
    if snapshot.commands.is_empty() {
        lines.push(Line::styled("   nothing was ordered yet", QUIET));
    }
    let newest = snapshot.commands.iter().take(shown);
    lines.extend(newest.map(|command| command_line(command, snapshot, name, width)));
    lines
}

fn command_line(
    command: &CommandLine,
    snapshot: &DemoSnapshot,
    name: usize,
    width: usize,
) -> Line<'static> {
    let time = local_time(command.at, snapshot.offset, "%H:%M:%S");
    let rest = width.saturating_sub(11 + name + 2 + WHAT + 2 + STATE + 2);
    let by = command.by.trim_start_matches("the job ").trim_start_matches("the token ");
    let by = match rest {
        ..LEAST_BY => String::new(),
        ROOMY_BY.. if !command.because.is_empty() => format!("{by}: {}", command.because),
        _ => by.to_owned(),
    };
    Line::from(vec![
        Span::styled(format!(" {time}  "), FAINT),
        Span::styled(format!("{:<name$}  ", fitted(&command.home, name)), Color::White),
        Span::styled(format!("{:<WHAT$}  ", fitted(&command.what, WHAT)), TEXT),
        Span::styled(format!("{:<STATE$}  ", command.state.as_str()), colour_of(command.state)),
        Span::styled(fitted(&by, rest), QUIET),
    ])
}

fn colour_of(state: CommandState) -> Color {
    match state {
        CommandState::Effective => BATTERY,
        CommandState::Ineffective
        | CommandState::Refused
        | CommandState::Failed
        | CommandState::Expired
        | CommandState::Unconfirmed => ALARM,
        CommandState::Accepted | CommandState::Sent | CommandState::Acknowledged => WAITING,
        CommandState::Reverted | CommandState::Superseded | CommandState::Cancelled => QUIET,
    }
}

/// Why the chosen home is as it is, in at most so many lines.
pub(super) fn why_lines(snapshot: &DemoSnapshot, width: usize, room: usize) -> Vec<Line<'static>> {
    let Some(why) = &snapshot.why else { return Vec::new() };
    let mut lines = Vec::new();
    let title = format!(" Why {}: ", why.home);
    for sentence in &why.sentences {
        let left = room.saturating_sub(lines.len());
        let indent = title.chars().count();
        for (row, part) in
            wrapped(sentence, width.saturating_sub(indent + 1), left).into_iter().enumerate()
        {
            let first = lines.is_empty() && row == 0;
            let before = if first { title.clone() } else { " ".repeat(indent) };
            lines.push(Line::from(vec![
                Span::styled(before, Style::new().fg(WAITING)),
                Span::styled(part, TEXT),
            ]));
        }
    }
    lines
}
