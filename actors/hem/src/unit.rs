//! The IoT unit as the composition starts it: a listener, its sockets, and the table of who is
//! connected.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use actix_rt::ArbiterHandle;
use memcloud_domain::messages::{CutHem, HemConnected, SendCommands};
use memcloud_supervision::{Child, ChildSpec, Port, Scope};
use tokio::net::TcpSocket;

use crate::hem_listener::{Door, StopAccepting};
use crate::shared::Shared;
use crate::tls::TlsBytes;
use crate::{
    HemConfig, HemError, HemListener, HemMetrics, HemPorts, ListConnectedHems, SocketTable,
};

/// The running IoT unit.
pub struct HemUnit {
    listener: Child<HemListener>,
    table: Child<SocketTable>,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl fmt::Debug for HemUnit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HemUnit").field("address", &self.address).finish_non_exhaustive()
    }
}

impl HemUnit {
    /// Binds the address, reads the TLS files and starts the actors below this scope (`hem-sockets`
    /// and `hem-listener`). Sockets are spread over the arbiters; without any they live on this one.
    /// To be called on an arbiter.
    ///
    /// # Errors
    /// [`HemError`] when the address, a file or a setting cannot be used; then nothing was started.
    pub fn start(
        scope: &Scope,
        config: HemConfig,
        ports: HemPorts,
        arbiters: Vec<ArbiterHandle>,
    ) -> Result<Self, HemError> {
        check(&config)?;
        let bytes = TlsBytes::read(&config.tls)?;
        let tls = (bytes.acceptor(&config.tls)?, bytes.fingerprint());
        let bind_error = |source| HemError::Bind { address: config.bind, source };
        let door = bind(config.bind).map_err(bind_error)?;
        let address = door.local_addr().map_err(bind_error)?;

        let table =
            scope.supervise(ChildSpec::new("hem-sockets").mailbox(TABLE_MAILBOX), SocketTable::new);
        let shared = Arc::new(Shared::new(
            config,
            ports,
            scope.clock().clone(),
            tls,
            table.port(),
            table.port(),
        ));
        let door = Door::new(door);
        let arbiters: Arc<[ArbiterHandle]> = arbiters.into();
        let listener = scope.supervise(ChildSpec::new("hem-listener"), {
            let shared = Arc::clone(&shared);
            move |scope| {
                let (shared, arbiters) = (Arc::clone(&shared), Arc::clone(&arbiters));
                HemListener::new(scope, shared, door.clone(), address, arbiters)
            }
        });
        Ok(Self { listener, table, address, shared })
    }

    /// Where it listens, with the port that the machine chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its counters.
    #[must_use]
    pub fn metrics(&self) -> Arc<HemMetrics> {
        Arc::clone(self.shared.metrics())
    }

    /// Where the `Registrar` says that a HEM's socket is to be cut.
    #[must_use]
    pub fn cut_hem(&self) -> Port<CutHem> {
        self.table.port()
    }

    /// Where the `CommandProcessor` hands over what goes to a HEM.
    #[must_use]
    pub fn send_commands(&self) -> Port<SendCommands> {
        self.table.port()
    }

    /// Where other processes of a cluster say that a HEM was welcomed there.
    #[must_use]
    pub fn welcomed_elsewhere(&self) -> Port<HemConnected> {
        self.table.port()
    }

    /// Where to ask which HEMs have a socket here.
    #[must_use]
    pub fn connected_hems(&self) -> Port<ListConnectedHems> {
        self.table.port()
    }

    /// Stops accepting, sends every HEM `shutting-down` and closes its socket; that takes up to 1.5 s.
    /// Answers how many sockets were still open at the deadline. The actors go on until their scope is
    /// shut down.
    pub async fn close(&self, deadline: Duration) -> u64 {
        let clock = &self.shared.clock;
        let until = clock.instant() + deadline;
        if let Err(error) = self.listener.ask(StopAccepting, deadline).await {
            log::warn!(error = error.to_string().as_str(); "the listener could not be told to stop");
        }
        self.shared.closing.send_replace(true);
        loop {
            let open = self.shared.metrics().connections.get();
            if open == 0 || clock.instant() >= until {
                return open;
            }
            clock.sleep(CLOSE_CHECK).await;
        }
    }
}

/// Sockets that claim or release their HEM at the same moment.
const TABLE_MAILBOX: usize = 4_096;
/// Connections that the machine holds until they are accepted; it may allow fewer.
const BACKLOG: u32 = 8_192;
/// What the machine holds for a HEM that does not read.
const SEND_BUFFER: u32 = 64 << 10;
/// What it holds of a HEM that is not read.
const RECEIVE_BUFFER: u32 = 256 << 10;
/// How often a closing unit looks whether all sockets are gone.
const CLOSE_CHECK: Duration = Duration::from_millis(5);

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted cloud finds its port free at once.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit these: so a HEM that does not read, or that is not read, holds little
    // of the machine's memory.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn check(config: &HemConfig) -> Result<(), HemError> {
    let above_zero = [
        ("max_connections", config.max_connections),
        ("max_connections_per_address", config.max_connections_per_address),
        ("max_handshakes", config.max_handshakes),
        ("max_batch", config.max_batch),
        ("max_in_flight", usize::try_from(config.max_in_flight).unwrap_or(usize::MAX)),
        ("max_rate", usize::try_from(config.max_rate).unwrap_or(usize::MAX)),
    ];
    for (key, value) in above_zero {
        if value == 0 {
            return Err(HemError::Setting { key, must: "at least 1" });
        }
    }
    if config.max_frame < SMALLEST_FRAME {
        return Err(HemError::Setting { key: "max_frame", must: "at least 1024 bytes" });
    }
    let spans = [
        ("handshake_timeout", config.handshake_timeout),
        ("hello_timeout", config.hello_timeout),
        ("heartbeat", config.heartbeat),
        ("ack_timeout", config.ack_timeout),
    ];
    for (key, value) in spans {
        if value.is_zero() {
            return Err(HemError::Setting { key, must: "longer than nothing" });
        }
    }
    Ok(())
}

/// A reading of eight nodes fits.
const SMALLEST_FRAME: usize = 1_024;
