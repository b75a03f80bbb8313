//! Where the registrar's work waits for its turn at the database: a bounded number at a time, on
//! blocking threads, and a bounded number in all.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use memcloud_store::registry::RegistryError;
use memcloud_supervision::Scope;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clerk::{Clerk, Kind};

/// Where the registrar's work waits for its turn. Clones share the turns.
#[derive(Clone)]
pub(crate) struct Desk {
    scope: Scope,
    clerk: Clerk,
    readers: Arc<Semaphore>,
    writer: Arc<Semaphore>,
    waiting: Rc<Cell<usize>>,
    max_waiting: usize,
}

/// The right to go to the database now.
pub(crate) struct Turn(
    #[expect(dead_code, reason = "it is given back when dropped")] OwnedSemaphorePermit,
);

/// A place among those who wait or are served; free again when dropped.
pub(crate) struct Place(Rc<Cell<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Desk {
    pub(crate) fn new(scope: Scope, clerk: Clerk, readers: usize, max_waiting: usize) -> Self {
        Self {
            scope,
            clerk,
            readers: Arc::new(Semaphore::new(readers.max(1))),
            writer: Arc::new(Semaphore::new(1)),
            waiting: Rc::default(),
            max_waiting,
        }
    }

    pub(crate) fn clerk(&self) -> &Clerk {
        &self.clerk
    }

    /// How many wait or are served.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// Takes a place among those who wait or are served, if there is one.
    pub(crate) fn place(&self) -> Result<Place, RegistryError> {
        if self.waiting.get() >= self.max_waiting {
            return Err(RegistryError::Unavailable {
                reason: format!("{} requests wait for it already", self.max_waiting),
            });
        }
        self.waiting.set(self.waiting.get() + 1);
        Ok(Place(Rc::clone(&self.waiting)))
    }

    /// Waits for a turn; turns come in the order of the calls.
    pub(crate) async fn turn(&self, kind: Kind) -> Result<Turn, RegistryError> {
        let semaphore = match kind {
            Kind::Read => &self.readers,
            Kind::Write => &self.writer,
        };
        match Arc::clone(semaphore).acquire_owned().await {
            Ok(permit) => Ok(Turn(permit)),
            Err(closed) => Err(RegistryError::Unavailable { reason: closed.to_string() }),
        }
    }

    /// Does something with a turn, on a blocking thread.
    pub(crate) async fn carry<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce(&Clerk) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let clerk = self.clerk.clone();
        let outcome = self.scope.offload(move || work(&clerk)).await;
        drop(turn);
        outcome.unwrap_or_else(|error| {
            log::error!("a query of the web store was not finished: {error}");
            Err(RegistryError::Unavailable { reason: error.to_string() })
        })
    }

    /// Waits for a turn, if there is a place, and does something with it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce(&Clerk) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let _place = self.place()?;
        let turn = self.turn(kind).await?;
        self.carry(turn, work).await
    }
}
