//! What an app wants of nodes and its dispatch has not been told yet. Of many wishes for a node and a
//! kind of setting only the newest counts, so that it stays small however slow dispatch is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use memcloud_domain::{HemId, NodeId, Setting, Timestamp, Wish};

type Node = (HemId, NodeId);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Switch,
    Power,
    Limit,
}

fn kind(setting: Setting) -> Kind {
    match setting {
        Setting::Switch { .. } => Kind::Switch,
        Setting::Power { .. } => Kind::Power,
        Setting::Limit { .. } => Kind::Limit,
    }
}

fn is_finite(setting: Setting) -> bool {
    match setting {
        Setting::Switch { .. } => true,
        Setting::Power { watts } | Setting::Limit { watts } => watts.value().is_finite(),
    }
}

/// Wishes and withdrawals on their way to dispatch.
#[derive(Debug)]
pub struct WishQueue {
    wishes: BTreeMap<(Node, Kind), Wish>,
    withdrawn: BTreeSet<Node>,
    most: usize,
    told: u64,
    dropped: u64,
    unsaid: u64,
    said: Option<Timestamp>,
}

impl WishQueue {
    /// How often it says that wishes are dropped.
    const SAYS_EVERY: Duration = Duration::from_secs(60);

    /// One that takes so many wishes of a step, and lets so many wait.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            wishes: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            most,
            told: 0,
            dropped: 0,
            unsaid: 0,
            said: None,
        }
    }

    /// What remains of a step's wishes when only the newest for a node and kind count, and only so many:
    /// and how many were dropped. For the step's own thread, so that a flood costs no other.
    #[must_use]
    pub fn condense(
        most: usize,
        wishes: Vec<Wish>,
        withdrawn: Vec<Node>,
    ) -> (Vec<Wish>, Vec<Node>, u64) {
        let mut queue = Self::new(most);
        let _ = queue.absorb(wishes, withdrawn, Timestamp(0));
        let (wishes, withdrawn) = queue.take();
        (wishes, withdrawn, queue.dropped)
    }

    /// So many wishes were dropped elsewhere; said with the next that are absorbed.
    pub fn lost(&mut self, count: u64) {
        self.dropped += count;
        self.unsaid += count;
    }

    /// Takes what a step wants. Answers what there is to be said of wishes that were dropped.
    pub fn absorb(
        &mut self,
        wishes: Vec<Wish>,
        withdrawn: Vec<Node>,
        now: Timestamp,
    ) -> Option<String> {
        let before = self.dropped;
        self.drop_some(withdrawn.len().saturating_sub(self.most));
        for node in withdrawn.into_iter().take(self.most) {
            self.withdraw(node);
        }
        self.drop_some(wishes.len().saturating_sub(self.most));
        for wish in wishes.into_iter().take(self.most) {
            self.wish(wish);
        }
        self.unsaid += self.dropped - before;
        let is_time = self.said.is_none_or(|said| now.since(said) >= Self::SAYS_EVERY);
        if self.unsaid == 0 || !is_time {
            return None;
        }
        self.said = Some(now);
        let count = std::mem::take(&mut self.unsaid);
        Some(format!(
            "{count} wishes were dropped: of a step at most {} count, and no power that is not a number",
            self.most
        ))
    }

    fn drop_some(&mut self, count: usize) {
        self.dropped += u64::try_from(count).unwrap_or(0);
    }

    fn withdraw(&mut self, node: Node) {
        for kind in [Kind::Switch, Kind::Power, Kind::Limit] {
            self.wishes.remove(&(node.clone(), kind));
        }
        if self.withdrawn.len() < self.most || self.withdrawn.contains(&node) {
            self.withdrawn.insert(node);
        } else {
            self.drop_some(1);
        }
    }

    fn wish(&mut self, wish: Wish) {
        let identity = ((wish.hem.clone(), wish.node), kind(wish.setting));
        let has_room = self.wishes.len() < self.most || self.wishes.contains_key(&identity);
        if has_room && is_finite(wish.setting) {
            self.wishes.insert(identity, wish);
        } else {
            self.drop_some(1);
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wishes.is_empty() && self.withdrawn.is_empty()
    }

    /// Everything that waits, to be told.
    pub fn take(&mut self) -> (Vec<Wish>, Vec<Node>) {
        let wishes: Vec<Wish> = std::mem::take(&mut self.wishes).into_values().collect();
        self.told += u64::try_from(wishes.len()).unwrap_or(0);
        (wishes, std::mem::take(&mut self.withdrawn).into_iter().collect())
    }

    /// It could not be told, and waits again. Nothing was absorbed meanwhile.
    pub fn put_back(&mut self, wishes: Vec<Wish>, withdrawn: Vec<Node>) {
        self.told -= u64::try_from(wishes.len()).unwrap_or(0).min(self.told);
        self.withdrawn.extend(withdrawn);
        for wish in wishes {
            self.wishes.insert(((wish.hem.clone(), wish.node), kind(wish.setting)), wish);
        }
    }

    /// Nobody steers here: what waits is dropped.
    pub fn discard(&mut self) {
        let (wishes, withdrawn) = self.take();
        self.told -= u64::try_from(wishes.len()).unwrap_or(0).min(self.told);
        self.drop_some(wishes.len() + withdrawn.len());
    }

    /// How many wishes were told.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.told
    }

    /// How many were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use memcloud_domain::Watts;

    use super::*;

    fn wish(node: u8, setting: Setting) -> Wish {
        let hem = HemId::new("home-1").unwrap();
        Wish { hem, node: NodeId(node), setting, lease_ms: 60_000, reason: String::new() }
    }

    fn power(node: u8, watts: f64) -> Wish {
        wish(node, Setting::Power { watts: Watts(watts) })
    }

    fn node(number: u8) -> Node {
        (HemId::new("home-1").unwrap(), NodeId(number))
    }

    #[test]
    fn of_many_wishes_for_a_node_the_newest_of_each_kind_is_told() {
        let mut queue = WishQueue::new(10);
        let on = wish(1, Setting::Switch { on: true });
        queue.absorb(vec![power(1, 100.0), on.clone(), power(1, 200.0)], vec![], Timestamp(0));
        queue.absorb(vec![power(1, 300.0)], vec![], Timestamp(0));
        assert_eq!(queue.take(), (vec![on, power(1, 300.0)], vec![]));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_condensed_flood_says_what_the_whole_would_have_said() {
        let flood = || (0..10).map(|node| power(node, 1.0)).collect::<Vec<_>>();
        let (wishes, withdrawn, dropped) = WishQueue::condense(3, flood(), vec![node(7)]);
        assert_eq!((wishes.len(), withdrawn.len(), dropped), (3, 1, 7));
        let (mut whole, mut condensed) = (WishQueue::new(3), WishQueue::new(3));
        condensed.lost(dropped);
        let said = condensed.absorb(wishes, withdrawn, Timestamp(0));
        assert_eq!(said, whole.absorb(flood(), vec![node(7)], Timestamp(0)));
        assert_eq!(condensed.take(), whole.take());
    }

    #[test]
    fn a_withdrawal_takes_earlier_wishes_with_it_and_later_ones_stand() {
        let mut queue = WishQueue::new(10);
        queue.absorb(vec![power(1, 100.0), power(2, 100.0)], vec![], Timestamp(0));
        queue.absorb(vec![power(2, 5.0)], vec![node(1), node(2)], Timestamp(0));
        assert_eq!(queue.take(), (vec![power(2, 5.0)], vec![node(1), node(2)]));
    }

    #[test]
    fn what_could_not_be_told_waits_and_newer_wishes_replace_it() {
        let mut queue = WishQueue::new(10);
        queue.absorb(vec![power(1, 1.0), power(2, 1.0)], vec![node(3)], Timestamp(0));
        let (wishes, withdrawn) = queue.take();
        queue.put_back(wishes, withdrawn);
        assert_eq!(queue.told(), 0);
        queue.absorb(vec![power(2, 2.0)], vec![], Timestamp(0));
        assert_eq!(queue.take(), (vec![power(1, 1.0), power(2, 2.0)], vec![node(3)]));
        assert_eq!(queue.told(), 2);
    }

    #[test]
    fn a_flood_and_powers_that_are_no_numbers_are_dropped_and_said_once_a_minute() {
        let mut queue = WishQueue::new(3);
        let flood = |_| (0..10).map(|node| power(node, 1.0)).collect::<Vec<_>>();
        let said = queue.absorb(flood(()), vec![], Timestamp(0)).unwrap();
        assert!(said.starts_with("7 wishes were dropped"), "{said}");
        assert_eq!(queue.absorb(flood(()), vec![], Timestamp(59_000)), None);
        let said = queue.absorb(vec![power(0, f64::NAN)], vec![], Timestamp(60_000)).unwrap();
        assert!(said.starts_with("8 wishes"), "{said}");
        assert_eq!(queue.take().0.len(), 3);
        assert_eq!(queue.dropped(), 15);
    }
}
