//! Takes commands to the process that has the HEM's socket, be it this one or another. Where the HEM has
//! been heard to be connected is where they go; what arrives nowhere is sent again by the ledger.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, ResponseFuture};
use memcloud_bus::{Audience, CloudBus, Note, Says};
use memcloud_domain::messages::{
    HemConnected, HemDisconnected, NotConnected, ProcessesChanged, SendCommands,
};
use memcloud_domain::{Epoch, HemId, ProcessId};
use memcloud_supervision::{Child, ChildSpec, Observe, Port, RestartPolicy, Scope, supervised};
use serde_json::json;

use crate::ClusterMetrics;

/// Of so many HEMs at other processes is remembered where they are.
const HEMS: usize = 1_000_000;
/// How long the table of sockets here may take.
const SOCKETS: Duration = Duration::from_secs(10);

/// What a `CommandSender` is made of.
#[derive(Clone)]
struct Parts {
    here: ProcessId,
    bus: CloudBus,
    sockets: Port<SendCommands>,
    metrics: Arc<ClusterMetrics>,
}

/// Takes commands to the process that has the HEM's socket.
pub struct CommandSender {
    parts: Parts,
    elsewhere: HashMap<HemId, (ProcessId, Epoch)>,
}

impl CommandSender {
    /// So many messages may wait for it.
    pub const MAILBOX: usize = 8_192;

    /// Starts it below a scope, named `command-sender`; `sockets` is the table of this process's own.
    pub fn start(
        scope: &Scope,
        here: ProcessId,
        bus: CloudBus,
        sockets: Port<SendCommands>,
        metrics: Arc<ClusterMetrics>,
    ) -> Child<Self> {
        let spec = ChildSpec::new("command-sender")
            .policy(RestartPolicy::permanent())
            .mailbox(Self::MAILBOX);
        let parts = Parts { here, bus, sockets, metrics };
        scope.supervise(spec, move |_| Self { parts: parts.clone(), elsewhere: HashMap::new() })
    }
}

impl Actor for CommandSender {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        // Also after a crash, in which it has forgotten where HEMs are.
        let ask = Note { from: self.parts.here.clone(), says: Says::WhoIsConnected };
        self.parts.bus.notes.publish(&Audience::All.key(), ask);
    }
}

impl Observe for CommandSender {
    fn observe(&self) -> serde_json::Value {
        json!({
            "hems_elsewhere": self.elsewhere.len(),
            "passed_on": self.parts.metrics.passed_commands.get(),
        })
    }
}

supervised!(CommandSender);

impl Handler<SendCommands> for CommandSender {
    type Result = ResponseFuture<Result<(), NotConnected>>;

    fn handle(&mut self, send: SendCommands, _: &mut Context<Self>) -> Self::Result {
        let elsewhere = self.elsewhere.get(&send.hem).map(|(process, _)| process.clone());
        let parts = self.parts.clone();
        Box::pin(async move {
            // Who has a socket here is here, whatever was heard of it: it may just have come.
            let here = parts.sockets.ask(send.clone(), SOCKETS).await.unwrap_or(Err(NotConnected));
            let Some(process) = elsewhere.filter(|_| here.is_err()) else { return here };
            // Nothing at all only asks whether it is connected.
            if !send.commands.is_empty() {
                parts.metrics.passed_commands.add(send.commands.len());
                let note = Note { from: parts.here.clone(), says: Says::Send(send) };
                parts.bus.notes.publish(&Audience::Process(process).key(), note);
            }
            Ok(())
        })
    }
}

impl Handler<HemConnected> for CommandSender {
    type Result = ();

    fn handle(&mut self, fact: HemConnected, _: &mut Context<Self>) {
        let known = self.elsewhere.get(&fact.hem).map(|(_, epoch)| *epoch);
        if known.is_some_and(|known| known > fact.epoch) {
            return;
        }
        match fact.process {
            Some(process) if process != self.parts.here => {
                if known.is_some() || self.elsewhere.len() < HEMS {
                    self.elsewhere.insert(fact.hem, (process, fact.epoch));
                }
            }
            _ => {
                self.elsewhere.remove(&fact.hem);
            }
        }
    }
}

impl Handler<HemDisconnected> for CommandSender {
    type Result = ();

    fn handle(&mut self, fact: HemDisconnected, _: &mut Context<Self>) {
        if self.elsewhere.get(&fact.hem).is_some_and(|(_, epoch)| *epoch <= fact.epoch) {
            self.elsewhere.remove(&fact.hem);
        }
    }
}

impl Handler<ProcessesChanged> for CommandSender {
    type Result = ();

    fn handle(&mut self, changed: ProcessesChanged, _: &mut Context<Self>) {
        self.elsewhere.retain(|_, (process, _)| changed.live.contains(process));
    }
}
