//! The screen of the demo: what the microgrid does, home by home, in the colours of its energies.
//!
//! Everything is laid out for 80 by 24 without loss. Narrower, the least telling columns go;
//! taller, a chart of the last minutes and the latest messages come.

use memcloud_domain::{JobState, Watts};
use ratatui::Frame;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Paragraph};

use super::figures::{ago, bar, count, local_time, percent, power, rate, signed_power, sparkline};
use super::plain::job_state;
use super::snapshot::{DemoSnapshot, HomeLine, JobLine, TrendPoint};

const SOLAR: Color = Color::Indexed(214);
const BATTERY: Color = Color::Indexed(78);
const GRID: Color = Color::Indexed(141);
const EXPORT: Color = Color::Indexed(80);
const USE: Color = Color::Indexed(75);
const ALARM: Color = Color::Indexed(203);
const QUIET: Color = Color::Indexed(245);
const FAINT: Color = Color::Indexed(239);
const TITLE: Color = Color::Indexed(24);

/// The least height at which a chart takes nothing from the rest.
const CHART_FROM_HEIGHT: u16 = 34;

/// Below this, blank lines and what is least needed go, so that the homes stay.
const ROOMY_FROM_HEIGHT: u16 = 24;

/// What the screen remembers between two snapshots: how far the homes are scrolled.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScreenView {
    first_home: usize,
    /// How many homes were in view last time.
    page: usize,
}

impl ScreenView {
    /// Takes a key; true where the screen changes.
    pub fn accept(&mut self, key: KeyCode) -> bool {
        let before = self.first_home;
        self.first_home = match key {
            KeyCode::Down | KeyCode::Char('j') => before.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => before.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => before.saturating_add(self.page.max(1)),
            KeyCode::PageUp => before.saturating_sub(self.page.max(1)),
            KeyCode::Home => 0,
            KeyCode::End => usize::MAX,
            _ => before,
        };
        self.first_home != before
    }

    /// Draws a snapshot.
    pub fn render(&mut self, frame: &mut Frame<'_>, snapshot: &DemoSnapshot) {
        let area = frame.area();
        let width = usize::from(area.width);
        let roomy = area.height >= ROOMY_FROM_HEIGHT;
        let jobs = job_lines(snapshot, width, roomy);
        let foot = foot_lines(snapshot, width, roomy);
        let tall = area.height >= CHART_FROM_HEIGHT;
        // What is left when each home has its line goes to the chart, then to the messages.
        let fixed = 1 + 5 + 1 + jobs.len() + foot.len() + 3;
        let spare = usize::from(area.height).saturating_sub(fixed + snapshot.homes.len());
        let chart = if tall { (spare * 2 / 3).clamp(9, 20) } else { 0 };
        let left = spare.saturating_sub(chart);
        let messages = message_lines(snapshot, width, left);

        let [head, totals, chart, homes, jobs_area, messages_area, foot_area, keys] =
            Layout::vertical([
                Constraint::Length(1),
                Constraint::Length(rows(if roomy { 5 } else { 4 })),
                Constraint::Length(rows(chart)),
                Constraint::Min(3),
                Constraint::Length(rows(jobs.len())),
                Constraint::Length(rows(messages.len())),
                Constraint::Length(rows(foot.len())),
                Constraint::Length(1),
            ])
            .areas(area);
        frame.render_widget(Paragraph::new(head_line(snapshot, width)).bg(TITLE), head);
        let totals_padding = totals.height.saturating_sub(4).min(1);
        let totals =
            Rect { y: totals.y + totals_padding, height: totals.height - totals_padding, ..totals };
        frame.render_widget(Paragraph::new(total_lines(snapshot, width)), totals);
        if chart.height > 0 {
            render_chart(frame, chart, snapshot);
        }
        let lines = self.home_lines(snapshot, width, usize::from(homes.height));
        frame.render_widget(Paragraph::new(lines), homes);
        frame.render_widget(Paragraph::new(jobs), jobs_area);
        frame.render_widget(Paragraph::new(messages), messages_area);
        frame.render_widget(Paragraph::new(foot), foot_area);
        frame.render_widget(Paragraph::new(self.key_line(snapshot)), keys);
    }

    /// A blank, a heading, and as many homes as there is room for.
    fn home_lines(
        &mut self,
        snapshot: &DemoSnapshot,
        width: usize,
        height: usize,
    ) -> Vec<Line<'static>> {
        let blank = usize::from(height >= 7);
        let room = height.saturating_sub(1 + blank);
        let all = snapshot.homes.len();
        let cut = all > room;
        self.page = if cut { room.saturating_sub(1) } else { room };
        self.first_home = self.first_home.min(all.saturating_sub(self.page));

        let columns = Columns::for_width(width, snapshot);
        let mut lines = vec![Line::default(); blank];
        lines.push(columns.heading());
        let shown = snapshot.homes.iter().skip(self.first_home).take(self.page);
        lines.extend(shown.map(|home| columns.home(home, snapshot)));
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

    fn key_line(&self, snapshot: &DemoSnapshot) -> Line<'static> {
        let mut spans = vec![key(" q "), Span::styled(" quit  ", QUIET)];
        if snapshot.homes.len() > self.page {
            spans.extend([key(" ↑↓ "), Span::styled(" homes", QUIET)]);
        }
        Line::from(spans)
    }
}

fn key(name: &'static str) -> Span<'static> {
    Span::styled(name, Style::new().fg(Color::Indexed(252)).bg(Color::Indexed(237)))
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
        Span::styled(right, Style::new().fg(Color::Indexed(252))),
    ])
}

/// The four energies of the microgrid, each with its last minutes.
fn total_lines(snapshot: &DemoSnapshot, width: usize) -> Vec<Line<'static>> {
    let totals = &snapshot.totals;
    let consumption = totals.consumption_watts.value();
    let grid = totals.import_watts - totals.export_watts;
    let own = if consumption > 0.0 {
        format!("{} our own", percent(1.0 - totals.import_watts.value() / consumption))
    } else {
        String::new()
    };
    let storing = match totals.storage_watts.value() {
        ..-5.0 => "giving",
        5.0.. => "taking",
        _ => "resting",
    };
    let charge = totals.soc.map(|soc| format!("{} ", percent(soc.value()))).unwrap_or_default();
    let grid_note = match grid.value() {
        ..-5.0 => "exporting",
        5.0.. => "importing",
        _ => "in balance",
    };
    let most = |of: fn(&TrendPoint) -> Watts| {
        snapshot.trend.iter().map(|point| of(point).value().abs()).fold(0.0, f64::max)
    };
    // One scale for all four, so that heights compare.
    let top = [
        most(|point| point.generation),
        most(|point| point.consumption),
        most(|point| point.storage),
        most(|point| point.grid),
    ]
    .into_iter()
    .fold(100.0, f64::max);
    let row =
        |name: &str, figure: String, note: String, colour, other, of: fn(&TrendPoint) -> Watts| {
            let cells = width.saturating_sub(41);
            let values: Vec<f64> = snapshot.trend.iter().map(|point| of(point).value()).collect();
            let mut spans = vec![
                Span::styled(format!(" {name:<9}"), Style::new().fg(colour).bold()),
                Span::styled(format!("{figure:>11}"), Style::new().fg(Color::White).bold()),
                Span::styled(format!("  {note:<17}"), QUIET),
            ];
            spans.extend(sparkline(&values, cells, top).into_iter().map(|spark| {
                Span::styled(spark.symbol.to_string(), if spark.negative { other } else { colour })
            }));
            Line::from(spans)
        };
    vec![
        row("Solar", power(totals.generation_watts), String::new(), SOLAR, SOLAR, |point| {
            point.generation
        }),
        row("Use", power(totals.consumption_watts), own, USE, USE, |point| point.consumption),
        row(
            "Battery",
            signed_power(totals.storage_watts),
            format!("{charge}{storing}"),
            BATTERY,
            Color::Indexed(29),
            |point| point.storage,
        ),
        row("Grid", power(grid.abs()), grid_note.to_owned(), GRID, EXPORT, |point| point.grid),
    ]
}

fn render_chart(frame: &mut Frame<'_>, area: Rect, snapshot: &DemoSnapshot) {
    let points = |of: fn(&TrendPoint) -> Watts| -> Vec<(f64, f64)> {
        let length = snapshot.trend.len();
        let ago = |place: usize| -f64::from(u32::try_from(length - 1 - place).unwrap_or(0));
        let values = snapshot.trend.iter().enumerate();
        values.map(|(place, point)| (ago(place), of(point).value() / 1_000.0)).collect()
    };
    let series = [
        ("solar", SOLAR, points(|point| point.generation)),
        ("use", USE, points(|point| point.consumption)),
        ("battery", BATTERY, points(|point| point.storage)),
        ("grid", GRID, points(|point| point.grid)),
    ];
    let values = || series.iter().flat_map(|(_, _, points)| points.iter().map(|(_, y)| *y));
    let top = values().fold(1.0, f64::max) * 1.1;
    let bottom = values().fold(0.0, f64::min) * 1.1;
    let span = f64::from(u32::try_from(snapshot.trend.len().max(60)).unwrap_or(u32::MAX));
    let datasets = series
        .iter()
        .map(|(name, colour, points)| {
            Dataset::default()
                .name(*name)
                .marker(Marker::Braille)
                .graph_type(GraphType::Line)
                .style(Style::new().fg(*colour))
                .data(points)
        })
        .collect();
    let label = |value: f64| Span::styled(format!("{value:>7.1} kW"), QUIET);
    let earliest = Span::styled(format!("{} s ago", span - 1.0), QUIET);
    let chart = Chart::new(datasets)
        .x_axis(
            Axis::default()
                .bounds([-(span - 1.0), 0.0])
                .labels([earliest, Span::styled("now", QUIET)])
                .style(FAINT),
        )
        .y_axis(
            Axis::default()
                .bounds([bottom, top])
                .labels([label(bottom), label(f64::midpoint(bottom, top)), label(top)])
                .style(FAINT),
        )
        .legend_position(None);
    let [_, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(chart, area);
}

/// Which columns a home's line has at a width.
struct Columns {
    name: usize,
    bar: usize,
    seen: bool,
}

impl Columns {
    fn for_width(width: usize, snapshot: &DemoSnapshot) -> Self {
        let longest = snapshot.homes.iter().map(|home| home.name.chars().count()).max();
        let name = longest.unwrap_or(0).clamp(6, if width >= 100 { 24 } else { 10 });
        // Dot and name, four powers, percent; then what the rest allows.
        let taken = 3 + name + 4 * 10 + 7;
        let left = width.saturating_sub(taken);
        let seen = left >= 8;
        let bar = left.saturating_sub(if seen { 8 } else { 0 } + 2);
        Self { name, bar: if bar >= 4 { bar.min(24) } else { 0 }, seen }
    }

    fn heading(&self) -> Line<'static> {
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
        Line::styled(text, Style::new().fg(QUIET).add_modifier(Modifier::UNDERLINED))
    }

    fn home(&self, home: &HomeLine, snapshot: &DemoSnapshot) -> Line<'static> {
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
        let mut spans = vec![
            Span::styled(format!(" {dot} "), dot_colour),
            Span::styled(
                format!("{:<name$}", fitted(&home.name, self.name), name = self.name),
                name_colour,
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
        spans.push(Span::styled(format!("{charge:>7}"), tinted(Color::Indexed(252))));
        let (arrow, colour) = if home.grid.value() < 0.0 { ("↑", EXPORT) } else { ("↓", GRID) };
        let arrow = if home.grid.value().abs() < 5.0 { " " } else { arrow };
        spans.push(figure(format!("{arrow}{}", power(home.grid.abs())), home.grid, colour));
        if self.seen {
            let seen = ago(home.last_seen, snapshot.at);
            let colour = if home.active { QUIET } else { SOLAR };
            spans.push(Span::styled(format!("{seen:>8}"), colour));
        }
        Line::from(spans)
    }
}

fn charge_colour(home: &HomeLine) -> Color {
    match home.soc {
        Some(soc) if soc.value() < 0.15 => Color::Indexed(179),
        _ => BATTERY,
    }
}

fn job_lines(snapshot: &DemoSnapshot, width: usize, roomy: bool) -> Vec<Line<'static>> {
    if snapshot.jobs.is_empty() {
        return Vec::new();
    }
    let heading = Style::new().fg(QUIET).add_modifier(Modifier::UNDERLINED);
    let mut lines = vec![Line::styled(format!(" {:<40}", "Jobs"), heading)];
    if roomy {
        lines.insert(0, Line::default());
    }
    lines.extend(snapshot.jobs.iter().map(|job| job_line(job, width)));
    lines
}

fn job_line(job: &JobLine, width: usize) -> Line<'static> {
    let failed = matches!(job.state, JobState::Failed { .. });
    let (mark, colour) = match &job.state {
        _ if job.alarm => ("▲", ALARM),
        JobState::Running => ("●", BATTERY),
        JobState::Stopped => ("○", QUIET),
        JobState::Failed { .. } => ("✖", ALARM),
    };
    let said = match &job.state {
        _ if failed || job.latest.is_empty() => job_state(&job.state),
        JobState::Stopped => format!("stopped; {}", job.latest),
        _ => job.latest.clone(),
    };
    let said_colour = if failed || job.alarm { ALARM } else { Color::Indexed(252) };
    Line::from(vec![
        Span::styled(format!(" {mark} "), colour),
        Span::styled(format!("{:<18}", fitted(&job.app, 18)), Color::White),
        Span::styled(fitted(&said, width.saturating_sub(22)), said_colour),
    ])
}

fn message_lines(snapshot: &DemoSnapshot, width: usize, room: usize) -> Vec<Line<'static>> {
    let shown = room.saturating_sub(2).min(12).min(snapshot.messages.len());
    if shown == 0 {
        return Vec::new();
    }
    let heading = Style::new().fg(QUIET).add_modifier(Modifier::UNDERLINED);
    let mut lines = vec![Line::default(), Line::styled(format!(" {:<40}", "Lately"), heading)];
    for message in snapshot.messages.iter().skip(snapshot.messages.len() - shown) {
        let time = local_time(message.at, snapshot.offset, "%H:%M:%S");
        lines.push(Line::from(vec![
            Span::styled(format!(" {time}  "), FAINT),
            Span::styled(fitted(&message.text, width.saturating_sub(12)), Color::Indexed(252)),
        ]));
    }
    lines
}

/// What came in, and where to reach the cloud.
fn foot_lines(snapshot: &DemoSnapshot, width: usize, roomy: bool) -> Vec<Line<'static>> {
    let ingest = &snapshot.ingest;
    let mut came_in = vec![
        Span::styled(
            format!(" {}", count(ingest.acknowledged)),
            Style::new().fg(Color::White).bold(),
        ),
        Span::styled(" readings on disk and acknowledged, ", QUIET),
        Span::styled(rate(ingest.per_second), Color::White),
    ];
    if ingest.refused > 0 {
        came_in.push(Span::styled(format!(", {} refused", count(ingest.refused)), ALARM));
    }
    let mut lines = vec![Line::from(came_in)];
    if roomy {
        lines.insert(0, Line::default());
    }
    if let Some((done, all)) = ingest.backfill {
        #[expect(clippy::cast_precision_loss, reason = "a bar has a few hundred steps")]
        let (filled, rest) = bar(done as f64 / all.max(1) as f64, width.saturating_sub(50).min(30));
        lines.push(Line::from(vec![
            Span::styled(" Filling in the past ", QUIET),
            Span::styled(filled, SOLAR),
            Span::styled(rest, FAINT),
            Span::styled(format!(" {} of {}", count(done), count(all)), Color::Indexed(252)),
        ]));
    }
    let addresses = &snapshot.addresses;
    if addresses.rest.is_empty() {
        return lines;
    }
    lines.extend(named("REST", &addresses.rest, width));
    if roomy {
        lines.extend(named("Docs", &addresses.docs, width));
        let hems = format!("{} (TLS, trust {})", addresses.hem, addresses.ca_file);
        lines.extend(named("HEMs", &hems, width));
    }
    lines.extend(named("Token", &addresses.admin_token, width));
    lines
}

/// A name and a text to copy: broken into lines rather than cut.
fn named(name: &'static str, text: &str, width: usize) -> Vec<Line<'static>> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(width.saturating_sub(9).max(10))
        .enumerate()
        .map(|(row, chunk)| {
            let title = if row == 0 { name } else { "" };
            Line::from(vec![
                Span::styled(format!(" {title:<7}"), QUIET),
                Span::styled(chunk.iter().collect::<String>(), Color::Indexed(117)),
            ])
        })
        .collect()
}

/// A text within so many cells, its end cut with an ellipsis.
fn fitted(text: &str, cells: usize) -> String {
    if text.chars().count() <= cells {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(cells.saturating_sub(1)).collect();
    if cells > 0 {
        cut.push('…');
    }
    cut
}

fn rows(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use chrono::FixedOffset;
    use memcloud_domain::{PowerTotals, StateOfCharge, Timestamp};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;

    use super::*;
    use crate::demo_view::{Addresses, IngestLine, Message};

    /// A winter evening of five homes, one of them away.
    pub(in crate::demo_view) fn evening() -> DemoSnapshot {
        let at = Timestamp(1_794_880_982_000);
        let offset = FixedOffset::west_opt(8 * 3_600).unwrap();
        let mut snapshot = DemoSnapshot::starting("fontana", offset, at);
        for step in 0..300_u32 {
            let share = f64::from(step) / 300.0;
            snapshot.totals = PowerTotals {
                generation_watts: Watts(9_000.0 * (1.0 - share) * (1.0 - share)),
                consumption_watts: Watts(3_500.0 + 3_000.0 * share * share),
                storage_watts: Watts(5_000.0 - 9_300.0 * share),
                import_watts: Watts((2_400.0 * share - 800.0).max(0.0)),
                export_watts: Watts((800.0 - 2_400.0 * share).max(0.0)),
                soc: Some(StateOfCharge(0.62)),
            };
            snapshot.extend_trend();
        }
        let figures = [
            (1_234.0, 180.0, -1_054.0, 0.81, 0.0),
            (2_480.0, 0.0, -2_471.0, 0.43, 9.0),
            (310.0, 95.0, 0.0, 1.0, 215.0),
            (2_105.0, 310.0, -480.0, 0.104, 1_315.0),
            (360.0, 610.0, 0.0, 1.0, -250.0),
        ];
        snapshot.homes = (1..)
            .zip(figures)
            .map(|(number, (load, solar, battery, soc, grid))| HomeLine {
                name: format!("home-{number}"),
                online: number != 3,
                active: number != 3,
                load: Watts(load),
                solar: Watts(solar),
                battery: Watts(battery),
                soc: Some(StateOfCharge(soc)),
                grid: Watts(grid),
                last_seen: Some(at.minus(Duration::from_secs(if number == 3 { 312 } else { 0 }))),
            })
            .collect();
        snapshot.ingest =
            IngestLine { acknowledged: 51_385, per_second: 4.0, refused: 0, backfill: None };
        snapshot.jobs = vec![
            JobLine {
                app: "energy-accounting".into(),
                state: JobState::Running,
                latest: "hour 17:00: used 6.12 kWh, 71 % our own, 0.39 USD".into(),
                alarm: false,
            },
            JobLine {
                app: "limit-watch".into(),
                state: JobState::Running,
                latest: "import 1.6 kW is over the limit of 1.5 kW since 18:02:41".into(),
                alarm: true,
            },
        ];
        snapshot.addresses = Addresses {
            rest: "http://127.0.0.1:8080/api/v1".into(),
            docs: "http://127.0.0.1:8080/api/docs".into(),
            hem: "127.0.0.1:23123".into(),
            ca_file: "data/demo/keys/ca-cert.pem".into(),
            admin_token: "mct_".to_owned() + &"4f8c1d2e9ab07653".repeat(4),
        };
        snapshot.messages.extend([
            Message {
                at: at.minus(Duration::from_secs(90)),
                text: "filled in 50,400 readings of the past week in 6.2 s".into(),
            },
            Message { at, text: "home-3 went offline".into() },
        ]);
        snapshot
    }

    fn drawn(view: &mut ScreenView, snapshot: &DemoSnapshot, width: u16, height: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.render(frame, snapshot)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn text(buffer: &Buffer) -> String {
        let width = usize::from(buffer.area.width);
        let rows = buffer.content.chunks(width);
        let lines = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
        lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    fn shown(snapshot: &DemoSnapshot, width: u16, height: u16) -> String {
        text(&drawn(&mut ScreenView::default(), snapshot, width, height))
    }

    #[test]
    fn a_job_that_is_stopped_says_so_beside_what_it_found_out() {
        let job = JobLine {
            app: "energy-accounting".into(),
            state: JobState::Stopped,
            latest: "today 22.5 kWh used".into(),
            alarm: false,
        };
        assert!(job_line(&job, 80).to_string().contains("stopped; today 22.5 kWh used"));
    }

    #[test]
    fn the_screen_of_a_plain_terminal_holds_everything() {
        insta::assert_snapshot!("80x24", shown(&evening(), 80, 24));
    }

    #[test]
    fn a_big_terminal_gets_a_chart_and_the_latest_messages() {
        insta::assert_snapshot!("200x50", shown(&evening(), 200, 50));
    }

    #[test]
    fn a_narrow_terminal_keeps_every_figure_and_the_whole_token() {
        insta::assert_snapshot!("60x26", shown(&evening(), 60, 26));
    }

    #[test]
    fn a_low_terminal_keeps_the_homes_and_the_token_and_lets_the_rest_go() {
        insta::assert_snapshot!("80x18", shown(&evening(), 80, 18));
    }

    #[test]
    fn before_anything_is_known_the_screen_says_so() {
        let at = Timestamp(1_794_880_982_000);
        let snapshot = DemoSnapshot::starting("fontana", evening().offset, at);
        insta::assert_snapshot!("starting", shown(&snapshot, 80, 24));
    }

    #[test]
    fn while_the_past_is_filled_in_a_bar_says_how_far() {
        let mut snapshot = evening();
        snapshot.ingest.backfill = Some((25_200, 50_400));
        assert!(
            shown(&snapshot, 80, 25).contains("███████████████░░░░░░░░░░░░░░░ 25,200 of 50,400")
        );
    }

    #[test]
    fn no_size_of_a_terminal_brings_it_down() {
        let mut snapshot = evening();
        for homes in [0, 5, 300] {
            let home =
                snapshot.homes.first().cloned().unwrap_or_else(|| evening().homes[0].clone());
            snapshot.homes = vec![home; homes];
            for width in [1, 2, 9, 20, 40, 79, 130, 400] {
                for height in [1, 2, 5, 10, 23, 34, 90] {
                    drawn(&mut ScreenView::default(), &snapshot, width, height);
                }
            }
        }
    }

    #[test]
    fn each_energy_has_its_colour_and_an_alarm_is_red() {
        let buffer = drawn(&mut ScreenView::default(), &evening(), 80, 24);
        let colour_of = |word: &str| {
            let rows: Vec<&[ratatui::buffer::Cell]> = buffer.content.chunks(80).collect();
            let found = rows.iter().find_map(|row| {
                let line: Vec<&str> = row.iter().map(|cell| cell.symbol()).collect();
                let at = (0..80).find(|at| line[*at..].concat().starts_with(word))?;
                Some(row[at].fg)
            });
            found.unwrap_or_else(|| panic!("{word} is not on the screen"))
        };
        assert_eq!(colour_of("Solar"), SOLAR);
        assert_eq!(colour_of("Use"), USE);
        assert_eq!(colour_of("Battery"), BATTERY);
        assert_eq!(colour_of("Grid"), GRID);
        assert_eq!(colour_of("↑0.25 kW"), EXPORT);
        assert_eq!(colour_of("import 1.6 kW is over"), ALARM);
    }

    #[test]
    fn many_homes_scroll_and_never_beyond_the_last() {
        let mut snapshot = evening();
        let home = snapshot.homes[0].clone();
        snapshot.homes =
            (1..=100).map(|i| HomeLine { name: format!("h{i}"), ..home.clone() }).collect();
        let mut view = ScreenView::default();
        let first = text(&drawn(&mut view, &snapshot, 80, 24));
        assert!(
            first.contains(" h1 ") && first.contains("1 to 4 of 100 homes, 0 offline"),
            "{first}"
        );
        assert!(view.accept(KeyCode::PageDown));
        assert!(text(&drawn(&mut view, &snapshot, 80, 24)).contains("5 to 8 of 100"));
        view.accept(KeyCode::End);
        let last = text(&drawn(&mut view, &snapshot, 80, 24));
        assert!(last.contains(" h100 ") && last.contains("97 to 100 of 100"), "{last}");
        assert!(view.accept(KeyCode::Up), "the end is where the last home is, not beyond");
        assert!(text(&drawn(&mut view, &snapshot, 80, 24)).contains("96 to 99 of 100"));
    }
}
