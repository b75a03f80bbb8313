//! What the ledger and the homes tell: of placements, of how far orders are, of buttons pressed at home.

use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::Placement;
use memcloud_domain::{Asker, CommandRecord, CommandState, HemEvent, NodeId, Setting, Timestamp};

use super::accounts::Account;
use super::claim::{ClaimKey, Class, Kind, Stage, Standing, rank_of};
use super::decision::HomeOverride;
use super::desk::{Desk, settle_stage};
use super::node::{Home, InForce, Node, Pause, Paused};

impl Desk {
    /// Forgets everything about a node that is no more.
    pub(super) fn drop_node(&mut self, home: &mut Home, number: NodeId) {
        let hem = home.hem.clone();
        self.set_timer(home, number, None);
        let Some(node) = home.node_mut(number) else { return };
        for kind in Kind::ALL {
            let slot = std::mem::take(node.slot_mut(kind));
            if let Some(command) = slot.in_force.and_then(|order| order.command) {
                self.placed.remove(&command);
            }
        }
        for claim in std::mem::take(&mut node.claims) {
            self.forget(&(hem.clone(), number, claim.kind()), &claim.key);
        }
        self.note_departure(home, number);
    }

    /// Has all nodes of a home decided on of which something is wanted.
    pub(super) fn mark_busy(&mut self, home: &mut Home) {
        let busy: Vec<NodeId> = home
            .nodes
            .iter()
            .filter(|node| !node.is_idle())
            .map(|node| node.declaration.node)
            .collect();
        for node in busy {
            self.mark(home, node);
        }
    }

    // ------------------------------------------------------------------------------------- the home

    /// Someone at home pressed a button, if the event says so. The newest press counts, in whatever
    /// order they are heard of; one that is over ends an earlier one.
    pub(super) fn pressed(&mut self, home: &mut Home, event: &HemEvent, now: Timestamp) {
        if event.kind != "override" {
            return;
        }
        let since = event.ts.min(event.received);
        let until = event.until.unwrap_or_else(|| since.plus(self.limits.override_for));
        let watts = event.watts.filter(|watts| memcloud_domain::is_credible(watts.value()));
        let press = HomeOverride { on: event.on, watts, since, until };
        let nodes: Vec<NodeId> = match event.node {
            Some(node) => vec![node],
            None => {
                let takes_orders = |node: &&Node| {
                    let controls = node.declaration.controls.as_ref();
                    controls.is_some_and(|controls| !controls.is_empty())
                };
                home.nodes.iter().filter(takes_orders).map(|node| node.declaration.node).collect()
            }
        };
        for number in nodes {
            let Some(node) = home.node_mut(number) else { continue };
            if node.pressed.is_some_and(|pressed| since <= pressed) {
                continue;
            }
            node.pressed = Some(since);
            let before = node.at_home.take();
            if now < until {
                node.at_home = Some(press.clone());
                // Whatever was ordered is not what the node does now.
                let mut undone = Vec::new();
                for kind in Kind::ALL {
                    let order = node.slot_mut(kind).in_force.take();
                    undone.extend(order.and_then(|order| order.command));
                }
                for command in undone {
                    self.placed.remove(&command);
                }
            } else if before.is_none() {
                continue;
            }
            self.note_departure(home, number);
            self.mark(home, number);
            // The end of a press is to be noticed although nothing else is wanted.
            let wake = home.node(number).and_then(|node| node.wake);
            let next = [wake, Some(until).filter(|until| now < *until)];
            self.set_timer(home, number, next.into_iter().flatten().min());
        }
    }

    // ------------------------------------------------------------------------------------- commands

    /// Makes a claim of a command that waits for its verdict. Answers whether there is anything to be
    /// decided.
    pub(super) fn claim_of_command(
        &mut self,
        home: &mut Home,
        record: &CommandRecord,
        number: NodeId,
        setting: Setting,
    ) -> bool {
        let spot = (home.hem.clone(), number, Kind::of(setting));
        let stage = Stage::Offered { expires: record.expires };
        let until = match record.lease_ms {
            Some(lease) => record.expires.plus(Duration::from_millis(lease)),
            None => record.expires.max(record.issued.plus(self.limits.reservation)),
        };
        let claim = claim_of(record, setting, until, stage);
        let Some(node) = home.node_mut(number) else { return false };
        let commands = node.claims.iter().filter(|known| matches!(known.key, ClaimKey::Command(_)));
        if commands.count() >= self.limits.commands_per_node {
            return false;
        }
        if node.claims.iter().any(|known| known.replaces(&claim)) {
            self.figures.refused_by_rank += 1;
            let because =
                "A later command for the node and action came before this one was decided.";
            self.refuse(record.id.clone(), because.to_owned());
            return false;
        }
        node.claims.push(claim);
        node.try_budget_again(spot.2);
        self.commands.insert(record.id.clone(), spot);
        true
    }

    /// A command that is ordered takes the place of those that it replaces for good.
    pub(super) fn replace_by(&mut self, home: &mut Home, number: NodeId, key: &ClaimKey) {
        let hem = home.hem.clone();
        let Some(node) = home.node_mut(number) else { return };
        let Some(claim) = node.claims.iter().find(|claim| claim.key == *key).cloned() else {
            return;
        };
        let gone: Vec<ClaimKey> = node
            .claims
            .iter()
            .filter(|known| claim.replaces(known))
            .map(|known| known.key.clone())
            .collect();
        node.claims.retain(|known| !claim.replaces(known));
        for key in gone {
            self.forget(&(hem.clone(), number, claim.kind()), &key);
        }
    }

    /// Takes an order that was made before, and its asker's claim with it.
    pub(super) fn adopt(
        &mut self,
        home: &mut Home,
        number: NodeId,
        setting: Setting,
        record: &Arc<CommandRecord>,
        now: Timestamp,
    ) {
        let until = lease_end(record);
        let reserved = until.unwrap_or_else(|| record.issued.plus(self.limits.reservation));
        let spot = (home.hem.clone(), number, Kind::of(setting));
        let Some(node) = home.node_mut(number) else { return };
        let slot = node.slot(spot.2);
        let newer = |order: &InForce| order.number >= record.order;
        let pressed = node.pressed.is_some_and(|pressed| record.issued <= pressed);
        let is_stale = pressed || slot.in_force.as_ref().is_some_and(newer);
        if reserved <= now || slot.placing.is_some() || is_stale {
            return;
        }
        let key = match &record.asker {
            Asker::Job { job, .. } => Some(ClaimKey::Wish(job.clone())),
            Asker::Person { id, .. } if id == HOME => None,
            _ => Some(ClaimKey::Command(record.id.clone())),
        };
        let asked = record.action.setting().unwrap_or(setting);
        let claim = claim_of(record, asked, reserved, Stage::Standing);
        let in_force = InForce {
            setting,
            command: Some(record.id.clone()),
            number: record.order,
            state: Some(record.state),
            ordered: record.issued,
            lease_ms: record.lease_ms,
            until,
            claim: key.clone(),
            wanted_until: reserved,
            asker: Arc::clone(&claim.asker),
            class: claim.class,
            returns: false,
        };
        let before = node.slot_mut(spot.2).in_force.replace(in_force);
        if let Some(key) = &key {
            let is_known = |known: &&mut Standing| known.key == *key && known.kind() == spot.2;
            match node.claims.iter_mut().find(is_known) {
                Some(known) => known.stage = Stage::Standing,
                None => {
                    node.claims.retain(|known| !claim.replaces(known));
                    self.open_claim(key, &spot, &claim, now);
                    if let Some(node) = home.node_mut(number) {
                        node.claims.push(claim);
                    }
                }
            }
        }
        if let Some(command) = before.and_then(|order| order.command) {
            self.placed.remove(&command);
        }
        self.placed.insert(record.id.clone(), spot);
        self.note_departure(home, number);
        self.mark(home, number);
    }

    fn open_claim(
        &mut self,
        key: &ClaimKey,
        spot: &super::desk::Spot,
        claim: &Standing,
        now: Timestamp,
    ) {
        match key {
            ClaimKey::Command(command) => {
                self.commands.insert(command.clone(), spot.clone());
            }
            ClaimKey::Wish(job) => {
                let rate = self.limits.orders_per_job;
                let account = self.accounts.open(job, || {
                    Account::new(Arc::clone(&claim.asker), claim.class.priority, rate, now)
                });
                account.standing.insert(spot.clone());
            }
        }
    }

    /// The ledger has answered an order; `None`: it could not be asked.
    pub(super) fn answered(
        &mut self,
        home: &mut Home,
        (number, kind): (NodeId, Kind),
        moves: f64,
        placement: Option<Placement>,
        now: Timestamp,
    ) {
        let hem = home.hem.clone();
        let Some(node) = home.node_mut(number) else { return };
        let Some(mut order) = node.slot_mut(kind).placing.take() else { return };
        let pause =
            |span: Duration, why: Pause| Some(Paused { until: now.plus(span), why, claim: None });
        let key = order.claim.clone();
        match placement {
            Some(Placement::Placed(record)) => {
                self.figures.orders += 1;
                self.in_force(home, number, kind, order, record, now);
            }
            Some(Placement::Moot(record)) if is_open(record.state) => {
                order.ordered = record.issued;
                self.in_force(home, number, kind, order, record, now);
            }
            Some(Placement::Moot(_) | Placement::Unknown) => {
                if let Some(key) = key {
                    self.end_claim(home, number, &key, kind);
                }
            }
            Some(Placement::OverFleetBudget { retry_after_ms }) => {
                self.figures.over_fleet_budget += 1;
                let span = Duration::from_millis(retry_after_ms.clamp(100, 60_000));
                let watts = match self.fleet_pause {
                    Some((until, watts)) if now < until => watts.min(moves),
                    _ => moves,
                };
                self.fleet_pause = Some((now.plus(span), watts));
                node.slot_mut(kind).pause = pause(span, Pause::FleetBudget);
            }
            Some(Placement::HemIsBusy) => {
                node.slot_mut(kind).pause = pause(Self::RETRY, Pause::HemIsBusy);
            }
            None => {
                log::debug!(hem = hem.as_str(); "the ledger did not take an order, which is tried again");
                node.slot_mut(kind).pause = pause(Self::RETRY, Pause::LedgerAway);
            }
        }
        self.note_departure(home, number);
        self.mark(home, number);
    }

    fn in_force(
        &mut self,
        home: &mut Home,
        number: NodeId,
        kind: Kind,
        mut order: InForce,
        record: Arc<CommandRecord>,
        now: Timestamp,
    ) {
        let hem = home.hem.clone();
        let record = self.newest_of(record);
        if let Some(key) = &order.claim {
            settle_stage(home, number, key);
        }
        order.command = Some(record.id.clone());
        order.number = record.order;
        order.state = Some(record.state);
        let Some(node) = home.node_mut(number) else { return };
        // Someone pressed a button while it was on its way: what holds now is theirs.
        let pressed = node.at_home.as_ref().is_some_and(|at_home| order.ordered <= at_home.since);
        let before = node.slot_mut(kind).in_force.take();
        if let Some(command) = before.and_then(|before| before.command) {
            self.placed.remove(&command);
        }
        if pressed && order.claim.is_some() {
            return;
        }
        node.slot_mut(kind).in_force = Some(order);
        self.placed.insert(record.id.clone(), (hem, number, kind));
        self.news(home, number, kind, &record, now);
    }

    /// How far an order that holds now is.
    pub(super) fn news(
        &mut self,
        home: &mut Home,
        number: NodeId,
        kind: Kind,
        record: &CommandRecord,
        now: Timestamp,
    ) {
        let pause = self.limits.pause;
        let Some(node) = home.node_mut(number) else { return };
        let Some(order) = &mut node.slot_mut(kind).in_force else { return };
        if order.command.as_ref() != Some(&record.id) {
            return;
        }
        order.state = Some(record.state);
        let key = order.claim.clone();
        if is_open(record.state) {
            if let Some(until) = lease_end(record).filter(|_| acknowledged(record).is_some()) {
                order.until = Some(until);
                if matches!(key, Some(ClaimKey::Command(_))) {
                    order.wanted_until = until;
                    let own =
                        node.claims.iter_mut().filter(|claim| Some(&claim.key) == key.as_ref());
                    own.for_each(|claim| claim.until = until);
                }
            }
            self.mark(home, number);
            return;
        }
        let order = node.slot_mut(kind).in_force.take();
        self.placed.remove(&record.id);
        let was_asked = order.is_some_and(|order| !order.returns);
        let because = record.history.last().and_then(|step| step.because.clone());
        let why = match record.state {
            CommandState::Refused | CommandState::Failed => {
                Some(Pause::TurnedDown(because.unwrap_or_default()))
            }
            CommandState::Expired => Some(Pause::TooLate),
            _ => None,
        };
        match key {
            Some(key @ ClaimKey::Command(_)) => self.end_claim(home, number, &key, kind),
            Some(key @ ClaimKey::Wish(_)) if was_asked => {
                if let (Some(why), Some(node)) = (why, home.node_mut(number)) {
                    let until = now.plus(pause);
                    node.slot_mut(kind).pause = Some(Paused { until, why, claim: Some(key) });
                }
            }
            _ => {}
        }
        self.note_departure(home, number);
        self.mark(home, number);
    }

    /// A wish was said again, unchanged: it is looked at only where that may renew or order something.
    pub(super) fn extend_wish(
        &mut self,
        home: &mut Home,
        number: NodeId,
        kind: Kind,
        now: Timestamp,
    ) {
        let Some(node) = home.node(number) else { return };
        let slot = node.slot(kind);
        let concerns = match slot.newest() {
            Some(order) => order.renewal().is_some_and(|renewal| renewal <= now),
            None => true,
        };
        if concerns {
            self.mark(home, number);
        }
    }
}

/// The id under which the ledger keeps what dispatch orders for someone at home.
const HOME: &str = "home";

fn claim_of(record: &CommandRecord, setting: Setting, until: Timestamp, stage: Stage) -> Standing {
    let key = match &record.asker {
        Asker::Job { job, .. } => ClaimKey::Wish(job.clone()),
        _ => ClaimKey::Command(record.id.clone()),
    };
    Standing {
        key,
        asker: Arc::new(record.asker.clone()),
        setting,
        class: Class { rank: rank_of(&record.asker), priority: record.priority },
        reason: record.reason.clone(),
        since: record.issued,
        until,
        lease_ms: record.lease_ms,
        stage,
        complained: false,
    }
}

/// Whether a command may hold yet.
fn is_open(state: CommandState) -> bool {
    matches!(
        state,
        CommandState::Accepted
            | CommandState::Sent
            | CommandState::Acknowledged
            | CommandState::Effective
            | CommandState::Ineffective
            | CommandState::Unconfirmed
    )
}

/// When its HEM said that it was carried out.
fn acknowledged(record: &CommandRecord) -> Option<Timestamp> {
    let steps = record.history.iter();
    steps.filter(|step| step.state == CommandState::Acknowledged).map(|step| step.at).next_back()
}

/// When its lease ends: after its acknowledgement, or else at the latest.
fn lease_end(record: &CommandRecord) -> Option<Timestamp> {
    let lease = Duration::from_millis(record.lease_ms?);
    Some(acknowledged(record).unwrap_or(record.expires).plus(lease))
}
