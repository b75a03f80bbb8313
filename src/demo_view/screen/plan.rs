//! What goes on a screen of a height, and how much of it: the homes first, then what is steered, then
//! the rest.

use crate::demo_view::snapshot::DemoSnapshot;

/// The rows of each part, without the blank before it; 0: it is left out. The homes have the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) has_blanks: bool,
    pub(super) chart: usize,
    pub(super) why: usize,
    pub(super) commands: usize,
    pub(super) jobs: usize,
    pub(super) messages: usize,
    pub(super) connect: usize,
    pub(super) foot: usize,
}

/// Head, totals and keys.
const FIXED: usize = 1 + 4 + 1;
/// So many homes are in view before anything else gets room.
const FIRST_HOMES: usize = 5;
/// Below this height of a screen there is no chart, so that it does not come and go with the rest.
const CHART_FROM_HEIGHT: u16 = 34;
/// The least height of a chart that can be read.
const LEAST_CHART: usize = 9;
const MOST_CHART: usize = 18;
const MOST_COMMANDS: usize = 12;
const MOST_MESSAGES: usize = 9;

/// Rows that are left.
struct Left(usize);

impl Left {
    /// As many as are wanted, if there are at least so many.
    fn take(&mut self, wanted: usize, least: usize) -> usize {
        let taken = wanted.min(self.0);
        if taken < least.min(wanted) {
            return 0;
        }
        self.0 -= taken;
        taken
    }
}

impl Plan {
    /// Why a home is as it is, is never told in more rows.
    pub(super) const MOST_WHY: usize = 10;

    /// A plan. Given are the rows that it takes to say why the home is as it is, to name REST and the
    /// token, and to say all about connecting.
    pub(super) fn of(
        height: u16,
        snapshot: &DemoSnapshot,
        why: usize,
        access: usize,
        connect: usize,
    ) -> Self {
        let homes = 1 + snapshot.homes.len().max(1);
        let first_homes = homes.min(1 + FIRST_HOMES);
        let mut left = Left(usize::from(height).saturating_sub(FIXED + first_homes));
        let mut plan = Self::default();
        let is_steered = !snapshot.commands.is_empty() || snapshot.why.is_some();
        let backfill = usize::from(snapshot.ingest.backfill.is_some());
        plan.foot = left.take(access + backfill, access + backfill);
        plan.commands = if is_steered { left.take(3, 2) } else { 0 };
        let jobs = snapshot.jobs.len();
        plan.jobs = if jobs > 0 { left.take(1 + jobs, 2) } else { 0 };
        plan.why = left.take(why.min(2), 1);
        left.take(homes - first_homes, 0);

        let parts = [plan.foot, plan.commands, plan.jobs, plan.why, 1, 1];
        let blanks = parts.into_iter().filter(|rows| *rows > 0).count();
        plan.has_blanks = left.take(blanks, blanks) > 0;
        let blank = usize::from(plan.has_blanks);
        let with_blank = |left: &mut Left, wanted: usize, least: usize| {
            left.take(wanted + blank, least + blank).saturating_sub(blank)
        };
        plan.why += left.take(why.saturating_sub(plan.why).min(2), 1);
        if plan.has_blanks && height >= CHART_FROM_HEIGHT {
            plan.chart = with_blank(&mut left, LEAST_CHART, LEAST_CHART);
        }
        if !snapshot.messages.is_empty() && plan.has_blanks {
            let messages = 1 + snapshot.messages.len();
            plan.messages = with_blank(&mut left, messages.min(3), 2);
        }
        if plan.has_blanks {
            plan.connect = with_blank(&mut left, connect, connect);
        }
        let more = snapshot.commands.len().saturating_add(1).min(MOST_COMMANDS);
        plan.commands += left.take(more.saturating_sub(plan.commands), 1);
        plan.why += left.take(why.saturating_sub(plan.why), 1);
        if plan.messages > 0 {
            let more = (1 + snapshot.messages.len()).min(MOST_MESSAGES);
            plan.messages += left.take(more.saturating_sub(plan.messages), 1);
        }
        if plan.chart > 0 {
            plan.chart += left.take(MOST_CHART - LEAST_CHART, 1);
        }
        plan
    }

    /// A plan while it is shown how to connect: that, and the homes.
    pub(super) fn of_connect(height: u16, snapshot: &DemoSnapshot, connect: usize) -> Self {
        let access_and_backfill = 2 + usize::from(snapshot.ingest.backfill.is_some());
        let mut left = Left(usize::from(height).saturating_sub(FIXED + 3));
        let foot = left.take(access_and_backfill, access_and_backfill);
        let connect = left.take(connect, 1);
        Self { foot, connect, ..Self::default() }
    }
}
