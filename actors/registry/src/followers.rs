//! Who is told when the web data changes. The `Registrar` starts before those who follow it, so they
//! are added later, by the composition; they stay over the `Registrar`'s restarts.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix::Message;
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

#[derive(Debug, Default)]
struct Lists {
    cut_hem: Vec<Port<CutHem>>,
    microgrid_changed: Vec<Port<MicrogridChanged>>,
    microgrid_removed: Vec<Port<MicrogridRemoved>>,
    hem_changed: Vec<Port<HemChanged>>,
    hem_removed: Vec<Port<HemRemoved>>,
    job_changed: Vec<Port<JobChanged>>,
    job_removed: Vec<Port<JobRemoved>>,
}

/// Who is told. Clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Followers(Arc<RwLock<Lists>>);

macro_rules! follow {
    ($($(#[$doc:meta])* $method:ident: $list:ident, $message:ty;)*) => {
        $(
            $(#[$doc])*
            pub fn $method(&self, port: Port<$message>) -> &Self {
                self.0.write().unwrap_or_else(PoisonError::into_inner).$list.push(port);
                self
            }
        )*
    };
}

impl Followers {
    follow! {
        /// Adds who cuts sockets: the `SocketTable`.
        cut_hem: cut_hem, CutHem;
        /// Adds who follows microgrids.
        microgrid_changed: microgrid_changed, MicrogridChanged;
        /// Adds who follows the deletion of microgrids.
        microgrid_removed: microgrid_removed, MicrogridRemoved;
        /// Adds who follows HEMs.
        hem_changed: hem_changed, HemChanged;
        /// Adds who follows the deletion of HEMs.
        hem_removed: hem_removed, HemRemoved;
        /// Adds who follows jobs.
        job_changed: job_changed, JobChanged;
        /// Adds who follows the deletion of jobs.
        job_removed: job_removed, JobRemoved;
    }

    /// Tells everyone whom it concerns. Never waits; what must not be lost is sent again from a task
    /// of its own while the follower's mailbox is full. Runs on an arbiter.
    pub(crate) fn tell(&self, fact: Fact) {
        let lists = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match fact {
            Fact::CutHem(message) => surely(&lists.cut_hem, &message),
            Fact::MicrogridChanged(message) => perhaps(&lists.microgrid_changed, &message),
            Fact::MicrogridRemoved(message) => surely(&lists.microgrid_removed, &message),
            Fact::HemChanged(message) => perhaps(&lists.hem_changed, &message),
            Fact::HemRemoved(message) => surely(&lists.hem_removed, &message),
            Fact::JobChanged(message) => surely(&lists.job_changed, &message),
            Fact::JobRemoved(message) => surely(&lists.job_removed, &message),
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

/// Tells followers who must not miss it.
fn surely<M>(ports: &[Port<M>], message: &M)
where
    M: Message<Result = ()> + Clone + Send + 'static,
{
    for port in ports {
        if let Err(TellError::Full(refused)) = port.tell(message.clone()) {
            actix::spawn(insist(port.clone(), refused));
        }
    }
}

/// Asks until the message is taken. What may have been taken already is sent again: all these facts
/// bear being said twice.
async fn insist<M>(port: Port<M>, message: M)
where
    M: Message<Result = ()> + Clone + Send + 'static,
{
    loop {
        match port.ask(message.clone(), Duration::from_secs(5)).await {
            Ok(()) | Err(AskError::Stopped) => return,
            Err(AskError::Restarting | AskError::TimedOut | AskError::Lost) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
