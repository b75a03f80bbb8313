//! What the historian counts.

use memcloud_historian::{Histogram, HistorianMetrics};

use super::families::{Families, Shape};

/// Adds the families of the historian.
pub(super) fn collect(metrics: &HistorianMetrics, families: &mut Families) {
    let entries = "Numbered entries by what became of them: received = stored + refused + replayed + dropped + waiting.";
    for (outcome, count) in [
        ("received", &metrics.received),
        ("stored", &metrics.stored),
        ("refused", &metrics.refused),
        ("replayed", &metrics.replayed),
        ("dropped", &metrics.dropped),
    ] {
        families.counter(
            "memcloud_historian_entries_total",
            entries,
            Some(("outcome", outcome)),
            count.get(),
        );
    }
    families.gauge(
        "memcloud_historian_waiting",
        "Entries not yet on disk.",
        None,
        metrics.waiting.get(),
    );
    families.gauge("memcloud_historian_sessions", "Open sessions.", None, metrics.sessions.get());
    families.counter(
        "memcloud_historian_sessions_opened_total",
        "Sessions opened.",
        None,
        metrics.sessions_opened.get(),
    );
    for (outcome, count) in [("done", &metrics.commits), ("failed", &metrics.failed_commits)] {
        families.counter(
            "memcloud_historian_commits_total",
            "Commits by outcome; a failed one is tried again.",
            Some(("outcome", outcome)),
            count.get(),
        );
    }
    families.counter(
        "memcloud_historian_hints_dropped_total",
        "Committed batches that the bus had no space for.",
        None,
        metrics.dropped_hints.get(),
    );
    families.counter(
        "memcloud_historian_reads_refused_total",
        "Reads turned down because too many waited.",
        None,
        metrics.refused_reads.get(),
    );
    for (task, count) in [
        ("buckets-rolled-up", &metrics.rolled_up),
        ("readings-sealed", &metrics.sealed),
        ("rows-deleted", &metrics.deleted),
        ("steps-failed", &metrics.failed_upkeep),
        ("hems-damaged", &metrics.damaged),
    ] {
        families.counter(
            "memcloud_historian_upkeep_total",
            "What upkeep did.",
            Some(("what", task)),
            count.get(),
        );
    }
    families.histogram(
        "memcloud_historian_commit_entries",
        "Entries per commit.",
        &shape(&metrics.commit_sizes),
        1.0,
    );
    families.histogram(
        "memcloud_historian_commit_seconds",
        "How long commits took.",
        &shape(&metrics.commit_microseconds),
        1e-6,
    );
}

fn shape(histogram: &Histogram) -> Shape {
    Shape { cumulative: histogram.cumulative(), count: histogram.count(), sum: histogram.sum() }
}
