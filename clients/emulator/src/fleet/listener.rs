//! What a HEM does with what it hears from the cloud.

use std::sync::{Arc, OnceLock, PoisonError, Weak};

use memcloud_domain::HemId;
use memcloud_sdk::hem::{CommandReply, EndedLease, HemHandler, Notice};
use memcloud_wire::{Command, Outcome};

use super::Tally;
use super::emulated_hem::EmulatedHem;

/// Passes commands on to its home, and counts what happens to the connection.
pub(super) struct Listener {
    pub(super) id: HemId,
    pub(super) tally: Arc<Tally>,
    /// Set once the home is made; the connection begins after that.
    pub(super) hem: Arc<OnceLock<Weak<EmulatedHem>>>,
}

impl Listener {
    fn hem(&self) -> Option<Arc<EmulatedHem>> {
        self.hem.get().and_then(Weak::upgrade)
    }
}

impl HemHandler for Listener {
    fn command(&self, command: &Command) -> CommandReply {
        match self.hem() {
            Some(hem) => hem.obey(command),
            None => CommandReply::Now(Outcome::Failed, Some("the home is shut down".to_owned())),
        }
    }

    fn lease_ended(&self, _: &EndedLease) {
        // The home's nodes fall back by themselves; only the sampling has to be told.
        if let Some(hem) = self.hem() {
            hem.look_at_interval();
        }
    }

    fn notice(&self, notice: Notice<'_>) {
        match notice {
            Notice::Disconnected { reason, code, .. } => {
                let name = code.map_or("lost", |code| code.as_str());
                let mut counted =
                    self.tally.disconnects.lock().unwrap_or_else(PoisonError::into_inner);
                *counted.entry(name.to_owned()).or_default() += 1;
                log::debug!(hem = self.id.as_str(), code = name; "disconnected: {reason}");
            }
            Notice::Refused(refused) => {
                log::warn!(hem = self.id.as_str(), seq = refused.seq.0;
                    "a reading was refused: {}", refused.text);
            }
            _ => {}
        }
    }
}
