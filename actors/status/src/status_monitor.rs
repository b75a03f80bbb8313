//! The actor that keeps every HEM's status.

use actix::prelude::*;
use memcloud_domain::messages::{GetLatestReading, HemStatusChanged};
use memcloud_supervision::{Observe, Port, Scope, supervised};

use crate::StatusSettings;

/// Keeps every HEM's status for REST and MEMWeb.
///
/// It consumes `HemConnected`, `HemDisconnected`, `HemHeard`, `LatestSeen`, `ReadingsCommitted` and
/// `HemRemoved`, and answers the questions of [`crate::messages`].
pub struct StatusMonitor {
    _scope: Scope,
    _settings: StatusSettings,
    _historian: Port<GetLatestReading>,
    _told: Vec<Port<HemStatusChanged>>,
}

impl StatusMonitor {
    /// Makes one that knows no HEM yet. `historian` answers with the newest values of a HEM when it is
    /// first heard of; `told` are those that are told of status changes.
    #[must_use]
    pub fn new(
        scope: Scope,
        settings: StatusSettings,
        historian: Port<GetLatestReading>,
        told: Vec<Port<HemStatusChanged>>,
    ) -> Self {
        Self { _scope: scope, _settings: settings, _historian: historian, _told: told }
    }
}

impl Actor for StatusMonitor {
    type Context = Context<Self>;
}

impl Observe for StatusMonitor {}

supervised!(StatusMonitor);
