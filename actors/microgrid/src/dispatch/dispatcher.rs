//! The dispatcher of one microgrid: it takes what happens, decides node by node, and answers what is to
//! be done. Bounded work per event: wishes are taken and nodes decided a few at a time, and
//! [`Dispatcher::due`] says when to go on. Only a person's command is decided at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::{JobWished, Placement};
use memcloud_domain::{
    Asker, CommandRecord, CommandState, Entry, Epoch, HemBatch, HemEvent, HemId, JobId, NodeId,
    NodeWhy, Timestamp, Wish,
};
use memcloud_worker::Roster;

use super::accounts::{Account as JobAccount, Waiting};
use super::claim::{ClaimKey, Class, Kind, Rank, Stage, Standing};
use super::desk::{Desk, Ticket};
use super::envelope::fit;
use super::explain::Account;
use super::node::{Home, Node, Past, TurnedAway};
use super::room::limits_something;
use super::words;
use super::{DispatchLimits, Effect, Event, Figures, Link};

/// Decides what is ordered in one microgrid, and says why.
#[derive(Debug)]
pub struct Dispatcher {
    homes: BTreeMap<HemId, Home>,
    desk: Desk,
    homes_known: bool,
    open_known: bool,
    /// Commands that were offered before it was known what is open.
    early_offers: VecDeque<Arc<CommandRecord>>,
}

impl Dispatcher {
    /// So many commands wait until it is known what is open; more are offered again.
    const EARLY_OFFERS: usize = 4_096;

    /// A dispatcher that knows nothing yet: it orders nothing before it has heard of the homes and of what
    /// is open. `looks_back` says whether somebody answers [`Effect::LookBack`].
    #[must_use]
    pub fn new(limits: DispatchLimits, looks_back: bool) -> Self {
        Self {
            homes: BTreeMap::new(),
            desk: Desk::new(limits, looks_back),
            homes_known: false,
            open_known: false,
            early_offers: VecDeque::new(),
        }
    }

    /// Takes what happened, and answers what is to be done.
    pub fn accept(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        match event {
            Event::Roster(roster) => self.know_homes(&roster, now),
            Event::Jobs(running) => self.know_jobs(&running),
            Event::Open { records, asked } => self.know_open(records, asked, now),
            Event::Offered(record) => self.offered(record, now),
            Event::Changed(record) => self.changed(record, now),
            Event::Wished(wished) => self.wished(wished, now),
            Event::Stored(batches) => self.stored(&batches, now),
            Event::Connection { hem, epoch, link } => self.connection(&hem, epoch, link),
            Event::LookedBack { hem, events } => self.looked_back(&hem, events, now),
            Event::Placed { batch, placements } => self.placed(batch, placements, now),
            Event::NotPlaced { batch } => self.not_placed(batch, now),
            Event::Tick => {}
        }
        if self.is_ready() {
            self.go_on(now);
        }
        self.desk.flush();
        let complaints = self.desk.accounts.complaints(now);
        let said = complaints.into_iter().map(|(job, text)| Effect::Say { job, text });
        let mut effects = std::mem::take(&mut self.desk.effects);
        effects.extend(said);
        effects
    }

    /// When [`Event::Tick`] is to be sent next; a time that is over says that something waits.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        if !self.is_ready() {
            return None;
        }
        let desk = &self.desk;
        let at_once = desk.accounts.has_waiting() || (!desk.due.is_empty() && !desk.is_stalled());
        if at_once {
            return Some(Timestamp(i64::MIN));
        }
        let timer = desk.timers.first().map(|(at, ..)| *at);
        let direct = desk.direct_timers.first().map(|(at, _)| *at).filter(|_| !desk.is_stalled());
        [timer, direct, self.next_look_at_limits()].into_iter().flatten().min()
    }

    /// What it counted.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { wishes_standing: self.desk.accounts.standing(), ..self.desk.figures }
    }

    /// Whether the homes are known, and what is open.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.homes_known && self.open_known
    }

    /// Whether something holds by an order, so that the ledger is worth a look.
    #[must_use]
    pub fn has_orders(&self) -> bool {
        !self.desk.placed.is_empty() || !self.desk.commands.is_empty()
    }

    /// Whether there is a home of this HEM.
    #[must_use]
    pub fn has(&self, hem: &HemId) -> bool {
        self.homes.contains_key(hem)
    }

    /// The HEMs of its homes.
    pub fn hems(&self) -> impl Iterator<Item = &HemId> {
        self.homes.keys()
    }

    /// Why the nodes of a home are as they are, by number.
    #[must_use]
    pub fn why(&self, hem: &HemId, now: Timestamp) -> Vec<NodeWhy> {
        let Some(home) = self.homes.get(hem) else { return Vec::new() };
        let nodes = home.nodes.iter().enumerate();
        let explained = nodes.filter_map(|(place, node)| {
            let decision = self.desk.decision(home, place, now)?;
            let zone = self.desk.zone;
            Some(Account { home, node, decision: &decision, now, zone }.why())
        });
        explained.collect()
    }

    /// Why all nodes are as they are, by HEM and number.
    #[must_use]
    pub fn why_all(&self, now: Timestamp) -> Vec<NodeWhy> {
        self.homes.keys().flat_map(|hem| self.why(hem, now)).collect()
    }

    /// How many of a job's wishes stand or wait to be taken.
    #[must_use]
    pub fn wishes_of(&self, job: &JobId) -> usize {
        let account = self.desk.accounts.get(job);
        account.map_or(0, |account| account.standing.len() + account.inbox.len())
    }

    /// Why a wish cannot be, whoever else wants what.
    #[must_use]
    pub fn cannot_be(&self, asker: &Asker, wish: &Wish) -> Option<String> {
        let found = self.homes.get(&wish.hem).and_then(|home| home.node(wish.node));
        let Some(node) = found else { return Some(no_such_node(&wish.hem, wish.node)) };
        let limits = &self.desk.limits;
        let fitted = fit(&node.declaration, wish.setting, asker, &wish.reason, limits);
        let because = words::breach(&fitted.err()?);
        Some(format!("{} cannot be set so, since {because}", words::node(&node.declaration)))
    }

    // ---------------------------------------------------------------------------------- what happens

    fn know_homes(&mut self, roster: &Roster, now: Timestamp) {
        self.homes_known = true;
        let desk = &mut self.desk;
        desk.zone = roster.time_zone();
        let gone: Vec<HemId> = self.homes.keys().filter(|hem| !roster.has(hem)).cloned().collect();
        for hem in gone {
            if let Some(mut home) = self.homes.remove(&hem) {
                desk.net -= home.net;
                for node in numbers(&home) {
                    desk.drop_node(&mut home, node);
                }
            }
        }
        for (hem, declared) in roster.homes() {
            let past = Past::Unknown { tries: 0, from: now };
            let home =
                self.homes.entry(hem.clone()).or_insert_with(|| Home::new(hem.clone(), past));
            let limits = roster.home_limits(hem);
            if home.limits != limits {
                home.limits = limits;
                desk.limits_checked = Timestamp(i64::MIN);
            }
            let same = home.nodes.len() == declared.len()
                && declared.iter().all(|node| {
                    home.node(node.node).is_some_and(|known| known.declaration == *node)
                });
            if same {
                continue;
            }
            for node in numbers(home) {
                if !declared.iter().any(|declared| declared.node == node) {
                    desk.drop_node(home, node);
                    home.nodes.retain(|known| known.declaration.node != node);
                }
            }
            for declaration in declared {
                match home.node_mut(declaration.node) {
                    Some(known) => known.declaration = declaration.clone(),
                    None => {
                        home.nodes.push(Node::new(declaration.clone(), now));
                        home.nodes.sort_by_key(|node| node.declaration.node);
                    }
                }
                desk.mark(home, declaration.node);
            }
        }
        if desk.microgrid != roster.limits() {
            desk.microgrid = roster.limits();
            desk.limits_checked = Timestamp(i64::MIN);
        }
        let limited = self.homes.values().filter(|home| limits_something(home.limits));
        desk.limited_homes = limited.count();
        self.take_early_offers(now);
    }

    /// The wishes of jobs that do not run end.
    fn know_jobs(&mut self, running: &BTreeSet<JobId>) {
        let over: Vec<JobId> =
            self.desk.accounts.jobs().filter(|job| !running.contains(*job)).cloned().collect();
        for job in over {
            let Some(account) = self.desk.accounts.get_mut(&job) else { continue };
            if std::mem::replace(&mut account.ended, true) {
                continue;
            }
            let nodes: BTreeSet<(HemId, NodeId)> =
                account.standing.iter().map(|(hem, node, _)| (hem.clone(), *node)).collect();
            account.inbox =
                nodes.into_iter().map(|(hem, node)| Waiting::Withdrawn(hem, node)).collect();
        }
        self.desk.accounts.forget_ended();
    }

    fn wished(&mut self, wished: JobWished, now: Timestamp) {
        let Asker::Job { job, .. } = &wished.asker else { return };
        let limits = self.desk.limits;
        let asker = Arc::new(wished.asker.clone());
        let account = self.desk.accounts.open(job, || {
            JobAccount::new(Arc::clone(&asker), wished.priority, limits.orders_per_job, now)
        });
        account.ended = false;
        account.priority = wished.priority;
        if account.asker != asker {
            account.asker = asker;
        }
        let room = limits.wishes_per_job.saturating_sub(account.inbox.len());
        let came = wished.withdrawn.len() + wished.wishes.len();
        let withdrawn =
            wished.withdrawn.into_iter().map(|(hem, node)| Waiting::Withdrawn(hem, node));
        let wishes = wished.wishes.into_iter().map(|wish| Waiting::Wish(wish, now));
        account.inbox.extend(withdrawn.chain(wishes).take(room));
        if came > room {
            let refused = u64::try_from(came - room).unwrap_or(u64::MAX);
            account.complain(
                refused,
                format!(
                    "it wishes faster than it may: {} of its wishes wait already, so {refused} were refused",
                    limits.wishes_per_job
                ),
            );
            self.desk.figures.refused_by_budget += refused;
        }
    }

    fn stored(&mut self, batches: &[HemBatch], now: Timestamp) {
        for batch in batches {
            let Some(home) = self.homes.get_mut(&batch.hem) else { continue };
            if home.through.is_some_and(|through| batch.after > through) {
                // Whether a button was pressed in between is in the store.
                home.past = Past::Unknown { tries: 0, from: now };
            }
            home.through = home.through.max(Some(batch.through));
            if batch.epoch > home.epoch && home.offline {
                // That it is connected again was not heard.
                home.offline = false;
                self.desk.mark_busy(home);
            }
            home.epoch = home.epoch.max(batch.epoch);
            let before = home.net;
            for entry in &batch.entries {
                match entry {
                    Entry::Reading(reading) if reading.taken() >= home.newest => {
                        home.newest = reading.taken();
                        home.measured(&reading.nodes);
                    }
                    Entry::Event(event) => self.desk.pressed(home, event, now),
                    Entry::Reading(_) | Entry::Refused(_) => {}
                }
            }
            self.desk.net += home.net - before;
            for node in numbers(home) {
                if home.node(node).is_some_and(|node| node.departure.is_some()) {
                    self.desk.note_departure(home, node);
                }
            }
        }
    }

    fn connection(&mut self, hem: &HemId, epoch: Epoch, link: Link) {
        let Some(home) = self.homes.get_mut(hem) else { return };
        if epoch < home.epoch {
            return;
        }
        home.epoch = epoch;
        home.offline = link == Link::Down;
        if link == Link::Up {
            self.desk.mark_busy(home);
        }
    }

    fn looked_back(&mut self, hem: &HemId, events: Option<Vec<HemEvent>>, now: Timestamp) {
        self.desk.looking_back = self.desk.looking_back.saturating_sub(1);
        while let Some(next) = self.desk.to_look_back.pop_front() {
            if let Some(home) = self.homes.get_mut(&next)
                && let Past::Queued { tries } = home.past
            {
                self.desk.look_back(home, tries);
                break;
            }
        }
        let Some(home) = self.homes.get_mut(hem) else { return };
        let tries = match home.past {
            Past::Asked { tries } => tries.saturating_add(1),
            _ => 0,
        };
        match events {
            Some(events) => {
                for event in &events {
                    self.desk.pressed(home, event, now);
                }
                home.past = Past::Known;
            }
            None if tries >= Desk::LOOKS => home.past = Past::Known,
            None => home.past = Past::Unknown { tries, from: now.plus(Desk::RETRY) },
        }
        self.desk.mark_busy(home);
    }

    // -------------------------------------------------------------------------------------- commands

    fn offered(&mut self, record: Arc<CommandRecord>, now: Timestamp) {
        if record.state != CommandState::Accepted || record.order.is_some() {
            return;
        }
        if !self.is_ready() {
            let is_known = self.early_offers.iter().any(|early| early.id == record.id);
            if !is_known && self.early_offers.len() < Self::EARLY_OFFERS {
                self.early_offers.push_back(record);
            }
            return;
        }
        let desk = &mut self.desk;
        let is_known =
            desk.commands.contains_key(&record.id) || desk.direct.contains_key(&record.id);
        if is_known || record.expires <= now {
            return;
        }
        let Some(home) = self.homes.get_mut(&record.hem) else {
            // It may have come just now; the command is offered again.
            desk.effects.push(Effect::RefreshRoster);
            return;
        };
        let declared = record.node.map(|node| home.node(node));
        if declared.is_some_and(|declared| declared.is_none()) {
            let because = record.node.map(|node| no_such_node(&record.hem, node));
            desk.figures.refused_by_envelope += 1;
            desk.refuse(record.id.clone(), words::capital(&because.unwrap_or_default()));
            return;
        }
        let (Some(node), Some(setting)) = (record.node, record.action.setting()) else {
            if let Some(because) = not_controlled(&record, declared.flatten()) {
                desk.figures.refused_by_envelope += 1;
                desk.refuse(record.id.clone(), because);
            } else {
                desk.pass_through(record, now);
                desk.send_direct(now);
            }
            return;
        };
        if desk.claim_of_command(home, &record, node, setting) {
            desk.step(home, node, now);
        }
    }

    fn take_early_offers(&mut self, now: Timestamp) {
        if self.is_ready() {
            for record in std::mem::take(&mut self.early_offers) {
                self.offered(record, now);
            }
        }
    }

    /// What is open in the ledger: at first everything that holds is learnt from it; later what was not
    /// heard of otherwise.
    fn know_open(
        &mut self,
        mut records: Vec<Arc<CommandRecord>>,
        asked: Timestamp,
        now: Timestamp,
    ) {
        records.sort_by_key(|record| (record.order, record.id.clone()));
        let listed: BTreeSet<_> = records.iter().map(|record| record.id.clone()).collect();
        self.open_known = true;
        for record in records {
            if record.order.is_none() && record.state == CommandState::Accepted {
                if self.homes_known {
                    self.offered(record, now);
                } else {
                    self.early_offers.push_back(record);
                }
            } else if self.desk.placed.contains_key(&record.id) {
                self.changed(record, now);
            } else {
                self.adopt(&record, now);
            }
        }
        // What holds with a lease and is listed no more is over.
        let settled = asked.minus(Duration::from_secs(10));
        let gone: Vec<_> = self
            .desk
            .placed
            .iter()
            .filter(|(id, _)| !listed.contains(*id))
            .map(|(id, spot)| (id.clone(), spot.clone()))
            .collect();
        for (id, (hem, node, kind)) in gone {
            let Some(home) = self.homes.get_mut(&hem) else { continue };
            let Some(known) = home.node_mut(node) else { continue };
            let slot = known.slot_mut(kind);
            let is_over = slot.in_force.as_ref().is_some_and(|order| {
                order.command.as_ref() == Some(&id)
                    && order.until.is_some()
                    && order.ordered < settled
            });
            if is_over {
                slot.in_force = None;
                self.desk.placed.remove(&id);
                self.desk.mark(home, node);
            }
        }
        self.take_early_offers(now);
    }

    /// An order that is not known here: it was made before dispatch began, or its placement was lost.
    fn adopt(&mut self, record: &Arc<CommandRecord>, now: Timestamp) {
        let (Some(node), Some(setting)) = (record.node, record.as_sent().setting()) else { return };
        let Some(home) = self.homes.get_mut(&record.hem) else { return };
        self.desk.adopt(home, node, setting, record, now);
    }

    fn changed(&mut self, record: Arc<CommandRecord>, now: Timestamp) {
        let desk = &mut self.desk;
        if let Some((hem, node, kind)) = desk.placed.get(&record.id).cloned() {
            if let Some(home) = self.homes.get_mut(&hem) {
                desk.news(home, node, kind, &record, now);
            }
        } else if let Some((hem, node, kind)) = desk.commands.get(&record.id).cloned() {
            // What was outranked after it was sent may come back, whatever the ledger calls it.
            let is_over = matches!(
                record.state,
                CommandState::Cancelled
                    | CommandState::Expired
                    | CommandState::Refused
                    | CommandState::Failed
            );
            let key = ClaimKey::Command(record.id.clone());
            if let Some(home) = self.homes.get_mut(&hem) {
                let waits = home.node(node).is_some_and(|node| {
                    let mut claims = node.claims.iter().filter(|claim| claim.key == key);
                    claims.any(|claim| matches!(claim.stage, Stage::Offered { .. }))
                });
                if is_over || (waits && record.state == CommandState::Superseded) {
                    desk.end_claim(home, node, &key, kind);
                } else {
                    desk.remember_early(record);
                }
            }
        } else if let Some(direct) = desk.direct.get(&record.id) {
            if record.state != CommandState::Accepted && !direct.placing {
                desk.direct.remove(&record.id);
            }
        } else {
            desk.remember_early(record);
        }
    }

    fn placed(&mut self, batch: u64, placements: Vec<Placement>, now: Timestamp) {
        let Some(tickets) = self.desk.batches.remove(&batch) else { return };
        self.desk.in_flight = self.desk.in_flight.saturating_sub(tickets.len());
        let mut placements = placements.into_iter();
        for ticket in tickets {
            let placement = placements.next();
            match (ticket, placement) {
                (Ticket::Order((hem, node, kind)), placement) => {
                    if let Some(home) = self.homes.get_mut(&hem) {
                        self.desk.answered(home, node, kind, placement, now);
                    }
                }
                (Ticket::Direct(id), Some(Placement::HemIsBusy) | None) => {
                    self.desk.retry_direct(&id, now.plus(Desk::RETRY));
                }
                (Ticket::Direct(id), Some(Placement::OverFleetBudget { retry_after_ms })) => {
                    self.desk.retry_direct(&id, now.plus(Duration::from_millis(retry_after_ms)));
                }
                (Ticket::Direct(id), Some(_)) => {
                    self.desk.figures.orders += 1;
                    self.desk.direct.remove(&id);
                }
                // What was not written is offered again.
                (Ticket::Refusal(_), _) => {}
            }
        }
    }

    fn not_placed(&mut self, batch: u64, now: Timestamp) {
        self.placed(batch, Vec::new(), now);
    }

    // ---------------------------------------------------------------------------------------- going on

    /// Does some of what waits: as much as one go may.
    fn go_on(&mut self, now: Timestamp) {
        self.look_at_limits(now);
        let most = self.desk.limits.at_once;
        for _ in 0..most {
            let Some((at, hem, node)) = self.desk.timers.first().cloned() else { break };
            if now < at {
                break;
            }
            self.desk.timers.remove(&(at, hem.clone(), node));
            if let Some(home) = self.homes.get_mut(&hem) {
                if let Some(node) = home.node_mut(node) {
                    node.wake = None;
                }
                self.desk.mark(home, node);
            }
        }
        for _ in 0..most {
            let Some((job, waiting)) = self.desk.accounts.next_waiting() else { break };
            self.take(&job, waiting, now);
        }
        self.desk.accounts.forget_ended();
        self.desk.send_direct(now);
        for _ in 0..most {
            if self.desk.is_stalled() {
                break;
            }
            let Some((hem, node)) = self.desk.due.pop_front() else { break };
            if let Some(home) = self.homes.get_mut(&hem) {
                if let Some(node) = home.node_mut(node) {
                    node.is_due = false;
                }
                self.desk.step(home, node, now);
            }
        }
    }

    fn take(&mut self, job: &JobId, waiting: Waiting, now: Timestamp) {
        let key = ClaimKey::Wish(job.clone());
        let (wish, came) = match waiting {
            Waiting::Withdrawn(hem, node) => {
                let Some(home) = self.homes.get_mut(&hem) else { return };
                let Some(known) = home.node(node) else { return };
                let own = known.claims.iter().filter(|claim| claim.key == key);
                let kinds: Vec<Kind> = own.map(Standing::kind).collect();
                for kind in kinds {
                    self.desk.end_claim(home, node, &key, kind);
                }
                return;
            }
            Waiting::Wish(wish, came) => (wish, came),
        };
        let desk = &mut self.desk;
        let lease = Duration::from_millis(wish.lease_ms).min(desk.limits.longest_lease);
        let until = came.plus(lease);
        let Some(account) = desk.accounts.get_mut(job) else { return };
        let Some(home) = self.homes.get_mut(&wish.hem) else {
            account.complain(1, no_such_node(&wish.hem, wish.node));
            return;
        };
        let Some(node) = home.node_mut(wish.node) else {
            account.complain(1, no_such_node(&wish.hem, wish.node));
            return;
        };
        if until <= now {
            return;
        }
        let kind = Kind::of(wish.setting);
        let class = Class { rank: Rank::Job, priority: account.priority };
        let known = node.claims.iter_mut().find(|claim| claim.key == key && claim.kind() == kind);
        if let Some(claim) = known.filter(|claim| claim.stands(now)) {
            let is_new = claim.setting != wish.setting || claim.class != class;
            // A lease that began in the ledger may run longer than what the job says now.
            claim.until = until;
            claim.reason = wish.reason;
            claim.asker = Arc::clone(&account.asker);
            claim.class = class;
            if is_new {
                claim.setting = wish.setting;
                claim.complained = false;
                desk.mark(home, wish.node);
            } else {
                desk.extend_wish(home, wish.node, kind, now);
            }
            return;
        }
        let asker = Arc::clone(&account.asker);
        if account.standing.len() >= desk.limits.wishes_per_job {
            account.complain(
                1,
                format!(
                    "it has the {} standing wishes that it may have: a further one was refused",
                    desk.limits.wishes_per_job
                ),
            );
            desk.figures.refused_by_budget += 1;
            node.turned_away = Some(TurnedAway { asker, setting: wish.setting, at: now });
            return;
        }
        account.standing.insert((wish.hem, wish.node, kind));
        node.claims.retain(|claim| claim.key != key || claim.kind() != kind);
        node.claims.push(Standing {
            key,
            asker,
            setting: wish.setting,
            class,
            reason: wish.reason,
            since: came,
            until,
            lease_ms: Some(wish.lease_ms),
            stage: Stage::Standing,
            complained: false,
        });
        desk.mark(home, wish.node);
    }

    // ------------------------------------------------------------------------------------------ limits

    fn next_look_at_limits(&self) -> Option<Timestamp> {
        let desk = &self.desk;
        let is_limited = limits_something(desk.microgrid) || desk.limited_homes > 0;
        let concerns = is_limited && !desk.controlled.is_empty();
        concerns.then(|| desk.limits_checked.plus(desk.limits.limits_every))
    }

    /// Holds what is in force against the limits: whatever breaks them, or was narrowed by them, is
    /// decided anew.
    fn look_at_limits(&mut self, now: Timestamp) {
        if self.next_look_at_limits().is_none_or(|next| now < next) {
            return;
        }
        self.desk.limits_checked = now;
        let microgrid = self.desk.microgrid;
        let (up, down) = self.desk.departures_in_all();
        let net = self.desk.net;
        let breaks = |limits: memcloud_domain::PowerLimits, net: f64, up: f64, down: f64| {
            limits.import_watts.is_some_and(|most| net + up > most.value())
                || limits.export_watts.is_some_and(|most| net + down < -most.value())
        };
        let all_break = breaks(microgrid, net, up, down);
        let controlled: Vec<(HemId, NodeId)> = self.desk.controlled.iter().cloned().collect();
        for (hem, node) in controlled {
            let Some(home) = self.homes.get_mut(&hem) else { continue };
            let departures = home.nodes.iter().filter_map(|node| node.departure);
            let (up, down) =
                departures.fold((0.0, 0.0), |sum, (_, own)| (sum.0 + own.up, sum.1 + own.down));
            let own_break = breaks(home.limits, home.net, up, down);
            let wants = |node: &Node, kind: Kind| {
                let held = node.slot(kind).newest().map(|order| order.setting);
                node.claims.iter().any(|claim| claim.kind() == kind && Some(claim.setting) != held)
            };
            let is_narrowed = home.node(node).is_some_and(|node| wants(node, Kind::Power));
            if all_break || own_break || is_narrowed {
                self.desk.mark(home, node);
            }
        }
    }
}

pub(super) fn numbers(home: &Home) -> Vec<NodeId> {
    home.nodes.iter().map(|node| node.declaration.node).collect()
}

fn no_such_node(hem: &HemId, node: NodeId) -> String {
    format!("there is no node {node} of HEM {hem} in this microgrid: its home never declared one")
}

fn not_controlled(record: &CommandRecord, node: Option<&Node>) -> Option<String> {
    let control = record.action.control()?;
    let node = node?;
    if super::envelope::declares(&node.declaration, control) {
        return None;
    }
    let name = record.action.name();
    let the_node = words::node(&node.declaration);
    Some(words::capital(&format!("{the_node} does not take {name}: its home did not declare it.")))
}
