//! The handle of a HEM, and what its task needs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use memcloud_domain::{HemId, NodeDeclaration, NodeId, NodeReading, Secret, Seq, Timestamp, Watts};
use memcloud_wire::{Outcome, SampleTime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::core::{Answer, Core};
use super::{HemConfig, HemCounters, HemHandler, Transport, driver};
use crate::SdkError;

/// Something that happened at the HEM, beside its kind and time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventDetails {
    /// At which node.
    pub node: Option<NodeId>,
    /// The switch position it speaks of.
    pub on: Option<bool>,
    /// The power it speaks of.
    pub watts: Option<Watts>,
    /// Until when it holds.
    pub until: Option<Timestamp>,
    /// More, for people.
    pub text: Option<String>,
}

/// A HEM. Cheap to clone; its task goes on until [`HemClient::stop`].
#[derive(Clone)]
pub struct HemClient {
    shared: Arc<Shared>,
}

/// What the handle and the task have in common.
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) hem: HemId,
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) handler: Box<dyn HemHandler>,
    /// First and longest wait, seed of the jitter, patience while connecting.
    pub(crate) retry: (Duration, Duration, u64, Duration),
    /// There is something to say.
    pub(crate) wake: Notify,
    pub(crate) reconnect: Notify,
    /// How long to stay away after the connection that is to be dropped.
    away: Mutex<Option<Duration>>,
    /// There may be another lease to wait for.
    pub(crate) leases: Notify,
    pub(crate) drained: Notify,
    pub(crate) stopping: AtomicBool,
    stopped: Notify,
}

impl Shared {
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        // The core is consistent between its calls, so a panic elsewhere does not spoil it.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long it is to stay away; asked once.
    pub(crate) fn take_away(&self) -> Option<Duration> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) async fn until_stopped(&self) {
        let stopped = self.stopped.notified();
        tokio::pin!(stopped);
        stopped.as_mut().enable();
        if !self.stopping.load(Ordering::Acquire) {
            stopped.await;
        }
    }
}

/// The HEM's task, not yet running.
pub struct HemDriver {
    shared: Arc<Shared>,
}

impl HemDriver {
    /// Runs until [`HemClient::stop`]. `Send`, so that it runs on any executor of tokio.
    pub async fn run(self) {
        driver::run(self.shared).await;
    }
}

impl HemClient {
    /// Makes a HEM, reading what its file holds. Its driver must be run.
    ///
    /// # Errors
    /// [`SdkError::Journal`] where the file cannot be read or written, or another process has it open.
    pub fn new(
        config: HemConfig,
        transport: impl Transport,
        handler: impl HemHandler,
    ) -> Result<(Self, HemDriver), SdkError> {
        let shared = Arc::new(Shared {
            hem: config.hem.clone(),
            transport: Box::new(transport),
            handler: Box::new(handler),
            retry: (config.retry_first, config.retry_most, config.seed, config.connect_timeout),
            core: Mutex::new(Core::new(config, Instant::now())?),
            wake: Notify::new(),
            reconnect: Notify::new(),
            away: Mutex::new(None),
            leases: Notify::new(),
            drained: Notify::new(),
            stopping: AtomicBool::new(false),
            stopped: Notify::new(),
        });
        Ok((Self { shared: Arc::clone(&shared) }, HemDriver { shared }))
    }

    /// Makes a HEM and runs it on tokio's current runtime.
    ///
    /// # Errors
    /// As [`HemClient::new`].
    pub fn spawn(
        config: HemConfig,
        transport: impl Transport,
        handler: impl HemHandler,
    ) -> Result<(Self, JoinHandle<()>), SdkError> {
        let (client, driver) = Self::new(config, transport, handler)?;
        Ok((client, tokio::spawn(driver.run())))
    }

    /// Takes a sample: numbers it, keeps it, and sends it when it can. The number is final once it has
    /// been sent.
    ///
    /// # Errors
    /// [`SdkError::QueueFull`], and then nothing was taken; [`SdkError::NotSendable`] for what the
    /// cloud would refuse; [`SdkError::Journal`].
    pub fn record(&self, time: SampleTime, nodes: &[NodeReading]) -> Result<Seq, SdkError> {
        let seq = self.shared.core().record(time, nodes, Instant::now())?;
        self.shared.wake.notify_one();
        Ok(seq)
    }

    /// Takes an event, as [`HemClient::record`] takes a sample.
    ///
    /// # Errors
    /// As [`HemClient::record`].
    pub fn report(
        &self,
        time: SampleTime,
        kind: &str,
        details: EventDetails,
    ) -> Result<Seq, SdkError> {
        let seq = self.shared.core().report(time, kind, details, Instant::now())?;
        self.shared.wake.notify_one();
        Ok(seq)
    }

    /// Sends what is true now, unnumbered, before anything that waits. Nothing while there is no
    /// connection; a newer one replaces one that has not left yet.
    pub fn latest(&self, time: SampleTime, nodes: &[NodeReading]) {
        self.shared.core().latest(time, nodes, Instant::now());
        self.shared.wake.notify_one();
    }

    /// Says how a command ended that was answered with [`super::CommandReply::Later`].
    pub fn finish(&self, command: &str, outcome: Outcome, reason: Option<String>) {
        self.shared.core().finish(command, outcome, reason, Answer::Said);
        self.shared.wake.notify_one();
        self.shared.leases.notify_one();
    }

    /// As [`HemClient::finish`], but keeps the answer to itself until the cloud asks again: what a result
    /// that is lost on its way looks like, for emulators and tests.
    pub fn finish_unheard(&self, command: &str, outcome: Outcome, reason: Option<String>) {
        self.shared.core().finish(command, outcome, reason, Answer::Withheld);
        self.shared.leases.notify_one();
    }

    /// Sets what the next hello declares of the nodes.
    pub fn declare(&self, nodes: Vec<NodeDeclaration>) {
        self.shared.core().declare(nodes);
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> HemCounters {
        self.shared.core().counters()
    }

    /// Whether the cloud has let it in and the connection stands.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.shared.core().is_online()
    }

    /// The device key that it uses: the configured one, or the one that its enrolment brought.
    #[must_use]
    pub fn key(&self) -> Option<Secret> {
        self.shared.core().key().cloned()
    }

    /// Waits until nothing is held any more: everything recorded is acknowledged or refused.
    pub async fn drained(&self) {
        loop {
            let drained = self.shared.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.shared.core().held() == 0 {
                return;
            }
            drained.await;
        }
    }

    /// Closes the connection and ends the task. What is held stays in the file.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.stopped.notify_waiters();
    }

    /// Drops the connection, or ends the wait for the next one, and connects again, as after a loss.
    pub fn reconnect(&self) {
        self.shared.reconnect.notify_one();
    }

    /// Drops the connection and stays away for a while, as a board that restarts.
    pub fn hang_up(&self, away: Duration) {
        *self.shared.away.lock().unwrap_or_else(PoisonError::into_inner) = Some(away);
        self.shared.reconnect.notify_one();
    }
}
