//! What a process of a cluster counts.

use memcloud_cluster::ClusterMetrics;

use super::families::Families;

/// Adds the families of the cluster.
pub(super) fn collect(metrics: &ClusterMetrics, families: &mut Families) {
    families.gauge(
        "memcloud_cluster_processes",
        "Processes of the cluster that live, as this one knows it.",
        None,
        metrics.live.get(),
    );
    families.gauge(
        "memcloud_cluster_microgrids",
        "Microgrids that this process runs.",
        None,
        metrics.held.get(),
    );
    families.gauge(
        "memcloud_cluster_suspended",
        "1 while this process runs nothing, because it cannot say that it lives.",
        None,
        metrics.suspended.get(),
    );
    for (how, count) in [
        ("taken", metrics.taken.get()),
        ("handed_over", metrics.handed_over.get()),
        ("dropped", metrics.dropped.get()),
    ] {
        families.counter(
            "memcloud_cluster_moves_total",
            "Microgrids that this process took, handed over in order, or left because its lease was over.",
            Some(("how", how)),
            count,
        );
    }
    families.counter(
        "memcloud_cluster_failed_beats_total",
        "Times that the web store did not take that this process lives.",
        None,
        metrics.failed_beats.get(),
    );
    families.counter(
        "memcloud_cluster_passed_commands_total",
        "Commands that went to HEMs by way of another process.",
        None,
        metrics.passed_commands.get(),
    );
}
