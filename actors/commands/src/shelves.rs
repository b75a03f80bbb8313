//! The ledgers that a process holds: one of everything, or in a cluster one of each microgrid that it runs,
//! each with a fence, transactions and a door of its own. So what is lost with one microgrid, or waits for
//! it, is nobody else's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memcloud_domain::{MicrogridId, Tenure};
use tokio::sync::Semaphore;

use crate::ledger::journal::Journal;
use crate::{CommandMetrics, CommandsConfig, Holdings};

/// Which ledger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shelf {
    /// The one of everything.
    Everything,
    /// That of a microgrid.
    Of(MicrogridId),
}

impl Shelf {
    /// The microgrid alone that it is of, if it is of one.
    pub(crate) fn microgrid(&self) -> Option<&MicrogridId> {
        match self {
            Self::Everything => None,
            Self::Of(microgrid) => Some(microgrid),
        }
    }
}

/// A ledger that is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) journal: Journal,
    /// Under which tenure it is written; absent: nobody else writes.
    pub(crate) tenure: Option<Tenure>,
    /// Tells a ledger from an earlier one of the same microgrid.
    pub(crate) number: u64,
}

/// The ledgers that a process holds.
#[derive(Debug)]
pub(crate) struct Shelves {
    config: CommandsConfig,
    metrics: Arc<CommandMetrics>,
    tenures: Tenures,
    held: BTreeMap<Shelf, Held>,
    made: u64,
}

impl Shelves {
    /// Those that an earlier life of the table held are opened again.
    pub(crate) fn new(
        config: CommandsConfig,
        metrics: Arc<CommandMetrics>,
        tenures: Tenures,
    ) -> Self {
        let mut shelves =
            Self { config, metrics, tenures: tenures.clone(), held: BTreeMap::new(), made: 0 };
        if config.holdings == Holdings::Everything {
            shelves.open(Shelf::Everything, None);
        }
        for tenure in tenures.all() {
            shelves.open(Shelf::Of(tenure.microgrid.clone()), Some(tenure));
        }
        shelves
    }

    fn open(&mut self, shelf: Shelf, tenure: Option<Tenure>) {
        self.made += 1;
        let journal = Journal::new(self.config, Arc::clone(&self.metrics));
        self.held.insert(shelf, Held { journal, tenure, number: self.made });
    }

    /// A microgrid is this process's. Answers its new ledger, and the earlier one if that was of another
    /// tenure; nothing where all is known.
    pub(crate) fn take(&mut self, tenure: Tenure) -> Option<(Shelf, Option<Held>)> {
        if self.config.holdings == Holdings::Everything {
            return None;
        }
        let shelf = Shelf::Of(tenure.microgrid.clone());
        if self.held.get(&shelf).is_some_and(|held| held.tenure.as_ref() == Some(&tenure)) {
            return None;
        }
        let earlier = self.held.remove(&shelf);
        self.tenures.note(tenure.clone());
        self.open(shelf.clone(), Some(tenure));
        Some((shelf, earlier))
    }

    /// A microgrid is this process's no more.
    pub(crate) fn leave(&mut self, shelf: &Shelf) -> Option<Held> {
        if let Some(microgrid) = shelf.microgrid() {
            self.tenures.forget(microgrid);
        }
        self.held.remove(shelf)
    }

    /// The ledger in which a microgrid's commands are, whether it is held or not.
    pub(crate) fn shelf_of(&self, microgrid: &MicrogridId) -> Shelf {
        match self.config.holdings {
            Holdings::Everything => Shelf::Everything,
            Holdings::Tenures => Shelf::Of(microgrid.clone()),
        }
    }

    pub(crate) fn get(&mut self, shelf: &Shelf) -> Option<&mut Held> {
        self.held.get_mut(shelf)
    }

    /// Those that are held.
    pub(crate) fn journals(&self) -> impl Iterator<Item = &Journal> {
        self.held.values().map(|held| &held.journal)
    }

    pub(crate) fn names(&self) -> Vec<Shelf> {
        self.held.keys().cloned().collect()
    }

    /// How many operations wait, and how many commands are in memory.
    pub(crate) fn count(&self) -> (usize, usize) {
        let waiting = self.journals().map(Journal::waiting).sum();
        let open = self.journals().map(Journal::open).sum();
        (waiting, open)
    }
}

/// The tenures under which ledgers are held; kept over the table's restarts, since nobody says them twice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tenures(Arc<Mutex<BTreeMap<MicrogridId, Tenure>>>);

impl Tenures {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<MicrogridId, Tenure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Tenure> {
        self.lock().values().cloned().collect()
    }

    fn note(&self, tenure: Tenure) {
        self.lock().insert(tenure.microgrid.clone(), tenure);
    }

    fn forget(&self, microgrid: &MicrogridId) {
        self.lock().remove(microgrid);
    }
}

/// Whoever writes a ledger passes its door, one at a time, also over the restarts of the table: an old
/// life's transaction is over when a new life reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoreDoors(Arc<Mutex<BTreeMap<Shelf, Arc<Semaphore>>>>);

impl StoreDoors {
    /// The door of a ledger.
    pub(crate) fn of(&self, shelf: &Shelf) -> Arc<Semaphore> {
        let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let door = doors.entry(shelf.clone()).or_insert_with(|| Arc::new(Semaphore::new(1)));
        Arc::clone(door)
    }

    /// Forgets the doors at which nobody is.
    pub(crate) fn tidy(&self) {
        let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        doors.retain(|_, door| Arc::strong_count(door) > 1 || door.available_permits() == 0);
    }
}
