//! What a person sets of a schedule.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{NaiveTime, Weekday};
use memcloud_domain::{HemId, NodeId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::timetable::{Switching, Timetable};
use crate::apps::energy_accounting::Day;
use crate::apps::terms::seconds;

/// When a node is switched, every week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchingTime {
    /// At which local time, `HH:MM`.
    pub at: String,
    /// On?
    pub on: bool,
    /// On which days; every day if empty.
    #[serde(default)]
    pub days: Vec<Day>,
}

/// The times of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeSchedule {
    /// In which homes, by their HEMs' ids; in all that have the node if empty. A home that is named goes
    /// by the schedule that names it.
    #[serde(default)]
    pub hems: Vec<String>,
    /// Which node.
    pub node: u8,
    /// Its times. Between two, what the earlier one says holds.
    #[schemars(length(min = 1, max = 50))]
    pub times: Vec<SwitchingTime>,
}

/// What a person sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfiguration {
    /// The schedules.
    pub schedules: Vec<NodeSchedule>,
    /// How long a node may be seen otherwise than scheduled before it is told again, s.
    #[schemars(range(min = 5, max = 86_400))]
    pub drift_seconds: u32,
    /// For how long a wish holds if it is not wished again, s.
    #[schemars(range(min = 60, max = 86_400))]
    pub lease_seconds: u32,
    /// From which age on a node's readings are stale, s.
    #[schemars(range(min = 5, max = 3_600))]
    pub stale_seconds: u32,
}

impl Default for ScheduleConfiguration {
    fn default() -> Self {
        Self { schedules: Vec::new(), drift_seconds: 30, lease_seconds: 600, stale_seconds: 120 }
    }
}

/// A configuration that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terms {
    pub(super) timetables: Vec<Timetable>,
    pub(super) named: BTreeMap<(HemId, NodeId), usize>,
    everywhere: BTreeMap<NodeId, usize>,
    concerned: BTreeSet<NodeId>,
    pub(super) drift_after: Duration,
    pub(super) lease: Duration,
    pub(super) stale_after: Duration,
}

impl Terms {
    const MOST_SCHEDULES: usize = 1_000;
    const MOST_TIMES: usize = 50;
    const MOST_HOMES: usize = 10_000;

    pub(super) fn read(given: &ScheduleConfiguration) -> Result<Self, String> {
        if given.schedules.len() > Self::MOST_SCHEDULES {
            return Err(format!("schedules may have at most {} entries", Self::MOST_SCHEDULES));
        }
        let mut timetables = Vec::with_capacity(given.schedules.len());
        let mut named = BTreeMap::new();
        let mut everywhere = BTreeMap::new();
        let mut concerned = BTreeSet::new();
        for (place, schedule) in given.schedules.iter().enumerate() {
            let at = format!("schedules[{place}]");
            let node = NodeId(schedule.node);
            concerned.insert(node);
            timetables.push(read_times(&at, &schedule.times, Self::MOST_TIMES)?);
            for name in &schedule.hems {
                let hem = HemId::new(name).map_err(|error| format!("{at}.hems: {error}"))?;
                if named.insert((hem, node), place).is_some() {
                    return Err(format!("{at}: node {node} of {name} has a schedule already"));
                }
            }
            if schedule.hems.is_empty() && everywhere.insert(node, place).is_some() {
                return Err(format!("{at}: node {node} of every home has a schedule already"));
            }
        }
        if named.len() > Self::MOST_HOMES {
            return Err(format!("hems may be at most {} in all", Self::MOST_HOMES));
        }
        Ok(Self {
            timetables,
            named,
            everywhere,
            concerned,
            drift_after: seconds("drift_seconds", given.drift_seconds, 5, 86_400)?,
            lease: seconds("lease_seconds", given.lease_seconds, 60, 86_400)?,
            stale_after: seconds("stale_seconds", given.stale_seconds, 5, 3_600)?,
        })
    }

    /// The place of the timetable of a node.
    pub(super) fn of(&self, hem: &HemId, node: NodeId) -> Option<usize> {
        let own = self.named.get(&(hem.clone(), node));
        own.or_else(|| self.everywhere.get(&node)).copied()
    }

    /// Whether any home's node of that number may have a timetable.
    pub(super) fn concerns(&self, node: NodeId) -> bool {
        self.concerned.contains(&node)
    }
}

fn read_times(at: &str, times: &[SwitchingTime], most: usize) -> Result<Timetable, String> {
    if times.len() > most {
        return Err(format!("{at}.times may have at most {most} entries"));
    }
    let mut switchings = Vec::with_capacity(times.len());
    for time in times {
        let at_time = NaiveTime::parse_from_str(&time.at, "%H:%M").map_err(|_| {
            let text: String = time.at.chars().take(20).collect();
            format!("{at}.times: \"{text}\" is no time; write it like 06:30, from 00:00 to 23:59")
        })?;
        let days = if time.days.is_empty() {
            all_days()
        } else {
            time.days.iter().map(|day| day.weekday()).collect()
        };
        switchings.push(Switching { at: at_time, days, on: time.on });
    }
    Timetable::new(switchings).ok_or_else(|| format!("{at}.times is empty; it needs at least one"))
}

fn all_days() -> Vec<Weekday> {
    use Weekday::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};
    vec![Mon, Tue, Wed, Thu, Fri, Sat, Sun]
}
