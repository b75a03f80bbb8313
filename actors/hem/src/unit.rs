//! The IoT unit as the composition starts it: a listener, its sockets, and the table of who is
//! connected.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::ArbiterHandle;
use memcloud_domain::messages::CutHem;
use memcloud_supervision::{Child, Port, Scope};

use crate::{HemConfig, HemError, HemListener, HemMetrics, HemPorts, SocketTable};

/// The running IoT unit.
pub struct HemUnit {
    listener: Child<HemListener>,
    table: Child<SocketTable>,
    address: SocketAddr,
    metrics: Arc<HemMetrics>,
}

impl fmt::Debug for HemUnit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HemUnit").field("address", &self.address).finish_non_exhaustive()
    }
}

impl HemUnit {
    /// Binds the address, reads the TLS files and starts the actors below this scope (`hem-sockets`
    /// and `hem-listener`). Sockets are spread over the arbiters; without any they live on this one.
    ///
    /// # Errors
    /// [`HemError`] when the address, a file or a setting cannot be used; then nothing was started.
    pub fn start(
        scope: &Scope,
        config: HemConfig,
        ports: HemPorts,
        arbiters: Vec<ArbiterHandle>,
    ) -> Result<Self, HemError> {
        let _ = (scope, config, ports, arbiters);
        todo!()
    }

    /// Where it listens, with the port that the machine chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its counters.
    #[must_use]
    pub fn metrics(&self) -> Arc<HemMetrics> {
        self.metrics.clone()
    }

    /// Where the `Registrar` says that a HEM's socket is to be cut.
    #[must_use]
    pub fn cut_hem(&self) -> Port<CutHem> {
        self.table.port()
    }

    /// Stops accepting, sends every HEM `shutting-down` and closes its socket. Answers how many
    /// sockets were still open at the deadline. The actors go on until their scope is shut down.
    pub async fn close(&self, deadline: Duration) -> usize {
        let _ = (deadline, &self.listener);
        todo!()
    }
}
