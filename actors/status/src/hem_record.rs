//! What is known of one HEM. Pure: facts go in, with the time; the status comes out.
//!
//! Order. A fact of a lower epoch than the known one is ignored. Of two values the one that was taken
//! later wins, whichever arrives first; a time that lies ahead of its arrival counts as the arrival, so
//! that a HEM whose clock ran ahead is not stuck with its last value once the clock is set right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::{HemBatch, HemConnected, LatestSeen};
use memcloud_domain::{
    Entry, Epoch, HemId, HemStatus, MicrogridId, NodeDeclaration, NodeId, NodeKind, NodeReading,
    NodeStatus, ProcessId, QualityFlag, Reading, Seq, Timestamp, WattHours, Watts,
};

use crate::StatusSettings;
use crate::plausibility::Plausibility;
use crate::totals::PowerSum;

/// No usual interval makes silence of less than this a gap.
const SHORTEST_GAP: Duration = Duration::from_secs(60);
/// So many times the usual interval without a reading is a gap.
const GAP_INTERVALS: f64 = 3.0;
/// How much of the usual interval each reading renews.
const INTERVAL_WEIGHT: f64 = 0.1;
/// A counter that goes back by less is rounded, not reset.
const COUNTER_ROUNDING: WattHours = WattHours(1.0);
/// Nodes may sum to so much …
const BALANCE_TOLERANCE: Watts = Watts(50.0);
/// … or to this share of the gross power, whichever is more.
const BALANCE_SHARE: f64 = 0.05;

/// What is known of a HEM's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Its socket said so.
    Open,
    /// It must have been open, because a reading came through it; not confirmed yet.
    Assumed,
    Closed,
}

#[derive(Debug, Clone)]
struct NodeRecord {
    latest: NodeReading,
    ts: Timestamp,
    declaration: Option<Arc<NodeDeclaration>>,
    /// The last sample that had its power.
    power_in_sample: u64,
    /// The counters of the reading with the highest number.
    wh_in: Option<WattHours>,
    wh_out: Option<WattHours>,
    plausibility: Plausibility,
}

/// What a change of status is told at once for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) online: bool,
    pub(crate) active: bool,
    pub(crate) flags: Vec<QualityFlag>,
}

/// What is known of one HEM.
#[derive(Debug)]
pub(crate) struct HemRecord {
    hem: HemId,
    microgrid: MicrogridId,
    epoch: Epoch,
    /// The highest epoch of which the end is known.
    closed: Option<Epoch>,
    link: Link,
    /// Which process of a cluster has its socket.
    process: Option<ProcessId>,
    last_seen: Option<Timestamp>,
    /// When the last reading arrived.
    arrived: Option<Timestamp>,
    mark: Seq,
    /// Absent: nobody has said yet which nodes it has.
    declared: Option<BTreeMap<NodeId, Arc<NodeDeclaration>>>,
    nodes: Vec<NodeRecord>,
    samples: u64,
    sum: PowerSum,
    flags: BTreeMap<QualityFlag, Timestamp>,
    missing_before: u64,
    missing_in_batches: u64,
    missing_at_socket: u64,
    /// The last reading by number: its connection and time.
    previous: Option<(Epoch, Timestamp)>,
    usual_interval_ms: Option<f64>,
    /// Readings, in their order, in which something moved.
    movements: u32,
    shown: Option<Arc<HemStatus>>,
    // The board's notes on what it told others.
    pub(crate) told: Option<(Timestamp, Standing)>,
    pub(crate) untold: bool,
    pub(crate) check_at: Option<Timestamp>,
}

impl HemRecord {
    pub(crate) fn new(hem: HemId, microgrid: MicrogridId) -> Self {
        Self {
            hem,
            microgrid,
            epoch: Epoch::default(),
            closed: None,
            link: Link::Closed,
            process: None,
            last_seen: None,
            arrived: None,
            mark: Seq::NONE,
            declared: None,
            nodes: Vec::new(),
            samples: 0,
            sum: PowerSum::default(),
            flags: BTreeMap::new(),
            missing_before: 0,
            missing_in_batches: 0,
            missing_at_socket: 0,
            previous: None,
            usual_interval_ms: None,
            movements: 0,
            shown: None,
            told: None,
            untold: false,
            check_at: None,
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn last_seen(&self) -> Option<Timestamp> {
        self.last_seen
    }

    pub(crate) fn sum(&self) -> &PowerSum {
        &self.sum
    }

    pub(crate) fn is_online(&self) -> bool {
        self.link != Link::Closed
    }

    pub(crate) fn is_active(&self, now: Timestamp, settings: &StatusSettings) -> bool {
        self.arrived.is_some_and(|arrived| now < arrived.plus(settings.active_window))
    }

    pub(crate) fn knows_its_nodes(&self) -> bool {
        self.declared.is_some()
    }

    pub(crate) fn move_to(&mut self, microgrid: MicrogridId) {
        self.microgrid = microgrid;
        self.touched();
    }

    // ------------------------------------------------------------------------ facts

    /// Whether a fact of a connection is not from an earlier one than is known; begins a later one.
    fn take_epoch(&mut self, epoch: Epoch) -> bool {
        if epoch < self.epoch {
            return false;
        }
        if epoch > self.epoch {
            self.epoch = epoch;
            self.missing_before = self.missing();
            self.missing_in_batches = 0;
            self.missing_at_socket = 0;
            self.link = Link::Closed;
        }
        true
    }

    pub(crate) fn connected(&mut self, fact: &HemConnected) {
        if !self.take_epoch(fact.epoch) {
            return;
        }
        self.opened(Link::Open);
        self.process.clone_from(&fact.process);
        self.heard(fact.at);
        self.mark = self.mark.max(fact.mark);
        self.declare(&fact.nodes);
    }

    pub(crate) fn disconnected(&mut self, epoch: Epoch, at: Timestamp) {
        if !self.take_epoch(epoch) {
            return;
        }
        self.closed = Some(epoch);
        self.link = Link::Closed;
        self.heard(at);
    }

    /// Whether its socket is at a process that is not one of these.
    pub(crate) fn is_elsewhere_than(&self, live: &[ProcessId]) -> bool {
        self.is_online() && self.process.as_ref().is_some_and(|process| !live.contains(process))
    }

    /// The process that has its socket is gone. Should that process come back, and the connection with it,
    /// what is heard of it then opens it again.
    pub(crate) fn process_gone(&mut self) {
        self.link = Link::Closed;
        self.touched();
    }

    pub(crate) fn heard_at_socket(
        &mut self,
        epoch: Epoch,
        at: Timestamp,
        missing: u64,
        now: Timestamp,
    ) {
        if !self.take_epoch(epoch) {
            return;
        }
        self.opened(Link::Open);
        self.heard(at);
        let before = self.missing();
        self.missing_at_socket = self.missing_at_socket.max(missing);
        if self.missing() > before {
            self.raise(QualityFlag::Gap, now);
        }
    }

    pub(crate) fn latest_seen(
        &mut self,
        fact: &LatestSeen,
        now: Timestamp,
        settings: &StatusSettings,
    ) {
        if !self.take_epoch(fact.epoch) {
            return;
        }
        self.opened(Link::Open);
        self.heard(fact.received);
        self.reading_arrived(fact.received.min(now));
        // A `latest` is taken just now: its time shows the clock in both directions.
        let ahead = fact.ts.since(fact.received) > settings.skew_tolerance;
        let behind = fact.received.since(fact.ts) > settings.skew_tolerance * 2;
        self.set(QualityFlag::ClockSkew, ahead || behind, now);
        self.take_values(&fact.nodes, fact.ts.min(fact.received), now);
    }

    pub(crate) fn committed(
        &mut self,
        batch: &HemBatch,
        now: Timestamp,
        settings: &StatusSettings,
    ) {
        if !self.take_epoch(batch.epoch) {
            return;
        }
        if self.link == Link::Closed {
            self.opened(Link::Assumed);
        }
        let mut through = batch.after.max(self.mark);
        for entry in &batch.entries {
            let is_next = entry.seq() > through;
            if is_next {
                let jumped = entry.seq().0 - through.0 - 1;
                if jumped > 0 {
                    self.missing_in_batches += jumped;
                    self.raise(QualityFlag::Gap, now);
                }
                through = entry.seq();
            }
            match entry {
                Entry::Reading(reading) => {
                    self.heard(reading.received);
                    self.reading_arrived(reading.received.min(now));
                    if is_next {
                        self.follow(reading, now);
                    }
                    self.check_clock(reading, now, settings);
                    self.take_values(&reading.nodes, reading.ts.min(reading.received), now);
                }
                Entry::Event(event) => self.heard(event.received),
                Entry::Refused(refusal) => self.heard(refusal.received),
            }
        }
        self.mark = through.max(batch.through);
    }

    /// The newest values that the historian has, asked for when the HEM was first heard of.
    pub(crate) fn found_in_store(&mut self, reading: &Reading, now: Timestamp) {
        self.heard(reading.received);
        self.reading_arrived(reading.received.min(now));
        let ts = reading.ts.min(reading.received);
        for values in &reading.nodes {
            let node = self.node(values.node, ts);
            node.wh_in = node.wh_in.or(values.wh_in);
            node.wh_out = node.wh_out.or(values.wh_out);
        }
        self.take_values(&reading.nodes, ts, now);
        self.mark = self.mark.max(reading.seq);
    }

    pub(crate) fn declare(&mut self, nodes: &[NodeDeclaration]) {
        let declared: BTreeMap<_, _> =
            nodes.iter().map(|node| (node.node, Arc::new(node.clone()))).collect();
        for node in &mut self.nodes {
            node.declaration = declared.get(&node.latest.node).cloned();
            node.plausibility.declared(node.declaration.as_deref());
        }
        self.declared = Some(declared);
        // The next reading says whether this still holds.
        self.flags.remove(&QualityFlag::UndeclaredNode);
        self.flags.remove(&QualityFlag::NotConserved);
        self.touched();
    }

    // ------------------------------------------------------------------------ what facts do

    fn opened(&mut self, link: Link) {
        // The end of this connection may have been told before its beginning.
        if self.closed.is_none_or(|closed| closed < self.epoch) {
            self.link = link;
        }
    }

    fn heard(&mut self, at: Timestamp) {
        self.last_seen = self.last_seen.max(Some(at));
        self.touched();
    }

    fn reading_arrived(&mut self, at: Timestamp) {
        self.arrived = self.arrived.max(Some(at));
    }

    fn touched(&mut self) {
        self.shown = None;
        self.untold = true;
    }

    fn raise(&mut self, flag: QualityFlag, now: Timestamp) {
        self.flags.insert(flag, now);
    }

    fn set(&mut self, flag: QualityFlag, raised: bool, now: Timestamp) {
        if raised {
            self.raise(flag, now);
        } else {
            self.flags.remove(&flag);
        }
    }

    fn missing(&self) -> u64 {
        // Batches and the socket count the same numbers; either may be late.
        self.missing_before + self.missing_in_batches.max(self.missing_at_socket)
    }

    /// A reading came in the order of its number: counters, values that cannot be true, and the time
    /// since the one before.
    fn follow(&mut self, reading: &Reading, now: Timestamp) {
        let taken = reading.taken();
        let movements = self.movements;
        let (mut any_moved, mut any_spike, mut is_thawed) = (false, false, false);
        let mut any_frozen = false;
        for values in &reading.nodes {
            let node = self.node(values.node, taken);
            let was_frozen = node.plausibility.is_frozen();
            let sight = node.plausibility.follow(&node.latest, values, taken, movements);
            any_moved |= sight.moved;
            any_spike |= sight.spike;
            any_frozen |= node.plausibility.is_frozen();
            is_thawed |= was_frozen && !node.plausibility.is_frozen();
            let went_back = |before: Option<WattHours>, after: Option<WattHours>| matches!((before, after), (Some(before), Some(after)) if before - after > COUNTER_ROUNDING);
            let reset =
                went_back(node.wh_in, values.wh_in) || went_back(node.wh_out, values.wh_out);
            node.wh_in = values.wh_in.or(node.wh_in);
            node.wh_out = values.wh_out.or(node.wh_out);
            if reset {
                self.raise(QualityFlag::CounterReset, now);
            }
        }
        self.movements = movements.wrapping_add(u32::from(any_moved));
        if any_spike {
            self.raise(QualityFlag::Spike, now);
        }
        if any_frozen {
            self.raise(QualityFlag::Frozen, now);
        } else if is_thawed && self.nodes.iter().all(|node| !node.plausibility.is_frozen()) {
            self.flags.remove(&QualityFlag::Frozen);
        }
        if let Some((epoch, before)) = self.previous
            && epoch == self.epoch
            && reading.ts > before
        {
            let span = reading.ts.since(before);
            if span > self.longest_silence() {
                self.raise(QualityFlag::Gap, now);
            } else {
                let span_ms = span.as_secs_f64() * 1_000.0;
                let usual = self.usual_interval_ms.unwrap_or(span_ms);
                self.usual_interval_ms = Some(usual + (span_ms - usual) * INTERVAL_WEIGHT);
            }
        }
        self.previous = Some((self.epoch, reading.ts));
    }

    /// A reading from behind may be back-fill, so it says nothing of the clock.
    fn check_clock(&mut self, reading: &Reading, now: Timestamp, settings: &StatusSettings) {
        if reading.ts.since(reading.received) > settings.skew_tolerance {
            self.raise(QualityFlag::ClockSkew, now);
        } else if reading.received.since(reading.ts) <= settings.skew_tolerance * 2 {
            self.flags.remove(&QualityFlag::ClockSkew);
        }
    }

    fn take_values(&mut self, values: &[NodeReading], ts: Timestamp, now: Timestamp) {
        let is_newest = self.nodes.iter().all(|node| node.ts <= ts);
        self.samples += 1;
        let sample = self.samples;
        let mut has_undeclared = false;
        for newer in values {
            let node = self.node(newer.node, ts);
            if ts >= node.ts {
                node.latest.update_from(newer);
                node.ts = ts;
            }
            if newer.watts.is_some() {
                node.power_in_sample = sample;
            }
            has_undeclared |= node.declaration.is_none();
        }
        if self.declared.is_none() {
            return;
        }
        if has_undeclared {
            self.raise(QualityFlag::UndeclaredNode, now);
        }
        if is_newest && let Some(conserved) = self.is_conserved() {
            self.set(QualityFlag::NotConserved, !conserved, now);
        }
    }

    /// Whether the nodes sum to about zero in the newest sample. A sample that leaves a declared node out
    /// that has been measured before, or a home without a grid node, does not show it.
    fn is_conserved(&self) -> Option<bool> {
        let mut sum = Watts::ZERO;
        let mut gross = Watts::ZERO;
        let mut has_grid = false;
        for node in &self.nodes {
            let (Some(declaration), Some(watts)) = (&node.declaration, node.latest.watts) else {
                continue;
            };
            if node.power_in_sample != self.samples {
                return None;
            }
            has_grid |= declaration.kind == NodeKind::Grid;
            sum += watts;
            gross += watts.abs();
        }
        let tolerance = BALANCE_TOLERANCE.value().max(gross.value() * BALANCE_SHARE);
        has_grid.then_some(sum.abs().value() <= tolerance)
    }

    /// The record of a node, made where there is none.
    fn node(&mut self, node: NodeId, ts: Timestamp) -> &mut NodeRecord {
        let place = self.nodes.binary_search_by_key(&node, |known| known.latest.node);
        let index = place.unwrap_or_else(|gap| {
            let declaration = self.declared.as_ref().and_then(|all| all.get(&node)).cloned();
            let made = NodeRecord {
                latest: NodeReading::empty(node),
                ts,
                plausibility: Plausibility::new(declaration.as_deref()),
                declaration,
                power_in_sample: 0,
                wh_in: None,
                wh_out: None,
            };
            self.nodes.insert(gap, made);
            gap
        });
        #[expect(clippy::indexing_slicing, reason = "found or inserted just now")]
        &mut self.nodes[index]
    }

    // ------------------------------------------------------------------------ what time does

    fn longest_silence(&self) -> Duration {
        let usual = self.usual_interval_ms.unwrap_or(0.0) * GAP_INTERVALS / 1_000.0;
        Duration::try_from_secs_f64(usual).unwrap_or(SHORTEST_GAP).max(SHORTEST_GAP)
    }

    /// When an open socket has been silent for so long that readings are missing.
    fn silent_from(&self) -> Option<Timestamp> {
        let (Link::Open, Some(arrived), Some(_)) =
            (self.link, self.arrived, self.usual_interval_ms)
        else {
            return None;
        };
        Some(arrived.plus(self.longest_silence()))
    }

    /// Lets time pass: links that were only assumed, silence, and flags that are too old. Totals are
    /// brought up to date.
    pub(crate) fn settle(&mut self, now: Timestamp, settings: &StatusSettings) {
        if self.link == Link::Assumed
            && self.last_seen.is_none_or(|seen| seen.plus(settings.active_window) <= now)
        {
            self.link = Link::Closed;
        }
        if self.silent_from().is_some_and(|from| from <= now) {
            self.raise(QualityFlag::Gap, now);
        }
        self.flags.retain(|_, raised| now < raised.plus(settings.flag_lifetime));
        if self.shown.is_none() {
            let mut sum = PowerSum::default();
            for node in &self.nodes {
                if let Some(declaration) = &node.declaration {
                    sum.add_node(declaration, &node.latest);
                }
            }
            self.sum = sum;
        }
    }

    /// When `settle` has something to do next, though nothing is heard.
    pub(crate) fn settles_at(
        &self,
        now: Timestamp,
        settings: &StatusSettings,
    ) -> Option<Timestamp> {
        let inactive = self.arrived.map(|arrived| arrived.plus(settings.active_window));
        let closed = self
            .last_seen
            .filter(|_| self.link == Link::Assumed)
            .map(|seen| seen.plus(settings.active_window));
        let silent = self.silent_from().filter(|_| !self.flags.contains_key(&QualityFlag::Gap));
        let aged = self.flags.values().min().map(|raised| raised.plus(settings.flag_lifetime));
        let ahead = |moment: &Timestamp| *moment > now;
        [inactive, closed, silent, aged].into_iter().flatten().filter(ahead).min()
    }

    pub(crate) fn standing(&self, now: Timestamp, settings: &StatusSettings) -> Standing {
        Standing {
            online: self.is_online(),
            active: self.is_active(now, settings),
            flags: self.flags.keys().copied().collect(),
        }
    }

    /// The status as it is shown; call [`Self::settle`] before.
    pub(crate) fn status(&mut self, now: Timestamp, settings: &StatusSettings) -> Arc<HemStatus> {
        let standing = self.standing(now, settings);
        if let Some(shown) = &self.shown
            && shown.online == standing.online
            && shown.active == standing.active
            && shown.flags == standing.flags
        {
            return Arc::clone(shown);
        }
        let status = Arc::new(HemStatus {
            hem: self.hem.clone(),
            microgrid: self.microgrid.clone(),
            online: standing.online,
            active: standing.active,
            last_seen: self.last_seen,
            epoch: self.epoch,
            mark: self.mark,
            nodes: self
                .nodes
                .iter()
                .map(|node| NodeStatus {
                    latest: node.latest,
                    ts: node.ts,
                    declaration: node.declaration.as_deref().cloned(),
                })
                .collect(),
            totals: self.sum.totals(),
            flags: standing.flags,
            missing: self.missing(),
        });
        self.shown = Some(Arc::clone(&status));
        status
    }
}
