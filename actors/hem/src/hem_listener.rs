//! Accepts HEMs' connections within bounds, starts a socket for each on one of the arbiters, and looks
//! after the TLS files. It reads no byte of a HEM.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, AsyncContext, Context, Handler, Message, SpawnHandle};
use actix_rt::ArbiterHandle;
use actix_tls::accept::rustls_0_23::Acceptor;
use memcloud_supervision::{ChildSpec, Observe, RestartPolicy, Scope, supervised};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::hem_socket::{Arrival, HemSocket};
use crate::shared::Shared;
use crate::tls::TlsBytes;
use crate::{HemError, TlsFiles};

/// How long accepting rests after it failed, for want of file handles for instance.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// A lasting trouble is logged so often.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Messages that wait for a socket: a stand-down or two, and the kit's.
const SOCKET_MAILBOX: usize = 4;

/// `HemUnit` asks the `HemListener` to accept no more and give the port back.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct StopAccepting;

/// The bound port. It outlives a listener that crashes, so that no HEM finds the door closed
/// meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct Door(Arc<Mutex<Option<std::net::TcpListener>>>);

impl Door {
    pub(crate) fn new(listener: std::net::TcpListener) -> Self {
        Self(Arc::new(Mutex::new(Some(listener))))
    }

    /// A handle to the port; nothing once the door is closed for good.
    fn open(&self) -> Option<io::Result<std::net::TcpListener>> {
        let door = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        door.as_ref().map(std::net::TcpListener::try_clone)
    }

    fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Accepts connections within bounds and starts a socket for each.
pub struct HemListener {
    scope: Scope,
    shared: Arc<Shared>,
    door: Door,
    address: SocketAddr,
    arbiters: Arc<[ArbiterHandle]>,
    accepting: Option<SpawnHandle>,
}

impl HemListener {
    pub(crate) fn new(
        scope: Scope,
        shared: Arc<Shared>,
        door: Door,
        address: SocketAddr,
        arbiters: Arc<[ArbiterHandle]>,
    ) -> Self {
        Self { scope, shared, door, address, arbiters, accepting: None }
    }
}

impl Actor for HemListener {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let Some(listener) = self.door.open() else { return };
        let listener = match listener.and_then(TcpListener::from_std) {
            Ok(listener) => listener,
            Err(error) => {
                return self.scope.fail(format!("the port cannot be listened on: {error}"));
            }
        };
        let usher = Usher {
            scope: self.scope.clone(),
            shared: Arc::clone(&self.shared),
            arbiters: Arc::clone(&self.arbiters),
            turn: 0,
            logged_at: None,
        };
        self.accepting = Some(context.spawn(usher.accept_from(listener).into_actor(self)));
        let reload = watch_tls(self.scope.clone(), Arc::clone(&self.shared));
        context.spawn(reload.into_actor(self));
    }
}

impl Observe for HemListener {
    fn observe(&self) -> serde_json::Value {
        let metrics = self.shared.metrics();
        serde_json::json!({
            "address": self.address,
            "accepting": self.accepting.is_some(),
            "connections": metrics.connections.get(),
            "handshaking": metrics.handshaking.get(),
        })
    }
}

supervised!(HemListener);

impl Handler<StopAccepting> for HemListener {
    type Result = ();

    fn handle(&mut self, _: StopAccepting, context: &mut Context<Self>) {
        self.door.close();
        if let Some(accepting) = self.accepting.take() {
            context.cancel_future(accepting);
        }
    }
}

/// Lets connections in, one after the other.
struct Usher {
    scope: Scope,
    shared: Arc<Shared>,
    arbiters: Arc<[ArbiterHandle]>,
    turn: usize,
    logged_at: Option<Instant>,
}

impl Usher {
    async fn accept_from(mut self, listener: TcpListener) {
        loop {
            self.wait_for_handshake_slot().await;
            match listener.accept().await {
                Ok((stream, peer)) => self.let_in(stream, peer),
                // It went away while it waited: there is nothing to wait for.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.shared.metrics().accept_errors.increment();
                    self.log_now_and_then(&error);
                    self.shared.clock.sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    /// While every handshake slot is taken nobody is let in: the machine's queue holds them.
    async fn wait_for_handshake_slot(&self) {
        if self.shared.handshakes.available_permits() == 0 {
            self.shared.metrics().accept_waits.increment();
            drop(self.shared.handshakes.acquire().await);
        }
    }

    fn let_in(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.shared.metrics().accepted.increment();
        let Some(place) = self.shared.admission.admit() else { return };
        let from = if self.shared.config().proxy_protocol {
            // The balancer says for whom it is.
            None
        } else {
            let Some(from) = self.shared.admission.admit_from(peer.ip()) else { return };
            Some(from)
        };
        // The stream moves to the arbiter that will serve it.
        let stream = match stream.set_nodelay(true).and_then(|()| stream.into_std()) {
            Ok(stream) => stream,
            Err(error) => {
                log::debug!(error = error.to_string().as_str(); "a connection failed as it began");
                return;
            }
        };
        let connection = self.shared.next_connection();
        let mut spec = ChildSpec::new(format!("socket-{connection}"))
            .policy(RestartPolicy::temporary())
            .mailbox(SOCKET_MAILBOX);
        if let Some(arbiter) = self.arbiters.get(self.turn) {
            spec = spec.on(arbiter.clone());
        }
        self.turn = if self.turn + 1 < self.arbiters.len() { self.turn + 1 } else { 0 };
        let shared = Arc::clone(&self.shared);
        let mut arrival = Some(Arrival { stream, place, from });
        self.scope.supervise(spec, move |scope| {
            HemSocket::new(scope, Arc::clone(&shared), connection, peer, arrival.take())
        });
    }

    fn log_now_and_then(&mut self, error: &io::Error) {
        let now = self.shared.clock.instant();
        if self.logged_at.is_none_or(|at| now >= at + LOG_INTERVAL) {
            self.logged_at = Some(now);
            log::error!(error = error.to_string().as_str(); "HEMs cannot be let in for now; is the limit of open files too low?");
        }
    }
}

/// Looks at the TLS files now and then, and takes new ones into use if they are good.
async fn watch_tls(scope: Scope, shared: Arc<Shared>) {
    loop {
        shared.clock.sleep(shared.config().tls_reload_interval).await;
        let files = shared.config().tls.clone();
        let known = shared.tls_fingerprint.load(Ordering::Relaxed);
        let looked = scope.offload(move || look_at_tls(&files, known)).await;
        match looked {
            Ok(Ok(None)) => {}
            Ok(Ok(Some((fingerprint, acceptor)))) => {
                shared.tls_fingerprint.store(fingerprint, Ordering::Relaxed);
                take_into_use(&shared, acceptor);
            }
            Ok(Err(error)) => {
                log::warn!(error = error.to_string().as_str(); "the TLS files cannot be read; the old ones stay in use");
            }
            Err(error) => {
                log::error!(error = error.to_string().as_str(); "the TLS files could not be looked at");
            }
        }
    }
}

type Look = Option<(u64, Result<Acceptor, HemError>)>;

/// What is new in the files; blocks.
fn look_at_tls(files: &TlsFiles, known: u64) -> Result<Look, HemError> {
    let bytes = TlsBytes::read(files)?;
    let fingerprint = bytes.fingerprint();
    Ok((fingerprint != known).then(|| (fingerprint, bytes.acceptor(files))))
}

fn take_into_use(shared: &Shared, acceptor: Result<Acceptor, HemError>) {
    match acceptor {
        Ok(acceptor) => {
            shared.acceptor.store(Arc::new(acceptor));
            shared.metrics().tls_reloads.increment();
            log::info!("new TLS files are in use for new connections");
        }
        Err(error) => {
            shared.metrics().tls_reload_failures.increment();
            log::error!(error = error.to_string().as_str(); "the new TLS files are no good; the old ones stay in use");
        }
    }
}
