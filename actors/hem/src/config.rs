//! What an operator can set of the IoT unit. Defaults are those of the configuration reference.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use memcloud_domain::ProcessId;

/// The files that TLS needs. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain that HEMs see, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub private_key: PathBuf,
    /// The authority that signs HEMs' client certificates, PEM; absent: HEMs are not asked for one.
    pub client_ca: Option<PathBuf>,
}

/// How the IoT unit listens, and what it bears from a HEM.
#[derive(Debug, Clone, PartialEq)]
pub struct HemConfig {
    /// Where to listen; port 0 lets the machine choose.
    pub bind: SocketAddr,
    /// The TLS files.
    pub tls: TlsFiles,
    /// How often the TLS files are looked at.
    pub tls_reload_interval: Duration,
    /// Open connections in all; more are closed at once.
    pub max_connections: usize,
    /// Open connections from one IP address; more are closed at once.
    pub max_connections_per_address: usize,
    /// TLS handshakes at a time. A slot is taken at a connection's first byte; while there is none,
    /// no connection is accepted.
    pub max_handshakes: usize,
    /// From the connection to its first byte, and again for the handshake once it has a slot.
    pub handshake_timeout: Duration,
    /// From the end of the handshake to a whole `hello`.
    pub hello_timeout: Duration,
    /// How often a HEM must be heard; silent for two of them, it is offline.
    pub heartbeat: Duration,
    /// Readings and events that a HEM may have unacknowledged: its credit.
    pub max_in_flight: u32,
    /// Readings in one `batch`.
    pub max_batch: usize,
    /// Bytes in one frame, the line end not counted.
    pub max_frame: usize,
    /// Received and not yet durable, in the whole process, before HEMs get equal shares.
    pub max_buffered_bytes: usize,
    /// Readings and events a second from one HEM; beyond it (and a burst of `max_in_flight`) reading
    /// is delayed.
    pub max_rate: u32,
    /// The shortest time between two reads of a HEM that sends little but often: what comes meanwhile
    /// is read, decoded and handed over together. Zero: read at once, always.
    pub read_pause: Duration,
    /// The largest jump of numbers that is taken as missing data.
    pub max_gap: u64,
    /// How long the oldest reading may wait for its acknowledgement while the store is healthy.
    pub ack_timeout: Duration,
    /// How long a HEM may take to read what it was sent.
    pub write_timeout: Duration,
    /// How long is read and dropped after a fatal error, so that the error arrives.
    pub linger: Duration,
    /// How long to wait for the registrar's and the historian's answers before the welcome.
    pub welcome_timeout: Duration,
    /// The raw retention: readings older than this are refused as `too-old`.
    pub retention_raw: Duration,
    /// At a shutdown HEMs are told to come back within this time, each at a random moment.
    pub reconnect_spread: Duration,
    /// Whether every connection begins with a header of the PROXY protocol, version 2, in which a balancer
    /// says whom it speaks for. Then nobody else may reach the port: who sends it is believed.
    pub proxy_protocol: bool,
    /// Which process of a cluster this is; absent: there is one process.
    pub process: Option<ProcessId>,
}

impl HemConfig {
    /// The defaults, for these files.
    #[must_use]
    pub fn new(bind: SocketAddr, tls: TlsFiles) -> Self {
        let day = Duration::from_hours(24);
        Self {
            bind,
            tls,
            tls_reload_interval: Duration::from_secs(5),
            max_connections: 100_000,
            max_connections_per_address: 10_000,
            max_handshakes: 256,
            handshake_timeout: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(30),
            max_in_flight: 1_000,
            max_batch: 500,
            max_frame: 524_288,
            max_buffered_bytes: 512 << 20,
            max_rate: 1_000,
            read_pause: Duration::from_millis(10),
            max_gap: 100_000_000,
            ack_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            welcome_timeout: Duration::from_secs(10),
            retention_raw: day * 90,
            reconnect_spread: Duration::from_secs(10),
            proxy_protocol: false,
            process: None,
        }
    }
}
