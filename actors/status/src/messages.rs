//! What the `StatusMonitor` can be asked. The facts that it consumes are in `memcloud_domain::messages`.

use std::sync::Arc;

use actix::Message;
use memcloud_domain::{HemId, HemStatus, MicrogridId, PowerTotals};
use serde::Serialize;

/// REST asks the `StatusMonitor` how a HEM stands. Nothing where it was never heard of since the cloud
/// started, or was forgotten.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<Arc<HemStatus>>")]
pub struct GetHemStatus {
    /// Which HEM.
    pub hem: HemId,
}

/// REST asks the `StatusMonitor` for a page of statuses, ascending by HEM. HEMs that it does not know
/// are left out.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "StatusPage")]
pub struct ListHemStatuses {
    /// Only of this microgrid.
    pub microgrid: Option<MicrogridId>,
    /// Only of these HEMs.
    pub hems: Option<Vec<HemId>>,
    /// Beyond this HEM.
    pub after: Option<HemId>,
    /// At most so many; never more than 1,000.
    pub limit: usize,
}

/// A page of statuses.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StatusPage {
    /// The statuses, ascending by HEM.
    pub items: Vec<Arc<HemStatus>>,
    /// What to pass as `after` for the next page; absent on the last.
    pub next: Option<HemId>,
}

/// REST asks the `StatusMonitor` how a microgrid stands. One that it knows no HEM of is answered with
/// zeros.
#[derive(Debug, Clone, Message)]
#[rtype(result = "MicrogridStatus")]
pub struct GetMicrogridStatus {
    /// Which microgrid.
    pub microgrid: MicrogridId,
}

/// REST asks the `StatusMonitor` how several microgrids stand, answered in the order asked for.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Vec<MicrogridStatus>")]
pub struct ListMicrogridStatuses {
    /// Which microgrids.
    pub microgrids: Vec<MicrogridId>,
}

/// How a microgrid stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MicrogridStatus {
    /// Which microgrid.
    pub microgrid: MicrogridId,
    /// Power over all its *active* HEMs: what a silent home last said is in no total.
    pub totals: PowerTotals,
    /// HEMs with an open socket.
    pub online: usize,
    /// HEMs of which a reading has arrived within the active window.
    pub active: usize,
    /// HEMs heard of since the cloud started.
    pub known: usize,
}

/// REST tells the `StatusMonitor` to drop what it knows of a HEM, which was deleted. If it is heard
/// again, it is known again.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ForgetHem {
    /// Which HEM.
    pub hem: HemId,
}
