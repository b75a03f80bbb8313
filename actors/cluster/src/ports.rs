//! Whom a `ClusterMember` tells. Those who follow it are told of it, and it of them: so they are added
//! after it was started, by the composition. They stay over its restarts, and so does what it holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memcloud_domain::messages::{LeaveMicrogrid, MicrogridTaken, ProcessesChanged};
use memcloud_domain::{MicrogridId, Tenure};
use memcloud_supervision::Port;

#[derive(Debug, Default)]
struct Slots {
    taken: Vec<Port<MicrogridTaken>>,
    leave: Vec<Port<LeaveMicrogrid>>,
    live: Vec<Port<ProcessesChanged>>,
    held: BTreeMap<MicrogridId, Tenure>,
    /// Where this process answers others, once it has begun.
    address: Option<String>,
}

/// Whom a `ClusterMember` tells. Clones share the ports.
#[derive(Debug, Clone, Default)]
pub struct MemberPorts(Arc<Mutex<Slots>>);

impl MemberPorts {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds who hears of microgrids that this process runs: first the ledger, then those who need it.
    pub fn taken(&self, port: Port<MicrogridTaken>) -> &Self {
        self.slots().taken.push(port);
        self
    }

    /// Adds who leaves microgrids; each when those before it have: first those who need the ledger.
    pub fn leave(&self, port: Port<LeaveMicrogrid>) -> &Self {
        self.slots().leave.push(port);
        self
    }

    /// Adds who hears which processes live.
    pub fn live(&self, port: Port<ProcessesChanged>) -> &Self {
        self.slots().live.push(port);
        self
    }

    pub(crate) fn to_taken(&self) -> Vec<Port<MicrogridTaken>> {
        self.slots().taken.clone()
    }

    pub(crate) fn to_leave(&self) -> Vec<Port<LeaveMicrogrid>> {
        self.slots().leave.clone()
    }

    pub(crate) fn to_live(&self) -> Vec<Port<ProcessesChanged>> {
        self.slots().live.clone()
    }

    pub(crate) fn held(&self) -> Vec<Tenure> {
        self.slots().held.values().cloned().collect()
    }

    pub(crate) fn note_taken(&self, tenure: &Tenure) {
        self.slots().held.insert(tenure.microgrid.clone(), tenure.clone());
    }

    pub(crate) fn note_left(&self, microgrid: &MicrogridId) {
        self.slots().held.remove(microgrid);
    }

    pub(crate) fn begin(&self, address: String) {
        self.slots().address = Some(address);
    }

    /// Where this process answers others; absent: it has not begun.
    pub(crate) fn address(&self) -> Option<String> {
        self.slots().address.clone()
    }
}
