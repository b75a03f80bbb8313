//! What the dispatch of all microgrids counts.

use memcloud_microgrid::DispatchCounts;

use super::families::Families;

/// Adds the families of dispatch.
pub(super) fn collect(counts: &DispatchCounts, families: &mut Families) {
    families.counter(
        "memcloud_dispatch_orders_total",
        "Orders that dispatch decided on and the ledger took.",
        None,
        counts.orders(),
    );
    for (why, count) in [
        ("envelope", counts.refused_by_envelope()),
        ("rank", counts.refused_by_rank()),
        ("budget", counts.refused_by_budget()),
    ] {
        families.counter(
            "memcloud_dispatch_refused_total",
            "Claims turned down: outside the safety envelope, outranked, or over their job's budget.",
            Some(("why", why)),
            count,
        );
    }
    families.counter(
        "memcloud_dispatch_held_back_total",
        "Orders held back because their node had enough of them within a minute.",
        None,
        counts.held_back(),
    );
    families.counter(
        "memcloud_dispatch_over_fleet_budget_total",
        "Orders that waited for the fleet's budget of watts a minute.",
        None,
        counts.over_fleet_budget(),
    );
    families.gauge(
        "memcloud_dispatch_wishes",
        "Wishes of jobs that stand.",
        None,
        counts.wishes_standing(),
    );
}
