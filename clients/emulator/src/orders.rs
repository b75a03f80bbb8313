//! What was ordered of a home's nodes and still holds, and how it ends: by a later order, by the end
//! of its lease, or because someone at home pressed a button. Pure; time is given.

use std::time::Duration;

use memcloud_domain::{CommandAction, NodeId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::nodes::NODE_COUNT;

/// What someone at home decided wins for this long.
pub const OVERRIDE: Duration = Duration::from_secs(2 * 3_600);

/// Something that changes a home at a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deed {
    /// Someone at home pressed a button.
    Pressed { node: NodeId, on: bool },
    /// The cloud ordered it.
    Ordered { node: Option<NodeId>, action: CommandAction, lease: Option<Duration> },
    /// The meters were exchanged: their counters begin anew.
    CountersReset,
}

/// A setting, and when its lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Held<T> {
    value: T,
    until: Option<Timestamp>,
}

/// What was ordered of a home's nodes and still holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Orders {
    /// Only of nodes of which something was ordered, or decided at home.
    nodes: Vec<NodeOrders>,
    report_every: Option<Held<u32>>,
    /// When the next of all this ends or begins.
    next_due: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct NodeOrders {
    node: NodeId,
    /// A switch position with a lease; one without leaves nothing behind but the position.
    switch: Option<Held<bool>>,
    power: Option<Held<f64>>,
    limit: Option<Held<f64>>,
    priority: Option<Held<i32>>,
    schedule: Option<Schedule>,
    override_until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Schedule {
    /// What lies ahead, by time.
    steps: Vec<(Timestamp, bool)>,
    /// The position of the newest step that has passed.
    position: Option<bool>,
    until: Option<Timestamp>,
}

/// The switches of a home.
pub(crate) type Switches = [bool; NODE_COUNT];

impl Orders {
    /// The power that a node was told to hold, W.
    #[must_use]
    pub fn set_power(&self, node: NodeId) -> Option<f64> {
        self.of(node)?.power.map(|held| held.value)
    }

    /// The power that a node was told to stay at or under, W, without the sign.
    #[must_use]
    pub fn limit_power(&self, node: NodeId) -> Option<f64> {
        self.of(node)?.limit.map(|held| held.value)
    }

    /// The importance that a node was given.
    #[must_use]
    pub fn priority(&self, node: NodeId) -> Option<i32> {
        self.of(node)?.priority.map(|held| held.value)
    }

    /// The seconds between two readings, where that was ordered.
    #[must_use]
    pub fn report_every(&self) -> Option<u32> {
        self.report_every.map(|held| held.value)
    }

    /// Until when what someone at home decided of a node wins.
    #[must_use]
    pub fn override_until(&self, node: NodeId) -> Option<Timestamp> {
        self.of(node)?.override_until
    }

    /// When something ends or begins next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.next_due
    }

    fn of(&self, node: NodeId) -> Option<&NodeOrders> {
        self.nodes.iter().find(|orders| orders.node == node)
    }

    fn at(&mut self, node: NodeId) -> &mut NodeOrders {
        let place = self.nodes.iter().position(|orders| orders.node == node);
        let index = place.unwrap_or_else(|| {
            self.nodes.push(NodeOrders::none(node));
            self.nodes.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just now")]
        &mut self.nodes[index]
    }

    /// Takes what happens at a moment, and lets end what ends then.
    pub(crate) fn take(&mut self, deed: &Deed, switches: &mut Switches, now: Timestamp) {
        match deed {
            Deed::Pressed { node, on } => {
                let orders = self.at(*node);
                orders.switch = None;
                orders.power = None;
                orders.limit = None;
                orders.override_until = Some(now.plus(OVERRIDE));
                turn(switches, *node, *on);
            }
            Deed::Ordered { node: Some(node), action, lease } => {
                self.at(*node).take(action, *lease, switches, now);
            }
            Deed::Ordered { node: None, action: CommandAction::ReportEvery { seconds }, lease } => {
                self.report_every = Some(held(*seconds, *lease, now));
            }
            Deed::Ordered { node: None, .. } | Deed::CountersReset => {}
        }
        self.fall_due(switches, now);
    }

    /// Lets end what ends, and begin what begins, up to a moment.
    pub(crate) fn fall_due(&mut self, switches: &mut Switches, now: Timestamp) {
        self.report_every = self.report_every.filter(|held| !held.is_over(now));
        for orders in &mut self.nodes {
            orders.fall_due(switches, now);
        }
        self.nodes.retain(NodeOrders::holds_anything);
        let report = self.report_every.and_then(|held| held.until);
        self.next_due = self.nodes.iter().filter_map(NodeOrders::next_due).chain(report).min();
    }
}

impl NodeOrders {
    fn none(node: NodeId) -> Self {
        Self {
            node,
            switch: None,
            power: None,
            limit: None,
            priority: None,
            schedule: None,
            override_until: None,
        }
    }

    fn take(
        &mut self,
        action: &CommandAction,
        lease: Option<Duration>,
        switches: &mut Switches,
        now: Timestamp,
    ) {
        match action {
            CommandAction::Switch { on } => {
                // At a node that someone at home has decided of, only the same is taken.
                if self.override_until.is_none() {
                    self.switch = lease.map(|_| held(*on, lease, now));
                    turn(switches, self.node, *on);
                }
            }
            CommandAction::SetPower { watts } => {
                self.power = Some(held(watts.value(), lease, now));
            }
            CommandAction::LimitPower { watts } => {
                self.limit = Some(held(watts.value(), lease, now));
            }
            CommandAction::SetPriority { priority } => {
                self.priority = Some(held(*priority, lease, now));
            }
            CommandAction::SetSchedule { on_at, off_at } => {
                let on = on_at.iter().map(|at| (*at, true));
                let off = off_at.iter().map(|at| (*at, false));
                let mut steps: Vec<(Timestamp, bool)> = on.chain(off).collect();
                // Of two at one moment, off wins: it comes last.
                steps.sort_by_key(|(at, on)| (*at, !*on));
                let until = lease.map(|lease| now.plus(lease));
                if steps.is_empty() {
                    self.end_schedule(switches);
                } else {
                    self.schedule = Some(Schedule { steps, position: None, until });
                }
            }
            CommandAction::ReportEvery { .. } | CommandAction::Restart => {}
        }
    }

    fn fall_due(&mut self, switches: &mut Switches, now: Timestamp) {
        self.power = self.power.filter(|held| !held.is_over(now));
        self.limit = self.limit.filter(|held| !held.is_over(now));
        self.priority = self.priority.filter(|held| !held.is_over(now));
        self.override_until = self.override_until.filter(|until| *until > now);
        if let Some(schedule) = &mut self.schedule
            && let Some(passed) = schedule.pass(now)
            && self.switch.is_none()
            && self.override_until.is_none()
        {
            turn(switches, self.node, passed);
        }
        let schedule_ends = self.schedule.as_ref().and_then(|schedule| schedule.until);
        if schedule_ends.is_some_and(|until| until <= now) {
            self.end_schedule(switches);
        }
        if self.switch.is_some_and(|held| held.is_over(now)) {
            self.switch = None;
            turn(switches, self.node, self.resting_position());
        }
    }

    fn end_schedule(&mut self, switches: &mut Switches) {
        let had_one = self.schedule.take().is_some();
        if had_one && self.switch.is_none() && self.override_until.is_none() {
            turn(switches, self.node, self.resting_position());
        }
    }

    /// The position of the switch when nobody orders it: as the schedule says, else on, as declared.
    fn resting_position(&self) -> bool {
        self.schedule.as_ref().and_then(|schedule| schedule.position).unwrap_or(true)
    }

    fn holds_anything(&self) -> bool {
        *self != Self::none(self.node)
    }

    fn next_due(&self) -> Option<Timestamp> {
        let schedule = self.schedule.as_ref();
        let moments = [
            self.switch.and_then(|held| held.until),
            self.power.and_then(|held| held.until),
            self.limit.and_then(|held| held.until),
            self.priority.and_then(|held| held.until),
            self.override_until,
            schedule.and_then(|schedule| schedule.until),
            schedule.and_then(|schedule| schedule.steps.first()).map(|(at, _)| *at),
        ];
        moments.into_iter().flatten().min()
    }
}

impl Schedule {
    /// Passes over the steps up to a moment; the position of the last of them.
    fn pass(&mut self, now: Timestamp) -> Option<bool> {
        let passed = self.steps.partition_point(|(at, _)| *at <= now);
        let position = self.steps.drain(..passed).next_back().map(|(_, on)| on);
        self.position = position.or(self.position);
        position
    }
}

impl<T> Held<T> {
    fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

fn held<T>(value: T, lease: Option<Duration>, now: Timestamp) -> Held<T> {
    Held { value, until: lease.map(|lease| now.plus(lease)) }
}

fn turn(switches: &mut Switches, node: NodeId, on: bool) {
    if let Some(switch) = switches.get_mut(usize::from(node.0)) {
        *switch = on;
    }
}
