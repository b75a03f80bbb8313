//! What the listener and all of its sockets share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use actix_tls::accept::rustls_0_23::Acceptor;
use arc_swap::ArcSwap;
use memcloud_domain::Timestamp;
use memcloud_domain::messages::CommandAnswered;
use memcloud_supervision::{Clock, Port, TellError};
use tokio::sync::{Semaphore, watch};

use crate::admission::Admission;
use crate::session::{Moment, Rules};
use crate::socket_table::{ClaimHem, ReleaseHem};
use crate::{HemConfig, HemMetrics, HemPorts};

/// Shared by the listener and its sockets, over all their lives.
pub(crate) struct Shared {
    pub(crate) rules: Arc<Rules>,
    pub(crate) ports: HemPorts,
    pub(crate) clock: Clock,
    pub(crate) admission: Arc<Admission>,
    /// Slots for TLS handshakes.
    pub(crate) handshakes: Arc<Semaphore>,
    pub(crate) acceptor: ArcSwap<Acceptor>,
    /// Which content of the TLS files was looked at last, be it good or bad.
    pub(crate) tls_fingerprint: AtomicU64,
    pub(crate) claim: Port<ClaimHem>,
    pub(crate) release: Port<ReleaseHem>,
    /// Set once, when the cloud stops. A signal and not a message to each of 100,000 sockets, so that
    /// it reaches them in whatever phase they are.
    pub(crate) closing: watch::Sender<bool>,
    connections: AtomicU64,
    /// When a stranger was logged last, Unix milliseconds.
    stranger_logged: AtomicI64,
}

impl Shared {
    pub(crate) fn new(
        config: HemConfig,
        ports: HemPorts,
        clock: Clock,
        (acceptor, tls_fingerprint): (Acceptor, u64),
        claim: Port<ClaimHem>,
        release: Port<ReleaseHem>,
    ) -> Self {
        let metrics = Arc::new(HemMetrics::default());
        let admission = Admission::new(
            config.max_connections,
            config.max_connections_per_address,
            Arc::clone(&metrics),
        );
        let slots = config.max_handshakes.min(Semaphore::MAX_PERMITS);
        Self {
            rules: Arc::new(Rules { config, metrics }),
            ports,
            clock,
            admission: Arc::new(admission),
            handshakes: Arc::new(Semaphore::new(slots)),
            acceptor: ArcSwap::from_pointee(acceptor),
            tls_fingerprint: AtomicU64::new(tls_fingerprint),
            claim,
            release,
            closing: watch::Sender::new(false),
            connections: AtomicU64::new(0),
            stranger_logged: AtomicI64::new(i64::MIN),
        }
    }

    pub(crate) fn config(&self) -> &HemConfig {
        &self.rules.config
    }

    pub(crate) fn metrics(&self) -> &Arc<HemMetrics> {
        &self.rules.metrics
    }

    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            at: self.clock.instant(),
            wall: Timestamp(self.clock.unix_ms()),
            store_is_healthy: self.ports.store_health.is_healthy(),
        }
    }

    /// Whether a HEM that was turned away may be logged for the operator: five a second are enough.
    pub(crate) fn may_log_stranger(&self) -> bool {
        let now = self.clock.unix_ms();
        let last = self.stranger_logged.load(Ordering::Relaxed);
        let may = now >= last.saturating_add(STRANGER_LOG_MS);
        if may {
            self.stranger_logged.store(now, Ordering::Relaxed);
        }
        may
    }

    /// When a connection is to come back after a shutdown or `busy`. Connections are spread evenly by
    /// their numbers (the fractional parts of multiples of the golden ratio), which no random number
    /// does better.
    pub(crate) fn retry_after_ms(&self, connection: u64) -> u64 {
        let spread = u64::try_from(self.config().reconnect_spread.as_millis()).unwrap_or(0);
        let fraction = connection.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        500 + ((spread.min(u64::from(u32::MAX)) * fraction) >> 32)
    }

    /// Passes a HEM's answer on. While the command processor has no room, a bounded number of answers
    /// wait off to the side; what is lost is asked for again.
    pub(crate) fn pass_answer(&self, answered: CommandAnswered) {
        let Err(TellError::Full(answered)) = self.ports.answered.tell(answered) else { return };
        let metrics = Arc::clone(self.metrics());
        let runtime = tokio::runtime::Handle::try_current();
        let (Ok(runtime), true) = (runtime, metrics.results_waiting.get() < MAX_WAITING_RESULTS)
        else {
            return metrics.results_lost.increment();
        };
        metrics.results_waiting.add(1);
        let port = self.ports.answered.clone();
        runtime.spawn(async move {
            if port.ask(answered, PATIENCE).await.is_err() {
                metrics.results_lost.increment();
            }
            metrics.results_waiting.subtract(1);
        });
    }

    /// Tells everyone who has room; who has not misses it.
    pub(crate) fn tell_all<M>(&self, ports: &[Port<M>], message: &M)
    where
        M: actix::Message<Result = ()> + Clone + Send + 'static,
    {
        for port in ports {
            if port.tell(message.clone()).is_err() {
                self.metrics().facts_lost.increment();
            }
        }
    }

    /// Tells everyone; who has no room now is waited for, off to the side.
    pub(crate) fn tell_all_surely<M>(&self, ports: &[Port<M>], message: &M)
    where
        M: actix::Message<Result = ()> + Clone + Send + 'static,
    {
        for port in ports {
            let Err(TellError::Full(message)) = port.tell(message.clone()) else { continue };
            let (port, metrics) = (port.clone(), Arc::clone(self.metrics()));
            let Ok(runtime) = tokio::runtime::Handle::try_current() else { continue };
            runtime.spawn(async move {
                if port.ask(message, PATIENCE).await.is_err() {
                    metrics.facts_lost.increment();
                }
            });
        }
    }
}

/// Between two strangers in the log.
const STRANGER_LOG_MS: i64 = 200;
/// So many answers to commands wait for room at most.
const MAX_WAITING_RESULTS: u64 = 10_000;
/// How long a fact that matters waits for room.
const PATIENCE: Duration = Duration::from_secs(30);
