//! What is asked of the operator itself. What concerns one microgrid's jobs are `memcloud_microgrid`'s
//! messages, which the operator passes on.

use actix::Message;
use memcloud_domain::MicrogridId;
use memcloud_supervision::ActorState;

/// REST asks the `ChiefMicrogridOperator` which microgrids it runs.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<SupervisorStanding>")]
pub struct ListMicrogridSupervisors;

/// A microgrid's supervisor, as its operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorStanding {
    /// Which microgrid.
    pub microgrid: MicrogridId,
    /// How its supervisor stands.
    pub state: ActorState,
}

/// Whoever deletes a microgrid has the `ChiefMicrogridOperator` stop its supervisor and its jobs, saved
/// as far as they came. Answered when all have stopped.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RemoveMicrogrid {
    /// Which microgrid.
    pub microgrid: MicrogridId,
}
