//! A HEM's connection, from the first byte to the goodbye. It moves bytes and messages: what they mean
//! is decided by the session within. One actor is one task: its stream is driven in its own context.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler};
use actix_service::{Service, ServiceFactory};
use actix_tls::accept::TlsError;
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use memcloud_domain::messages::NotConnected;
use memcloud_supervision::{Observe, Scope, supervised};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::admission::{AddressPlace, Place};
use crate::conversation::Conversation;
use crate::proxy_header;
use crate::session::Event;
use crate::shared::Shared;
use crate::socket_table::{PassOrders, SocketPorts, StandDown};

/// One connection of a HEM.
pub struct HemSocket {
    scope: Scope,
    shared: Arc<Shared>,
    connection: u64,
    peer: SocketAddr,
    stage: Stage,
    closing: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waker: Option<Waker>,
    own_ports: Option<SocketPorts>,
    /// Given back when the socket is gone.
    _place: Option<Place>,
    _from: Option<AddressPlace>,
}

/// A connection that has just been accepted.
pub(crate) struct Arrival {
    pub(crate) stream: StdTcpStream,
    /// Its place among all.
    pub(crate) place: Place,
    /// Its place among those from its address; absent where a balancer is still to say which that is.
    pub(crate) from: Option<AddressPlace>,
}

/// A connection that has shaken hands.
struct Acquainted {
    stream: TlsStream<TcpStream>,
    /// Whom a balancer spoke for.
    client: Option<(SocketAddr, AddressPlace)>,
}

enum Stage {
    Arrived(StdTcpStream),
    ShakingHands(Pin<Box<dyn Future<Output = Option<Acquainted>>>>),
    Talking(Box<Conversation>),
    Over,
}

impl HemSocket {
    /// A socket for a connection that has just been accepted. Sockets are never restarted; a second
    /// life would begin without an arrival, and end at once.
    pub(crate) fn new(
        scope: Scope,
        shared: Arc<Shared>,
        connection: u64,
        peer: SocketAddr,
        arrival: Option<Arrival>,
    ) -> Self {
        let (stage, place, from) = match arrival {
            Some(Arrival { stream, place, from }) => (Stage::Arrived(stream), Some(place), from),
            None => (Stage::Over, None, None),
        };
        Self {
            scope,
            shared,
            connection,
            peer,
            stage,
            closing: None,
            waker: None,
            own_ports: None,
            _place: place,
            _from: from,
        }
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Goes on as far as it can. `Ready`: the connection is over.
    fn drive(&mut self, task: &mut Task<'_>) -> Poll<()> {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(task.waker())) {
            self.waker = Some(task.waker().clone());
        }
        if let Some(closing) = &mut self.closing
            && closing.as_mut().poll(task).is_ready()
        {
            self.closing = None;
            match &mut self.stage {
                Stage::Talking(conversation) => conversation.feed(Event::ShuttingDown),
                Stage::Arrived(_) | Stage::ShakingHands(_) | Stage::Over => {
                    self.stage = Stage::Over;
                }
            }
        }
        loop {
            match &mut self.stage {
                Stage::Arrived(_) | Stage::Over => return Poll::Ready(()),
                Stage::ShakingHands(handshake) => {
                    let Poll::Ready(acquainted) = handshake.as_mut().poll(task) else {
                        return Poll::Pending;
                    };
                    self.stage = match (acquainted, &self.own_ports) {
                        (Some(Acquainted { stream, client }), Some(own_ports)) => {
                            if let Some((client, from)) = client {
                                (self.peer, self._from) = (client, Some(from));
                            }
                            let (shared, ports) = (Arc::clone(&self.shared), own_ports.clone());
                            let talk = Conversation::new(stream, shared, self.connection, ports);
                            Stage::Talking(Box::new(talk))
                        }
                        _ => Stage::Over,
                    };
                }
                Stage::Talking(conversation) => return conversation.drive(task),
            }
        }
    }
}

impl Actor for HemSocket {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.own_ports = Some(SocketPorts {
            stand_down: self.scope.port(context.address()),
            orders: self.scope.port(context.address()),
        });
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        if let Stage::Arrived(stream) = stage {
            let handshake = shake_hands(Arc::clone(&self.shared), stream, self.peer);
            self.stage = Stage::ShakingHands(Box::pin(handshake));
        }
        let mut closing = self.shared.closing.subscribe();
        self.closing = Some(Box::pin(async move {
            // The sender is shared by everyone here: it is not dropped before us.
            let _ = closing.wait_for(|is_closing| *is_closing).await;
        }));
        context.spawn(Drive);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // What the stage holds says goodbye as it is dropped.
        self.stage = Stage::Over;
    }
}

impl Observe for HemSocket {
    fn observe(&self) -> serde_json::Value {
        let mut observed = match &self.stage {
            Stage::Arrived(_) | Stage::ShakingHands(_) => {
                serde_json::json!({"phase": "shaking hands"})
            }
            Stage::Talking(conversation) => conversation.observe(),
            Stage::Over => serde_json::json!({"phase": "over"}),
        };
        if let Some(fields) = observed.as_object_mut() {
            fields.insert("peer".to_owned(), serde_json::json!(self.peer));
        }
        observed
    }
}

supervised!(HemSocket);

impl Handler<StandDown> for HemSocket {
    type Result = ();

    fn handle(&mut self, stand_down: StandDown, _: &mut Context<Self>) {
        if let Stage::Talking(conversation) = &mut self.stage {
            conversation.feed(Event::StoodDown(stand_down.0));
        }
        self.wake();
    }
}

impl Handler<PassOrders> for HemSocket {
    type Result = Result<(), NotConnected>;

    fn handle(&mut self, orders: PassOrders, _: &mut Context<Self>) -> Self::Result {
        let is_said = match &mut self.stage {
            Stage::Talking(conversation) => conversation.order(orders.0),
            Stage::Arrived(_) | Stage::ShakingHands(_) | Stage::Over => false,
        };
        self.wake();
        if is_said { Ok(()) } else { Err(NotConnected) }
    }
}

/// Drives the connection in the actor's context, until it is over.
struct Drive;

impl ActorFuture<HemSocket> for Drive {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        socket: &mut HemSocket,
        context: &mut Context<HemSocket>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        let poll = socket.drive(task);
        if poll.is_ready() {
            context.stop();
        }
        poll
    }
}

/// Waits for the first byte, then for a slot, then shakes hands; each has a time-out of its own, so that
/// who waits for a slot loses nothing of its time for the handshake.
async fn shake_hands(
    shared: Arc<Shared>,
    stream: StdTcpStream,
    peer: SocketAddr,
) -> Option<Acquainted> {
    let error = match try_to_shake_hands(&shared, stream, peer).await {
        Ok(stream) => {
            if stream.is_some() {
                shared.metrics().handshakes_done.increment();
            }
            return stream;
        }
        Err(error) => error,
    };
    if error.kind() == io::ErrorKind::TimedOut {
        shared.metrics().handshakes_timed_out.increment();
    } else {
        shared.metrics().handshakes_failed.increment();
    }
    log::debug!(peer = peer.to_string().as_str(), error = error.to_string().as_str(); "a TLS handshake failed");
    None
}

async fn try_to_shake_hands(
    shared: &Shared,
    stream: StdTcpStream,
    peer: SocketAddr,
) -> io::Result<Option<Acquainted>> {
    let limit = shared.config().handshake_timeout;
    let mut stream = TcpStream::from_std(stream)?;
    // A connection that says nothing takes no slot; one that only knocks is no failure.
    if timeout(limit, stream.peek(&mut [0])).await?? == 0 {
        return Ok(None);
    }
    let mut client = None;
    if shared.config().proxy_protocol {
        let address = timeout(limit, introduced(&mut stream)).await?;
        let address = address.inspect_err(|_| shared.metrics().proxy_refused.increment())?;
        let address = address.unwrap_or(peer);
        let Some(from) = shared.admission.admit_from(address.ip()) else { return Ok(None) };
        client = Some((address, from));
        // A balancer that only looks whether somebody is there says no more.
        if timeout(limit, stream.peek(&mut [0])).await?? == 0 {
            return Ok(None);
        }
    }
    // Whoever holds the slots now has given them back by then.
    let slot = timeout(limit * 2, shared.handshakes.acquire()).await?;
    let Ok(_slot) = slot else { return Ok(None) };
    let _counted = Handshaking::begin(shared);
    let mut acceptor = Acceptor::clone(&shared.acceptor.load());
    acceptor.set_handshake_timeout(limit);
    let service = ServiceFactory::<TcpStream>::new_service(&acceptor, ()).await;
    let Ok(service) = service else { return Ok(None) };
    match service.call(stream).await {
        Ok(stream) => Ok(Some(Acquainted { stream, client })),
        Err(TlsError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
        Err(TlsError::Tls(error)) => Err(error),
        Err(TlsError::Service(never)) => match never {},
    }
}

/// Takes the header with which a balancer says whom it speaks for; nothing where that is itself.
async fn introduced(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let no_header = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut first = [0; proxy_header::START];
    stream.read_exact(&mut first).await?;
    let start = proxy_header::start(first).map_err(no_header)?;
    let mut rest = vec![0; start.length];
    stream.read_exact(&mut rest).await?;
    start.client(&rest).map_err(no_header)
}

/// Counts a handshake while it goes on.
struct Handshaking<'a>(&'a Shared);

impl<'a> Handshaking<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.metrics().handshaking.add(1);
        Self(shared)
    }
}

impl Drop for Handshaking<'_> {
    fn drop(&mut self) {
        self.0.metrics().handshaking.subtract(1);
    }
}
