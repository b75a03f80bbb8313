//! The rules of the numbers, which both sides must count alike.

use memcloud_domain::Seq;

/// What the server makes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The next one, or one after a jump over `missing` numbers.
    InOrder {
        /// How many were jumped over.
        missing: u64,
    },
    /// At or below what this connection has taken, or the mark at its welcome: `stale-seq`.
    Stale,
    /// A jump over the limit: the fatal `gap`. Nothing of it is taken.
    Gap {
        /// How many would be missing.
        missing: u64,
    },
}

/// The server's side of one connection: numbers only ascend, and start above the welcome's.
#[derive(Debug, Clone)]
pub struct NumberGate {
    last: Seq,
    max_gap: u64,
    missing: u64,
}

impl NumberGate {
    /// A gate for a connection that was welcomed with `mark`.
    #[must_use]
    pub fn new(mark: Seq, max_gap: u64) -> Self {
        Self { last: mark, max_gap, missing: 0 }
    }

    /// Takes a number, if it may be taken.
    pub fn take(&mut self, seq: Seq) -> Taken {
        let Some(step) = seq.0.checked_sub(self.last.0).filter(|step| *step > 0) else {
            return Taken::Stale;
        };
        let missing = step - 1;
        if missing > self.max_gap {
            return Taken::Gap { missing };
        }
        self.last = seq;
        self.missing = self.missing.saturating_add(missing);
        Taken::InOrder { missing }
    }

    /// The last number taken in this connection; the welcome's mark before the first.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// How many numbers this connection jumped over, in all.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }
}

/// What a HEM does with its numbers at a welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renumbering {
    /// Keep them; drop what is at or below `through`, send the rest again in order.
    Keep {
        /// The welcome's number.
        through: Seq,
    },
    /// Number everything held anew, the oldest as `first`.
    From {
        /// `welcome.seq + 1`.
        first: Seq,
    },
}

impl Renumbering {
    /// The rule. `counter_is_new`: this is the first welcome since the counter began (new board, wiped
    /// flash), or the last connection ended with the fatal `gap`.
    #[must_use]
    pub fn at_welcome(welcome: Seq, counter_is_new: bool) -> Self {
        if counter_is_new {
            Self::From { first: Seq(welcome.0.saturating_add(1)) }
        } else {
            Self::Keep { through: welcome }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_only_ascend_and_start_above_the_mark() {
        let mut gate = NumberGate::new(Seq(10), 100);
        assert_eq!(gate.take(Seq(10)), Taken::Stale);
        assert_eq!(gate.take(Seq(11)), Taken::InOrder { missing: 0 });
        assert_eq!(gate.take(Seq(11)), Taken::Stale);
        assert_eq!(gate.take(Seq(15)), Taken::InOrder { missing: 3 });
        assert_eq!((gate.last(), gate.missing()), (Seq(15), 3));
    }

    #[test]
    fn a_jump_over_the_limit_takes_nothing() {
        let mut gate = NumberGate::new(Seq(0), 100);
        assert_eq!(gate.take(Seq(102)), Taken::Gap { missing: 101 });
        assert_eq!(gate.last(), Seq(0));
        assert_eq!(gate.take(Seq(101)), Taken::InOrder { missing: 100 });
    }
}
