//! A session on its TLS stream: reads when the session wants to, writes what it says, and puts its
//! questions to the registrar, the table and the historian. Polled by the socket's actor.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use memcloud_domain::messages::{Durability, OpenSession, OutgoingCommand, StoreEntries};
use memcloud_domain::{HemId, Seq};
use memcloud_supervision::TellError;
use memcloud_wire::ErrorCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use crate::presence::{ClaimedHem, Presence};
use crate::session::{Effect, Event, Session, Wish};
use crate::shared::Shared;
use crate::socket_table::{ClaimHem, SocketPorts};
use crate::tls::certified_hem;

/// What one read takes at most. It is shared by all sockets of a thread: an idle one has no buffer.
const READ_SIZE: usize = 32 << 10;
/// After one read, or so many other steps, others on the thread have a turn.
const STEPS_PER_TURN: usize = 16;
/// How long a hand-over waits for room. The session gives up much earlier, after `ack_timeout`; but not
/// while the store is away, for however long that is.
const HAND_OVER_PATIENCE: Duration = Duration::from_hours(24);
/// What TLS holds of unsent output.
const TLS_BUFFER: usize = 16 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into_boxed_slice());
}

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;
/// How far entries are on disk, and where to hear the next of it.
type News = (Durability, watch::Receiver<Durability>);

/// A session, its stream, and what it waits for.
pub(crate) struct Conversation {
    shared: Arc<Shared>,
    connection: u64,
    own_ports: SocketPorts,
    stream: TlsStream<TcpStream>,
    session: Session,
    /// The one thing that it waits for: an answer before the welcome, later room at the historian.
    pending: Option<Boxed<Event<'static>>>,
    durable: Option<Boxed<Option<News>>>,
    /// Made for the session that is being opened.
    opening: Option<watch::Receiver<Durability>>,
    timer: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    asked_at: Instant,
    /// Who it says it is; for the log.
    asked_as: Option<HemId>,
    presence: Option<Presence>,
    claim: Option<ClaimedHem>,
    is_unflushed: bool,
    has_peer_ended: bool,
    has_said_goodbye: bool,
}

impl Conversation {
    pub(crate) fn new(
        mut stream: TlsStream<TcpStream>,
        shared: Arc<Shared>,
        connection: u64,
        own_ports: SocketPorts,
    ) -> Self {
        let (_, tls) = stream.get_mut();
        tls.set_buffer_limit(Some(TLS_BUFFER));
        let certificate = tls.peer_certificates().and_then(<[_]>::first);
        let certified = certificate.and_then(certified_hem);
        let now = shared.clock.instant();
        let retry = shared.retry_after_ms(connection);
        let session = Session::new(Arc::clone(&shared.rules), certified, retry, now);
        Self {
            shared,
            connection,
            own_ports,
            stream,
            session,
            pending: None,
            durable: None,
            opening: None,
            timer: Box::pin(tokio::time::sleep_until(now)),
            armed: None,
            asked_at: now,
            presence: None,
            asked_as: None,
            claim: None,
            is_unflushed: true,
            has_peer_ended: false,
            has_said_goodbye: false,
        }
    }

    pub(crate) fn observe(&self) -> serde_json::Value {
        self.session.observe()
    }

    /// Tells the session what happened, and does what it asks for.
    pub(crate) fn feed(&mut self, event: Event<'_>) {
        for effect in self.session.accept(event, self.shared.moment()) {
            self.perform(effect);
        }
    }

    /// Says commands to the HEM. `false`: it is not online here, or not any more.
    pub(crate) fn order(&mut self, commands: Vec<OutgoingCommand>) -> bool {
        self.feed(Event::Ordered(commands));
        self.session.takes_orders()
    }

    /// Goes on as far as it can. `Ready`: it is over.
    pub(crate) fn drive(&mut self, task: &mut Task<'_>) -> Poll<()> {
        let mut has_read = false;
        for _ in 0..STEPS_PER_TURN {
            let heard = self.listen_inside(task);
            let written = self.write(task);
            let read = match self.session.wish(self.shared.moment()) {
                Wish::Read if has_read => break,
                Wish::Read => self.read(task),
                Wish::Wait => false,
                Wish::Discard => self.say_goodbye(task) | self.discard(task),
                Wish::Stop => return Poll::Ready(()),
            };
            if !(heard || written || read || self.arm(task)) {
                return Poll::Pending;
            }
            has_read |= read;
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Answers, durability and time.
    fn listen_inside(&mut self, task: &mut Task<'_>) -> bool {
        let mut has_moved = false;
        if let Some(pending) = &mut self.pending
            && let Poll::Ready(event) = pending.as_mut().poll(task)
        {
            self.pending = None;
            self.feed(event);
            has_moved = true;
        }
        if let Some(durable) = &mut self.durable
            && let Poll::Ready(news) = durable.as_mut().poll(task)
        {
            match news {
                Some((durability, receiver)) => {
                    self.durable = Some(Box::pin(next_durability(receiver)));
                    self.feed(Event::Durable(durability));
                }
                None => {
                    self.durable = None;
                    self.feed(Event::DurabilityLost);
                }
            }
            has_moved = true;
        }
        if self.armed.is_some() && self.timer.as_mut().poll(task).is_ready() {
            self.armed = None;
            self.feed(Event::Ticked);
            has_moved = true;
        }
        has_moved
    }

    fn write(&mut self, task: &mut Task<'_>) -> bool {
        let mut has_moved = false;
        while !self.session.output().is_empty() {
            match Pin::new(&mut self.stream).poll_write(task, self.session.output()) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.is_unflushed = true;
                    self.feed(Event::Written(count));
                    has_moved = true;
                }
                Poll::Ready(_) => {
                    self.feed(Event::Broke);
                    return true;
                }
                Poll::Pending => return has_moved,
            }
        }
        if self.is_unflushed {
            match Pin::new(&mut self.stream).poll_flush(task) {
                Poll::Ready(Ok(())) => self.is_unflushed = false,
                Poll::Ready(Err(_)) => {
                    self.feed(Event::Broke);
                    return true;
                }
                Poll::Pending => {}
            }
        }
        has_moved
    }

    /// Takes what has come, up to a scratch's worth: TLS gives it out in pieces of some kilobytes.
    fn read(&mut self, task: &mut Task<'_>) -> bool {
        if self.has_peer_ended {
            return false;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            let end = loop {
                let before = buffer.filled().len();
                match Pin::new(&mut self.stream).poll_read(task, &mut buffer) {
                    Poll::Pending => break None,
                    Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                        break Some(Event::Ended);
                    }
                    Poll::Ready(Ok(())) if buffer.remaining() == 0 => break None,
                    Poll::Ready(Ok(())) => {}
                    // Without a farewell of TLS, but in good order otherwise.
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        break Some(Event::Ended);
                    }
                    Poll::Ready(Err(_)) => break Some(Event::Broke),
                }
            };
            let has_read = !buffer.filled().is_empty();
            if has_read {
                self.feed(Event::Received(buffer.filled()));
            }
            let has_ended = end.is_some();
            match end {
                Some(Event::Ended) => self.peer_ended(),
                Some(event) => self.feed(event),
                None => {}
            }
            has_read || has_ended
        })
    }

    fn peer_ended(&mut self) {
        self.has_peer_ended = true;
        self.feed(Event::Ended);
    }

    /// Reads into nothing, so that the last error is not lost with unread bytes.
    fn discard(&mut self, task: &mut Task<'_>) -> bool {
        if self.has_peer_ended {
            return false;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.stream).poll_read(task, &mut buffer) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => self.peer_ended(),
            }
            true
        })
    }

    /// Closes our side, once everything is sent.
    fn say_goodbye(&mut self, task: &mut Task<'_>) -> bool {
        if self.has_said_goodbye || self.is_unflushed || !self.session.output().is_empty() {
            return false;
        }
        let Poll::Ready(outcome) = Pin::new(&mut self.stream).poll_shutdown(task) else {
            return false;
        };
        self.has_said_goodbye = true;
        self.feed(if outcome.is_ok() { Event::SaidGoodbye } else { Event::Broke });
        true
    }

    /// Sets the timer. `true`: it is due already.
    fn arm(&mut self, task: &mut Task<'_>) -> bool {
        let Some(deadline) = self.session.deadline(self.shared.moment()) else { return false };
        // A timer that fires too early costs less than setting it with every frame.
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return false;
        }
        self.armed = Some(deadline);
        self.timer.as_mut().reset(deadline);
        // Polled once, so that it wakes this task; what it says is heard in the next round.
        self.timer.as_mut().poll(task).is_ready()
    }

    fn perform(&mut self, effect: Effect) {
        let shared = Arc::clone(&self.shared);
        let timeout = shared.config().welcome_timeout;
        match effect {
            Effect::Authenticate(question) => {
                self.asked_at = shared.clock.instant();
                self.asked_as = Some(question.hem.clone());
                self.pending = Some(Box::pin(async move {
                    let answer = shared.ports.authenticate.ask(*question, timeout).await;
                    answer.map_or(Event::Unanswered, Event::Authenticated)
                }));
            }
            Effect::Claim(hem) => {
                let connection = self.connection;
                let claim = ClaimHem {
                    hem: hem.clone(),
                    connection,
                    authenticated_at: self.asked_at,
                    socket: self.own_ports.clone(),
                };
                self.claim = Some(ClaimedHem { shared: Arc::clone(&shared), hem, connection });
                self.pending = Some(Box::pin(async move {
                    let answer = shared.claim.ask(claim, timeout).await;
                    answer.map_or(Event::Unanswered, Event::Claimed)
                }));
            }
            Effect::Open(hem, microgrid) => {
                let nothing = Durability { through: Seq::NONE, fenced: false };
                let (durable, receiver) = watch::channel(nothing);
                self.opening = Some(receiver);
                let question = OpenSession { hem, microgrid, durable };
                self.pending = Some(Box::pin(async move {
                    let answer = shared.ports.open_session.ask(question, timeout).await;
                    answer.map_or(Event::Unanswered, Event::Opened)
                }));
            }
            Effect::TurnedAway(code) => self.log_turned_away(code),
            Effect::Welcomed(connected) => {
                self.durable = self
                    .opening
                    .take()
                    .map(|receiver| -> Boxed<_> { Box::pin(next_durability(receiver)) });
                log::debug!(
                    "hem.id" = connected.hem.as_str(), epoch = connected.epoch.0, seq = connected.mark.0;
                    "a HEM is online"
                );
                self.presence = Some(Presence::begin(shared, &connected));
            }
            Effect::HandOver(entries) => self.hand_over(entries),
            Effect::Heard(heard) => shared.tell_all(&shared.ports.heard, &heard),
            Effect::Answered(answered) => shared.pass_answer(answered),
            Effect::Latest(latest) => shared.tell_all(&shared.ports.latest, &latest),
            Effect::Offline(reason) => {
                // What waits for room is not handed over any more.
                self.pending = None;
                self.durable = None;
                if let Some(presence) = self.presence.take() {
                    presence.end(reason);
                }
                self.claim = None;
            }
        }
    }

    /// An operator wants to know why a HEM is not let in; a flood of strangers must not fill the log.
    fn log_turned_away(&self, code: ErrorCode) {
        let level =
            if self.shared.may_log_stranger() { log::Level::Info } else { log::Level::Debug };
        let hem = self.asked_as.as_ref().map_or("?", HemId::as_str);
        let peer = self.stream.get_ref().0.peer_addr();
        let peer = peer.map_or_else(|_| "?".to_owned(), |peer| peer.to_string());
        log::log!(
            level, "hem.id" = hem, peer = peer.as_str(), code = code.as_str();
            "a HEM was turned away"
        );
    }

    fn hand_over(&mut self, entries: StoreEntries) {
        match self.shared.ports.store_entries.tell(entries) {
            Ok(()) => self.feed(Event::HandedOver),
            Err(TellError::Stopped(_)) => self.feed(Event::HandOverFailed),
            Err(TellError::Full(entries)) => {
                let shared = Arc::clone(&self.shared);
                self.pending = Some(Box::pin(async move {
                    let taken = shared.ports.store_entries.ask(entries, HAND_OVER_PATIENCE).await;
                    taken.map_or(Event::HandOverFailed, |()| Event::HandedOver)
                }));
            }
        }
    }
}

/// The next word on durability; nothing once the historian has forgotten the session.
async fn next_durability(mut receiver: watch::Receiver<Durability>) -> Option<News> {
    receiver.changed().await.ok()?;
    let durability = *receiver.borrow_and_update();
    Some((durability, receiver))
}
