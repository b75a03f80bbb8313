//! What the group commit has done on a blocking thread, and how that went.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use memcloud_domain::{SessionOpened, Timestamp};
use memcloud_store::StoreError;
use memcloud_store::telemetry::{CommitOutcome, HemEntries, NewSession, TelemetryStore};

/// What is done in one go on a blocking thread: one commit, then one opening of sessions.
#[derive(Debug, Clone)]
pub struct Job {
    /// What is committed.
    pub(crate) batch: Arc<Vec<HemEntries>>,
    /// Which sessions are opened after it.
    pub(crate) opens: Vec<NewSession>,
    /// Whether each element gets a transaction of its own.
    pub(crate) isolated: bool,
}

/// How a job went.
#[derive(Debug)]
pub struct JobReport {
    /// An outcome per element; or why nothing of the batch was committed.
    pub(crate) committed: Result<Vec<Result<CommitOutcome, StoreError>>, StoreError>,
    /// The sessions; absent where the commit failed and none was tried.
    pub(crate) opened: Option<Result<Vec<SessionOpened>, StoreError>>,
}

impl Job {
    /// Does it. Blocks.
    #[must_use]
    pub fn run(&self, store: &dyn TelemetryStore, now: Timestamp) -> JobReport {
        let committed =
            if self.isolated { self.commit_each(store, now) } else { self.commit(store, now) };
        let opened = committed.is_ok().then(|| {
            if self.opens.is_empty() { Ok(Vec::new()) } else { store.open_sessions(&self.opens) }
        });
        JobReport { committed, opened }
    }

    fn commit(
        &self,
        store: &dyn TelemetryStore,
        now: Timestamp,
    ) -> Result<Vec<Result<CommitOutcome, StoreError>>, StoreError> {
        if self.batch.is_empty() && !self.opens.is_empty() {
            return Ok(Vec::new());
        }
        Ok(store.commit(&self.batch, now)?.into_iter().map(Ok).collect())
    }

    /// One transaction per element, so that one that cannot be stored, or over which the store panics,
    /// takes none along.
    fn commit_each(
        &self,
        store: &dyn TelemetryStore,
        now: Timestamp,
    ) -> Result<Vec<Result<CommitOutcome, StoreError>>, StoreError> {
        let mut outcomes = Vec::with_capacity(self.batch.len());
        for element in self.batch.iter() {
            let attempt = || store.commit(std::slice::from_ref(element), now);
            // A store outlives a panic: its transaction is rolled back with the connection.
            let outcome = catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| {
                Err(StoreError::Damaged {
                    what: format!("what HEM {} handed over", element.hem),
                    reason: "the store panicked over it".to_owned(),
                })
            });
            match outcome {
                Ok(mut one) => outcomes.push(Ok(one.pop().unwrap_or(CommitOutcome::Fenced))),
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) => outcomes.push(Err(error)),
            }
        }
        Ok(outcomes)
    }
}

impl JobReport {
    /// The report of a job whose thread panicked.
    #[must_use]
    pub fn panicked(message: String) -> Self {
        let error = StoreError::Damaged { what: "the commit".to_owned(), reason: message };
        Self { committed: Err(error), opened: None }
    }
}
