//! The port of a cluster's rows.

use memcloud_domain::{MicrogridId, ProcessId, Tenure};

use super::SqlRegistry;
use crate::registry::cluster_store::{Beat, Claimed, ClusterStore, OwnerRow, ProcessRow, Pulse};
use crate::registry::{RegistryError, cluster};

impl ClusterStore for SqlRegistry {
    fn beat(&self, beat: &Beat) -> Result<Pulse, RegistryError> {
        self.write(|connection| cluster::beat(connection, beat))
    }

    fn say_goodbye(&self, process: &ProcessId) -> Result<(), RegistryError> {
        self.write(|connection| cluster::say_goodbye(connection, process))
    }

    fn processes(&self) -> Result<Vec<ProcessRow>, RegistryError> {
        self.read(cluster::processes)
    }

    fn claim(
        &self,
        microgrid: &MicrogridId,
        process: &ProcessId,
    ) -> Result<Claimed, RegistryError> {
        self.write(|connection| cluster::claim(connection, microgrid, process))
    }

    fn release(&self, tenure: &Tenure) -> Result<(), RegistryError> {
        self.write(|connection| cluster::release(connection, tenure))
    }

    fn tenures(&self, process: &ProcessId) -> Result<Vec<Tenure>, RegistryError> {
        self.read(|connection| cluster::tenures(connection, process))
    }

    fn ownerless(&self, limit: usize) -> Result<Vec<MicrogridId>, RegistryError> {
        self.read(|connection| cluster::ownerless(connection, limit))
    }

    fn owner(&self, microgrid: &MicrogridId) -> Result<Option<OwnerRow>, RegistryError> {
        self.read(|connection| cluster::owner(connection, microgrid))
    }

    fn owned_counts(&self) -> Result<Vec<(ProcessId, u64)>, RegistryError> {
        self.read(cluster::owned_counts)
    }
}
