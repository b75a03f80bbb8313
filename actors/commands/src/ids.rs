//! Where commands get their ids: version 7 UUIDs that ascend, also within a millisecond.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use memcloud_domain::{CommandId, InvalidId, Timestamp};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};

/// So many ids fit into a millisecond.
const PER_MILLISECOND: u16 = 1 << 12;

/// A source of command ids. Clones share it.
#[derive(Clone)]
pub struct CommandIds(Arc<Mutex<State>>);

struct State {
    generator: StdRng,
    millis: u64,
    counter: u16,
}

impl fmt::Debug for CommandIds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CommandIds")
    }
}

impl CommandIds {
    /// Ids that nobody guesses, seeded by the operating system.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn system() -> Result<Self, std::io::Error> {
        let generator = StdRng::try_from_rng(&mut SysRng).map_err(std::io::Error::other)?;
        Ok(Self::of(generator))
    }

    /// The same ids for the same seed and times: for tests and simulations only.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::of(StdRng::seed_from_u64(seed))
    }

    fn of(generator: StdRng) -> Self {
        Self(Arc::new(Mutex::new(State { generator, millis: 0, counter: 0 })))
    }

    /// The next id.
    pub(crate) fn next(&self, now: Timestamp) -> Result<CommandId, InvalidId> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = u64::try_from(now.as_millis()).unwrap_or(0);
        if now > state.millis {
            (state.millis, state.counter) = (now, 0);
        } else {
            state.counter += 1;
            if state.counter >= PER_MILLISECOND {
                (state.millis, state.counter) = (state.millis + 1, 0);
            }
        }
        let mut bytes = [0_u8; 10];
        state.generator.fill_bytes(&mut bytes);
        let [high, low, ..] = &mut bytes;
        [*high, *low] = state.counter.to_be_bytes();
        let id = uuid::Builder::from_unix_timestamp_millis(state.millis, &bytes).into_uuid();
        CommandId::new(&id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_within_a_millisecond_and_when_the_clock_goes_back() {
        let ids = CommandIds::seeded(1);
        let mut last = ids.next(Timestamp(1_800_000_000_000)).unwrap();
        for step in 0..20_000 {
            let next = ids.next(Timestamp(1_800_000_000_000 - step / 1_000)).unwrap();
            assert!(next > last, "{next} after {last}");
            last = next;
        }
    }
}
