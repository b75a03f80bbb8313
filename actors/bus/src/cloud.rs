//! The two exchanges of the cloud: what was committed, and what happened.

use std::sync::Arc;

use memcloud_domain::MicrogridId;
use memcloud_domain::messages::{
    CommandChanged, HemConnected, HemDisconnected, HemHeard, HemStatusChanged, JobReported,
    LatestSeen, ReadingsCommitted,
};
use serde::{Deserialize, Serialize};

use crate::{Exchange, ExchangeKind, InProcessExchange, NOTES, Note};

/// The topic exchange of commits: key the microgrid's id, one message per commit and microgrid.
pub const READINGS: &str = "memcloud.readings";
/// The fanout exchange of facts.
pub const EVENTS: &str = "memcloud.events";
const STATUSES: &str = "memcloud.statuses";

/// A fact, as everyone who shows or watches the cloud is told it. May be lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CloudEvent {
    /// A HEM was welcomed.
    HemConnected(HemConnected),
    /// A HEM's connection is over.
    HemDisconnected(HemDisconnected),
    /// A HEM was heard although it stored nothing.
    HemHeard(HemHeard),
    /// A HEM's unnumbered newest values.
    LatestSeen(LatestSeen),
    /// A HEM stands differently.
    HemStatusChanged(HemStatusChanged),
    /// A job found something out, or stands differently.
    JobReported(JobReported),
    /// A command is in another state, and that is on disk.
    CommandChanged(CommandChanged),
}

impl CloudEvent {
    /// Whose it is.
    #[must_use]
    pub fn microgrid(&self) -> &MicrogridId {
        match self {
            Self::HemConnected(fact) => &fact.microgrid,
            Self::HemDisconnected(fact) => &fact.microgrid,
            Self::HemHeard(fact) => &fact.microgrid,
            Self::LatestSeen(fact) => &fact.microgrid,
            Self::HemStatusChanged(fact) => &fact.status.microgrid,
            Self::JobReported(fact) => &fact.microgrid,
            Self::CommandChanged(fact) => &fact.command.microgrid,
        }
    }
}

macro_rules! from_fact {
    ($($fact:ident),*) => {$(
        impl From<$fact> for CloudEvent {
            fn from(fact: $fact) -> Self {
                Self::$fact(fact)
            }
        }
    )*};
}
from_fact!(
    HemConnected,
    HemDisconnected,
    HemHeard,
    LatestSeen,
    HemStatusChanged,
    JobReported,
    CommandChanged
);

/// The cloud's exchanges, handed to whoever publishes or binds.
#[derive(Clone)]
pub struct CloudBus {
    /// What was committed; topic, key the microgrid's id.
    pub readings: Arc<dyn Exchange<ReadingsCommitted>>,
    /// What happened; fanout.
    pub events: Arc<dyn Exchange<CloudEvent>>,
    /// How HEMs stand, as this process's `StatusMonitor` says it; fanout, within the process. Every
    /// process of a cluster comes to the same by itself.
    pub statuses: Arc<dyn Exchange<CloudEvent>>,
    /// What processes say to each other; topic.
    pub notes: Arc<dyn Exchange<Note>>,
    /// Entries of a commit that one message carries; a larger commit is published in parts.
    pub entries_per_message: usize,
}

fn statuses() -> Arc<dyn Exchange<CloudEvent>> {
    Arc::new(InProcessExchange::new(STATUSES, ExchangeKind::Fanout))
}

impl CloudBus {
    /// All exchanges within this process.
    #[must_use]
    pub fn in_process() -> Self {
        Self {
            readings: Arc::new(InProcessExchange::new(READINGS, ExchangeKind::Topic)),
            events: Arc::new(InProcessExchange::new(EVENTS, ExchangeKind::Fanout)),
            statuses: statuses(),
            notes: Arc::new(InProcessExchange::new(NOTES, ExchangeKind::Topic)),
            entries_per_message: usize::MAX,
        }
    }

    /// The exchanges on a RabbitMQ, shared with every process that uses it.
    #[cfg(feature = "rabbitmq")]
    #[must_use]
    pub fn on_rabbitmq(broker: &crate::rabbitmq::RabbitMq) -> Self {
        // With 256 readings of 8 nodes a message has about 170 KB, so the outbox of commits holds
        // at most some 45 MB; facts are small, and come in bursts.
        const ENTRIES_PER_MESSAGE: usize = 256;
        const COMMITS: usize = 256;
        const FACTS: usize = 4_096;
        Self {
            readings: Arc::new(broker.exchange(READINGS, ExchangeKind::Topic, COMMITS)),
            events: Arc::new(broker.exchange(EVENTS, ExchangeKind::Fanout, FACTS)),
            statuses: statuses(),
            notes: Arc::new(broker.exchange(NOTES, ExchangeKind::Topic, FACTS)),
            entries_per_message: ENTRIES_PER_MESSAGE,
        }
    }

    /// Why nothing gets through at present, if that is so.
    #[must_use]
    pub fn away(&self) -> Option<String> {
        self.readings.away().or_else(|| self.events.away()).or_else(|| self.notes.away())
    }
}

impl std::fmt::Debug for CloudBus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CloudBus")
            .field("readings", &self.readings.figures())
            .field("events", &self.events.figures())
            .finish()
    }
}
