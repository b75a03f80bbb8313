//! What a supervisor knows of its homes: it asks for the roster, and changes it by what it hears.

use std::sync::Arc;

use actix::fut::wrap_future;
use actix::{ActorFutureExt, AsyncContext, Context};
use memcloud_domain::messages::{GetRoster, ReadingsCommitted};
use memcloud_domain::{HemId, NodeDeclaration};
use memcloud_worker::Roster;

use crate::MicrogridSupervisor;
use crate::microgrid_supervisor::flatten;

impl MicrogridSupervisor {
    pub(crate) fn ask_roster(&mut self, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.asking_roster, true) {
            return;
        }
        let port = self.assembly.ports.roster.clone();
        let ask = GetRoster { microgrid: self.assembly.microgrid.clone() };
        let deadline = self.assembly.limits.ask_deadline;
        let asking = async move { flatten(port.ask(ask, deadline).await) };
        context.spawn(wrap_future(asking).map(|answer, supervisor: &mut Self, _| {
            supervisor.asking_roster = false;
            let microgrid = &supervisor.assembly.microgrid;
            let pause = match answer {
                Ok(Some(roster)) => {
                    supervisor.put_roster(Roster::from(roster));
                    supervisor.assembly.limits.refresh_every
                }
                Ok(None) => {
                    log::warn!(microgrid = microgrid.as_str(); "the web store does not know this microgrid, so its jobs wait");
                    supervisor.assembly.limits.refresh_every
                }
                Err(reason) => {
                    log::warn!(microgrid = microgrid.as_str(), reason = reason.as_str(); "the microgrid's homes cannot be read now");
                    Self::RETRY
                }
            };
            supervisor.next_roster = supervisor.instant() + pause;
        }));
    }

    pub(crate) fn put_roster(&self, roster: Roster) {
        self.roster.send_if_modified(|known| {
            let is_new = known.as_deref() != Some(&roster);
            if is_new {
                *known = Some(Arc::new(roster));
            }
            is_new
        });
    }

    pub(crate) fn change_roster(&self, change: impl FnOnce(&Roster) -> Roster) {
        let known = self.roster.borrow().clone();
        if let Some(known) = known {
            self.put_roster(change(&known));
        }
    }

    pub(crate) fn home_declares(&self, hem: &HemId, nodes: &[NodeDeclaration]) {
        let knows = |roster: &Roster| roster.homes().get(hem).is_some_and(|known| known == nodes);
        if !self.roster.borrow().as_deref().is_some_and(knows) {
            self.change_roster(|roster| roster.with_home(hem, nodes));
        }
    }

    /// A HEM that sends and is not in the roster has come since it was read.
    pub(crate) fn look_for_strangers(&mut self, committed: &ReadingsCommitted) {
        let roster = self.roster.borrow().clone();
        let Some(roster) = roster else { return };
        if committed.batches.iter().any(|batch| !roster.has(&batch.hem)) {
            let soon = self.instant() + Self::TICK;
            self.next_roster = self.next_roster.min(soon);
        }
    }
}
