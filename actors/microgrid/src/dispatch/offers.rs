//! Commands: what the ledger offers, what it says is open, and what it answers to orders.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::messages::Placement;
use memcloud_domain::{CommandRecord, CommandState, Timestamp};

use super::claim::{ClaimKey, Stage};
use super::desk::{Desk, Ticket};
use super::dispatcher::no_such_node;
use super::node::Node;
use super::words;
use super::{Dispatcher, Effect};

impl Dispatcher {
    pub(super) fn offered(&mut self, record: Arc<CommandRecord>, now: Timestamp) {
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

    pub(super) fn take_early_offers(&mut self, now: Timestamp) {
        if self.is_ready() {
            for record in std::mem::take(&mut self.early_offers) {
                self.offered(record, now);
            }
        }
    }

    /// What is open in the ledger: at first everything that holds is learnt from it; later what was not
    /// heard of otherwise.
    pub(super) fn know_open(
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
    pub(super) fn adopt(&mut self, record: &Arc<CommandRecord>, now: Timestamp) {
        let (Some(node), Some(setting)) = (record.node, record.as_sent().setting()) else { return };
        let Some(home) = self.homes.get_mut(&record.hem) else { return };
        self.desk.adopt(home, node, setting, record, now);
    }

    pub(super) fn changed(&mut self, record: Arc<CommandRecord>, now: Timestamp) {
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

    pub(super) fn placed(&mut self, batch: u64, placements: Vec<Placement>, now: Timestamp) {
        let Some(tickets) = self.desk.batches.remove(&batch) else { return };
        self.desk.in_flight = self.desk.in_flight.saturating_sub(tickets.len());
        let mut placements = placements.into_iter();
        for ticket in tickets {
            let placement = placements.next();
            match (ticket, placement) {
                (Ticket::Order((hem, node, kind), moves), placement) => {
                    if let Some(home) = self.homes.get_mut(&hem) {
                        self.desk.answered(home, (node, kind), moves, placement, now);
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

    pub(super) fn not_placed(&mut self, batch: u64, now: Timestamp) {
        self.placed(batch, Vec::new(), now);
    }
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
