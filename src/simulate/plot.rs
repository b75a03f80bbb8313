//! A picture of some days of a run, as an SVG that can be read in a README: the microgrid's power with
//! control and without, its PV and loads, and its batteries.

mod chart;

use chrono::{Days, NaiveDate, NaiveTime, TimeZone};
use chrono_tz::Tz;
use memcloud_domain::Timestamp;

use self::chart::{Chart, Line, Panel, Style};
use super::meter::{Metered, QUARTER_MS, Quarter};
use super::scenario::Scenario;
use super::timeline::Span;

/// A picture shows at most so many days.
pub const MOST_DAYS: u32 = 31;

/// The days of a picture, in a time zone.
///
/// # Errors
/// What is wrong, and what may be asked for.
pub fn days(first: &str, count: u32, zone: Tz) -> Result<Span, String> {
    let date = NaiveDate::parse_from_str(first, "%Y-%m-%d")
        .map_err(|_| format!("\"{first}\" is no date, like 2026-06-21"))?;
    if !(1..=MOST_DAYS).contains(&count) {
        return Err(format!("{count} days cannot be drawn; 1 to {MOST_DAYS} can"));
    }
    let midnight = |date: NaiveDate| -> Option<Timestamp> {
        let local = zone.from_local_datetime(&date.and_time(NaiveTime::MIN)).earliest()?;
        Some(local.to_utc().into())
    };
    let end = date.checked_add_days(Days::new(u64::from(count)));
    match (midnight(date), end.and_then(midnight)) {
        (Some(from), Some(until)) => Ok(Span { from, until }),
        _ => Err(format!("{first} cannot be drawn: the day does not begin at midnight")),
    }
}

/// Draws what lies in a span.
#[must_use]
pub(super) fn draw(
    scenario: &Scenario,
    control: &Metered,
    without: &Metered,
    span: Span,
) -> String {
    let series = |metered: &Metered, of: fn(&Quarter) -> f64| -> Vec<(i64, f64)> {
        let middle = |place: usize| {
            let quarters = i64::try_from(place).unwrap_or(0);
            scenario.from.as_millis() + quarters * QUARTER_MS + QUARTER_MS / 2
        };
        let placed = metered.quarters.iter().enumerate();
        placed
            .map(|(place, quarter)| (middle(place), of(quarter)))
            .filter(|(at, _)| span.holds(Timestamp(*at)))
            .collect()
    };
    let kw = |metered, of| -> Vec<(i64, f64)> {
        let watts: Vec<(i64, f64)> = series(metered, of);
        watts.into_iter().map(|(at, watts)| (at, watts / 1_000.0)).collect()
    };
    let percent = |metered| -> Vec<(i64, f64)> {
        let shares = series(metered, |quarter| quarter.state_of_charge);
        shares.into_iter().map(|(at, share)| (at, share * 100.0)).collect()
    };
    let power = Panel {
        title: "power of the microgrid, kW (15-minute means)".to_owned(),
        height: 260.0,
        lines: vec![
            Line::new("PV", Style::Area, kw(control, |quarter| quarter.generation_watts)),
            Line::new("consumption", Style::Thin, kw(control, |quarter| quarter.consumption_watts)),
            Line::new(
                "net import without control",
                Style::Dashed,
                kw(without, |quarter| quarter.net_watts),
            ),
            Line::new("net import", Style::Bold, kw(control, |quarter| quarter.net_watts)),
        ],
        marks: [
            (scenario.import_limit_watts, 1.0, "import limit"),
            (scenario.export_limit_watts, -1.0, "export limit"),
        ]
        .into_iter()
        .filter_map(|(limit, sign, name)| {
            limit.map(|watts| (sign * watts / 1_000.0, name.to_owned()))
        })
        .collect(),
        fixed: None,
    };
    let mut panels = vec![power];
    let rests = |metered: &Metered| {
        series(metered, |quarter| quarter.battery_watts).iter().all(|(_, watts)| watts.abs() < 1.0)
    };
    if !rests(control) || !rests(without) {
        let batteries = Panel {
            title: "batteries together, kW (above 0: charging)".to_owned(),
            height: 130.0,
            lines: vec![
                Line::new(
                    "without control",
                    Style::Dashed,
                    kw(without, |quarter| quarter.battery_watts),
                ),
                Line::new(
                    "with control",
                    Style::Battery,
                    kw(control, |quarter| quarter.battery_watts),
                ),
            ],
            marks: Vec::new(),
            fixed: None,
        };
        let charge = Panel {
            title: "state of charge, %".to_owned(),
            height: 110.0,
            lines: vec![
                Line::new("without control", Style::Dashed, percent(without)),
                Line::new("with control", Style::Battery, percent(control)),
            ],
            marks: Vec::new(),
            fixed: Some((0.0, 100.0)),
        };
        panels.extend([batteries, charge]);
    }
    let mut spans: Vec<(Span, &str)> = Vec::new();
    spans.extend(scenario.timeline.outages.iter().map(|outage| (outage.span, "no link")));
    spans.extend(scenario.timeline.islands.iter().map(|island| (island.span, "island")));
    Chart { title: scenario.title.clone(), span, zone: scenario.time_zone, shaded: spans, panels }
        .to_svg()
}
