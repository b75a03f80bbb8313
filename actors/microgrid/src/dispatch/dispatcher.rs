//! The dispatcher of one microgrid: it takes what happens, decides node by node, and answers what is to
//! be done. Bounded work per event: wishes are taken and nodes decided a few at a time, and
//! [`Dispatcher::due`] says when to go on. Only a person's command is decided at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::JobWished;
use memcloud_domain::{Asker, CommandRecord, HemId, JobId, NodeId, NodeWhy, Timestamp, Wish};

use super::accounts::{Account as JobAccount, Waiting};
use super::claim::{ClaimKey, Class, Kind, Rank, Stage, Standing};
use super::desk::Desk;
use super::envelope::fit;
use super::explain::Explanation;
use super::node::{Home, TurnedAway};
use super::words;
use super::{DispatchLimits, Effect, Event, Figures};

/// Decides what is ordered in one microgrid, and says why.
#[derive(Debug)]
pub struct Dispatcher {
    pub(super) homes: BTreeMap<HemId, Home>,
    pub(super) desk: Desk,
    pub(super) homes_known: bool,
    pub(super) open_known: bool,
    /// Commands that were offered before it was known what is open.
    pub(super) early_offers: VecDeque<Arc<CommandRecord>>,
}

impl Dispatcher {
    /// So many commands wait until it is known what is open; more are offered again.
    pub(super) const EARLY_OFFERS: usize = 4_096;

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
            Some(Explanation { home, node, decision: &decision, now, zone }.why())
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
                node.try_budget_again(kind);
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
        node.try_budget_again(kind);
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
}

pub(super) fn no_such_node(hem: &HemId, node: NodeId) -> String {
    format!("there is no node {node} of HEM {hem} in this microgrid: its home never declared one")
}
