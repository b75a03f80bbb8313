//! How far a job has read, per HEM, and what it reads next: the pure core that makes "every stored
//! entry at least once, in order per HEM" true, whatever the bus loses, repeats or swaps.
//!
//! Three numbers per HEM: `taken` (waits for a step or was stepped), `stepped` (the app has seen it;
//! this is what is saved) and `target` (is stored, as far as is known). A batch that joins up with
//! `taken` is taken; one that leaves a hole, or finds no room, only moves the target, and what lies
//! between is read from the store, page by page, one HEM after the other.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use memcloud_bus::CommittedBatch;
use memcloud_domain::messages::{HemBatch, HemMark, ReadEntriesAfter};
use memcloud_domain::{Entry, HemId, Seq, Timestamp};

use crate::{JobLimits, Portion, Roster};

#[derive(Debug, Clone, Copy, Default)]
struct Position {
    taken: Seq,
    stepped: Seq,
    target: Seq,
    newest: Option<Timestamp>,
}

/// How far a step's portions reach, to be handed back when the step is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach(Vec<(HemId, Seq)>);

/// How far a job has read, and what waits for its next step.
#[derive(Debug)]
pub struct Intake {
    limits: JobLimits,
    positions: BTreeMap<HemId, Position>,
    waiting: VecDeque<(Portion, Seq)>,
    backlog: usize,
    page_of: Option<HemId>,
    last_page_of: Option<HemId>,
    store_away: bool,
    left_out: u64,
}

impl Intake {
    /// One that goes on from saved cursors.
    #[must_use]
    pub fn new(limits: JobLimits, cursors: BTreeMap<HemId, Seq>) -> Self {
        let positions = cursors
            .into_iter()
            .map(|(hem, cursor)| {
                (hem, Position { taken: cursor, stepped: cursor, target: cursor, newest: None })
            })
            .collect();
        Self {
            limits,
            positions,
            waiting: VecDeque::new(),
            backlog: 0,
            page_of: None,
            last_page_of: None,
            store_away: false,
            left_out: 0,
        }
    }

    /// Passes over everything up to these marks: for a new job that begins now.
    pub fn begin_after(&mut self, marks: Vec<HemMark>) {
        for HemMark { hem, mark, .. } in marks {
            if let Some(position) = self.position(&hem) {
                *position = Position { taken: mark, stepped: mark, target: mark, newest: None };
            }
        }
    }

    /// Takes a batch from the bus.
    pub fn take_batch(&mut self, batch: &CommittedBatch, roster: Option<&Roster>) {
        let HemBatch { hem, after, through, .. } = batch.batch();
        let has_room = self.backlog < self.limits.backlog;
        let is_known = roster.is_some_and(|roster| roster.has(hem));
        let Some(position) = self.position(hem) else { return };
        position.target = position.target.max(*through);
        if is_known && has_room && *after <= position.taken {
            self.take(batch.clone());
        }
    }

    /// Takes how far the HEMs' numbers are stored.
    pub fn take_marks(&mut self, marks: Vec<HemMark>) {
        self.store_away = false;
        for HemMark { hem, mark, .. } in marks {
            if let Some(position) = self.position(&hem) {
                position.target = position.target.max(mark);
            }
        }
    }

    /// The next page to read from the store, if one is wanted and none is under way.
    pub fn next_page(&mut self, roster: &Roster) -> Option<ReadEntriesAfter> {
        if self.page_of.is_some() || self.store_away || self.backlog >= self.limits.backlog {
            return None;
        }
        let is_behind = |(hem, position): &(&HemId, &Position)| {
            position.taken < position.target && roster.has(hem)
        };
        let last = self.last_page_of.as_ref();
        let beyond = last.map_or(Bound::Unbounded, Bound::Excluded);
        let (hem, position) = self
            .positions
            .range::<HemId, _>((beyond, Bound::Unbounded))
            .find(is_behind)
            .or_else(|| self.positions.iter().find(is_behind))?;
        let read =
            ReadEntriesAfter { hem: hem.clone(), after: position.taken, limit: self.limits.page };
        self.page_of = Some(read.hem.clone());
        self.last_page_of = Some(read.hem.clone());
        Some(read)
    }

    /// Takes the page that was asked for.
    pub fn take_page(&mut self, page: HemBatch) {
        self.page_of = None;
        let Some(position) = self.positions.get_mut(&page.hem) else { return };
        if page.through <= position.taken {
            if page.entries.is_empty() {
                // The store has no more than this; asking again at once would answer the same.
                position.target = position.taken;
            }
            return;
        }
        if page.after <= position.taken {
            self.take(CommittedBatch::from(page));
        }
    }

    /// The page that was asked for cannot be had now; the next marks begin again.
    pub fn page_failed(&mut self) {
        self.page_of = None;
        self.store_away = true;
    }

    /// What the next step is made of, and how far it reaches; nothing where nothing waits.
    pub fn next_step(&mut self) -> Option<(Vec<Portion>, Reach)> {
        let mut room = self.limits.step_entries.max(1);
        let mut portions = Vec::new();
        let mut reach = BTreeMap::new();
        while room > 0 {
            let Some((mut portion, mut through)) = self.waiting.pop_front() else { break };
            if portion.entries().len() > room {
                let (first, rest) = portion.split_at(room);
                self.waiting.push_front((rest, through));
                through = first.entries().last().map_or(through, Entry::seq);
                portion = first;
            }
            room -= portion.entries().len();
            reach.insert(portion.hem().clone(), through);
            portions.push(portion);
        }
        let taken: usize = portions.iter().map(|portion| portion.entries().len()).sum();
        self.backlog -= taken.min(self.backlog);
        if portions.is_empty() {
            return None;
        }
        Some((portions, Reach(reach.into_iter().collect())))
    }

    /// The app has seen a step's entries.
    pub fn stepped(&mut self, reach: Reach) {
        for (hem, through) in reach.0 {
            if let Some(position) = self.positions.get_mut(&hem) {
                position.stepped = position.stepped.max(through);
            }
        }
    }

    /// What the app has seen, to be saved with its state.
    #[must_use]
    pub fn cursors(&self) -> BTreeMap<HemId, Seq> {
        self.positions.iter().map(|(hem, position)| (hem.clone(), position.stepped)).collect()
    }

    /// Whether entries wait for a step.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many entries wait for a step.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.backlog
    }

    /// How many of the microgrid's HEMs have more stored than the app has seen.
    #[must_use]
    pub fn behind(&self, roster: &Roster) -> usize {
        let is_behind = |(hem, position): &(&HemId, &Position)| {
            position.stepped < position.target && roster.has(hem)
        };
        self.positions.iter().filter(is_behind).count()
    }

    /// How often something of a HEM beyond the limit was passed over.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn position(&mut self, hem: &HemId) -> Option<&mut Position> {
        if !self.positions.contains_key(hem) {
            if self.positions.len() >= self.limits.hems {
                self.left_out += 1;
                return None;
            }
            self.positions.insert(hem.clone(), Position::default());
        }
        self.positions.get_mut(hem)
    }

    /// Takes what a batch, which begins at or below `taken`, has above it.
    fn take(&mut self, batch: CommittedBatch) {
        let HemBatch { hem, through, entries, .. } = batch.batch();
        let Some(position) = self.positions.get_mut(hem) else { return };
        let through = *through;
        if through <= position.taken {
            return;
        }
        let from = entries.partition_point(|entry| entry.seq() <= position.taken);
        let to = entries.len();
        let portion = Portion::new(batch, from, to, position.newest);
        position.taken = through;
        position.target = position.target.max(through);
        position.newest = portion.newest_after();
        self.backlog += portion.entries().len();
        self.waiting.push_back((portion, through));
    }
}
