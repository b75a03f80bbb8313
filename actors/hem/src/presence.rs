//! A HEM's being here, as guards: what is taken up when it comes is given back, and told, when the
//! guard is dropped, be it after a goodbye, a broken line or a crash.

use std::sync::Arc;

use memcloud_domain::messages::{CloseSession, HemConnected, HemDisconnected};
use memcloud_domain::{Epoch, HemId, MicrogridId, Timestamp};

use crate::shared::Shared;
use crate::socket_table::ReleaseHem;

/// A welcomed HEM. Others are told when it comes and when it goes.
pub(crate) struct Presence {
    shared: Arc<Shared>,
    hem: HemId,
    microgrid: MicrogridId,
    epoch: Epoch,
    reason: &'static str,
}

impl Presence {
    pub(crate) fn begin(shared: Arc<Shared>, connected: &HemConnected) -> Self {
        shared.metrics().online.add(1);
        shared.tell_all(&shared.ports.connected, connected);
        Self {
            hem: connected.hem.clone(),
            microgrid: connected.microgrid.clone(),
            epoch: connected.epoch,
            reason: "failed",
            shared,
        }
    }

    /// Ends it, for a reason that others are told.
    pub(crate) fn end(mut self, reason: &'static str) {
        self.reason = reason;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.metrics().online.subtract(1);
        let close = CloseSession { hem: self.hem.clone(), epoch: self.epoch };
        if shared.ports.close_session.tell(close).is_err() {
            shared.metrics().facts_lost.increment();
        }
        let disconnected = HemDisconnected {
            hem: self.hem.clone(),
            microgrid: self.microgrid.clone(),
            epoch: self.epoch,
            at: Timestamp(shared.clock.unix_ms()),
            reason: self.reason.to_owned(),
        };
        shared.tell_all_surely(&shared.ports.disconnected, &disconnected);
        log::debug!(
            "hem.id" = self.hem.as_str(), reason = self.reason;
            "a HEM is offline"
        );
    }
}

/// A HEM that was claimed in the table of sockets.
pub(crate) struct ClaimedHem {
    pub(crate) shared: Arc<Shared>,
    pub(crate) hem: HemId,
    pub(crate) connection: u64,
}

impl Drop for ClaimedHem {
    fn drop(&mut self) {
        // The table sweeps for those that it had no room for.
        let release = ReleaseHem { hem: self.hem.clone(), connection: self.connection };
        let _ = self.shared.release.tell(release);
    }
}
