//! A HEM, as the cloud knows one: it connects by TLS, numbers what it says, keeps it until it is
//! acknowledged, sends it again after a loss, renumbers where the protocol asks for it, keeps within
//! its credit, and answers commands. One task and a few kilobytes each, so that a process can be
//! thousands of them.
//!
//! The rules live in a pure core; a thin task moves bytes between it and a [`Transport`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use memcloud_domain::{HemId, NodeId, NodeReading, Secret, Watts};
//! use memcloud_sdk::hem::{Credential, HemClient, HemConfig, NoHandler, TlsTransport, trust};
//! use memcloud_wire::SampleTime;
//!
//! let tls = trust("keys/ca-cert.pem".as_ref(), None)?;
//! let transport = TlsTransport::new("localhost:23123", tls)?;
//! let config = HemConfig::new(HemId::new("home-1")?, Credential::Key(Secret::new("…")));
//! let (home, task) = HemClient::spawn(config, transport, NoHandler)?;
//! let load = NodeReading { watts: Some(Watts(812.5)), ..NodeReading::empty(NodeId(3)) };
//! home.record(SampleTime::Age(0), &[load])?;
//! home.drained().await;
//! home.stop();
//! task.await?;
//! # Ok(()) }
//! ```

mod client;
mod core;
mod driver;
mod journal;
mod leases;
mod ledger;
mod queue;
mod sendable;
mod transport;

pub use client::{EventDetails, HemClient, HemDriver};
pub use leases::EndedLease;
pub use transport::{ClientCertificate, Connecting, Connection, TlsTransport, Transport, trust};

use std::path::PathBuf;
use std::time::Duration;

use memcloud_domain::{HemId, NodeDeclaration, Secret, Seq};
use memcloud_wire::{CloudError, Command, ErrorCode, Outcome, Refused, Welcome};
use tokio::time::Instant;

/// How the HEM proves who it is.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Its device key.
    Key(Secret),
    /// A microgrid's enrolment token. The key that the welcome brings is kept beside the queue and
    /// used from then on.
    Enrol(Secret),
    /// The client certificate of its transport.
    Certificate,
}

/// Where what is not acknowledged is kept.
#[derive(Debug, Clone)]
pub enum Keep {
    /// In memory: lost with the process.
    Memory,
    /// In an append-only file as well: survives a kill.
    Disk {
        /// The file; made where there is none. It holds the device key too: its mode is 0600.
        path: PathBuf,
        /// What it survives beyond a kill of the process.
        sync: SyncPolicy,
    },
}

/// When the queue's file is forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// By the operating system in its own time: survives a kill of the process, not always a power cut.
    /// What a power cut tears off the tail is lost, but its numbers are not used twice.
    Lazy,
    /// Before each call returns, about a quarter of a millisecond on an SSD: survives a power cut.
    Each,
}

/// What a HEM is and how it behaves.
#[derive(Debug, Clone)]
pub struct HemConfig {
    /// Its id.
    pub hem: HemId,
    /// How it proves it.
    pub credential: Credential,
    /// Its firmware, as it names it.
    pub firmware: Option<String>,
    /// Its nodes; absent: the cloud keeps what it knows.
    pub nodes: Option<Vec<NodeDeclaration>>,
    /// Where what is not acknowledged is kept.
    pub keep: Keep,
    /// How many readings and events are kept at most; beyond, `record` answers `QueueFull`.
    pub max_queue: usize,
    /// The longest batch, within the welcome's; 1: never a batch.
    pub max_batch: usize,
    /// So many readings waiting make a batch; fewer go one by one.
    pub batch_from: usize,
    /// The first wait before it connects again; it doubles up to `retry_most`, with jitter.
    pub retry_first: Duration,
    /// The longest wait, unless the cloud asks for more.
    pub retry_most: Duration,
    /// How long connecting, and then the welcome, may take.
    pub connect_timeout: Duration,
    /// Seeds the jitter.
    pub seed: u64,
}

impl HemConfig {
    /// The usual behaviour: in memory, 100,000 readings, batches from 16 on, waits from 0.5 to 60 s.
    #[must_use]
    pub fn new(hem: HemId, credential: Credential) -> Self {
        let seed = hem.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            hem,
            credential,
            firmware: None,
            nodes: None,
            keep: Keep::Memory,
            max_queue: 100_000,
            max_batch: 500,
            batch_from: 16,
            retry_first: Duration::from_millis(500),
            retry_most: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(15),
            seed,
        }
    }
}

/// The answer of a [`HemHandler`] to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandReply {
    /// It ended like this, with a reason for people.
    Now(Outcome, Option<String>),
    /// It has begun; [`HemClient::finish`] will say how it ended.
    Later,
}

/// What happens to a HEM, for whoever builds one. Called on the HEM's task: must not block.
pub trait HemHandler: Send + Sync + 'static {
    /// Carries out a command. Called once per id, after the id is stored: a command that was seen
    /// before, that came too late, or that a later order replaced is answered without it.
    fn command(&self, command: &Command) -> CommandReply {
        let _ = command;
        CommandReply::Now(Outcome::Refused, Some("this HEM takes no commands".to_owned()))
    }

    /// A lease has ended: the node falls back to its default in what the action had set, connected or
    /// not. Called too for each lease that ran when the process ended, once it runs again.
    fn lease_ended(&self, lease: &EndedLease) {
        let _ = lease;
    }

    /// Hears what happens on the connection.
    fn notice(&self, notice: Notice<'_>) {
        let _ = notice;
    }
}

/// A handler that takes no commands and hears nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoHandler;

impl HemHandler for NoHandler {}

/// What happens on the connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// The cloud let it in.
    Welcomed {
        /// The welcome. Its key, if any, has been kept already.
        welcome: &'a Welcome,
        /// How many readings and events were numbered anew.
        renumbered: usize,
        /// How many are still held, and will be sent.
        held: usize,
    },
    /// One reading or event is on disk at the cloud.
    Acknowledged {
        /// Its number.
        seq: Seq,
        /// When it was handed to the connection; absent where only the welcome said that it is safe.
        sent: Option<Instant>,
    },
    /// The cloud can never store this; it was dropped.
    Refused(&'a Refused),
    /// The cloud says that something is wrong.
    Error(&'a CloudError),
    /// The connection is over, or did not come about.
    Disconnected {
        /// Why, in a sentence.
        reason: &'a str,
        /// The fatal error, if one was said.
        code: Option<ErrorCode>,
        /// When it connects again.
        retry_in: Duration,
    },
}

/// What a HEM has counted since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HemCounters {
    /// Readings and events recorded.
    pub recorded: u64,
    /// Readings and events written to a connection; those sent again are counted again.
    pub sent: u64,
    /// Readings and events known to be safe.
    pub acknowledged: u64,
    /// Readings and events that the cloud refused by name.
    pub refused: u64,
    /// Readings and events given up after a second `bad-frame`.
    pub given_up: u64,
    /// Welcomes.
    pub welcomes: u64,
    /// Connections that failed or ended.
    pub disconnects: u64,
    /// `bad-frame`s heard.
    pub bad_frames: u64,
    /// `stale-seq`s heard.
    pub stale: u64,
    /// Commands received, each time they came.
    pub commands: u64,
    /// Readings and events held now.
    pub held: u64,
    /// Of those, how many are on their way.
    pub in_flight: u64,
}
