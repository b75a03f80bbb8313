//! Answers a series from stored roll-ups; buckets that are dirty are made on the way, so that the
//! newest minutes and late readings are in it at once.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;
use memcloud_domain::{HemId, NodeId, Quantity, Series, SeriesSubject};

use super::SeriesQuery;
use super::buckets::{Level, Plan, clamp};
use super::making::{Wanted, minutes};
use super::rollup::NodeBucket;
use super::rollup_codec::decode_node;
use super::rows::{Rows, damaged};
use super::series::{Part, parts_of, series as merge, summed};
use crate::StoreError;

/// So many buckets back a node's last one is looked for.
const LOOK_BACK: usize = 64;
/// So many minutes are made at once: their readings are in memory together.
const MINUTES_AT_ONCE: usize = 64;

pub(super) fn series(rows: &mut impl Rows, query: &SeriesQuery) -> Result<Series, StoreError> {
    let nodes = match &query.subject {
        SeriesSubject::Node(hem, node) => vec![(hem.clone(), *node)],
        SeriesSubject::Sum(nodes) => nodes.clone(),
    };
    let subjects = subjects(rows, &nodes)?;
    let (from, to) = (clamp(query.from.0), clamp(query.to.0));
    let plan = plan(rows, query, from, to, &subjects)?;
    let mut parts: Vec<BTreeMap<i64, Part>> = Vec::new();
    for subject in &subjects {
        parts.push(subject.parts(rows, query.quantity, &plan, from, to)?);
    }
    let parts = match (&query.subject, parts.len()) {
        (SeriesSubject::Node(..), 1) => parts.pop().unwrap_or_default(),
        _ => summed(query.quantity, parts),
    };
    Ok(merge(query.quantity, &plan, &parts))
}

/// Minutes are kept for a while only: what reaches back beyond them is answered from quarters.
fn plan(
    rows: &mut impl Rows,
    query: &SeriesQuery,
    from: i64,
    to: i64,
    subjects: &[Subject],
) -> Result<Plan, StoreError> {
    let plan = Plan::new(from, to, query.points, query.time_zone, Level::Minute);
    if plan.level != Level::Minute {
        return Ok(plan);
    }
    for subject in subjects {
        let first_minute = rows.first_rollup(subject.hem_no, Level::Minute)?;
        let first_quarter = rows.first_rollup(subject.hem_no, Level::Quarter)?;
        let (Some(minute), Some(quarter)) = (first_minute, first_quarter) else { continue };
        // The quarter of the oldest minute begins before it; only older ones have lost theirs.
        if quarter < Level::Quarter.start(minute, Tz::UTC) && from < minute {
            return Ok(Plan::new(from, to, query.points, query.time_zone, Level::Quarter));
        }
    }
    Ok(plan)
}

/// A node of whom something is stored.
struct Subject {
    hem_no: i64,
    mark: i64,
    node: u8,
    day_zone: Tz,
}

fn subjects(rows: &mut impl Rows, nodes: &[(HemId, NodeId)]) -> Result<Vec<Subject>, StoreError> {
    let mut subjects = Vec::new();
    for (hem, node) in nodes {
        if let Some(known) = rows.hem(hem)? {
            let (hem_no, mark, day_zone) = (known.hem_no, known.mark, known.day_zone);
            subjects.push(Subject { hem_no, mark, node: node.0, day_zone });
        }
    }
    Ok(subjects)
}

type Buckets = BTreeMap<i64, NodeBucket>;

impl Subject {
    fn parts(
        &self,
        rows: &mut impl Rows,
        quantity: Quantity,
        plan: &Plan,
        from: i64,
        to: i64,
    ) -> Result<BTreeMap<i64, Part>, StoreError> {
        // Days of another time zone than the asker's are made from quarters.
        let level = match plan.level {
            Level::Day if self.day_zone != plan.zone => Level::Quarter,
            level => level,
        };
        let from = level.start(from, plan.zone);
        let buckets = self.buckets(rows, level, from, to)?;
        let before = match quantity {
            Quantity::EnergyIn | Quantity::EnergyOut => self.before(rows, level, from)?,
            _ => None,
        };
        Ok(parts_of(quantity, before.as_ref(), &buckets))
    }

    /// The node's buckets that begin in a span, those that are dirty made anew.
    fn buckets(
        &self,
        rows: &mut impl Rows,
        level: Level,
        from: i64,
        to: i64,
    ) -> Result<Buckets, StoreError> {
        let mut buckets = Buckets::new();
        for (start, payload) in rows.rollups(self.hem_no, level, from, to)? {
            let node = decode_node(&payload, start, self.node)
                .map_err(|_| damaged("the roll-up at", self.hem_no, start))?;
            buckets.extend(node.map(|node| (start, node)));
        }
        match level.source() {
            None => self.make_minutes(rows, from, to, &mut buckets)?,
            Some(source) => {
                for start in self.stale(rows, level, from, to)? {
                    let end = level.end(start, self.day_zone);
                    let parts = self.buckets(rows, source, start, end)?;
                    let whole = parts.values().copied().reduce(|mut whole, later| {
                        whole.append(&later);
                        whole
                    });
                    buckets.extend(whole.map(|whole| (start, whole)));
                }
            }
        }
        Ok(buckets)
    }

    /// The buckets of a level in a span that are dirty, or in which a finer one is.
    fn stale(
        &self,
        rows: &mut impl Rows,
        level: Level,
        from: i64,
        to: i64,
    ) -> Result<BTreeSet<i64>, StoreError> {
        let mut stale = BTreeSet::new();
        let mut next = Some(level);
        while let Some(finer) = next {
            let end = level.end(level.start(to - 1, self.day_zone), self.day_zone);
            let dirty = rows.dirty(self.hem_no, finer, from, end)?;
            stale.extend(dirty.iter().map(|one| level.start(one.bucket, self.day_zone)));
            next = finer.source();
        }
        stale.retain(|start| *start < to);
        Ok(stale)
    }

    fn make_minutes(
        &self,
        rows: &mut impl Rows,
        from: i64,
        to: i64,
        buckets: &mut Buckets,
    ) -> Result<(), StoreError> {
        let dirty = rows.dirty(self.hem_no, Level::Minute, from, to)?;
        let wanted: Vec<Wanted> = dirty
            .into_iter()
            .map(|one| Wanted { minute: one.bucket, from_seq: one.from_seq, to_seq: self.mark })
            .collect();
        for part in wanted.chunks(MINUTES_AT_ONCE) {
            for (start, minute) in minutes(rows, self.hem_no, part)? {
                buckets.extend(minute.bucket.nodes.get(&self.node).map(|node| (start, *node)));
            }
        }
        Ok(())
    }

    /// The node's last bucket that begins before a moment.
    fn before(
        &self,
        rows: &mut impl Rows,
        level: Level,
        moment: i64,
    ) -> Result<Option<NodeBucket>, StoreError> {
        let mut start = None;
        for (at, payload) in rows.rollups_before(self.hem_no, level, moment, LOOK_BACK)? {
            let node = decode_node(&payload, at, self.node)
                .map_err(|_| damaged("the roll-up at", self.hem_no, at))?;
            if node.is_some() {
                start = Some(at);
                break;
            }
        }
        // A dirty one may be newer, or none may be stored yet.
        let mut next = Some(level);
        while let Some(finer) = next {
            let newest = rows.newest_dirty_before(self.hem_no, finer, moment)?;
            if let Some(newest) = newest {
                let newest = level.start(newest, self.day_zone);
                start = Some(start.map_or(newest, |start: i64| start.min(newest)));
            }
            next = finer.source();
        }
        let Some(start) = start else { return Ok(None) };
        let buckets = self.buckets(rows, level, start, moment)?;
        Ok(buckets.into_values().next_back())
    }
}
