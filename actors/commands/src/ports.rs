//! Whom the `CommandProcessor` asks and tells. Dispatch and sockets are told of the processor, and the
//! processor of them: so these are added after it was started, by the composition. They stay over its
//! restarts. What has no listener yet is not lost: it is offered, or sent, again.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use actix::Message;
use memcloud_domain::messages::{
    CommandChanged, DispatchCommand, GetRoster, ReadEntriesAfter, SendCommands,
};
use memcloud_supervision::Port;

#[derive(Debug, Default)]
struct Slots {
    dispatch: OnceLock<Port<DispatchCommand>>,
    send: OnceLock<Port<SendCommands>>,
    entries: OnceLock<Port<ReadEntriesAfter>>,
    roster: OnceLock<Port<GetRoster>>,
    changed: RwLock<Vec<Port<CommandChanged>>>,
}

/// Whom the `CommandProcessor` asks and tells. Clones share the ports.
#[derive(Debug, Clone, Default)]
pub struct CommandPorts(Arc<Slots>);

macro_rules! slots {
    ($($(#[$doc:meta])* $slot:ident / $get:ident: $message:ty;)*) => {
        $(
            $(#[$doc])*
            ///
            /// Once; a second one is ignored, aloud.
            pub fn $slot(&self, port: Port<$message>) -> &Self {
                set(&self.0.$slot, port, stringify!($slot));
                self
            }

            pub(crate) fn $get(&self) -> Option<&Port<$message>> {
                self.0.$slot.get()
            }
        )*
    };
}

fn set<M>(slot: &OnceLock<Port<M>>, port: Port<M>, name: &'static str)
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    if slot.set(port).is_err() {
        log::error!(port = name; "a port of the command processor was given twice; the first one stays");
    }
}

impl CommandPorts {
    slots! {
        /// Sets who decides on commands: the `ChiefMicrogridOperator`.
        dispatch / to_dispatch: DispatchCommand;
        /// Sets who sends: the `SocketTable`.
        send / to_send: SendCommands;
        /// Sets who knows what was stored: the `Historian`.
        entries / to_entries: ReadEntriesAfter;
        /// Sets who knows the nodes: the `Registrar`.
        roster / to_roster: GetRoster;
    }

    /// Adds who hears of every transition: the bus's `Publisher`.
    pub fn changed(&self, port: Port<CommandChanged>) -> &Self {
        self.0.changed.write().unwrap_or_else(PoisonError::into_inner).push(port);
        self
    }

    pub(crate) fn tell_changed(&self, change: &CommandChanged) -> usize {
        let listeners = self.0.changed.read().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().filter(|listener| listener.tell(change.clone()).is_err()).count()
    }
}
