//! The four energies of the microgrid: now, over the last minutes, and as a chart.

use memcloud_domain::Watts;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType};

use crate::demo_view::figures::{percent, power, signed_power, sparkline};
use crate::demo_view::palette::{BATTERY, EXPORT, FAINT, GRID, QUIET, SOLAR, USE};
use crate::demo_view::snapshot::{DemoSnapshot, TrendPoint};

/// The four energies of the microgrid, each with its last minutes.
pub(super) fn total_lines(snapshot: &DemoSnapshot, width: usize) -> Vec<Line<'static>> {
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

/// The energies of the last minutes as lines.
pub(super) fn render_chart(frame: &mut Frame<'_>, area: Rect, snapshot: &DemoSnapshot) {
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
