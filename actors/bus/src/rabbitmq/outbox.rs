//! What waits to be published, and what was and is not confirmed: a plain, bounded, ordered ledger.
//!
//! Every message gets the next number of its routing key, also one that is then dropped: so a reader
//! sees exactly how many it missed, wherever they were lost.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::parcel::Encode;

/// A numbered message on its way to the broker.
#[derive(Clone)]
pub(super) struct Parcel {
    pub(super) key: Arc<str>,
    pub(super) publisher: Arc<str>,
    pub(super) number: u64,
    pub(super) message: Arc<dyn Encode>,
}

/// How far a publisher's keys were numbered at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Numbering {
    pub(super) publisher: Arc<str>,
    pub(super) last: HashMap<Arc<str>, u64>,
}

/// What waits, and what is not confirmed.
pub(super) struct Outbox {
    instance: String,
    generation: u64,
    numbering: Numbering,
    capacity: usize,
    waiting: VecDeque<Parcel>,
    sent: VecDeque<Parcel>,
    /// Published, confirmed and dropped, since it was made.
    pub(super) published: u64,
    pub(super) confirmed: u64,
    pub(super) dropped: u64,
}

impl Outbox {
    /// Keys that are numbered at a time. Beyond it all begin anew, as those of another publisher.
    const MAX_KEYS: usize = 65_536;

    /// Makes one. The instance must be new each time: a reader takes a number that it has seen for a
    /// repetition.
    pub(super) fn new(instance: String, capacity: usize) -> Self {
        let mut outbox = Self {
            instance,
            generation: 0,
            numbering: Numbering::default(),
            capacity: capacity.max(1),
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            published: 0,
            confirmed: 0,
            dropped: 0,
        };
        outbox.begin_numbering();
        outbox
    }

    fn begin_numbering(&mut self) {
        self.generation += 1;
        let publisher = format!("{}.{}", self.instance, self.generation).into();
        self.numbering = Numbering { publisher, last: HashMap::new() };
    }

    /// Numbers a message, and lets it wait if it can be sent at present. The oldest gives way.
    pub(super) fn publish(&mut self, key: &str, message: Arc<dyn Encode>, can_be_sent: bool) {
        if self.numbering.last.len() >= Self::MAX_KEYS && !self.numbering.last.contains_key(key) {
            self.begin_numbering();
        }
        let key: Arc<str> = match self.numbering.last.get_key_value(key) {
            Some((known, _)) => Arc::clone(known),
            None => key.into(),
        };
        let number = self.numbering.last.entry(Arc::clone(&key)).or_default();
        *number += 1;
        self.published += 1;
        if !can_be_sent {
            self.dropped += 1;
            return;
        }
        if self.waiting.len() >= self.capacity {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        let publisher = Arc::clone(&self.numbering.publisher);
        self.waiting.push_back(Parcel { key, publisher, number: *number, message });
    }

    /// The next to send; it is unconfirmed from now on.
    pub(super) fn take(&mut self) -> Option<Parcel> {
        let parcel = self.waiting.pop_front()?;
        self.sent.push_back(parcel.clone());
        Some(parcel)
    }

    /// The broker has answered for the oldest that was sent.
    pub(super) fn settled(&mut self, taken: bool) {
        if self.sent.pop_front().is_some() {
            if taken {
                self.confirmed += 1;
            } else {
                self.dropped += 1;
            }
        }
    }

    /// What was taken last cannot be sent at all.
    pub(super) fn spoilt(&mut self) {
        if self.sent.pop_back().is_some() {
            self.dropped += 1;
        }
    }

    /// The connection is gone: what is unconfirmed is sent again, before what waited. What does not
    /// fit is dropped, oldest first.
    pub(super) fn connection_lost(&mut self) {
        self.sent.append(&mut self.waiting);
        std::mem::swap(&mut self.sent, &mut self.waiting);
        while self.waiting.len() > self.capacity {
            self.waiting.pop_front();
            self.dropped += 1;
        }
    }

    /// How far its keys are numbered now.
    pub(super) fn numbering(&self) -> Numbering {
        self.numbering.clone()
    }

    /// How many were sent and are not confirmed.
    pub(super) fn unconfirmed(&self) -> usize {
        self.sent.len()
    }

    /// Whose messages its readers know from the first on.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outbox(capacity: usize) -> Outbox {
        Outbox::new("a".into(), capacity)
    }

    fn publish(outbox: &mut Outbox, key: &str) {
        outbox.publish(key, Arc::new(0_u64), true);
    }

    fn taken(outbox: &mut Outbox) -> Vec<u64> {
        std::iter::from_fn(|| outbox.take()).map(|parcel| parcel.number).collect()
    }

    #[test]
    fn each_key_is_numbered_from_one_without_holes() {
        let mut outbox = outbox(8);
        for key in ["fontana", "lugano", "fontana"] {
            publish(&mut outbox, key);
        }
        let parcels: Vec<_> = std::iter::from_fn(|| outbox.take()).collect();
        let shown: Vec<_> =
            parcels.iter().map(|parcel| (parcel.key.as_ref(), parcel.number)).collect();
        assert_eq!(shown, [("fontana", 1), ("lugano", 1), ("fontana", 2)]);
    }

    #[test]
    fn what_is_dropped_takes_a_number_too() {
        let mut outbox = outbox(2);
        for _ in 0..4 {
            publish(&mut outbox, "a");
        }
        outbox.publish("a", Arc::new(0_u64), false);
        publish(&mut outbox, "a");
        assert_eq!(taken(&mut outbox), [4, 6]);
        assert_eq!((outbox.published, outbox.dropped), (6, 4));
    }

    #[test]
    fn what_is_unconfirmed_at_a_lost_connection_is_sent_again_first() {
        let mut outbox = outbox(8);
        for _ in 0..4 {
            publish(&mut outbox, "a");
        }
        for _ in 0..3 {
            outbox.take();
        }
        outbox.settled(true);
        outbox.connection_lost();
        assert_eq!(taken(&mut outbox), [2, 3, 4]);
        assert_eq!(outbox.confirmed, 1);
    }

    #[test]
    fn more_keys_than_are_numbered_begin_anew_as_another_publisher() {
        let mut outbox = outbox(1);
        for key in 0..=Outbox::MAX_KEYS {
            publish(&mut outbox, &key.to_string());
        }
        assert_eq!(&*outbox.numbering().publisher, "a.2");
        assert_eq!(outbox.numbering().last.len(), 1);
    }

    proptest! {
        #[test]
        fn what_was_published_is_confirmed_dropped_or_still_here(
            capacity in 1_usize..5,
            moves in prop::collection::vec(0_u8..6, 0..200),
        ) {
            let mut outbox = outbox(capacity);
            for step in moves {
                match step {
                    0 | 1 => publish(&mut outbox, "a"),
                    2 => drop(outbox.take()),
                    3 => outbox.settled(true),
                    4 => outbox.spoilt(),
                    _ => outbox.connection_lost(),
                }
                let here = (outbox.waiting.len() + outbox.sent.len()) as u64;
                prop_assert_eq!(outbox.published, outbox.confirmed + outbox.dropped + here);
                prop_assert!(outbox.waiting.len() <= capacity);
            }
        }
    }
}
