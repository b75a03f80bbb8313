//! Which commands are looked at: from their result until readings tell, and then, if they have a lease,
//! until the node has fallen back. Readings from the bus may show an effect; that there was none is
//! only said after the store was read, since the bus may lose some.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::HemBatch;
use memcloud_domain::{
    CommandId, CommandRecord, CommandState, Entry, HemId, MicrogridId, NodeDeclaration, NodeId,
    Reading, Seq, Timestamp,
};

use crate::effect::expectation::{Expectation, WasSeen};
use crate::effect::observation::{Observation, finding};
use crate::ledger::machine::{answered_at, is_watchable, lease_end};
use crate::ledger::{CommandEvent, Finding};

/// A finding that changed nothing is not told again for so long.
const QUIET: Duration = Duration::from_secs(2);
/// So soon a read of the store that failed is tried again.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// So many stored entries are read at a time.
pub(crate) const PAGE: usize = 500;

/// What readings show of a command.
pub(crate) type Shown = (CommandId, CommandEvent);

/// Stored readings are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LookUp {
    pub(crate) command: CommandId,
    pub(crate) hem: HemId,
    pub(crate) after: Seq,
}

#[derive(Debug)]
struct Watch {
    record: Arc<CommandRecord>,
    node: NodeId,
    answered: Timestamp,
    lease_end: Option<Timestamp>,
    /// Readings above it were taken after the act; absent while nobody knows.
    from: Option<Seq>,
    observation: Observation,
    next: Option<Timestamp>,
    quiet_until: Timestamp,
    looked_up: Timestamp,
}

/// The commands that are looked at.
#[derive(Debug)]
pub(crate) struct Watches {
    window: Duration,
    by_hem: HashMap<HemId, BTreeMap<CommandId, Watch>>,
    hem_of: HashMap<CommandId, HemId>,
    due: BTreeSet<(Timestamp, CommandId)>,
}

impl Watches {
    pub(crate) fn new(window: Duration) -> Self {
        Self { window, by_hem: HashMap::new(), hem_of: HashMap::new(), due: BTreeSet::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.hem_of.len()
    }

    pub(crate) fn has(&self, command: &CommandId) -> bool {
        self.hem_of.contains_key(command)
    }

    pub(crate) fn looks_at(&self, hem: &HemId) -> bool {
        self.by_hem.contains_key(hem)
    }

    /// Takes a command as it is now. `mark` is the HEM's highest stored number, if known: for a result
    /// that did not say it.
    pub(crate) fn follow(&mut self, record: &Arc<CommandRecord>, mark: Option<Seq>) {
        self.forget(&record.id);
        let lease_end = lease_end(record);
        let awaits_effect = is_watchable(record);
        let awaits_end = record.state == CommandState::Effective && lease_end.is_some();
        let (Some(node), Some(answered)) = (record.node, answered_at(record)) else { return };
        if !awaits_effect && !awaits_end {
            return;
        }
        let next = awaits_effect.then(|| answered.plus(self.window));
        if let Some(next) = next {
            self.due.insert((next, record.id.clone()));
        }
        self.hem_of.insert(record.id.clone(), record.hem.clone());
        let watch = Watch {
            record: Arc::clone(record),
            node,
            answered,
            lease_end,
            from: record.acted_at.or(mark),
            observation: Observation::default(),
            next,
            quiet_until: Timestamp(i64::MIN),
            looked_up: Timestamp(i64::MIN),
        };
        self.by_hem.entry(record.hem.clone()).or_default().insert(record.id.clone(), watch);
    }

    pub(crate) fn forget(&mut self, command: &CommandId) {
        let Some(hem) = self.hem_of.remove(command) else { return };
        let Some(watches) = self.by_hem.get_mut(&hem) else { return };
        if let Some(Watch { next: Some(next), .. }) = watches.remove(command) {
            self.due.remove(&(next, command.clone()));
        }
        if watches.is_empty() {
            self.by_hem.remove(&hem);
        }
    }

    /// Another process runs a microgrid: it looks at its commands.
    pub(crate) fn forget_microgrid(&mut self, microgrid: &MicrogridId) {
        let is_its = |(command, watch): (&CommandId, &Watch)| {
            (watch.record.microgrid == *microgrid).then(|| command.clone())
        };
        let its: Vec<CommandId> = self.by_hem.values().flatten().filter_map(is_its).collect();
        for command in its {
            self.forget(&command);
        }
    }

    /// Takes what a commit stored of a HEM.
    pub(crate) fn readings(
        &mut self,
        batch: &HemBatch,
        nodes: &[NodeDeclaration],
        now: Timestamp,
    ) -> Vec<Shown> {
        let Some(watches) = self.by_hem.get_mut(&batch.hem) else { return Vec::new() };
        let window = self.window;
        let (mut shown, mut late) = (Vec::new(), Vec::new());
        for (command, watch) in watches.iter_mut() {
            watch.from.get_or_insert(batch.after);
            if now < watch.quiet_until {
                continue;
            }
            let expectation = watch.expectation(nodes);
            let readings = batch.entries.iter().filter_map(as_reading);
            let event = readings
                .filter(|reading| watch.is_after_the_act(reading))
                .find_map(|reading| watch.shown_by(reading, expectation.as_ref()?));
            if let Some(event) = event {
                watch.quiet_until = now.plus(QUIET);
                shown.push((command.clone(), event));
            } else if now >= watch.answered.plus(window) {
                // Not at every reading.
                late.push((command.clone(), now.max(watch.looked_up.plus(QUIET))));
            }
        }
        // With this reading it may be certain that there was no effect.
        for (command, look) in late {
            let is_later = |next: Timestamp| next > look;
            if self.watch(&command).and_then(|watch| watch.next).is_some_and(is_later) {
                self.put_off(&command, Some(look));
            }
        }
        shown
    }

    /// When the next is to be looked at.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Of which commands stored readings are wanted now, at most so many.
    pub(crate) fn due(&mut self, now: Timestamp, limit: usize) -> Vec<LookUp> {
        let mut wanted = Vec::new();
        while let Some((at, command)) = self.due.first().cloned() {
            if at > now || wanted.len() >= limit {
                break;
            }
            // Put off, in case that the answer does not come.
            self.put_off(&command, Some(now.plus(self.window.max(READ_AGAIN))));
            let Some(watch) = self.watch(&command) else { continue };
            watch.looked_up = now;
            if let Some(from) = watch.from {
                let after = from.max(watch.observation.through());
                wanted.push(LookUp { hem: watch.record.hem.clone(), after, command });
            }
        }
        wanted
    }

    /// The store could not be read.
    pub(crate) fn not_looked_up(&mut self, command: &CommandId, now: Timestamp) {
        self.put_off(command, Some(now.plus(READ_AGAIN)));
    }

    /// Takes what the store has. Answers what that shows, or which page is wanted next.
    pub(crate) fn looked_up(
        &mut self,
        command: &CommandId,
        batch: &HemBatch,
        nodes: &[NodeDeclaration],
    ) -> (Option<Shown>, Option<LookUp>) {
        let window = self.window;
        let Some(watch) = self.watch(command) else { return (None, None) };
        let Some(expectation) = watch.expectation(nodes) else { return (None, None) };
        let fell_back = batch
            .entries
            .iter()
            .filter_map(as_reading)
            .filter(|reading| watch.is_after_the_act(reading))
            .find_map(|reading| watch.fallen_back(reading, &expectation));
        for reading in batch.entries.iter().filter_map(as_reading) {
            if watch.is_after_the_act(reading)
                && watch.is_within_lease(reading)
                && let Some(finding) = watch.observation.take(&expectation, watch.node, reading)
            {
                return (Some((command.clone(), CommandEvent::EffectSeen(finding))), None);
            }
        }
        if let Some(finding) = fell_back {
            return (Some((command.clone(), CommandEvent::FellBack(finding))), None);
        }
        if batch.entries.len() >= PAGE
            && let Some(last) = batch.entries.last()
        {
            let (command, hem) = (command.clone(), watch.record.hem.clone());
            return (None, Some(LookUp { command, hem, after: last.seq() }));
        }
        let missing = watch.observation.missing(&expectation, watch.answered, window);
        (missing.map(|finding| (command.clone(), CommandEvent::EffectMissing(finding))), None)
    }

    fn watch(&mut self, command: &CommandId) -> Option<&mut Watch> {
        let hem = self.hem_of.get(command)?;
        self.by_hem.get_mut(hem)?.get_mut(command)
    }

    fn put_off(&mut self, command: &CommandId, until: Option<Timestamp>) {
        let Some(watch) = self.watch(command) else {
            self.due.retain(|(_, due)| due != command);
            return;
        };
        let before = std::mem::replace(&mut watch.next, until);
        if let Some(before) = before {
            self.due.remove(&(before, command.clone()));
        }
        if let Some(until) = until {
            self.due.insert((until, command.clone()));
        }
    }
}

impl Watch {
    fn expectation(&self, nodes: &[NodeDeclaration]) -> Option<Expectation> {
        let setting = self.record.as_sent().setting()?;
        let declared = nodes.iter().find(|node| node.node == self.node);
        Some(Expectation::new(setting, declared))
    }

    fn is_after_the_act(&self, reading: &Reading) -> bool {
        match self.record.acted_at {
            Some(acted_at) => reading.seq > acted_at,
            // The result did not say it: then only what was taken after the answer is evidence.
            None => reading.taken() > self.answered,
        }
    }

    /// Whether a reading was taken before the lease was over for certain.
    fn is_within_lease(&self, reading: &Reading) -> bool {
        self.lease_end.is_none_or(|end| reading.received < end)
    }

    /// What one reading shows.
    fn shown_by(&self, reading: &Reading, expectation: &Expectation) -> Option<CommandEvent> {
        if self.record.state != CommandState::Effective && self.is_within_lease(reading) {
            let mut alone = Observation::default();
            return alone.take(expectation, self.node, reading).map(CommandEvent::EffectSeen);
        }
        self.fallen_back(reading, expectation).map(CommandEvent::FellBack)
    }

    /// What a reading after the lease shows of its end.
    fn fallen_back(&self, reading: &Reading, expectation: &Expectation) -> Option<Finding> {
        let lease_end = self.lease_end?;
        let was_seen = match self.record.state {
            CommandState::Effective => WasSeen::Yes,
            CommandState::Acknowledged => WasSeen::No,
            _ => return None,
        };
        if reading.taken() < lease_end && !self.is_after_lease_at_hem(reading) {
            return None;
        }
        let measured = reading.nodes.iter().find(|measured| measured.node == self.node)?;
        if !expectation.fell_back(measured, was_seen) {
            return None;
        }
        let mut finding = finding(expectation, reading, measured);
        finding.evidence.expected = "the node falls back to its default".to_owned();
        finding.because =
            format!("its lease is over, and reading {} shows the node fallen back", reading.seq);
        Some(finding)
    }

    /// Whether the lease is over by the HEM's own clock, which may be behind: so long after the reading
    /// that showed the effect.
    fn is_after_lease_at_hem(&self, reading: &Reading) -> bool {
        let lease = Duration::from_millis(self.record.lease_ms.unwrap_or(u64::MAX));
        let seen = self.record.history.last().and_then(|step| step.evidence.as_ref());
        let seen = seen.and_then(|evidence| evidence.seen.last());
        seen.is_some_and(|seen| reading.seq > seen.seq && reading.taken().since(seen.ts) >= lease)
    }
}

fn as_reading(entry: &Entry) -> Option<&Reading> {
    match entry {
        Entry::Reading(reading) => Some(reading),
        _ => None,
    }
}
