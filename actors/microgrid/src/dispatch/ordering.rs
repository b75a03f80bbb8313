//! From what is decided of a node to what is ordered: nothing where nothing changed, a renewal before a
//! lease ends, a return to the default where a claim ended early, and never more than the rates allow.

use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::{OrderDraft, Origin, Verdict};
use memcloud_domain::{Asker, CommandId, NodeId, Setting, Timestamp};

use super::claim::{ClaimKey, Class, Kind, Rank, Stage, Standing};
use super::decision::{By, Chosen, Decision, Fate, SAME_WATTS, decide, same, watts_of};
use super::desk::{Desk, Ticket};
use super::envelope::Bound;
use super::explain::Explanation;
use super::node::{Home, InForce, Node, Past, Pause, Paused, Slot};
use super::words;

/// What is to be done about a slot.
enum Plan {
    /// Nothing.
    Nothing,
    /// What holds goes on, for this claim.
    Keep(ClaimKey, Timestamp),
    /// What was ordered for good is nobody's concern any more.
    Forget,
    /// It is to be looked at again then.
    Later(Timestamp),
    /// An order.
    Order(Box<Order>),
}

struct Order {
    draft: OrderDraft,
    in_force: InForce,
    /// Whether it counts as one of the changes that jobs may make at a node in a minute.
    counted: bool,
}

/// Why an order is made, which says what limits it is under.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// A claim changed what holds.
    Change,
    /// A limit got tighter.
    Tightening,
    /// A lease is about to end.
    Renewal,
}

impl Desk {
    /// Below this remaining lease it is not worth an order, ms.
    const WORTH_MS: u64 = 1_000;
    /// A lease may end so much after its claim before the node is taken back actively.
    const OVERHANG: Duration = Duration::from_secs(90);
    /// An order back to the default holds so long, ms: then the home is there by itself.
    const RETURN_LEASE_MS: u64 = 60_000;

    /// Decides on a node, and orders what follows.
    pub(super) fn step(&mut self, home: &mut Home, number: NodeId, now: Timestamp) {
        self.tidy(home, number, now);
        let Some(place) = home.place(number) else { return };
        let is_idle = home.nodes.get(place).is_none_or(Node::is_idle);
        if is_idle {
            let next = self.next_look(home, place, None, now);
            return self.set_timer(home, number, next);
        }
        if !self.knows_past(home, now) {
            // Until it is known, what is wanted may be against what someone at home set.
            let again = match home.past {
                Past::Unknown { from, .. } => Some(from),
                _ => None,
            };
            let next = self.next_look(home, place, again, now);
            return self.set_timer(home, number, next);
        }
        if self.is_stalled() {
            // What comes back from the ledger goes on with it.
            self.mark(home, number);
            return;
        }
        let Some(decision) = self.decision(home, place, now) else { return };
        self.note_choice(home, place, &decision, now);
        let ordered_before = self.verdicts.len();
        let mut later = None;
        for kind in Kind::ALL {
            let plan = self.plan(home, place, &decision, kind, now);
            let again = self.carry_out(home, number, kind, plan, now);
            later = [later, again].into_iter().flatten().min();
        }
        // A decision speaks of claims by their places: only now may claims go.
        self.complain(home, place, &decision);
        self.refuse_offers(home, place, &decision, now);
        for command in self.commands_since(ordered_before) {
            self.replace_by(home, number, &ClaimKey::Command(command));
        }
        self.note_departure(home, number);
        let next = self.next_look(home, place, later, now);
        self.set_timer(home, number, next);
    }

    fn commands_since(&self, before: usize) -> Vec<CommandId> {
        let verdicts = self.verdicts.get(before..).unwrap_or_default().iter();
        verdicts
            .filter_map(|(verdict, _)| match verdict {
                Verdict::Order(OrderDraft { origin: Origin::Command(id), .. }) => Some(id.clone()),
                _ => None,
            })
            .collect()
    }

    /// What holds at a node now.
    pub(super) fn decision(&self, home: &Home, place: usize, now: Timestamp) -> Option<Decision> {
        let node = home.nodes.get(place)?;
        Some(decide(&node.case(now), |class| self.room(home, place, class), &self.limits, now))
    }

    /// Takes away what is over.
    fn tidy(&mut self, home: &mut Home, number: NodeId, now: Timestamp) {
        let hem = home.hem.clone();
        let Some(node) = home.node_mut(number) else { return };
        let is_over = |claim: &Standing| match claim.stage {
            Stage::Offered { expires } => expires <= now,
            Stage::Standing => !claim.stands(now),
        };
        let over: Vec<(ClaimKey, Kind)> = node
            .claims
            .iter()
            .filter(|claim| is_over(claim))
            .map(|claim| (claim.key.clone(), claim.kind()))
            .collect();
        node.claims.retain(|claim| !is_over(claim));
        if node.at_home.as_ref().is_some_and(|at_home| at_home.until <= now) {
            node.at_home = None;
        }
        if node.turned_away.as_ref().is_some_and(|away| now.since(away.at).as_secs() >= 60) {
            node.turned_away = None;
        }
        let mut fell_back = Vec::new();
        for kind in Kind::ALL {
            let slot = node.slot_mut(kind);
            let is_over = |order: &InForce| order.until.is_some_and(|until| until <= now);
            if slot.in_force.as_ref().is_some_and(is_over) {
                fell_back.extend(slot.in_force.take().and_then(|order| order.command));
            }
            if slot.pause.as_ref().is_some_and(|pause| pause.until <= now) {
                slot.pause = None;
            }
        }
        for command in fell_back {
            self.placed.remove(&command);
        }
        for (key, kind) in over {
            self.forget(&(hem.clone(), number, kind), &key);
        }
    }

    fn note_choice(&mut self, home: &mut Home, place: usize, decision: &Decision, now: Timestamp) {
        let Some(node) = home.nodes.get_mut(place) else { return };
        let chosen = Kind::ALL.map(|kind| decision.chosen(kind).map(|chosen| chosen.setting));
        if node.chosen != chosen {
            node.chosen = chosen;
            node.since = now;
        }
    }

    // -------------------------------------------------------------------------------------- planning

    fn plan(
        &self,
        home: &Home,
        place: usize,
        decision: &Decision,
        kind: Kind,
        now: Timestamp,
    ) -> Plan {
        let Some(node) = home.nodes.get(place) else { return Plan::Nothing };
        let account = Explanation { home, node, decision, now, zone: self.zone };
        let slot = node.slot(kind);
        if slot.placing.is_some() {
            return Plan::Nothing;
        }
        let chosen = decision.chosen(kind);
        if let (Some(claim), Some(chosen)) = (offered(node, decision, kind), chosen) {
            if slot.waits(Some(&claim.key), now).is_some() {
                return Plan::Nothing;
            }
            return Plan::Order(Box::new(of_offer(&account, claim, chosen)));
        }
        match chosen {
            Some(chosen) => match chosen.by {
                By::Home => self.plan_for_home(&account, slot, chosen),
                By::Claim(claim) => match node.claims.get(claim) {
                    Some(claim) => self.plan_for_claim(&account, slot, claim, chosen),
                    None => Plan::Nothing,
                },
            },
            None => match &slot.in_force {
                Some(order) => self.plan_for_nobody(&account, kind, order),
                None => Plan::Nothing,
            },
        }
    }

    fn plan_for_claim(
        &self,
        account: &Explanation<'_>,
        slot: &Slot,
        claim: &Standing,
        chosen: &Chosen,
    ) -> Plan {
        let now = account.now;
        if let Some(pause) = slot.waits(Some(&claim.key), now) {
            return Plan::Later(pause.until);
        }
        let keep = || Plan::Keep(claim.key.clone(), claim.until);
        let cause = match &slot.in_force {
            Some(order) if !order.returns => {
                let own = order.claim.as_ref() == Some(&claim.key);
                let is_same = same(order.setting, chosen.setting);
                if is_same || (own && is_slight_relief(order.setting, chosen)) {
                    let outlives = order.until.is_some_and(|until| {
                        claim.lease_ms.is_some() && claim.until > until.plus(Duration::from_secs(1))
                    });
                    if !outlives || order.renewal().is_none_or(|renewal| now < renewal) {
                        return keep();
                    }
                    if is_same { Cause::Renewal } else { Cause::Change }
                } else if own && is_tightening(order.setting, chosen) {
                    let again = order.ordered.plus(self.limits.limits_every);
                    if now < again {
                        return Plan::Later(again);
                    }
                    Cause::Tightening
                } else {
                    Cause::Change
                }
            }
            _ => Cause::Change,
        };
        if account.home.offline {
            return Plan::Nothing;
        }
        if claim.class.rank == Rank::Job
            && let Some(order) = slot.in_force.as_ref().filter(|order| order.is_on_its_way())
        {
            // One at a time: the home's answer to the last one comes first, but not for ever.
            let again = order.ordered.plus(self.limits.answer_wait);
            if now < again {
                return Plan::Later(again);
            }
        }
        let lease_ms = claim.lease_ms.map(|_| left_ms(claim.until, now));
        if lease_ms.is_some_and(|left| left < Self::WORTH_MS) {
            return Plan::Nothing;
        }
        let expires_ms = millis(self.limits.order_expires).min(lease_ms.unwrap_or(u64::MAX));
        let origin = Origin::Wish {
            asker: (*claim.asker).clone(),
            reason: claim.reason.clone(),
            priority: claim.class.priority,
            expires_ms,
        };
        let moves_watts = match cause {
            Cause::Renewal => 0.0,
            Cause::Change | Cause::Tightening => account.node.moves(chosen.setting),
        };
        let draft = OrderDraft {
            origin,
            hem: account.home.hem.clone(),
            node: Some(account.node.declaration.node),
            action: chosen.setting.into(),
            lease_ms,
            because: account.order_because(chosen),
            moves_watts,
        };
        let in_force = in_force(claim, chosen.setting, lease_ms, now);
        let counted = cause == Cause::Change && claim.class.rank == Rank::Job;
        Plan::Order(Box::new(Order { draft, in_force, counted }))
    }

    /// What someone at home set is cut to what the node can do.
    fn plan_for_home(&self, account: &Explanation<'_>, slot: &Slot, chosen: &Chosen) -> Plan {
        let now = account.now;
        let Some(at_home) = &account.node.at_home else { return Plan::Nothing };
        if let Some(pause) = slot.waits(None, now) {
            return Plan::Later(pause.until);
        }
        let holds = |order: &InForce| same(order.setting, chosen.setting);
        if slot.in_force.as_ref().is_some_and(holds) || account.home.offline {
            return Plan::Nothing;
        }
        let asker = words::someone_at_home();
        let class = Class { rank: Rank::Operator, priority: i32::MAX };
        let lease = (at_home.until, left_ms(at_home.until, now));
        let because = account.order_because(chosen);
        let setting = chosen.setting;
        self.unclaimed(account, setting, &asker, class, lease, because, false)
    }

    /// Nobody wants any more what holds.
    fn plan_for_nobody(&self, account: &Explanation<'_>, kind: Kind, order: &InForce) -> Plan {
        let (node, now) = (account.node, account.now);
        if let Some(pause) = node.slot(kind).waits(None, now) {
            return Plan::Later(pause.until);
        }
        let off = Setting::Switch { on: false };
        if kind == Kind::Switch
            && order.setting == off
            && let Some(power) = account.decision.chosen(Kind::Power)
            && watts_of(power.setting).is_some_and(|watts| watts.abs() >= SAME_WATTS)
            && let By::Claim(place) = power.by
            && let Some(claim) = node.claims.get(place)
        {
            // A power needs the node on that was switched off before.
            let on = Chosen { setting: Setting::Switch { on: true }, by: power.by, bound: None };
            return self.plan_for_claim(account, node.slot(kind), claim, &on);
        }
        let Some(until) = order.until else { return Plan::Forget };
        if order.returns || (kind == Kind::Power && account.decision.is_off()) {
            return Plan::Nothing;
        }
        let ended_early = now < order.wanted_until;
        let overhangs = until.since(now) > Self::OVERHANG;
        let is_worth_it = left_ms(until, now) >= 2 * Self::WORTH_MS;
        if account.home.offline || !is_worth_it || !(ended_early || overhangs) {
            return Plan::Nothing;
        }
        match node.back_to_default(kind, &self.limits) {
            Some(setting) if !same(setting, order.setting) => {
                let whose = words::who(&order.asker);
                let (_, does) = words::does(setting, node.declaration.kind);
                let sentence = format!(
                    "{} {does}, its home's default: {whose} wants nothing of it any more.",
                    words::node(&node.declaration)
                );
                let lease = (order.until.unwrap_or(now), Self::RETURN_LEASE_MS);
                let because = words::capital(&sentence);
                self.unclaimed(account, setting, &order.asker, order.class, lease, because, true)
            }
            _ => Plan::Nothing,
        }
    }

    /// An order that no claim stands behind: back to the default, or to what the node can do.
    #[expect(clippy::too_many_arguments, reason = "each is one plain fact of the order")]
    fn unclaimed(
        &self,
        account: &Explanation<'_>,
        setting: Setting,
        asker: &Arc<Asker>,
        class: Class,
        (wanted_until, lease_ms): (Timestamp, u64),
        because: String,
        returns: bool,
    ) -> Plan {
        let now = account.now;
        if lease_ms < Self::WORTH_MS {
            return Plan::Nothing;
        }
        let origin = Origin::Wish {
            asker: (**asker).clone(),
            reason: String::new(),
            priority: class.priority,
            expires_ms: millis(self.limits.order_expires).min(lease_ms),
        };
        let draft = OrderDraft {
            origin,
            hem: account.home.hem.clone(),
            node: Some(account.node.declaration.node),
            action: setting.into(),
            lease_ms: Some(lease_ms),
            because,
            moves_watts: 0.0,
        };
        let in_force = InForce {
            setting,
            command: None,
            number: None,
            state: None,
            ordered: now,
            lease_ms: Some(lease_ms),
            until: Some(now.plus(Duration::from_millis(lease_ms))),
            claim: None,
            wanted_until,
            asker: Arc::clone(asker),
            class,
            returns,
        };
        Plan::Order(Box::new(Order { draft, in_force, counted: false }))
    }

    // ------------------------------------------------------------------------------------ carrying out

    /// Answers when the slot is to be looked at again.
    fn carry_out(
        &mut self,
        home: &mut Home,
        number: NodeId,
        kind: Kind,
        plan: Plan,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let hem = home.hem.clone();
        let node = home.node_mut(number)?;
        match plan {
            Plan::Nothing => None,
            Plan::Later(at) => Some(at),
            Plan::Keep(claim, until) => {
                if let Some(order) = &mut node.slot_mut(kind).in_force {
                    order.claim = Some(claim);
                    order.wanted_until = until;
                }
                None
            }
            Plan::Forget => {
                let order = node.slot_mut(kind).in_force.take();
                if let Some(command) = order.and_then(|order| order.command) {
                    self.placed.remove(&command);
                }
                None
            }
            Plan::Order(order) => {
                if let Some(pause) = self.held_back(node, &order, now) {
                    let until = pause.until;
                    node.slot_mut(kind).pause = Some(pause);
                    return Some(until);
                }
                if order.counted {
                    node.changes.push_back((now, order.in_force.class));
                }
                let slot = node.slot_mut(kind);
                slot.pause = None;
                slot.placing = Some(order.in_force);
                let moves = order.draft.moves_watts;
                self.order(order.draft, Ticket::Order((hem, number, kind), moves));
                None
            }
        }
    }

    /// Whether a rate or a budget holds an order back; commands that wait for their verdict are under
    /// the fleet's budget alone.
    fn held_back(&mut self, node: &mut Node, order: &Order, now: Timestamp) -> Option<Paused> {
        let moves = order.draft.moves_watts;
        // What moves less than what there was no room for may find room.
        if moves > 0.0
            && let Some((until, watts)) = self.fleet_pause
            && now < until
            && moves >= watts
        {
            return Some(Paused { until, why: Pause::FleetBudget, claim: None });
        }
        let key = order.in_force.claim.clone();
        if order.counted {
            let minute = Duration::from_secs(60);
            while node.changes.front().is_some_and(|(at, _)| now.since(*at) >= minute) {
                node.changes.pop_front();
            }
            let class = order.in_force.class;
            let own: Vec<Timestamp> = node
                .changes
                .iter()
                .filter(|(_, whose)| *whose >= class)
                .map(|(at, _)| *at)
                .collect();
            let most = usize::try_from(self.limits.orders_per_node).unwrap_or(usize::MAX);
            if own.len() >= most {
                self.figures.held_back += 1;
                let until = own.first().map_or(now, |oldest| *oldest).plus(minute);
                return Some(Paused { until, why: Pause::NodeRate, claim: key });
            }
        }
        let Some(ClaimKey::Wish(job)) = &key else { return None };
        let account = self.accounts.get_mut(job)?;
        let until = account.order(now).err()?;
        self.figures.held_back += 1;
        let most = account.orders_a_minute();
        account.complain(
            1,
            format!("it had the {most} orders that it may have in a minute: further wishes wait"),
        );
        Some(Paused { until, why: Pause::JobRate, claim: key })
    }

    /// When a node is to be looked at again although nothing happens.
    fn next_look(
        &self,
        home: &Home,
        place: usize,
        later: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let node = home.nodes.get(place)?;
        let mut times: Vec<Timestamp> = later.into_iter().collect();
        for claim in &node.claims {
            times.push(match claim.stage {
                Stage::Offered { expires } => expires,
                Stage::Standing => claim.until,
            });
        }
        times.extend(node.at_home.as_ref().map(|at_home| at_home.until));
        for kind in Kind::ALL {
            let slot = node.slot(kind);
            if let Some(order) = &slot.in_force {
                times.extend(order.until);
                times.extend(order.renewal().filter(|renewal| now < *renewal));
            }
            times.extend(slot.pause.as_ref().map(|pause| pause.until));
        }
        times.into_iter().filter(|at| now < *at).min()
    }
}

/// The command of a kind that waits for its verdict and can have it now.
fn offered<'a>(node: &'a Node, decision: &Decision, kind: Kind) -> Option<&'a Standing> {
    let holds = |fate: &Fate| matches!(fate, Fate::Holds | Fate::Narrowed | Fate::Satisfied(_));
    let holding = decision.fates.iter().filter(|(_, fate)| holds(fate));
    let mut claims = holding.filter_map(|(place, _)| node.claims.get(*place));
    claims.find(|claim| claim.kind() == kind && matches!(claim.stage, Stage::Offered { .. }))
}

/// A command goes to its HEM even where it changes nothing: someone waits for what becomes of it.
fn of_offer(account: &Explanation<'_>, claim: &Standing, chosen: &Chosen) -> Order {
    let origin = match &claim.key {
        ClaimKey::Command(id) => Origin::Command(id.clone()),
        ClaimKey::Wish(_) => Origin::Wish {
            asker: (*claim.asker).clone(),
            reason: claim.reason.clone(),
            priority: claim.class.priority,
            expires_ms: 0,
        },
    };
    let draft = OrderDraft {
        origin,
        hem: account.home.hem.clone(),
        node: Some(account.node.declaration.node),
        action: chosen.setting.into(),
        lease_ms: claim.lease_ms,
        because: account.order_because(chosen),
        moves_watts: account.node.moves(chosen.setting),
    };
    let in_force = in_force(claim, chosen.setting, claim.lease_ms, account.now);
    Order { draft, in_force, counted: false }
}

fn in_force(claim: &Standing, setting: Setting, lease_ms: Option<u64>, now: Timestamp) -> InForce {
    InForce {
        setting,
        command: None,
        number: None,
        state: None,
        ordered: now,
        lease_ms,
        // A command may begin as late as it expires, until its HEM says when it did.
        until: lease_ms.map(|lease| match claim.stage {
            Stage::Offered { expires } => expires.plus(Duration::from_millis(lease)),
            Stage::Standing => now.plus(Duration::from_millis(lease)),
        }),
        claim: Some(claim.key.clone()),
        wanted_until: claim.until,
        asker: Arc::clone(&claim.asker),
        class: claim.class,
        returns: false,
    }
}

fn is_of_a_grid(chosen: &Chosen) -> bool {
    matches!(chosen.bound, Some(Bound::Home { .. } | Bound::Microgrid { .. }))
}

/// A limit of the home or the microgrid got tighter.
fn is_tightening(holds: Setting, chosen: &Chosen) -> bool {
    let sizes = (watts_of(holds), watts_of(chosen.setting));
    matches!(sizes, (Some(held), Some(now)) if is_of_a_grid(chosen) && now.abs() < held.abs())
}

/// The limit that narrows a power got wider by so little that it is not worth an order.
fn is_slight_relief(holds: Setting, chosen: &Chosen) -> bool {
    let (Some(held), Some(now)) = (watts_of(holds), watts_of(chosen.setting)) else { return false };
    let relief = now.abs() - held.abs();
    let is_slight = relief < (held.abs() / 10.0).max(100.0);
    is_of_a_grid(chosen) && held * now >= 0.0 && relief >= 0.0 && is_slight
}

fn left_ms(until: Timestamp, now: Timestamp) -> u64 {
    millis(until.since(now))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
