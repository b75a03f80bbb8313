//! Answers a series from stored roll-ups; buckets that are dirty are made on the way, so that the
//! newest minutes and late readings are in it at once.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;
use diesel::prelude::*;
use memcloud_domain::{HemId, NodeId, Quantity, Series, SeriesSubject};

use super::damaged;
use super::roll_up::{Wanted, minutes, parse};
use crate::StoreError;
use crate::telemetry::SeriesQuery;
use crate::telemetry::buckets::{Level, Plan, clamp};
use crate::telemetry::rollup::NodeBucket;
use crate::telemetry::rollup_codec::decode_node;
use crate::telemetry::schema::{dirty, hems, marks, rollups};
use crate::telemetry::series::{Part, parts_of, series as merge, summed};

/// So many buckets back a node's last one is looked for.
const LOOK_BACK: i64 = 64;
/// So many minutes are made at once: their readings are in memory together.
const MINUTES_AT_ONCE: usize = 64;

pub(super) fn series(
    connection: &mut SqliteConnection,
    query: &SeriesQuery,
) -> Result<Series, StoreError> {
    let nodes = match &query.subject {
        SeriesSubject::Node(hem, node) => vec![(hem.clone(), *node)],
        SeriesSubject::Sum(nodes) => nodes.clone(),
    };
    let subjects = subjects(connection, &nodes)?;
    let (from, to) = (clamp(query.from.0), clamp(query.to.0));
    let plan = plan(connection, query, from, to, &subjects)?;
    let mut parts: Vec<BTreeMap<i64, Part>> = Vec::new();
    for subject in &subjects {
        parts.push(subject.parts(connection, query.quantity, &plan, from, to)?);
    }
    let parts = match (&query.subject, parts.len()) {
        (SeriesSubject::Node(..), 1) => parts.pop().unwrap_or_default(),
        _ => summed(query.quantity, parts),
    };
    Ok(merge(query.quantity, &plan, &parts))
}

/// Minutes are kept for a while only: what reaches back beyond them is answered from quarters.
fn plan(
    connection: &mut SqliteConnection,
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
        let first_minute = subject.first(connection, Level::Minute)?;
        let first_quarter = subject.first(connection, Level::Quarter)?;
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

fn subjects(
    connection: &mut SqliteConnection,
    nodes: &[(HemId, NodeId)],
) -> Result<Vec<Subject>, StoreError> {
    let mut subjects = Vec::new();
    for (hem, node) in nodes {
        let found = hems::table
            .inner_join(marks::table)
            .filter(hems::hem.eq(hem.as_str()))
            .select((hems::hem_no, marks::mark, hems::day_zone))
            .get_result::<(i64, i64, String)>(connection)
            .optional()?;
        if let Some((hem_no, mark, zone)) = found {
            subjects.push(Subject { hem_no, mark, node: node.0, day_zone: parse(&zone) });
        }
    }
    Ok(subjects)
}

type Buckets = BTreeMap<i64, NodeBucket>;

impl Subject {
    fn parts(
        &self,
        connection: &mut SqliteConnection,
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
        let buckets = self.buckets(connection, level, from, to)?;
        let before = match quantity {
            Quantity::EnergyIn | Quantity::EnergyOut => self.before(connection, level, from)?,
            _ => None,
        };
        Ok(parts_of(quantity, before.as_ref(), &buckets))
    }

    /// The node's buckets that begin in a span, those that are dirty made anew.
    fn buckets(
        &self,
        connection: &mut SqliteConnection,
        level: Level,
        from: i64,
        to: i64,
    ) -> Result<Buckets, StoreError> {
        let rows: Vec<(i64, Vec<u8>)> = rollups::table
            .filter(rollups::hem_no.eq(self.hem_no))
            .filter(rollups::level.eq(level.number()))
            .filter(rollups::bucket.ge(from))
            .filter(rollups::bucket.lt(to))
            .order(rollups::bucket.asc())
            .select((rollups::bucket, rollups::payload))
            .load(connection)?;
        let mut buckets = Buckets::new();
        for (start, payload) in rows {
            let node = decode_node(&payload, start, self.node)
                .map_err(|_| damaged("the roll-up at", self.hem_no, start))?;
            buckets.extend(node.map(|node| (start, node)));
        }
        match level.source() {
            None => self.make_minutes(connection, from, to, &mut buckets)?,
            Some(source) => {
                for start in self.stale(connection, level, from, to)? {
                    let end = level.end(start, self.day_zone);
                    let parts = self.buckets(connection, source, start, end)?;
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
        connection: &mut SqliteConnection,
        level: Level,
        from: i64,
        to: i64,
    ) -> Result<BTreeSet<i64>, StoreError> {
        let mut stale = BTreeSet::new();
        let mut next = Some(level);
        while let Some(finer) = next {
            let starts: Vec<i64> = dirty::table
                .filter(dirty::hem_no.eq(self.hem_no))
                .filter(dirty::level.eq(finer.number()))
                .filter(dirty::bucket.ge(from))
                .filter(
                    dirty::bucket.lt(level.end(level.start(to - 1, self.day_zone), self.day_zone)),
                )
                .select(dirty::bucket)
                .load(connection)?;
            stale.extend(starts.into_iter().map(|start| level.start(start, self.day_zone)));
            next = finer.source();
        }
        stale.retain(|start| *start < to);
        Ok(stale)
    }

    fn make_minutes(
        &self,
        connection: &mut SqliteConnection,
        from: i64,
        to: i64,
        buckets: &mut Buckets,
    ) -> Result<(), StoreError> {
        let wanted: Vec<Wanted> = dirty::table
            .filter(dirty::hem_no.eq(self.hem_no))
            .filter(dirty::level.eq(Level::Minute.number()))
            .filter(dirty::bucket.ge(from))
            .filter(dirty::bucket.lt(to))
            .order(dirty::bucket.asc())
            .select((dirty::bucket, dirty::from_seq))
            .load::<(i64, i64)>(connection)?
            .into_iter()
            .map(|(minute, from_seq)| Wanted { minute, from_seq, to_seq: self.mark })
            .collect();
        for part in wanted.chunks(MINUTES_AT_ONCE) {
            for (start, minute) in minutes(connection, self.hem_no, part)? {
                buckets.extend(minute.bucket.nodes.get(&self.node).map(|node| (start, *node)));
            }
        }
        Ok(())
    }

    /// The node's last bucket that begins before a moment.
    fn before(
        &self,
        connection: &mut SqliteConnection,
        level: Level,
        moment: i64,
    ) -> Result<Option<NodeBucket>, StoreError> {
        let rows: Vec<(i64, Vec<u8>)> = rollups::table
            .filter(rollups::hem_no.eq(self.hem_no))
            .filter(rollups::level.eq(level.number()))
            .filter(rollups::bucket.lt(moment))
            .order(rollups::bucket.desc())
            .limit(LOOK_BACK)
            .select((rollups::bucket, rollups::payload))
            .load(connection)?;
        let mut start = None;
        for (at, payload) in rows {
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
            let newest = dirty::table
                .filter(dirty::hem_no.eq(self.hem_no))
                .filter(dirty::level.eq(finer.number()))
                .filter(dirty::bucket.lt(moment))
                .order(dirty::bucket.desc())
                .select(dirty::bucket)
                .first::<i64>(connection)
                .optional()?;
            if let Some(newest) = newest {
                let newest = level.start(newest, self.day_zone);
                start = Some(start.map_or(newest, |start: i64| start.min(newest)));
            }
            next = finer.source();
        }
        let Some(start) = start else { return Ok(None) };
        let buckets = self.buckets(connection, level, start, moment)?;
        Ok(buckets.into_values().next_back())
    }

    fn first(
        &self,
        connection: &mut SqliteConnection,
        level: Level,
    ) -> Result<Option<i64>, StoreError> {
        let first = rollups::table
            .filter(rollups::hem_no.eq(self.hem_no))
            .filter(rollups::level.eq(level.number()))
            .order(rollups::bucket.asc())
            .select(rollups::bucket)
            .first::<i64>(connection)
            .optional()?;
        Ok(first)
    }
}
