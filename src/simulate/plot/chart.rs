//! Panels of lines over one time axis, written as SVG. Knows nothing of energy.

use std::fmt::Write as _;

use chrono::{Datelike, Timelike};
use chrono_tz::Tz;
use memcloud_domain::Timestamp;

use crate::simulate::timeline::Span;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 44.0;
/// Above each panel: its title and legend.
const HEAD: f64 = 36.0;
/// Below the last panel: the time axis.
const FOOT: f64 = 48.0;
const HOUR_MS: i64 = 3_600_000;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Area,
    Thin,
    Dashed,
    Bold,
    Battery,
}

impl Style {
    fn attributes(self) -> &'static str {
        match self {
            Self::Area => {
                r##"fill="#f6d96b" fill-opacity="0.55" stroke="#c99700" stroke-width="1""##
            }
            Self::Thin => r##"fill="none" stroke="#4a7ab5" stroke-width="1.3""##,
            Self::Dashed => {
                r##"fill="none" stroke="#8a8a8a" stroke-width="1.5" stroke-dasharray="5 3""##
            }
            Self::Bold => r##"fill="none" stroke="#b3261e" stroke-width="2""##,
            Self::Battery => r##"fill="none" stroke="#2e7d32" stroke-width="2""##,
        }
    }
}

/// A line: values over Unix milliseconds, ascending.
#[derive(Debug, Clone)]
pub(super) struct Line {
    name: &'static str,
    style: Style,
    points: Vec<(i64, f64)>,
}

impl Line {
    pub(super) fn new(name: &'static str, style: Style, points: Vec<(i64, f64)>) -> Self {
        Self { name, style, points }
    }
}

/// Lines on a common axis.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) height: f64,
    pub(super) lines: Vec<Line>,
    /// Values that are marked across, with their names.
    pub(super) marks: Vec<(f64, String)>,
    /// The least and greatest value, where they do not follow from the lines.
    pub(super) fixed: Option<(f64, f64)>,
}

/// Panels over one time axis.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) span: Span,
    pub(super) zone: Tz,
    /// Spans that are shaded, with their names.
    pub(super) shaded: Vec<(Span, &'static str)>,
    pub(super) panels: Vec<Panel>,
}

/// An axis whose ends are round numbers.
#[derive(Debug, Clone, Copy)]
struct Axis {
    least: f64,
    greatest: f64,
    step: f64,
}

impl Axis {
    fn of(panel: &Panel) -> Self {
        let values =
            panel.lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value));
        let values = values.chain(panel.marks.iter().map(|(value, _)| *value));
        let (least, greatest) = panel.fixed.unwrap_or_else(|| {
            values.fold((0.0, 0.0), |(least, greatest), value| {
                (f64::min(least, value), f64::max(greatest, value))
            })
        });
        let range = (greatest - least).max(1e-3);
        let most_steps = if panel.height > 150.0 { 8.0 } else { 4.0 };
        let step = round_step(range / most_steps);
        let bottom = (least / step).floor() * step;
        let top = (greatest / step).ceil() * step;
        Self { least: bottom, greatest: top.max(bottom + step), step }
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        let count = ((self.greatest - self.least) / self.step).round().clamp(1.0, 50.0);
        (0_u32..=50)
            .map(f64::from)
            .take_while(move |tick| *tick <= count)
            .map(move |tick| self.least + tick * self.step)
    }

    /// Fewest digits in which its ticks differ.
    fn places(self) -> usize {
        if self.step >= 1.0 {
            0
        } else if self.step >= 0.1 {
            1
        } else {
            2
        }
    }
}

/// The next of 1, 2, 5, 10, 20, 50, … at or above.
fn round_step(least: f64) -> f64 {
    let magnitude = 10.0_f64.powf(least.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * magnitude >= least * 0.999);
    digit.unwrap_or(10.0) * magnitude
}

impl Chart {
    pub(super) fn to_svg(&self) -> String {
        let height = TOP + self.panels.iter().map(|panel| panel.height + HEAD).sum::<f64>() + FOOT;
        let mut svg = String::with_capacity(64 * 1_024);
        put(
            &mut svg,
            format_args!(
                r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif" font-size="12" fill="#222" role="img">"##
            ),
        );
        let title = escaped(&self.title);
        put(&mut svg, format_args!("<title>{title}</title>"));
        put(
            &mut svg,
            format_args!(r##"<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>"##),
        );
        put(
            &mut svg,
            format_args!(
                r##"<text x="{LEFT}" y="24" font-size="16" font-weight="600">{title}</text>"##
            ),
        );
        let mut top = TOP;
        for panel in &self.panels {
            self.draw_panel(&mut svg, panel, top + HEAD);
            top += HEAD + panel.height;
        }
        self.draw_times(&mut svg, top);
        svg.push_str("</svg>\n");
        svg
    }

    fn x(&self, at: i64) -> f64 {
        let (from, until) = (self.span.from.as_millis(), self.span.until.as_millis());
        let share = seconds(at - from) / seconds((until - from).max(1));
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn draw_panel(&self, svg: &mut String, panel: &Panel, top: f64) {
        let axis = Axis::of(panel);
        let bottom = top + panel.height;
        let y = |value: f64| {
            bottom - (value - axis.least) / (axis.greatest - axis.least) * panel.height
        };
        let right = WIDTH - RIGHT;
        put(
            svg,
            format_args!(
                r##"<text x="{LEFT}" y="{:.1}" font-weight="600">{}</text>"##,
                top - 10.0,
                escaped(&panel.title)
            ),
        );
        self.draw_shades(svg, top, panel.height);
        for tick in axis.ticks() {
            let at = y(tick);
            let stroke = if tick.abs() < axis.step / 1e3 { "#777" } else { "#e4e4e4" };
            put(
                svg,
                format_args!(
                    r##"<line x1="{LEFT}" y1="{at:.1}" x2="{right}" y2="{at:.1}" stroke="{stroke}"/>"##
                ),
            );
            let label = format!("{:.*}", axis.places(), tick + 0.0);
            put(
                svg,
                format_args!(
                    r##"<text x="{:.1}" y="{:.1}" text-anchor="end" fill="#555">{label}</text>"##,
                    LEFT - 8.0,
                    at + 4.0
                ),
            );
        }
        for line in &panel.lines {
            self.draw_line(svg, line, y);
        }
        for (value, name) in &panel.marks {
            let at = y(*value);
            put(
                svg,
                format_args!(
                    r##"<line x1="{LEFT}" y1="{at:.1}" x2="{right}" y2="{at:.1}" stroke="#6a1b9a" stroke-width="1.2" stroke-dasharray="2 3"/><text x="{:.1}" y="{:.1}" text-anchor="end" fill="#6a1b9a">{}</text>"##,
                    right - 4.0,
                    at - 4.0,
                    escaped(name)
                ),
            );
        }
        draw_legend(svg, panel, top - 14.0);
    }

    fn draw_shades(&self, svg: &mut String, top: f64, height: f64) {
        for (span, name) in &self.shaded {
            let from = span.from.max(self.span.from);
            let until = span.until.min(self.span.until);
            if from >= until {
                continue;
            }
            let (left, right) = (self.x(from.as_millis()), self.x(until.as_millis()));
            put(
                svg,
                format_args!(
                    r##"<rect x="{left:.1}" y="{top:.1}" width="{:.1}" height="{height:.1}" fill="#ececf6"/><text x="{:.1}" y="{:.1}" fill="#55557a">{name}</text>"##,
                    right - left,
                    left + 4.0,
                    top + 14.0
                ),
            );
        }
    }

    fn draw_line(&self, svg: &mut String, line: &Line, y: impl Fn(f64) -> f64) {
        let (Some(first), Some(last)) = (line.points.first(), line.points.last()) else { return };
        let mut path = String::with_capacity(line.points.len() * 14);
        let mut pen = 'M';
        if line.style == Style::Area {
            let _ = write!(path, "M{:.1} {:.1}", self.x(first.0), y(0.0));
            pen = 'L';
        }
        for (at, value) in &line.points {
            let _ = write!(path, "{pen}{:.1} {:.1}", self.x(*at), y(*value));
            pen = 'L';
        }
        if line.style == Style::Area {
            let _ = write!(path, "L{:.1} {:.1}Z", self.x(last.0), y(0.0));
        }
        put(svg, format_args!(r#"<path d="{path}" {}/>"#, line.style.attributes()));
    }

    /// Hours of a day or two, else the days.
    fn draw_times(&self, svg: &mut String, bottom: f64) {
        let (from, until) = (self.span.from.as_millis(), self.span.until.as_millis());
        let days = (until - from) / (24 * HOUR_MS);
        let every_hours: u32 = match days {
            ..=1 => 2,
            2..=3 => 6,
            _ => 24,
        };
        let mut at = from;
        while at <= until {
            let local = Timestamp(at).to_datetime().with_timezone(&self.zone);
            if local.hour().is_multiple_of(every_hours) && local.minute() == 0 {
                let x = self.x(at);
                put(
                    svg,
                    format_args!(
                        r##"<line x1="{x:.1}" y1="{bottom:.1}" x2="{x:.1}" y2="{:.1}" stroke="#777"/>"##,
                        bottom + 5.0
                    ),
                );
                let label = if every_hours == 24 {
                    format!("{:02}-{:02}", local.month(), local.day())
                } else {
                    format!("{:02}:00", local.hour())
                };
                put(
                    svg,
                    format_args!(
                        r##"<text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#555">{label}</text>"##,
                        bottom + 19.0
                    ),
                );
            }
            at += HOUR_MS / 4;
        }
        let first = self.span.from.to_datetime().with_timezone(&self.zone);
        put(
            svg,
            format_args!(
                r##"<text x="{:.1}" y="{:.1}" text-anchor="middle" fill="#555">local time, from {} ({})</text>"##,
                LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
                bottom + 38.0,
                first.format("%Y-%m-%d"),
                self.zone.name()
            ),
        );
    }
}

/// Names stand at the right above their panel.
fn draw_legend(svg: &mut String, panel: &Panel, y: f64) {
    let mut x = WIDTH - RIGHT;
    for line in panel.lines.iter().rev() {
        // About so wide is a letter of this size.
        let width = chars(line.name) * 6.6;
        x -= width;
        put(svg, format_args!(r#"<text x="{x:.1}" y="{:.1}">{}</text>"#, y + 4.0, line.name));
        x -= 28.0;
        let sample = if line.style == Style::Area {
            format!("M{x:.1} {:.1}h22v-10h-22Z", y + 5.0)
        } else {
            format!("M{x:.1} {y:.1}h22")
        };
        put(svg, format_args!(r#"<path d="{sample}" {}/>"#, line.style.attributes()));
        x -= 16.0;
    }
}

fn chars(text: &str) -> f64 {
    u32::try_from(text.chars().count()).map_or(0.0, f64::from)
}

fn seconds(ms: i64) -> f64 {
    // A picture is of some weeks.
    i32::try_from(ms / 1_000).map_or(0.0, f64::from)
}

fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(svg, "{text}");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_an_axis_are_round() {
        for (least, step) in
            [(0.7, 1.0), (1.0, 1.0), (1.3, 2.0), (3.0, 5.0), (7.0, 10.0), (0.03, 0.05)]
        {
            assert!((round_step(least) - step).abs() < 1e-9, "{least}: {}", round_step(least));
        }
    }

    #[test]
    fn a_flat_line_has_an_axis_too() {
        let panel = Panel {
            title: String::new(),
            height: 100.0,
            lines: vec![Line::new("zero", Style::Bold, vec![(0, 0.0), (1, 0.0)])],
            marks: Vec::new(),
            fixed: None,
        };
        let axis = Axis::of(&panel);
        assert!(axis.greatest > axis.least && axis.ticks().count() >= 2);
    }
}
