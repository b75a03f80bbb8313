//! Whom the IoT unit talks to, as handed out by the composition.

use std::fmt;
use std::sync::Arc;

use memcloud_domain::messages::{
    AuthenticateHem, CloseSession, CommandAnswered, HemConnected, HemDisconnected, HemHeard,
    LatestSeen, OpenSession, StoreEntries,
};
use memcloud_supervision::Port;

/// Tells whether the IoT store takes commits now. While it does not, sockets wait for their
/// acknowledgements beyond `ack_timeout` instead of closing.
#[derive(Clone)]
pub struct StoreHealth(Arc<dyn Fn() -> bool + Send + Sync>);

impl StoreHealth {
    /// Asks this function; it must be cheap and not block.
    pub fn new(is_healthy: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_healthy))
    }

    /// A store that is always healthy.
    #[must_use]
    pub fn always() -> Self {
        Self::new(|| true)
    }

    /// Whether the store takes commits now.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for StoreHealth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StoreHealth({})", self.is_healthy())
    }
}

/// The ports of the IoT unit. Facts may have several listeners; none of them is waited for.
#[derive(Debug, Clone)]
pub struct HemPorts {
    /// The registrar: who is this?
    pub authenticate: Port<AuthenticateHem>,
    /// The historian: a new epoch and the mark.
    pub open_session: Port<OpenSession>,
    /// The historian: keep this.
    pub store_entries: Port<StoreEntries>,
    /// The historian: this connection is over.
    pub close_session: Port<CloseSession>,
    /// Whether the store takes commits.
    pub store_health: StoreHealth,
    /// The command processor: a HEM has answered a command.
    pub answered: Port<CommandAnswered>,
    /// Who hears that a HEM was welcomed.
    pub connected: Vec<Port<HemConnected>>,
    /// Who hears that a connection is over.
    pub disconnected: Vec<Port<HemDisconnected>>,
    /// Who hears that a HEM was heard.
    pub heard: Vec<Port<HemHeard>>,
    /// Who hears of unnumbered values.
    pub latest: Vec<Port<LatestSeen>>,
}
