//! What the worker jobs say, and what happened lately.

use memcloud_domain::JobState;
use ratatui::style::Color;
use ratatui::text::{Line, Span};

use super::text::{fitted, heading};
use crate::demo_view::figures::local_time;
use crate::demo_view::palette::{ALARM, BATTERY, FAINT, QUIET, TEXT};
use crate::demo_view::plain::job_state;
use crate::demo_view::snapshot::{DemoSnapshot, JobLine};

/// A heading and as many jobs as there is room for, those that worry first where not all fit.
pub(super) fn job_lines(snapshot: &DemoSnapshot, width: usize, room: usize) -> Vec<Line<'static>> {
    let Some(shown) = room.checked_sub(1).filter(|shown| *shown > 0) else { return Vec::new() };
    let mut jobs: Vec<&JobLine> = snapshot.jobs.iter().collect();
    if jobs.len() > shown {
        jobs.sort_by_key(|job| !job.alarm);
    }
    let lines = jobs.into_iter().take(shown).map(|job| job_line(job, width));
    std::iter::once(heading(format!(" {:<40}", "Jobs"))).chain(lines).collect()
}

pub(super) fn job_line(job: &JobLine, width: usize) -> Line<'static> {
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
    let said_colour = if failed || job.alarm { ALARM } else { TEXT };
    Line::from(vec![
        Span::styled(format!(" {mark} "), colour),
        Span::styled(format!("{:<18}", fitted(&job.app, 18)), Color::White),
        Span::styled(fitted(&said, width.saturating_sub(22)), said_colour),
    ])
}

/// A heading and the latest messages, as many as there is room for.
pub(super) fn message_lines(
    snapshot: &DemoSnapshot,
    width: usize,
    room: usize,
) -> Vec<Line<'static>> {
    let shown = room.saturating_sub(1).min(snapshot.messages.len());
    if shown == 0 {
        return Vec::new();
    }
    let mut lines = vec![heading(format!(" {:<40}", "Lately"))];
    for message in snapshot.messages.iter().skip(snapshot.messages.len() - shown) {
        let time = local_time(message.at, snapshot.offset, "%H:%M:%S");
        lines.push(Line::from(vec![
            Span::styled(format!(" {time}  "), FAINT),
            Span::styled(fitted(&message.text, width.saturating_sub(12)), TEXT),
        ]));
    }
    lines
}
