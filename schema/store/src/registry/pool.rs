//! Connections that callers share: at most so many, opened when they are needed, waited for no longer
//! than a bounded time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::RegistryError;

/// Places for connections; an empty one is a connection to be opened.
pub(super) struct Pool<Connection> {
    /// The last one that was given back is taken first, so that the fewest are kept busy.
    free: Mutex<Vec<Option<Connection>>>,
    given_back: Condvar,
    size: usize,
    patience: Duration,
}

/// The right to use a connection, given back when dropped, on a panic too. Whoever takes the connection
/// out and does not put it back, because anything went wrong with it, leaves the place empty.
pub(super) struct Place<'a, Connection> {
    pool: &'a Pool<Connection>,
    pub(super) connection: Option<Connection>,
}

impl<Connection> Drop for Place<'_, Connection> {
    fn drop(&mut self) {
        lock(&self.pool.free).push(self.connection.take());
        self.pool.given_back.notify_one();
    }
}

/// Whoever panicked while holding the lock left nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<Connection> Pool<Connection> {
    /// So many connections, one of which may be open already.
    pub(super) fn new(size: usize, open: Option<Connection>, patience: Duration) -> Self {
        let mut free: Vec<_> = (1..size.max(1)).map(|_| None).collect();
        free.push(open);
        Self { size: free.len(), free: Mutex::new(free), given_back: Condvar::new(), patience }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// `Unavailable` when none became free in time.
    pub(super) fn take(&self) -> Result<Place<'_, Connection>, RegistryError> {
        let (mut free, _) = self
            .given_back
            .wait_timeout_while(lock(&self.free), self.patience, |free| free.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        match free.pop() {
            Some(connection) => Ok(Place { pool: self, connection }),
            None => Err(RegistryError::Unavailable {
                reason: format!(
                    "none of its {} connections became free in {:?}",
                    self.size, self.patience
                ),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_waited_for_and_given_back_on_a_panic_too() {
        let pool = Pool::new(1, Some(7), Duration::from_secs(10));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _place = pool.take().unwrap();
            panic!("while it has a place");
        }));
        assert!(panicked.is_err());
        let held = pool.take().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.take().unwrap().connection);
            drop(held);
            assert_eq!(waiting.join().unwrap(), Some(7));
        });
    }

    #[test]
    fn whoever_finds_no_place_in_time_is_told_so() {
        let pool = Pool::<u8>::new(2, None, Duration::from_millis(1));
        let _held = [pool.take().unwrap(), pool.take().unwrap()];
        let error = pool.take().err().unwrap();
        assert_eq!(
            error.to_string(),
            "the web store is away: none of its 2 connections became free in 1ms"
        );
    }
}
