//! Who waits until a command is decided. The bus' hints wake them; in between they ask, since a hint
//! may be lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use memcloud_domain::messages::GetCommand;
use memcloud_domain::{CommandId, CommandRecord, CommandState};
use prometheus::{IntCounter, IntGauge};
use tokio::sync::watch;

use super::metrics::ApiMetrics;
use super::state::State;

/// How long to go by hints alone before asking again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Whether nothing more is to come of a command by itself, but for the end of its lease.
#[must_use]
pub(crate) fn is_decided(command: &CommandRecord) -> bool {
    match command.state {
        CommandState::Accepted | CommandState::Sent | CommandState::Unconfirmed => false,
        CommandState::Acknowledged => command.as_sent().setting().is_none(),
        CommandState::Effective
        | CommandState::Ineffective
        | CommandState::Reverted
        | CommandState::Refused
        | CommandState::Failed
        | CommandState::Superseded
        | CommandState::Cancelled
        | CommandState::Expired => true,
    }
}

type Newest = Option<Arc<CommandRecord>>;

#[derive(Debug)]
struct Waited {
    newest: watch::Sender<Newest>,
    waiters: usize,
}

#[derive(Debug, Default)]
struct Table {
    commands: HashMap<CommandId, Waited>,
    waiters: usize,
}

/// Who waits for which command.
#[derive(Debug)]
pub(crate) struct Waiters {
    most: usize,
    table: Mutex<Table>,
    shown: IntGauge,
    refused: IntCounter,
}

/// A place to wait for a command; dropping it frees it.
#[derive(Debug)]
struct Place {
    waiters: Arc<Waiters>,
    command: CommandId,
    newest: watch::Receiver<Newest>,
}

impl Waiters {
    /// At most so many wait at a time.
    pub(crate) fn new(most: usize, metrics: &ApiMetrics) -> Arc<Self> {
        Arc::new(Self {
            most,
            table: Mutex::default(),
            shown: metrics.waiting.clone(),
            refused: metrics.waiting_refused.clone(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who wait for a command how it is now.
    pub(crate) fn tell(&self, command: &Arc<CommandRecord>) {
        if let Some(waited) = self.table().commands.get(&command.id) {
            waited.newest.send_replace(Some(Arc::clone(command)));
        }
    }

    fn place(self: &Arc<Self>, command: &CommandId) -> Option<Place> {
        let mut table = self.table();
        if table.waiters >= self.most {
            self.refused.inc();
            return None;
        }
        table.waiters += 1;
        let waited = table
            .commands
            .entry(command.clone())
            .or_insert_with(|| Waited { newest: watch::channel(None).0, waiters: 0 });
        waited.waiters += 1;
        self.shown.inc();
        Some(Place {
            waiters: Arc::clone(self),
            command: command.clone(),
            newest: waited.newest.subscribe(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.waiters.table();
        table.waiters = table.waiters.saturating_sub(1);
        self.waiters.shown.dec();
        if let Some(waited) = table.commands.get_mut(&self.command) {
            waited.waiters = waited.waiters.saturating_sub(1);
            if waited.waiters == 0 {
                table.commands.remove(&self.command);
            }
        }
    }
}

/// Waits until a command is decided or the time is over; answers it as it is then. Nothing where it
/// is not known, or the ledger did not answer.
pub(crate) async fn decided(
    state: &State,
    command: &CommandId,
    patience: Duration,
) -> Option<Arc<CommandRecord>> {
    let clock = &state.clock;
    let until = clock.instant() + patience;
    // The place is taken before the first question, so that no change falls in between.
    let mut place = state.inner().waiters.place(command);
    let mut newest = None;
    loop {
        let asked = state.commands.ask(GetCommand { command: command.clone() }).await;
        newest = asked.ok().flatten().or(newest);
        let Some(place) = &mut place else { return newest };
        let ask_again = (clock.instant() + ASK_AGAIN).min(until);
        loop {
            if newest.as_deref().is_some_and(is_decided) || clock.instant() >= until {
                return newest;
            }
            match tokio::time::timeout_at(ask_again, place.newest.changed()).await {
                Ok(Ok(())) => newest = place.newest.borrow_and_update().clone().or(newest),
                Ok(Err(_)) | Err(_) => break,
            }
        }
    }
}
