//! The handle of a HEM, and what its task needs.

use std::sync::Arc;

use memcloud_domain::{NodeId, NodeReading, Secret, Seq, Timestamp, Watts};
use memcloud_wire::{Outcome, SampleTime};
use tokio::task::JoinHandle;

use super::{HemConfig, HemCounters, HemHandler, Transport};
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

struct Shared;

/// The HEM's task, not yet running.
pub struct HemDriver {
    shared: Arc<Shared>,
}

impl HemDriver {
    /// Runs until [`HemClient::stop`]. `Send`, so that it runs on any executor of tokio.
    pub async fn run(self) {
        todo!()
    }
}

impl HemClient {
    /// Makes a HEM, reading what its file holds. Its driver must be run.
    ///
    /// # Errors
    /// [`SdkError::Journal`] where the file cannot be read or written.
    pub fn new(
        config: HemConfig,
        transport: impl Transport,
        handler: impl HemHandler,
    ) -> Result<(Self, HemDriver), SdkError> {
        todo!()
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
        todo!()
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
        todo!()
    }

    /// Sends what is true now, unnumbered, before anything that waits. Nothing while there is no
    /// connection; a newer one replaces one that has not left yet.
    pub fn latest(&self, time: SampleTime, nodes: &[NodeReading]) {
        todo!()
    }

    /// Says how a command ended that was answered with [`super::CommandReply::Later`].
    pub fn finish(&self, command: &str, outcome: Outcome, reason: Option<String>) {
        todo!()
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> HemCounters {
        todo!()
    }

    /// Whether the cloud has let it in and the connection stands.
    #[must_use]
    pub fn is_online(&self) -> bool {
        todo!()
    }

    /// The device key that it uses: the configured one, or the one that its enrolment brought.
    #[must_use]
    pub fn key(&self) -> Option<Secret> {
        todo!()
    }

    /// Waits until nothing is held any more: everything recorded is acknowledged or refused.
    pub async fn drained(&self) {
        todo!()
    }

    /// Closes the connection and ends the task. What is held stays in the file.
    pub fn stop(&self) {
        todo!()
    }

    /// Drops the connection, if there is one, and connects again at once, as after a loss.
    pub fn reconnect(&self) {
        todo!()
    }
}
