//! What the ledger keeps in memory: commands that wait, are under way, or whose effect or end is still
//! to be seen; with when each must be looked at next. Bounded by the limits per HEM.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::{
    CommandId, CommandRecord, CommandState, Epoch, HemId, NodeId, Setting, Timestamp,
};

use crate::CommandsConfig;
use crate::config::LONGEST_SPAN;
use crate::ledger::machine::{answered_at, lease_end, sent_at};

/// Commands in memory.
#[derive(Debug)]
pub(crate) struct Book {
    config: CommandsConfig,
    records: HashMap<CommandId, Arc<CommandRecord>>,
    hems: HashMap<HemId, BTreeSet<CommandId>>,
    due: BTreeSet<(Timestamp, CommandId)>,
    /// The highest order of each HEM, ever.
    orders: HashMap<HemId, u64>,
    /// Whether a HEM that is not among them never had one; else it is looked up.
    knows_all_orders: bool,
    /// Per HEM the highest order of each kind that was carried out at each node.
    acted: HashMap<HemId, BTreeMap<(NodeId, Kind), u64>>,
    connected: HashMap<HemId, Epoch>,
    /// HEMs of which orders wait that may be sent only when they are connected.
    holding: BTreeSet<HemId>,
    /// Commands on which dispatch has not decided.
    undecided: BTreeSet<CommandId>,
}

impl Book {
    pub(crate) fn new(
        config: CommandsConfig,
        open: Vec<CommandRecord>,
        orders: Option<Vec<(HemId, u64)>>,
    ) -> Self {
        let mut book = Self {
            config,
            records: HashMap::new(),
            hems: HashMap::new(),
            due: BTreeSet::new(),
            knows_all_orders: orders.is_some(),
            orders: orders.into_iter().flatten().collect(),
            acted: HashMap::new(),
            connected: HashMap::new(),
            holding: BTreeSet::new(),
            undecided: BTreeSet::new(),
        };
        let mut open: Vec<_> = open.into_iter().map(Arc::new).collect();
        // By order, so that who was disturbed by a later one leaves.
        open.sort_by_key(|record| (record.order, record.id.clone()));
        for record in open {
            book.put(Arc::clone(&record));
            for disturbed in book.disturbed_by(&record) {
                book.remove(&disturbed);
            }
        }
        book
    }

    pub(crate) fn config(&self) -> &CommandsConfig {
        &self.config
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn get(&self, id: &CommandId) -> Option<&Arc<CommandRecord>> {
        self.records.get(id)
    }

    /// All of them, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<CommandRecord>> {
        let mut all: Vec<_> = self.records.values().cloned().collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all
    }

    /// A HEM's commands, the oldest first.
    pub(crate) fn of<'a>(&'a self, hem: &HemId) -> impl Iterator<Item = &'a Arc<CommandRecord>> {
        self.hems.get(hem).into_iter().flatten().filter_map(|id| self.records.get(id))
    }

    /// Takes a record in, in the place of its earlier self; leaves it out where nothing is to be
    /// waited for any more.
    pub(crate) fn put(&mut self, record: Arc<CommandRecord>) {
        self.remove(&record.id);
        self.note_act(&record);
        let Some(next) = next_look(&record, &self.config) else { return };
        self.due.insert((next, record.id.clone()));
        self.hems.entry(record.hem.clone()).or_default().insert(record.id.clone());
        if is_held(&record) {
            self.holding.insert(record.hem.clone());
        } else if record.state == CommandState::Accepted {
            self.undecided.insert(record.id.clone());
        }
        self.records.insert(record.id.clone(), record);
    }

    /// Leaves a record out.
    pub(crate) fn remove(&mut self, id: &CommandId) -> Option<Arc<CommandRecord>> {
        let record = self.records.remove(id)?;
        self.undecided.remove(id);
        if let Some(next) = next_look(&record, &self.config) {
            self.due.remove(&(next, record.id.clone()));
        }
        if let Some(ids) = self.hems.get_mut(&record.hem) {
            ids.remove(id);
            if ids.is_empty() {
                self.hems.remove(&record.hem);
            }
        }
        Some(record)
    }

    /// When the next is to be looked at.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(crate) fn has_undecided(&self) -> bool {
        !self.undecided.is_empty()
    }

    pub(crate) fn has_held(&self) -> bool {
        !self.holding.is_empty()
    }

    /// Which are to be looked at now, at most so many, the longest due first.
    pub(crate) fn due(&self, now: Timestamp, limit: usize) -> Vec<CommandId> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        due.take(limit).map(|(_, id)| id.clone()).collect()
    }

    /// Commands on which dispatch has not decided, at most so many, the oldest first.
    pub(crate) fn undecided(&self, limit: usize) -> Vec<Arc<CommandRecord>> {
        self.undecided.iter().filter_map(|id| self.records.get(id)).take(limit).cloned().collect()
    }

    /// Whether the next order of a HEM can be told.
    pub(crate) fn knows_order(&self, hem: &HemId) -> bool {
        self.knows_all_orders || self.orders.contains_key(hem)
    }

    /// The highest orders of HEMs were looked up; those that have none never had one.
    pub(crate) fn learn_orders(&mut self, asked: Vec<HemId>, found: Vec<(HemId, u64)>) {
        for hem in asked {
            self.orders.entry(hem).or_insert(0);
        }
        for (hem, order) in found {
            let highest = self.orders.entry(hem).or_insert(order);
            *highest = order.max(*highest);
        }
    }

    /// The next order of a HEM. A number that was not used after all is left out.
    pub(crate) fn next_order(&mut self, hem: &HemId) -> u64 {
        let highest = self.orders.entry(hem.clone()).or_insert(0);
        *highest += 1;
        *highest
    }

    /// How many of a HEM's commands wait to be sent or answered.
    pub(crate) fn waiting(&self, hem: &HemId, now: Timestamp) -> usize {
        let waits = |record: &&Arc<CommandRecord>| {
            record.state == CommandState::Accepted || is_unanswered(record, now)
        };
        self.of(hem).filter(waits).count()
    }

    /// How many of a HEM's commands were sent, not answered, and may still be begun.
    pub(crate) fn unanswered(&self, hem: &HemId, now: Timestamp) -> usize {
        self.of(hem).filter(|record| is_unanswered(record, now)).count()
    }

    /// A HEM's orders that wait to be sent, by order.
    pub(crate) fn held(&self, hem: &HemId) -> Vec<Arc<CommandRecord>> {
        let mut held: Vec<_> = self.of(hem).filter(|record| is_held(record)).cloned().collect();
        held.sort_by_key(|record| record.order);
        held
    }

    /// What is sent again to a HEM that was welcomed: the newest that it has not answered, by order. An
    /// answer that says nothing more is an answer.
    pub(crate) fn to_resend(&self, hem: &HemId, now: Timestamp) -> Vec<Arc<CommandRecord>> {
        let is_owed = |record: &&Arc<CommandRecord>| {
            matches!(record.state, CommandState::Sent | CommandState::Unconfirmed)
                && record.acted_at.is_none()
                && record.issued.plus(LONGEST_SPAN) > now
        };
        let mut owed: Vec<_> = self.of(hem).filter(is_owed).cloned().collect();
        owed.sort_by_key(|record| record.order);
        let too_many = owed.len().saturating_sub(self.config.unanswered_per_hem);
        owed.split_off(too_many)
    }

    /// Whether a later order for the same node and action was sent: this one must not be begun any
    /// more.
    pub(crate) fn is_replaced(&self, record: &CommandRecord) -> bool {
        self.of(&record.hem).any(|other| {
            is_same_kind(other, record) && other.order > record.order && may_have_acted(other.state)
        })
    }

    /// Orders for the same node and action that were not sent, before this one.
    pub(crate) fn replaced_by(&self, record: &CommandRecord) -> Vec<CommandId> {
        let is_replaced = |other: &&Arc<CommandRecord>| {
            is_same_kind(other, record) && is_held(other) && other.order < record.order
        };
        self.of(&record.hem).filter(is_replaced).map(|other| other.id.clone()).collect()
    }

    /// Whether what readings show of a command may be the work of a later one: that was carried out, or
    /// nobody knows.
    pub(crate) fn is_disturbed(&self, record: &CommandRecord) -> bool {
        self.was_overtaken(record)
            || self.of(&record.hem).any(|other| {
                disturbs(other, record)
                    && matches!(other.state, CommandState::Sent | CommandState::Unconfirmed)
            })
    }

    /// Of which commands readings cannot tell any more, now that this one was carried out; itself, where
    /// a later one was before.
    pub(crate) fn disturbed_by(&self, record: &CommandRecord) -> Vec<CommandId> {
        if !is_carried_out(record.state) {
            return Vec::new();
        }
        let is_disturbed =
            |other: &&Arc<CommandRecord>| is_carried_out(other.state) && disturbs(record, other);
        let mut disturbed: Vec<_> =
            self.of(&record.hem).filter(is_disturbed).map(|other| other.id.clone()).collect();
        if self.was_overtaken(record) {
            disturbed.push(record.id.clone());
        }
        disturbed
    }

    /// Whether a later order that changes what readings show of this one was carried out.
    fn was_overtaken(&self, record: &CommandRecord) -> bool {
        let Some((node, kind)) = kind_at_node(record) else { return false };
        let Some(acted) = self.acted.get(&record.hem) else { return false };
        acted.iter().any(|((at, later), order)| {
            *at == node && later.disturbs(kind) && Some(*order) > record.order
        })
    }

    fn note_act(&mut self, record: &CommandRecord) {
        let was_carried_out = is_carried_out(record.state)
            || matches!(record.state, CommandState::Ineffective | CommandState::Reverted);
        let (Some(place), Some(order)) = (kind_at_node(record), record.order) else { return };
        if was_carried_out {
            let acted = self.acted.entry(record.hem.clone()).or_default();
            let highest = acted.entry(place).or_insert(order);
            *highest = order.max(*highest);
        }
    }

    /// Forgets what is known of a HEM beside its commands; the number of its last order too where it can be
    /// looked up: another process may give the next.
    pub(crate) fn forget(&mut self, hem: &HemId) {
        if !self.knows_all_orders {
            self.orders.remove(hem);
        }
        self.acted.remove(hem);
        self.connected.remove(hem);
    }

    pub(crate) fn is_connected(&self, hem: &HemId) -> bool {
        self.connected.contains_key(hem)
    }

    /// A HEM is connected. Answers whether that is a new connection.
    pub(crate) fn connect(&mut self, hem: &HemId, epoch: Epoch) -> bool {
        match self.connected.get_mut(hem) {
            Some(known) => {
                let is_new = epoch > *known;
                *known = epoch.max(*known);
                is_new
            }
            None => {
                if self.connected.len() < self.config.hems {
                    self.connected.insert(hem.clone(), epoch);
                }
                true
            }
        }
    }

    pub(crate) fn disconnect(&mut self, hem: &HemId, epoch: Epoch) {
        if self.connected.get(hem).is_some_and(|known| *known <= epoch) {
            self.connected.remove(hem);
        }
    }

    /// HEMs of which orders wait and that are not known to be connected; at most so many, each in its
    /// turn.
    pub(crate) fn sought(&mut self, limit: usize) -> Vec<HemId> {
        let holding: Vec<HemId> = self.holding.iter().cloned().collect();
        let mut sought = Vec::new();
        for hem in holding {
            if self.held(&hem).is_empty() {
                self.holding.remove(&hem);
            } else if !self.is_connected(&hem) && sought.len() < limit {
                sought.push(hem);
            }
        }
        sought
    }
}

/// An order that waits to be sent.
pub(crate) fn is_held(record: &CommandRecord) -> bool {
    record.state == CommandState::Accepted && record.order.is_some()
}

/// Sent, not answered, and may still be begun.
fn is_unanswered(record: &CommandRecord, now: Timestamp) -> bool {
    match record.state {
        CommandState::Sent => true,
        CommandState::Unconfirmed => record.acted_at.is_none() && record.expires > now,
        _ => false,
    }
}

fn is_carried_out(state: CommandState) -> bool {
    matches!(state, CommandState::Acknowledged | CommandState::Effective)
}

fn may_have_acted(state: CommandState) -> bool {
    matches!(
        state,
        CommandState::Sent
            | CommandState::Unconfirmed
            | CommandState::Acknowledged
            | CommandState::Effective
            | CommandState::Ineffective
            | CommandState::Reverted
    )
}

fn is_same_kind(one: &CommandRecord, other: &CommandRecord) -> bool {
    one.id != other.id && one.node == other.node && one.as_sent().name() == other.as_sent().name()
}

/// What a command sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Switch,
    Power,
    Limit,
}

impl Kind {
    /// Whether a later order of this kind changes what readings show of an earlier one. A set-point moves
    /// within a limit, and a limit does not switch: those leave each other be.
    fn disturbs(self, earlier: Self) -> bool {
        !matches!((self, earlier), (Self::Power, Self::Limit) | (Self::Limit, Self::Switch))
    }
}

fn kind_at_node(record: &CommandRecord) -> Option<(NodeId, Kind)> {
    let kind = match record.as_sent().setting()? {
        Setting::Switch { .. } => Kind::Switch,
        Setting::Power { .. } => Kind::Power,
        Setting::Limit { .. } => Kind::Limit,
    };
    Some((record.node?, kind))
}

fn disturbs(later: &CommandRecord, earlier: &CommandRecord) -> bool {
    let (Some(one), Some(other)) = (kind_at_node(later), kind_at_node(earlier)) else {
        return false;
    };
    one.0 == other.0 && later.order > earlier.order && one.1.disturbs(other.1)
}

/// When a command must be looked at next; absent: it is over, or nothing more will be seen of it.
fn next_look(record: &CommandRecord, config: &CommandsConfig) -> Option<Timestamp> {
    let has_effect = record.node.is_some() && record.as_sent().setting().is_some();
    let last_reading = |after: Timestamp, lease: Duration| {
        after.plus(config.effect_window.max(lease)).plus(config.patience)
    };
    let lease = Duration::from_millis(record.lease_ms.unwrap_or(0));
    match record.state {
        CommandState::Accepted => Some(record.expires),
        CommandState::Sent => sent_at(record).map(|sent| sent.plus(config.result_timeout)),
        CommandState::Unconfirmed => {
            let answered = answered_at(record).filter(|_| has_effect);
            Some(
                answered.map_or(record.issued.plus(LONGEST_SPAN), |at| {
                    last_reading(at, Duration::ZERO)
                }),
            )
        }
        CommandState::Acknowledged if has_effect => {
            answered_at(record).map(|answered| last_reading(answered, lease))
        }
        CommandState::Effective => lease_end(record).map(|end| end.plus(config.patience)),
        _ => None,
    }
}
