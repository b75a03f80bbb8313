//! The screen of the demo: what the microgrid does, home by home, in the colours of its energies; what
//! is ordered, how far that is, and why.
//!
//! Everything is laid out for 80 by 24. Narrower, the least telling columns go; taller, a chart of the
//! last minutes, the latest messages and a command to try come. `c` shows how to connect at any size.

mod homes;
mod jobs;
mod plan;
mod steering;
#[cfg(test)]
pub(super) mod tests;
mod text;
mod totals;

use ratatui::Frame;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use self::homes::Columns;
use self::jobs::{job_lines, message_lines};
use self::plan::Plan;
use self::steering::{command_lines, why_lines};
use self::text::{fitted, heading, named};
use self::totals::{render_chart, total_lines};
use super::figures::{bar, count, local_time, rate};
use super::palette::{ALARM, FAINT, QUIET, SOLAR, TEXT, TITLE, TO_COPY};
use super::snapshot::{DemoSnapshot, HomeLine};
use super::words::command_to_try;

/// What the screen remembers between two snapshots: which home is chosen, and what is open.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScreenView {
    chosen: usize,
    first_home: usize,
    /// How many homes were in view last time.
    page: usize,
    shows_connect: bool,
}

impl ScreenView {
    /// Takes a key; true where the screen changes.
    pub fn accept(&mut self, key: KeyCode) -> bool {
        let before = (self.chosen, self.shows_connect);
        let page = self.page.max(1);
        match key {
            KeyCode::Down | KeyCode::Char('j') => self.chosen = self.chosen.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => {
                self.chosen = self.chosen.saturating_add(page);
            }
            KeyCode::PageUp => self.chosen = self.chosen.saturating_sub(page),
            KeyCode::Home => self.chosen = 0,
            KeyCode::End => self.chosen = usize::MAX,
            KeyCode::Char('c') => self.shows_connect = !self.shows_connect,
            _ => {}
        }
        (self.chosen, self.shows_connect) != before
    }

    /// The home that is chosen among those of a snapshot.
    #[must_use]
    pub fn chosen<'a>(&self, snapshot: &'a DemoSnapshot) -> Option<&'a HomeLine> {
        let last = snapshot.homes.len().checked_sub(1)?;
        snapshot.homes.get(self.chosen.min(last))
    }

    /// Draws a snapshot.
    pub fn render(&mut self, frame: &mut Frame<'_>, snapshot: &DemoSnapshot) {
        let area = frame.area();
        let width = usize::from(area.width);
        self.chosen = self.chosen.min(snapshot.homes.len().saturating_sub(1));
        let access = access_lines(snapshot, width);
        let connect = connect_lines(snapshot, self.chosen(snapshot), width);
        let why = why_lines(snapshot, width, Plan::MOST_WHY).len();
        let plan = if self.shows_connect {
            Plan::of_connect(area.height, snapshot, connect.len())
        } else {
            Plan::of(area.height, snapshot, why, access.len(), connect.len())
        };
        let blank = u16::from(plan.has_blanks);
        let part = |rows: usize| match rows {
            0 => Constraint::Length(0),
            rows => {
                Constraint::Length(u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(blank))
            }
        };
        let [head, totals, chart, homes, why, commands, jobs, messages, connect_area, foot, keys] =
            Layout::vertical([
                Constraint::Length(1),
                part(4),
                part(plan.chart),
                Constraint::Min(2),
                part(plan.why),
                part(plan.commands),
                part(plan.jobs),
                part(plan.messages),
                part(plan.connect),
                part(plan.foot),
                Constraint::Length(1),
            ])
            .areas(area);
        let mut draw = |lines: Vec<Line<'static>>, area: ratatui::layout::Rect| {
            let [_, below] =
                Layout::vertical([Constraint::Length(blank), Constraint::Min(0)]).areas(area);
            frame.render_widget(Paragraph::new(lines), below);
        };
        draw(total_lines(snapshot, width), totals);
        draw(
            self.home_lines(snapshot, width, usize::from(homes.height.saturating_sub(blank))),
            homes,
        );
        draw(why_lines(snapshot, width, plan.why), why);
        draw(command_lines(snapshot, width, plan.commands), commands);
        draw(job_lines(snapshot, width, plan.jobs), jobs);
        draw(message_lines(snapshot, width, plan.messages), messages);
        draw(connect, connect_area);
        draw(foot_lines(snapshot, access, width), foot);
        frame.render_widget(Paragraph::new(head_line(snapshot, width)).bg(TITLE), head);
        if chart.height > 0 {
            render_chart(frame, chart, snapshot);
        }
        frame.render_widget(Paragraph::new(self.key_line(snapshot, width)), keys);
    }

    /// A heading, and as many homes as there is room for, the chosen one among them.
    fn home_lines(
        &mut self,
        snapshot: &DemoSnapshot,
        width: usize,
        height: usize,
    ) -> Vec<Line<'static>> {
        let room = height.saturating_sub(1);
        let all = snapshot.homes.len();
        let cut = all > room;
        self.page = if cut { room.saturating_sub(1) } else { room };
        let least_first = self.chosen.saturating_add(1).saturating_sub(self.page);
        self.first_home = self.first_home.clamp(least_first, self.chosen.max(least_first));
        self.first_home = self.first_home.min(all.saturating_sub(self.page));

        let columns = Columns::for_width(width, snapshot);
        let mut lines = vec![columns.heading()];
        let homes = snapshot.homes.iter().enumerate().skip(self.first_home).take(self.page);
        lines.extend(homes.map(|(place, home)| columns.home(home, place == self.chosen, snapshot)));
        if cut {
            let offline = snapshot.homes.iter().filter(|home| !home.online).count();
            let last = (self.first_home + self.page).min(all);
            let text = format!(
                "   {} to {last} of {} homes, {} offline",
                self.first_home + 1,
                count(wide(all)),
                count(wide(offline)),
            );
            lines.push(Line::styled(text, QUIET));
        }
        if snapshot.homes.is_empty() {
            lines.push(Line::styled("   no home has connected yet", QUIET));
        }
        lines
    }

    fn key_line(&self, snapshot: &DemoSnapshot, width: usize) -> Line<'static> {
        let mut spans = vec![key(" q "), Span::styled(" quit  ", QUIET)];
        spans.extend([key(" c "), Span::styled(" connect  ", QUIET)]);
        if snapshot.homes.len() > 1 {
            spans.extend([key(" ↑↓ "), Span::styled(" homes  ", QUIET)]);
        }
        let ingest = &snapshot.ingest;
        let mut came_in = vec![
            Span::styled(count(ingest.acknowledged), Style::new().fg(Color::White).bold()),
            Span::styled(" readings on disk, ", QUIET),
            Span::styled(rate(ingest.per_second), Color::White),
        ];
        if ingest.refused > 0 {
            came_in.push(Span::styled(format!(", {} refused", count(ingest.refused)), ALARM));
        }
        let length = |spans: &[Span<'_>]| {
            spans.iter().map(|span| span.content.chars().count()).sum::<usize>()
        };
        let gap = width.saturating_sub(length(&spans) + length(&came_in) + 1);
        if gap > 0 {
            spans.push(Span::raw(" ".repeat(gap)));
            spans.extend(came_in);
        }
        Line::from(spans)
    }
}

fn key(name: &'static str) -> Span<'static> {
    Span::styled(name, Style::new().fg(TEXT).bg(Color::Indexed(237)))
}

fn head_line(snapshot: &DemoSnapshot, width: usize) -> Line<'static> {
    let online = snapshot.homes.iter().filter(|home| home.online).count();
    let homes = format!("{online} of {} homes online", snapshot.homes.len());
    let format = if width >= 76 { "%a %-d %b %Y  %H:%M:%S %:z" } else { "%H:%M:%S %:z" };
    let right = format!("{homes}   {} ", local_time(snapshot.at, snapshot.offset, format));
    let name = fitted(&snapshot.microgrid, width.saturating_sub(right.chars().count() + 14));
    let gap = width.saturating_sub(11 + name.chars().count() + right.chars().count());
    Line::from(vec![
        Span::styled(" MEMCloud  ", Style::new().fg(Color::White).add_modifier(Modifier::BOLD)),
        Span::styled(name, Style::new().fg(Color::Indexed(153))),
        Span::raw(" ".repeat(gap)),
        Span::styled(right, Style::new().fg(TEXT)),
    ])
}

/// Where REST is, and the token.
fn access_lines(snapshot: &DemoSnapshot, width: usize) -> Vec<Line<'static>> {
    let addresses = &snapshot.addresses;
    if addresses.rest.is_empty() {
        return Vec::new();
    }
    let mut lines = named("REST", &addresses.rest, width);
    lines.extend(named("Token", &addresses.admin_token, width));
    lines
}

/// The progress of the back-fill, and how to reach the cloud.
fn foot_lines(
    snapshot: &DemoSnapshot,
    access: Vec<Line<'static>>,
    width: usize,
) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some((done, all)) = snapshot.ingest.backfill {
        #[expect(clippy::cast_precision_loss, reason = "a bar has a few hundred steps")]
        let (filled, rest) = bar(done as f64 / all.max(1) as f64, width.saturating_sub(50).min(30));
        lines.push(Line::from(vec![
            Span::styled(" Filling in the past ", QUIET),
            Span::styled(filled, SOLAR),
            Span::styled(rest, FAINT),
            Span::styled(format!(" {} of {}", count(done), count(all)), TEXT),
        ]));
    }
    lines.extend(access);
    lines
}

/// How to connect with everything there is, and a command to try on a home.
fn connect_lines(
    snapshot: &DemoSnapshot,
    home: Option<&HomeLine>,
    width: usize,
) -> Vec<Line<'static>> {
    let addresses = &snapshot.addresses;
    if addresses.rest.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![heading(format!(" {:<40}", "Connect"))];
    lines.extend(named("Docs", &addresses.docs, width));
    let hems = format!("{} (TLS, trust {})", addresses.hem, addresses.ca_file);
    lines.extend(named("HEMs", &hems, width));
    let to_try = command_to_try(addresses, home);
    if !to_try.is_empty() {
        lines.push(Line::styled(" To try: it ends in `effective`, with its evidence", QUIET));
        // Without a margin, so that it can be copied as it is.
        lines.extend(to_try.into_iter().map(|line| Line::styled(line, TO_COPY)));
    }
    lines
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
