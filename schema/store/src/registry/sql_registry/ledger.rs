//! The port of the command ledger.

use std::sync::Arc;

use memcloud_domain::{CommandId, CommandRecord, HemId, MicrogridId, Tenure, Timestamp};

use super::SqlRegistry;
use crate::registry::{CommandFilter, CommandStore, RegistryError, cluster, command};

impl CommandStore for SqlRegistry {
    fn write_commands(
        &self,
        commands: &[Arc<CommandRecord>],
        fence: &[Tenure],
    ) -> Result<(), RegistryError> {
        self.write(|connection| {
            cluster::fence(connection, fence)?;
            command::write(connection, commands.iter().map(Arc::as_ref))
        })
    }

    fn command(&self, id: &CommandId) -> Result<Option<CommandRecord>, RegistryError> {
        self.read(|connection| command::find(connection, id))
    }

    fn commands(
        &self,
        filter: &CommandFilter,
        after: Option<&CommandId>,
        limit: usize,
    ) -> Result<Vec<CommandRecord>, RegistryError> {
        self.read(|connection| command::list(connection, filter, after, limit))
    }

    fn open_commands(
        &self,
        microgrid: Option<&MicrogridId>,
        now: Timestamp,
    ) -> Result<Vec<CommandRecord>, RegistryError> {
        self.read(|connection| command::list_open(connection, microgrid, now))
    }

    fn highest_orders(&self) -> Result<Vec<(HemId, u64)>, RegistryError> {
        self.read(command::highest_orders)
    }

    fn highest_orders_of(&self, hems: &[HemId]) -> Result<Vec<(HemId, u64)>, RegistryError> {
        self.read(|connection| command::highest_orders_of(connection, hems))
    }

    fn delete_commands(
        &self,
        issued_before: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, RegistryError> {
        self.write(|connection| command::delete(connection, issued_before, now, limit))
    }
}
