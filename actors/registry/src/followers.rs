//! Who is told when the web data changes. The `Registrar` starts before those who follow it, so they
//! are added later, by the composition; they stay over the `Registrar`'s restarts.
//!
//! Facts of one kind of thing reach a follower in the order in which they happened, also when its
//! mailbox was full for a while: a job that was changed and then deleted stays deleted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::Message;
use futures_util::future::join_all;
use memcloud_domain::messages::{
    CutHem, HemChanged, HemRemoved, JobChanged, JobRemoved, MicrogridChanged, MicrogridRemoved,
};
use memcloud_supervision::{AskError, Port, TellError};
use uuid::Uuid;

/// Something that changed.
#[derive(Debug, Clone)]
pub enum Fact {
    /// A HEM's key is no longer good.
    CutHem(CutHem),
    /// A microgrid was made or changed.
    MicrogridChanged(MicrogridChanged),
    /// A microgrid was deleted.
    MicrogridRemoved(MicrogridRemoved),
    /// A HEM was made or changed.
    HemChanged(HemChanged),
    /// A HEM was deleted.
    HemRemoved(HemRemoved),
    /// A job was made or changed.
    JobChanged(JobChanged),
    /// A job was deleted.
    JobRemoved(JobRemoved),
    /// An API token was revoked; the `Registrar` itself follows this.
    ApiTokenRevoked(Uuid),
}

/// Facts that wait to be told; one lane per kind of thing, so that who is slow with jobs does not
/// delay the cutting of sockets.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Fact>,
    /// Whether a task is telling them.
    is_told: bool,
}

/// So many facts wait in a lane while a follower does not read; beyond that the oldest is lost, aloud.
const LONGEST_LANE: usize = 10_000;

#[derive(Debug, Default)]
struct Ledger {
    sockets: Lane,
    microgrids: Lane,
    hems: Lane,
    jobs: Lane,
    cut_hem: Vec<Port<CutHem>>,
    microgrid_changed: Vec<Port<MicrogridChanged>>,
    microgrid_removed: Vec<Port<MicrogridRemoved>>,
    hem_changed: Vec<Port<HemChanged>>,
    hem_removed: Vec<Port<HemRemoved>>,
    job_changed: Vec<Port<JobChanged>>,
    job_removed: Vec<Port<JobRemoved>>,
}

#[derive(Debug, Clone, Copy)]
enum Topic {
    Sockets,
    Microgrids,
    Hems,
    Jobs,
}

impl Fact {
    fn topic(&self) -> Option<Topic> {
        match self {
            Self::CutHem(_) => Some(Topic::Sockets),
            Self::MicrogridChanged(_) | Self::MicrogridRemoved(_) => Some(Topic::Microgrids),
            Self::HemChanged(_) | Self::HemRemoved(_) => Some(Topic::Hems),
            Self::JobChanged(_) | Self::JobRemoved(_) => Some(Topic::Jobs),
            Self::ApiTokenRevoked(_) => None,
        }
    }
}

impl Ledger {
    fn lane(&mut self, topic: Topic) -> &mut Lane {
        match topic {
            Topic::Sockets => &mut self.sockets,
            Topic::Microgrids => &mut self.microgrids,
            Topic::Hems => &mut self.hems,
            Topic::Jobs => &mut self.jobs,
        }
    }
}

/// Who is told. Clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Followers(Arc<Mutex<Ledger>>);

macro_rules! follow {
    ($($(#[$doc:meta])* $list:ident: $message:ty;)*) => {
        $(
            $(#[$doc])*
            pub fn $list(&self, port: Port<$message>) -> &Self {
                self.ledger().$list.push(port);
                self
            }
        )*
    };
}

impl Followers {
    follow! {
        /// Adds who cuts sockets: the `SocketTable`.
        cut_hem: CutHem;
        /// Adds who follows microgrids.
        microgrid_changed: MicrogridChanged;
        /// Adds who follows the deletion of microgrids.
        microgrid_removed: MicrogridRemoved;
        /// Adds who follows HEMs.
        hem_changed: HemChanged;
        /// Adds who follows the deletion of HEMs.
        hem_removed: HemRemoved;
        /// Adds who follows jobs.
        job_changed: JobChanged;
        /// Adds who follows the deletion of jobs.
        job_removed: JobRemoved;
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has everyone told whom it concerns, by a task of its own. Runs on an arbiter.
    pub(crate) fn tell(&self, fact: Fact) {
        let Some(topic) = fact.topic() else { return };
        let mut ledger = self.ledger();
        let lane = ledger.lane(topic);
        lane.waiting.push_back(fact);
        if lane.waiting.len() > LONGEST_LANE {
            lane.waiting.pop_front();
            log::error!("{topic:?}: a follower of the registry does not read: a change is lost");
        }
        if !lane.is_told {
            lane.is_told = true;
            actix::spawn(self.clone().tell_all(topic));
        }
    }

    async fn tell_all(self, topic: Topic) {
        loop {
            let fact = {
                let mut ledger = self.ledger();
                let lane = ledger.lane(topic);
                let fact = lane.waiting.pop_front();
                lane.is_told = fact.is_some();
                fact
            };
            let Some(fact) = fact else { return };
            self.tell_one(fact).await;
        }
    }

    async fn tell_one(&self, fact: Fact) {
        match fact {
            Fact::CutHem(message) => {
                let ports = self.ledger().cut_hem.clone();
                surely(ports, message).await;
            }
            Fact::MicrogridChanged(message) => perhaps(&self.ledger().microgrid_changed, &message),
            Fact::MicrogridRemoved(message) => {
                let ports = self.ledger().microgrid_removed.clone();
                surely(ports, message).await;
            }
            Fact::HemChanged(message) => perhaps(&self.ledger().hem_changed, &message),
            Fact::HemRemoved(message) => {
                let ports = self.ledger().hem_removed.clone();
                surely(ports, message).await;
            }
            Fact::JobChanged(message) => {
                let ports = self.ledger().job_changed.clone();
                surely(ports, message).await;
            }
            Fact::JobRemoved(message) => {
                let ports = self.ledger().job_removed.clone();
                surely(ports, message).await;
            }
            Fact::ApiTokenRevoked(_) => {}
        }
    }
}

/// Tells followers who can bear to miss it.
fn perhaps<M>(ports: &[Port<M>], message: &M)
where
    M: Message<Result = ()> + Clone + Send + 'static,
{
    for port in ports {
        if let Err(TellError::Full(_)) = port.tell(message.clone()) {
            log::debug!("a follower of the registry is busy and missed a change");
        }
    }
}

/// Tells followers who must not miss it, however long that takes.
async fn surely<M>(ports: Vec<Port<M>>, message: M)
where
    M: Message<Result = ()> + Clone + Send + 'static,
{
    join_all(ports.into_iter().map(|port| insist(port, message.clone()))).await;
}

/// Asks until the message is taken. What may have been taken already is sent again: all these facts
/// bear being said twice.
async fn insist<M>(port: Port<M>, message: M)
where
    M: Message<Result = ()> + Clone + Send + 'static,
{
    if !matches!(port.tell(message.clone()), Err(TellError::Full(_))) {
        return;
    }
    loop {
        match port.ask(message.clone(), Duration::from_secs(5)).await {
            Ok(()) | Err(AskError::Stopped) => return,
            Err(AskError::Restarting | AskError::TimedOut | AskError::Lost) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
