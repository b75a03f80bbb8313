//! Which numbers a queue has seen of each publisher and key, and so what it missed: a plain ledger.

use std::collections::HashMap;
use std::sync::Arc;

use super::outbox::Numbering;

/// What a message is to its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is the next, after so many that were lost.
    Next {
        /// How many.
        lost: u64,
    },
    /// It was here before, or is from before the queue was bound.
    Known,
}

/// Finds out what a queue missed.
#[derive(Debug)]
pub(super) struct Losses {
    /// The publisher of this process, of whom everything from the binding on is expected.
    own: Option<String>,
    seen: HashMap<Arc<str>, HashMap<Arc<str>, u64>>,
    pairs: usize,
    /// Losses that were said before anybody could know of them.
    said_ahead: u64,
}

impl Losses {
    /// Pairs of publisher and key that are remembered. Beyond it the memory begins anew, and a loss at
    /// that moment goes unnoticed.
    const MAX_PAIRS: usize = 262_144;

    /// Begins at the moment at which a queue is bound, when this process's own publisher had come so far.
    pub(super) fn since(own: &str, numbering: Numbering) -> Self {
        let pairs = numbering.last.len();
        let seen = HashMap::from([(numbering.publisher, numbering.last)]);
        Self { own: Some(format!("{own}.")), seen, pairs, said_ahead: 0 }
    }

    /// A message came.
    pub(super) fn arrived(&mut self, publisher: &str, key: &str, number: u64) -> Arrival {
        let last = self.seen.get_mut(publisher).and_then(|keys| keys.get_mut(key));
        let missed = if let Some(last) = last {
            if number <= *last {
                return Arrival::Known;
            }
            let missed = number - *last - 1;
            *last = number;
            missed
        } else {
            let is_own = self.own.as_ref().is_some_and(|own| publisher.starts_with(own));
            self.remember(publisher, key, number);
            // Of another process it is unknown where it stood when the queue was bound.
            if is_own { number.saturating_sub(1) } else { 0 }
        };
        let already = missed.min(self.said_ahead);
        self.said_ahead -= already;
        Arrival::Next { lost: missed - already }
    }

    fn remember(&mut self, publisher: &str, key: &str, number: u64) {
        if self.pairs >= Self::MAX_PAIRS {
            self.seen.clear();
            self.own = None;
            self.pairs = 0;
        }
        self.pairs += 1;
        match self.seen.get_mut(publisher) {
            Some(keys) => drop(keys.insert(key.into(), number)),
            None => {
                self.seen.insert(publisher.into(), HashMap::from([(key.into(), number)]));
            }
        }
    }

    /// The queue was gone for a while. Answers what to say at once: one, since something may be missing
    /// that no later number will show. If the numbers do show it, it is not said twice.
    pub(super) fn interrupted(&mut self) -> u64 {
        let more = u64::from(self.said_ahead == 0);
        self.said_ahead += more;
        more
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bound_at(number: u64) -> Losses {
        let last = if number == 0 { HashMap::new() } else { HashMap::from([("k".into(), number)]) };
        Losses::since("own", Numbering { publisher: "own.1".into(), last })
    }

    #[test]
    fn of_its_own_process_a_queue_misses_nothing_unnoticed_from_the_first_message_on() {
        let mut losses = bound_at(0);
        assert_eq!(losses.arrived("own.1", "k", 3), Arrival::Next { lost: 2 });
        let mut losses = bound_at(7);
        assert_eq!(losses.arrived("own.1", "k", 7), Arrival::Known, "from before it was bound");
        assert_eq!(losses.arrived("own.1", "k", 8), Arrival::Next { lost: 0 });
        assert_eq!(losses.arrived("own.2", "k", 2), Arrival::Next { lost: 1 });
    }

    #[test]
    fn of_another_process_the_first_message_sets_the_mark() {
        let mut losses = bound_at(0);
        assert_eq!(losses.arrived("owner.1", "k", 40), Arrival::Next { lost: 0 });
        assert_eq!(losses.arrived("owner.1", "k", 43), Arrival::Next { lost: 2 });
        assert_eq!(losses.arrived("owner.1", "k", 42), Arrival::Known);
    }

    #[test]
    fn an_interruption_is_said_once_and_what_the_numbers_show_is_not_said_twice() {
        let mut losses = bound_at(5);
        assert_eq!(losses.interrupted(), 1);
        assert_eq!(losses.interrupted(), 0, "nothing came between the two");
        assert_eq!(losses.arrived("own.1", "k", 9), Arrival::Next { lost: 2 }, "3, and 1 was said");
        assert_eq!(losses.arrived("own.1", "k", 11), Arrival::Next { lost: 1 });
    }

    proptest! {
        #[test]
        fn what_arrives_and_what_is_lost_is_what_was_numbered(
            sent in prop::collection::vec((any::<bool>(), any::<bool>()), 1..100),
        ) {
            let mut losses = bound_at(0);
            let (mut accounted, mut newest) = (0, 0);
            for (number, (delivered, repeated)) in (1_u64..).zip(sent) {
                if delivered {
                    newest = number;
                    let Arrival::Next { lost } = losses.arrived("own.1", "k", number) else {
                        panic!("{number} was not here before");
                    };
                    accounted += lost + 1;
                    prop_assert_eq!(accounted, number);
                }
                if repeated && newest > 0 {
                    prop_assert_eq!(losses.arrived("own.1", "k", newest), Arrival::Known);
                }
            }
        }
    }
}
