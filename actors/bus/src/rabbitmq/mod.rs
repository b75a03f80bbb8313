//! The adapter of [`Exchange`](crate::Exchange) on RabbitMQ: the bus of several processes.
//!
//! Whoever publishes or binds never waits and never sees an error. A driver per exchange, on a thread
//! of their own, keeps a connection, declares what is needed, publishes with confirms, and reads into
//! the same bounded queues as within a process. While the broker is away, what is published is dropped
//! and counted; messages are numbered, so that readers are told what they missed.

mod driver;
mod losses;
mod outbox;
mod parcel;
mod rabbit_exchange;
mod reader;
mod session;
mod shared;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::uri::AMQPUri;
use memcloud_supervision::Backoff;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::{BusMessage, ExchangeKind};

pub use self::rabbit_exchange::RabbitExchange;

/// Where what no reader understands ends up: an exchange, and a queue of the newest.
pub const DEAD_LETTERS: &str = "memcloud.dead-letters";

/// Why RabbitMQ cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RabbitMqError {
    /// The address is none. It is not shown, since there may be a password in it.
    #[error(
        "this is no address of a RabbitMQ ({reason}); write e.g. \"amqp://user:password@host:5672/%2f\", or amqps:// for TLS"
    )]
    Address {
        /// Why.
        reason: String,
    },
    /// The machine gave no thread.
    #[error("no thread could be started for the bus")]
    Thread(#[source] std::io::Error),
}

/// How RabbitMQ is used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RabbitMqSettings {
    /// How long connecting, and each step of setting up, may take.
    pub step_within: Duration,
    /// Silence after which a connection is taken for dead; twice this at most.
    pub heartbeat: Duration,
    /// Pauses between attempts to connect.
    pub backoff: Backoff,
    /// Messages that were sent and are not confirmed; then sending waits.
    pub unconfirmed: usize,
    /// Messages that the broker holds for reading ahead, per queue.
    pub prefetch: u16,
    /// Dead letters that are kept; the oldest give way.
    pub dead_letters: u32,
}

impl Default for RabbitMqSettings {
    fn default() -> Self {
        Self {
            step_within: Duration::from_secs(10),
            heartbeat: Duration::from_secs(5),
            backoff: Backoff::default(),
            unconfirmed: 256,
            prefetch: 64,
            dead_letters: 1_000,
        }
    }
}

/// Checks an address, without connecting.
///
/// # Errors
/// [`RabbitMqError::Address`].
pub fn check_address(url: &str) -> Result<(), RabbitMqError> {
    address(url).map(drop)
}

fn address(url: &str) -> Result<AMQPUri, RabbitMqError> {
    let no_address = |reason: &str| RabbitMqError::Address { reason: reason.to_owned() };
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(no_address("it has no scheme"));
    };
    if !matches!(scheme, "amqp" | "amqps") {
        return Err(no_address("its scheme is neither amqp nor amqps"));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.is_empty() || host.starts_with(':') {
        return Err(no_address("it names no host"));
    }
    // The parser's own words may repeat what it was given.
    url.parse().map_err(|_| no_address("a part of it cannot be read"))
}

/// An address as it may be logged: without its password.
#[must_use]
pub fn without_password(url: &str) -> String {
    let Ok(uri) = address(url) else { return "(no address)".to_owned() };
    let (host, port) = (&uri.authority.host, uri.authority.port);
    format!("{}://{host}:{port}/{}", uri.scheme, uri.vhost)
}

/// A RabbitMQ that exchanges are made on. Cloning shares it; the thread ends with the last clone and
/// the last exchange.
#[derive(Clone)]
pub struct RabbitMq {
    inner: Arc<Inner>,
}

struct Inner {
    uri: AMQPUri,
    settings: RabbitMqSettings,
    runtime: Handle,
    stop: watch::Sender<Option<Duration>>,
    /// Each driver holds a copy; once all are dropped, this one at the stop, all drivers are done.
    running: Mutex<Option<mpsc::Sender<()>>>,
    stopped: watch::Receiver<bool>,
}

impl std::fmt::Debug for RabbitMq {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RabbitMq").field("host", &self.inner.uri.authority.host).finish()
    }
}

impl RabbitMq {
    /// How long what is still unconfirmed may take when an exchange is dropped.
    const LAST_WORDS: Duration = Duration::from_secs(1);

    /// Starts the thread. Whether the broker is there is not asked: it may come later.
    ///
    /// # Errors
    /// [`RabbitMqError`].
    pub fn start(url: &str, settings: RabbitMqSettings) -> Result<Self, RabbitMqError> {
        let mut uri = address(url)?;
        let heartbeat = u16::try_from(settings.heartbeat.as_secs()).unwrap_or(u16::MAX);
        uri.query.heartbeat.get_or_insert(heartbeat.max(1));
        let (stop, stopping) = watch::channel(None);
        let (running, drivers) = mpsc::channel(1);
        let (tell_stopped, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(RabbitMqError::Thread)?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("bus".into())
            .spawn(move || {
                runtime.block_on(wait_for_end(stopping, drivers));
                // Whatever did not end in time ends here.
                runtime.shutdown_background();
                tell_stopped.send_replace(true);
            })
            .map_err(RabbitMqError::Thread)?;
        let running = Mutex::new(Some(running));
        let inner = Inner { uri, settings, runtime: handle, stop, running, stopped };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes an exchange, of which at most so many messages wait to be sent.
    #[must_use]
    pub fn exchange<M: BusMessage>(
        &self,
        name: &str,
        kind: ExchangeKind,
        outbox: usize,
    ) -> RabbitExchange<M> {
        RabbitExchange::start(self, name, kind, outbox)
    }

    fn running(&self) -> MutexGuard<'_, Option<mpsc::Sender<()>>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what waits and waits for its confirms, for at most so long; then closes the connections.
    /// Exchanges that still exist drop what is published from then on.
    pub async fn stop(&self, within: Duration) {
        self.inner.stop.send_replace(Some(within));
        drop(self.running().take());
        let mut stopped = self.inner.stopped.clone();
        // The thread bounds this itself; an error means that it is gone.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}

/// Runs until it is told to stop, or nobody is left who could.
async fn wait_for_end(
    mut stopping: watch::Receiver<Option<Duration>>,
    mut drivers: mpsc::Receiver<()>,
) {
    let told = match stopping.wait_for(Option::is_some).await {
        Ok(within) => *within,
        Err(_) => None,
    };
    let within = told.unwrap_or(RabbitMq::LAST_WORDS);
    // Nobody ever sends: this ends when each driver has dropped its sender.
    let _ = tokio::time::timeout(within, drivers.recv()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused_without_showing_its_password() {
        for url in ["rabbit", "http://host", "amqp://", "amqp://:5672", "amqp://u:secret@host:port"]
        {
            let error = check_address(url).unwrap_err().to_string();
            assert!(error.contains("amqp://user:password@host"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        for url in ["amqp://localhost", "amqps://u:p@broker.example:5671/%2f?heartbeat=10"] {
            check_address(url).unwrap();
        }
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let shown = without_password("amqp://user:secret@broker.example/town");
        assert_eq!(shown, "amqp://broker.example:5672/town");
    }
}
