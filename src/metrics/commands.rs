//! What the ledger of commands counts.

use memcloud_commands::{CommandMetrics, Histogram};
use memcloud_domain::CommandState;

use super::families::{Families, Shape};

/// Adds the families of the ledger.
pub(super) fn collect(metrics: &CommandMetrics, families: &mut Families) {
    for state in CommandState::ALL {
        families.counter(
            "memcloud_commands_total",
            "Commands by the state that they came into; each counts in every state of its way.",
            Some(("state", state.as_str())),
            metrics.came_into(state),
        );
    }
    for (name, help, count) in [
        (
            "memcloud_commands_turned_down_total",
            "Commands turned down before they had a row: wrong arguments, too many open.",
            &metrics.turned_down,
        ),
        (
            "memcloud_commands_handed_over_total",
            "Commands handed to a socket, first or again.",
            &metrics.handed_over,
        ),
        (
            "memcloud_commands_resent_total",
            "Commands handed to a socket again: after a welcome, or because the result was overdue.",
            &metrics.resent,
        ),
        (
            "memcloud_commands_moot_answers_total",
            "Answers of HEMs that changed nothing: repeated, unknown, of another HEM's command.",
            &metrics.moot_answers,
        ),
        (
            "memcloud_commands_dropped_answers_total",
            "Answers of HEMs for which there was no space; they are asked again.",
            &metrics.dropped_answers,
        ),
        (
            "memcloud_commands_fenced_writes_total",
            "Transactions that were not written, because another process runs the microgrid.",
            &metrics.fenced_writes,
        ),
        (
            "memcloud_commands_unheard_offers_total",
            "Offers to dispatch that found nobody, or no space; they are made again.",
            &metrics.unheard_offers,
        ),
        (
            "memcloud_commands_dropped_changes_total",
            "Changes for which a listener had no space.",
            &metrics.dropped_changes,
        ),
        (
            "memcloud_commands_over_fleet_budget_total",
            "Orders that the fleet's budget of watts a minute held back.",
            &metrics.over_fleet_budget,
        ),
        (
            "memcloud_commands_busy_hems_total",
            "Orders held back because their HEM has too many unanswered.",
            &metrics.busy_hems,
        ),
        (
            "memcloud_commands_looked_up_total",
            "Reads of stored readings, to see an effect that the bus did not show.",
            &metrics.looked_up,
        ),
        (
            "memcloud_commands_unavailable_total",
            "Requests turned down because the store was away, or too many waited.",
            &metrics.unavailable,
        ),
        ("memcloud_commands_deleted_total", "Rows that retention deleted.", &metrics.deleted),
    ] {
        families.counter(name, help, None, count.get());
    }
    for (outcome, count) in [("done", &metrics.commits), ("failed", &metrics.failed_commits)] {
        families.counter(
            "memcloud_commands_commits_total",
            "Transactions of the ledger by outcome; a failed one is tried again.",
            Some(("outcome", outcome)),
            count.get(),
        );
    }
    families.gauge(
        "memcloud_commands_open",
        "Commands that wait, are under way, or hold.",
        None,
        metrics.open.get(),
    );
    families.gauge(
        "memcloud_commands_waiting",
        "Requests, results and findings that wait for the disk.",
        None,
        metrics.waiting.get(),
    );
    families.gauge(
        "memcloud_commands_watched",
        "Commands whose effect is looked for in readings.",
        None,
        metrics.watched.get(),
    );
    families.histogram(
        "memcloud_commands_commit_rows",
        "Rows per transaction of the ledger.",
        &shape(&metrics.commit_sizes),
        1.0,
    );
    families.histogram(
        "memcloud_commands_commit_seconds",
        "How long transactions of the ledger took.",
        &shape(&metrics.commit_microseconds),
        1e-6,
    );
    families.histogram(
        "memcloud_commands_answer_seconds",
        "From sent to the HEM's answer, both on disk.",
        &shape(&metrics.answer_milliseconds),
        1e-3,
    );
}

fn shape(histogram: &Histogram) -> Shape {
    Shape { cumulative: histogram.cumulative(), count: histogram.count(), sum: histogram.sum() }
}
