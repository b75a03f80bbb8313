//! What dispatch hears of homes: which there are, what they measure, whether they are connected, what
//! happened there before, and whether what is ordered of them keeps the limits.

use memcloud_domain::{Entry, Epoch, HemBatch, HemEvent, HemId, NodeId, Timestamp};
use memcloud_worker::Roster;

use super::claim::Kind;
use super::desk::Desk;
use super::node::{Home, Node, Past};
use super::room::limits_something;
use super::{Dispatcher, Link};

impl Dispatcher {
    pub(super) fn know_homes(&mut self, roster: &Roster, now: Timestamp) {
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

    pub(super) fn stored(&mut self, batches: &[HemBatch], now: Timestamp) {
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

    pub(super) fn connection(&mut self, hem: &HemId, epoch: Epoch, link: Link) {
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

    pub(super) fn looked_back(
        &mut self,
        hem: &HemId,
        events: Option<Vec<HemEvent>>,
        now: Timestamp,
    ) {
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

    pub(super) fn next_look_at_limits(&self) -> Option<Timestamp> {
        let desk = &self.desk;
        let is_limited = limits_something(desk.microgrid) || desk.limited_homes > 0;
        let concerns = is_limited && !desk.controlled.is_empty();
        concerns.then(|| desk.limits_checked.plus(desk.limits.limits_every))
    }

    /// Holds what is in force against the limits: whatever breaks them, or was narrowed by them, is
    /// decided anew.
    pub(super) fn look_at_limits(&mut self, now: Timestamp) {
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

fn numbers(home: &Home) -> Vec<NodeId> {
    home.nodes.iter().map(|node| node.declaration.node).collect()
}
