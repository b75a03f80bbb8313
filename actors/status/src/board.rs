//! The statuses of all HEMs. Pure: facts go in, with the time; out comes whom to tell and what to ask.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use memcloud_domain::messages::{
    HemChanged, HemConnected, HemDisconnected, HemHeard, HemStatusChanged, LatestSeen,
    MicrogridRoster, ReadingsCommitted, RosterHem,
};
use memcloud_domain::{Epoch, HemId, HemStatus, MicrogridId, ProcessId, Reading, Timestamp};

use crate::hem_record::HemRecord;
use crate::messages::{ListHemStatuses, MicrogridStatus, StatusPage};
use crate::settings::StatusSettings;
use crate::totals::PowerSum;

/// A page has no more statuses.
const LONGEST_PAGE: usize = 1_000;
/// So many HEMs that were removed are remembered, so that a fact that was under way does not bring
/// them back.
const REMEMBERED_REMOVALS: usize = 1_000;
/// Where the board is full, one in so many is forgotten at a time.
const FORGOTTEN_SHARE: usize = 100;

/// What came to be known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fact<'a> {
    Connected(&'a HemConnected),
    Disconnected(&'a HemDisconnected),
    Heard(&'a HemHeard),
    Latest(&'a LatestSeen),
    Committed(&'a ReadingsCommitted),
    Changed(&'a HemChanged),
    /// The store's newest values of a HEM, asked for before.
    Found(&'a HemId, &'a Reading),
    /// A microgrid's HEMs and their nodes, asked for before.
    Roster(&'a MicrogridRoster),
    Removed(&'a HemId),
    /// Which processes of a cluster live.
    Live(&'a [ProcessId]),
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Others are told how a HEM stands now.
    Tell(HemStatusChanged),
    /// The historian is asked for a HEM's newest values.
    LookUp(HemId),
    /// The registrar is asked which nodes a microgrid's HEMs have.
    AskRoster(MicrogridId),
}

/// What brought the board to look at a HEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Fact,
    Time,
}

/// The statuses of all HEMs.
#[derive(Debug, Default)]
pub(crate) struct Board {
    settings: StatusSettings,
    microgrids: BTreeMap<MicrogridId, BTreeMap<HemId, HemRecord>>,
    homes: BTreeMap<HemId, MicrogridId>,
    /// When to look at a HEM though nothing is heard; at most one entry for each.
    checks: BTreeSet<(Timestamp, HemId)>,
    removed: VecDeque<(HemId, Epoch)>,
    asked_rosters: BTreeSet<MicrogridId>,
    forgotten: u64,
}

impl Board {
    pub(crate) fn new(settings: StatusSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    // ------------------------------------------------------------------------ facts

    pub(crate) fn accept(&mut self, fact: Fact<'_>, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        match fact {
            Fact::Connected(fact) => {
                let effects = &mut effects;
                self.revise(
                    &fact.hem,
                    &fact.microgrid,
                    Some(fact.epoch),
                    now,
                    effects,
                    |record, _| {
                        record.connected(fact);
                    },
                );
            }
            Fact::Disconnected(fact) => {
                // Of a HEM that is not known its end is no news.
                if self.homes.contains_key(&fact.hem) {
                    let (hem, epoch) = (&fact.hem, Some(fact.epoch));
                    self.revise(hem, &fact.microgrid, epoch, now, &mut effects, |record, _| {
                        record.disconnected(fact.epoch, fact.at);
                    });
                }
            }
            Fact::Heard(fact) => {
                let effects = &mut effects;
                self.revise(
                    &fact.hem,
                    &fact.microgrid,
                    Some(fact.epoch),
                    now,
                    effects,
                    |record, _| {
                        record.heard_at_socket(fact.epoch, fact.at, fact.missing, now);
                    },
                );
            }
            Fact::Latest(fact) => {
                let (hem, epoch) = (&fact.hem, Some(fact.epoch));
                self.revise(hem, &fact.microgrid, epoch, now, &mut effects, |record, settings| {
                    record.latest_seen(fact, now, settings);
                });
            }
            Fact::Committed(fact) => {
                for batch in fact.batches.iter() {
                    let (hem, epoch) = (&batch.hem, Some(batch.epoch));
                    self.revise(
                        hem,
                        &fact.microgrid,
                        epoch,
                        now,
                        &mut effects,
                        |record, settings| {
                            record.committed(batch, now, settings);
                        },
                    );
                }
            }
            Fact::Changed(fact) => {
                self.revise(&fact.hem, &fact.microgrid, None, now, &mut effects, |record, _| {
                    record.declare(&fact.nodes);
                });
            }
            Fact::Found(hem, reading) => {
                if let Some(microgrid) = self.homes.get(hem).cloned() {
                    self.revise(hem, &microgrid, None, now, &mut effects, |record, _| {
                        record.found_in_store(reading, now);
                    });
                }
            }
            Fact::Roster(roster) => {
                for RosterHem { hem, nodes, .. } in &roster.hems {
                    let unknown =
                        self.record_mut(hem).is_some_and(|record| !record.knows_its_nodes());
                    if unknown {
                        let microgrid = &roster.profile.id;
                        self.revise(hem, microgrid, None, now, &mut effects, |record, _| {
                            record.declare(nodes);
                        });
                    }
                }
            }
            Fact::Removed(hem) => self.remove(hem),
            Fact::Live(live) => self.processes_live(live, now, &mut effects),
        }
        effects
    }

    fn processes_live(&mut self, live: &[ProcessId], now: Timestamp, effects: &mut Vec<Effect>) {
        let records = self.microgrids.values_mut().flatten();
        let mut gone = Vec::new();
        for (hem, record) in records {
            if record.is_elsewhere_than(live) {
                record.process_gone();
                gone.push(hem.clone());
            }
        }
        for hem in gone {
            self.settle(&hem, now, Turn::Fact, effects);
        }
    }

    /// Looks at the HEMs of which time has changed something: at most so many. Answers whether there
    /// are more.
    pub(crate) fn tick(&mut self, now: Timestamp, limit: usize) -> (Vec<Effect>, bool) {
        let mut effects = Vec::new();
        for _ in 0..limit {
            let Some((_, hem)) = self.checks.first().filter(|(at, _)| *at <= now).cloned() else {
                return (effects, false);
            };
            self.checks.pop_first();
            if let Some(record) = self.record_mut(&hem) {
                record.check_at = None;
            }
            self.settle(&hem, now, Turn::Time, &mut effects);
        }
        let more = self.checks.first().is_some_and(|(at, _)| *at <= now);
        (effects, more)
    }

    /// From now on the registrar is asked again about a microgrid with a HEM whose nodes are not known.
    pub(crate) fn ask_roster_again(&mut self, microgrid: &MicrogridId) {
        self.asked_rosters.remove(microgrid);
    }

    fn record_mut(&mut self, hem: &HemId) -> Option<&mut HemRecord> {
        let microgrid = self.homes.get(hem)?;
        self.microgrids.get_mut(microgrid)?.get_mut(hem)
    }

    /// Changes a HEM's record, made where there is none, and sees to what follows from it.
    fn revise(
        &mut self,
        hem: &HemId,
        microgrid: &MicrogridId,
        epoch: Option<Epoch>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
        change: impl FnOnce(&mut HemRecord, &StatusSettings),
    ) {
        match self.homes.get(hem) {
            None => {
                if self.was_removed(hem, epoch) || !self.make_room() {
                    return;
                }
                let record = HemRecord::new(hem.clone(), microgrid.clone());
                self.homes.insert(hem.clone(), microgrid.clone());
                self.microgrids.entry(microgrid.clone()).or_default().insert(hem.clone(), record);
                effects.push(Effect::LookUp(hem.clone()));
            }
            Some(home) if home != microgrid => {
                let is_news = self
                    .record_mut(hem)
                    .is_some_and(|record| epoch.is_none_or(|epoch| epoch >= record.epoch()));
                if !is_news {
                    return;
                }
                if let Some(mut record) = self.take(hem) {
                    record.move_to(microgrid.clone());
                    self.homes.insert(hem.clone(), microgrid.clone());
                    self.microgrids
                        .entry(microgrid.clone())
                        .or_default()
                        .insert(hem.clone(), record);
                }
            }
            Some(_) => {}
        }
        let Some(record) = self.microgrids.get_mut(microgrid).and_then(|hems| hems.get_mut(hem))
        else {
            return;
        };
        change(record, &self.settings);
        if !record.knows_its_nodes() && self.asked_rosters.insert(microgrid.clone()) {
            effects.push(Effect::AskRoster(microgrid.clone()));
        }
        self.settle(hem, now, Turn::Fact, effects);
    }

    /// Lets time pass for a HEM, tells what is to be told, and says when to look at it again.
    ///
    /// A transition is told at once. New values wait for the next tick, where they are told of in small
    /// portions: a commit of a thousand readings must not hold the actor up.
    fn settle(&mut self, hem: &HemId, now: Timestamp, turn: Turn, effects: &mut Vec<Effect>) {
        let Some(microgrid) = self.homes.get(hem) else { return };
        let record = self.microgrids.get_mut(microgrid).and_then(|hems| hems.get_mut(hem));
        let Some(record) = record else { return };
        let settings = &self.settings;
        record.settle(now, settings);
        let standing = record.standing(now, settings);
        let is_transition = record.told.as_ref().is_none_or(|(_, told)| *told != standing);
        let values_due = match &record.told {
            Some((at, _)) if record.untold => Some(at.plus(settings.change_interval)),
            _ => None,
        };
        let values_are_due = turn == Turn::Time && values_due.is_some_and(|due| due <= now);
        let mut due = values_due;
        if is_transition || values_are_due {
            let status = record.status(now, settings);
            effects.push(Effect::Tell(HemStatusChanged { at: now, status }));
            record.told = Some((now, standing));
            record.untold = false;
            due = None;
        }
        let next = [due, record.settles_at(now, settings)].into_iter().flatten().min();
        // A check that comes too early only looks again; so one that is set is left where it is.
        if let Some(next) = next
            && record.check_at.is_none_or(|set| next < set)
        {
            if let Some(set) = record.check_at.replace(next) {
                self.checks.remove(&(set, hem.clone()));
            }
            self.checks.insert((next, hem.clone()));
        }
    }

    fn take(&mut self, hem: &HemId) -> Option<HemRecord> {
        let microgrid = self.homes.remove(hem)?;
        let hems = self.microgrids.get_mut(&microgrid)?;
        let record = hems.remove(hem);
        if hems.is_empty() {
            self.microgrids.remove(&microgrid);
        }
        record
    }

    fn remove(&mut self, hem: &HemId) {
        let Some(record) = self.take(hem) else { return };
        if let Some(at) = record.check_at {
            self.checks.remove(&(at, hem.clone()));
        }
        if self.removed.len() >= REMEMBERED_REMOVALS {
            self.removed.pop_front();
        }
        self.removed.push_back((hem.clone(), record.epoch()));
    }

    /// Whether a fact is one that was under way when its HEM was removed. Registered again, a HEM
    /// connects with a higher epoch.
    fn was_removed(&self, hem: &HemId, epoch: Option<Epoch>) -> bool {
        let Some(epoch) = epoch else { return false };
        self.removed.iter().any(|(removed, last)| removed == hem && epoch <= *last)
    }

    /// Where the board is full, those that have been offline the longest are forgotten.
    fn make_room(&mut self) -> bool {
        if self.homes.len() < self.settings.max_hems {
            return true;
        }
        let mut offline: Vec<_> = self
            .microgrids
            .values()
            .flatten()
            .filter(|(_, record)| !record.is_online())
            .map(|(hem, record)| (record.last_seen(), hem.clone()))
            .collect();
        offline.sort_unstable();
        let some = (self.settings.max_hems / FORGOTTEN_SHARE).max(1);
        for (_, hem) in offline.iter().take(some) {
            if let Some(record) = self.take(hem)
                && let Some(at) = record.check_at
            {
                self.checks.remove(&(at, hem.clone()));
            }
            self.forgotten += 1;
        }
        !offline.is_empty()
    }

    // ------------------------------------------------------------------------ questions

    pub(crate) fn status(&mut self, hem: &HemId, now: Timestamp) -> Option<Arc<HemStatus>> {
        let microgrid = self.homes.get(hem)?;
        let record = self.microgrids.get_mut(microgrid)?.get_mut(hem)?;
        record.settle(now, &self.settings);
        Some(record.status(now, &self.settings))
    }

    pub(crate) fn page(&mut self, question: ListHemStatuses, now: Timestamp) -> StatusPage {
        let limit = question.limit.clamp(1, LONGEST_PAGE);
        let after = question.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let beyond = (after, Bound::Unbounded);
        // One more than asked for shows whether there is a next page.
        let mut found: Vec<HemId> = match (&question.hems, &question.microgrid) {
            (Some(hems), microgrid) => {
                let wanted: BTreeSet<&HemId> = hems.iter().collect();
                wanted
                    .into_iter()
                    .filter(|hem| question.after.as_ref().is_none_or(|after| *hem > after))
                    .filter(|hem| match (self.homes.get(*hem), microgrid) {
                        (Some(home), Some(wanted)) => home == wanted,
                        (home, _) => home.is_some(),
                    })
                    .take(limit + 1)
                    .cloned()
                    .collect()
            }
            (None, Some(microgrid)) => {
                let hems = self.microgrids.get(microgrid).into_iter();
                hems.flat_map(|hems| hems.range::<HemId, _>(beyond))
                    .map(|(hem, _)| hem.clone())
                    .take(limit + 1)
                    .collect()
            }
            (None, None) => self
                .homes
                .range::<HemId, _>(beyond)
                .map(|(hem, _)| hem.clone())
                .take(limit + 1)
                .collect(),
        };
        let more = found.len() > limit;
        found.truncate(limit);
        let next = if more { found.last().cloned() } else { None };
        let items = found.iter().filter_map(|hem| self.status(hem, now)).collect();
        StatusPage { items, next }
    }

    pub(crate) fn microgrid(&self, microgrid: &MicrogridId, now: Timestamp) -> MicrogridStatus {
        let mut sum = PowerSum::default();
        let (mut online, mut active, mut known) = (0, 0, 0);
        for record in self.microgrids.get(microgrid).into_iter().flat_map(BTreeMap::values) {
            known += 1;
            online += usize::from(record.is_online());
            if record.is_active(now, &self.settings) {
                active += 1;
                sum.add_home(record.sum());
            }
        }
        MicrogridStatus {
            microgrid: microgrid.clone(),
            totals: sum.totals(),
            online,
            active,
            known,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.homes.len()
    }

    /// How many HEMs were forgotten because the board was full.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}
