//! What dispatch keeps beside the homes: jobs' accounts, what waits to be decided, what is on its way to
//! the ledger, and how far the microgrid's limits are used.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use memcloud_domain::messages::{OrderDraft, Origin, Verdict};
use memcloud_domain::{CommandId, CommandRecord, HemId, NodeId, PowerLimits, Timestamp};

use super::DispatchLimits;
use super::accounts::Accounts;
use super::claim::{ClaimKey, Class, Kind, Stage};
use super::decision::Room;
use super::node::{Home, Past};
use super::room::{Departure, Departures, limits_something, narrow};
use super::{Effect, Figures};

/// A node's kind of setting.
pub(super) type Spot = (HemId, NodeId, Kind);

/// What a verdict on its way to the ledger is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ticket {
    /// An order, and how many watts it moves.
    Order(Spot, f64),
    /// A command that is turned down.
    Refusal(CommandId),
    /// A command that is passed through.
    Direct(CommandId),
}

/// A command that is not weighed against others: a schedule, a restart.
#[derive(Debug, Clone)]
pub(super) struct Direct {
    pub(super) record: Arc<CommandRecord>,
    pub(super) placing: bool,
}

/// Everything but the homes.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) limits: DispatchLimits,
    pub(super) zone: Tz,
    pub(super) looks_back: bool,
    pub(super) accounts: Accounts,
    /// Commands that stand as claims.
    pub(super) commands: BTreeMap<CommandId, Spot>,
    pub(super) direct: BTreeMap<CommandId, Direct>,
    pub(super) direct_timers: BTreeSet<(Timestamp, CommandId)>,
    /// Commands that hold somewhere.
    pub(super) placed: BTreeMap<CommandId, Spot>,
    /// What was heard of commands that are not known yet: their placement may be on its way.
    pub(super) early: VecDeque<Arc<CommandRecord>>,
    pub(super) due: VecDeque<(HemId, NodeId)>,
    pub(super) timers: BTreeSet<(Timestamp, HemId, NodeId)>,
    pub(super) verdicts: Vec<(Verdict, Ticket)>,
    pub(super) batches: BTreeMap<u64, Vec<Ticket>>,
    pub(super) next_batch: u64,
    pub(super) in_flight: usize,
    pub(super) microgrid: PowerLimits,
    /// The microgrid's import, W; less than nothing while it exports.
    pub(super) net: f64,
    departures: Departures,
    /// Where something is ordered that departs from what is measured, or was narrowed by a limit.
    pub(super) controlled: BTreeSet<(HemId, NodeId)>,
    pub(super) limits_checked: Timestamp,
    /// How many homes have limits of their own.
    pub(super) limited_homes: usize,
    /// Until when orders that move so many watts need not be tried.
    pub(super) fleet_pause: Option<(Timestamp, f64)>,
    pub(super) looking_back: usize,
    /// Homes whose past is asked for next.
    pub(super) to_look_back: VecDeque<HemId>,
    pub(super) effects: Vec<Effect>,
    pub(super) figures: Figures,
}

impl Desk {
    /// So many homes' pasts are asked for at a time.
    const LOOKS_AT_A_TIME: usize = 32;
    /// So long after a failure the ledger or a store is asked again.
    pub(super) const RETRY: Duration = Duration::from_secs(2);
    /// A home's past is asked for so often; then dispatch goes on without it.
    pub(super) const LOOKS: u8 = 3;
    /// So many changes of unknown commands are remembered.
    const EARLY: usize = 256;

    pub(super) fn new(limits: DispatchLimits, looks_back: bool) -> Self {
        Self {
            limits,
            zone: Tz::UTC,
            looks_back,
            accounts: Accounts::default(),
            commands: BTreeMap::new(),
            direct: BTreeMap::new(),
            direct_timers: BTreeSet::new(),
            placed: BTreeMap::new(),
            early: VecDeque::new(),
            due: VecDeque::new(),
            timers: BTreeSet::new(),
            verdicts: Vec::new(),
            batches: BTreeMap::new(),
            next_batch: 0,
            in_flight: 0,
            microgrid: PowerLimits::default(),
            net: 0.0,
            departures: Departures::default(),
            controlled: BTreeSet::new(),
            limits_checked: Timestamp(i64::MIN),
            limited_homes: 0,
            fleet_pause: None,
            looking_back: 0,
            to_look_back: VecDeque::new(),
            effects: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// Has a node decided on soon.
    pub(super) fn mark(&mut self, home: &mut Home, node: NodeId) {
        let hem = home.hem.clone();
        let Some(node) = home.node_mut(node) else { return };
        if !std::mem::replace(&mut node.is_due, true) {
            self.due.push_back((hem, node.declaration.node));
        }
    }

    /// Has a node looked at again at a time; what was set before is forgotten.
    pub(super) fn set_timer(&mut self, home: &mut Home, node: NodeId, at: Option<Timestamp>) {
        let hem = home.hem.clone();
        let Some(node) = home.node_mut(node) else { return };
        if node.wake == at {
            return;
        }
        let number = node.declaration.node;
        if let Some(before) = std::mem::replace(&mut node.wake, at) {
            self.timers.remove(&(before, hem.clone(), number));
        }
        if let Some(at) = at {
            self.timers.insert((at, hem, number));
        }
    }

    /// Takes a claim away.
    pub(super) fn end_claim(&mut self, home: &mut Home, node: NodeId, key: &ClaimKey, kind: Kind) {
        let hem = home.hem.clone();
        let Some(known) = home.node_mut(node) else { return };
        known.claims.retain(|claim| claim.key != *key || claim.kind() != kind);
        self.forget(&(hem, node, kind), key);
        self.mark(home, node);
    }

    /// Forgets that a claim stands somewhere.
    pub(super) fn forget(&mut self, spot: &Spot, key: &ClaimKey) {
        match key {
            ClaimKey::Command(command) => {
                self.commands.remove(command);
            }
            ClaimKey::Wish(job) => {
                if let Some(account) = self.accounts.get_mut(job) {
                    account.standing.remove(spot);
                }
            }
        }
    }

    /// What the limits leave for a node's power, as a claim of a class has to see it.
    pub(super) fn room(&self, home: &Home, place: usize, class: Class) -> Room {
        let mut room = Room::default();
        let here = limits_something(home.limits);
        let above = limits_something(self.microgrid);
        if !here && !above {
            return room;
        }
        let Some(node) = home.nodes.get(place) else { return room };
        let measured = node.watts.unwrap_or(0.0);
        if here {
            let mut others = Departures::default();
            for (other, node) in home.nodes.iter().enumerate() {
                if let Some((whose, departure)) = node.departure.filter(|_| other != place) {
                    others.add(whose, departure);
                }
            }
            let seen = others.seen_by(class);
            narrow(&mut room, home.limits, Some(&home.hem), home.net - measured, seen);
        }
        if above {
            let (mut up, mut down) = self.departures.seen_by(class);
            if let Some((whose, own)) = node.departure {
                let counted = whose >= class;
                up -= if counted { own.up } else { own.up_if_cut };
                down -= if counted { own.down } else { own.down_if_cut };
            }
            narrow(&mut room, self.microgrid, None, self.net - measured, (up, down));
        }
        room
    }

    /// Notes how far a node's orders depart from what it measures.
    pub(super) fn note_departure(&mut self, home: &mut Home, node: NodeId) {
        let hem = home.hem.clone();
        let Some(node) = home.node_mut(node) else { return };
        let measured = node.watts.unwrap_or(0.0);
        let now = node.target().map(|(class, target)| (class, Departure::of(target, measured)));
        if node.departure == now {
            return;
        }
        let number = node.declaration.node;
        if let Some((class, departure)) = std::mem::replace(&mut node.departure, now) {
            self.departures.remove(class, departure);
        }
        match now {
            Some((class, departure)) => {
                self.departures.add(class, departure);
                self.controlled.insert((hem, number));
            }
            None => {
                self.controlled.remove(&(hem, number));
            }
        }
    }

    /// By how much the microgrid's import may rise and fall yet.
    pub(super) fn departures_in_all(&self) -> (f64, f64) {
        self.departures.in_all()
    }

    /// Whether what happened at a home before is known; asks for it where it is not.
    pub(super) fn knows_past(&mut self, home: &mut Home, now: Timestamp) -> bool {
        match home.past {
            Past::Known => return true,
            Past::Asked { .. } | Past::Queued { .. } => {}
            Past::Unknown { .. } if !self.looks_back => {
                home.past = Past::Known;
                return true;
            }
            Past::Unknown { from, .. } if now < from => {}
            Past::Unknown { tries, .. } if self.looking_back < Self::LOOKS_AT_A_TIME => {
                self.look_back(home, tries);
            }
            Past::Unknown { tries, .. } => {
                home.past = Past::Queued { tries };
                self.to_look_back.push_back(home.hem.clone());
            }
        }
        false
    }

    /// Asks what happened at a home.
    pub(super) fn look_back(&mut self, home: &mut Home, tries: u8) {
        self.looking_back += 1;
        home.past = Past::Asked { tries };
        self.effects.push(Effect::LookBack(home.hem.clone()));
    }

    /// Puts an order among what goes to the ledger.
    pub(super) fn order(&mut self, draft: OrderDraft, ticket: Ticket) {
        self.in_flight += 1;
        self.verdicts.push((Verdict::Order(draft), ticket));
    }

    /// Turns a command down.
    pub(super) fn refuse(&mut self, command: CommandId, because: String) {
        self.in_flight += 1;
        let ticket = Ticket::Refusal(command.clone());
        self.verdicts.push((Verdict::Refuse { command, because }, ticket));
    }

    /// Whether the ledger has as much to do as it may.
    pub(super) fn is_stalled(&self) -> bool {
        self.in_flight >= self.limits.placing
    }

    /// Everything that is to go to the ledger now, as one batch.
    pub(super) fn flush(&mut self) {
        if self.verdicts.is_empty() {
            return;
        }
        let (verdicts, tickets) = std::mem::take(&mut self.verdicts).into_iter().unzip();
        let batch = self.next_batch;
        self.next_batch += 1;
        self.batches.insert(batch, tickets);
        self.effects.push(Effect::Place { batch, verdicts });
    }

    // ---------------------------------------------------------------- commands that are passed through

    /// Takes a command that nobody else can want otherwise.
    pub(super) fn pass_through(&mut self, record: Arc<CommandRecord>, now: Timestamp) {
        let id = record.id.clone();
        self.direct.insert(id.clone(), Direct { record, placing: false });
        self.direct_timers.insert((now, id));
    }

    /// Sends on what was passed through and is due.
    pub(super) fn send_direct(&mut self, now: Timestamp) {
        while !self.is_stalled()
            && let Some((at, id)) = self.direct_timers.first().cloned()
            && at <= now
        {
            self.direct_timers.remove(&(at, id.clone()));
            let Some(direct) = self.direct.get_mut(&id) else { continue };
            if direct.record.expires <= now {
                self.direct.remove(&id);
                continue;
            }
            direct.placing = true;
            let record = &direct.record;
            let draft = OrderDraft {
                origin: Origin::Command(id.clone()),
                hem: record.hem.clone(),
                node: record.node,
                action: record.action.clone(),
                lease_ms: record.lease_ms,
                because: format!(
                    "{} asked for it, and nothing is weighed against it.",
                    super::words::capital(&super::words::who(&record.asker))
                ),
                moves_watts: 0.0,
            };
            self.order(draft, Ticket::Direct(id));
        }
    }

    /// Has a passed-through command sent again later.
    pub(super) fn retry_direct(&mut self, id: &CommandId, at: Timestamp) {
        if let Some(direct) = self.direct.get_mut(id) {
            direct.placing = false;
            self.direct_timers.insert((at, id.clone()));
        }
    }

    /// Remembers news of a command that is not known yet.
    pub(super) fn remember_early(&mut self, record: Arc<CommandRecord>) {
        if self.early.len() >= Self::EARLY {
            self.early.pop_front();
        }
        self.early.push_back(record);
    }

    /// The newest that is known of a placed command.
    pub(super) fn newest_of(&mut self, record: Arc<CommandRecord>) -> Arc<CommandRecord> {
        let of_it = self.early.iter().filter(|early| early.id == record.id);
        let newest = of_it.max_by_key(|early| early.history.len()).cloned();
        self.early.retain(|early| early.id != record.id);
        match newest {
            Some(newest) if newest.history.len() > record.history.len() => newest,
            _ => record,
        }
    }
}

/// Marks a command's claim as ordered: nobody waits for a verdict on it any more.
pub(super) fn settle_stage(home: &mut Home, node: NodeId, key: &ClaimKey) {
    let Some(node) = home.node_mut(node) else { return };
    for claim in node.claims.iter_mut().filter(|claim| claim.key == *key) {
        claim.stage = Stage::Standing;
    }
}
