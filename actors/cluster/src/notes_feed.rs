//! Takes in what other processes say: notes for this process and for all, and the facts of HEMs that are
//! connected elsewhere. What this process said itself it knows already.

use actix::{Actor, AsyncContext, Context, StreamHandler};
use memcloud_bus::{Audience, CloudBus, CloudEvent, Delivery, Note, Pattern, Says};
use memcloud_domain::ProcessId;
use memcloud_domain::messages::{
    CommandAnswered, CutHem, HemChanged, HemConnected, HemDisconnected, HemHeard, HemRemoved,
    JobChanged, JobRemoved, LatestSeen, MicrogridChanged, MicrogridRemoved, SendCommands,
};
use memcloud_supervision::{Child, ChildSpec, Observe, Port, RestartPolicy, Scope, supervised};
use serde_json::json;

use crate::presence::SayWhoIsConnected;

/// So many notes, and so many facts, may wait.
const QUEUE: usize = 8_192;

/// Who is told what other processes say. None of it is waited for, and all of it may be lost.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each port is documented by its message")]
pub struct NotePorts {
    pub connected: Vec<Port<HemConnected>>,
    pub disconnected: Vec<Port<HemDisconnected>>,
    pub heard: Vec<Port<HemHeard>>,
    pub latest: Vec<Port<LatestSeen>>,
    pub send: Port<SendCommands>,
    pub answered: Port<CommandAnswered>,
    pub who_is_connected: Port<SayWhoIsConnected>,
    pub cut_hem: Port<CutHem>,
    pub hem_changed: Vec<Port<HemChanged>>,
    pub hem_removed: Vec<Port<HemRemoved>>,
    pub microgrid_changed: Vec<Port<MicrogridChanged>>,
    pub microgrid_removed: Vec<Port<MicrogridRemoved>>,
    pub job_changed: Vec<Port<JobChanged>>,
    pub job_removed: Vec<Port<JobRemoved>>,
}

/// Takes in what other processes say.
pub struct NotesFeed {
    here: ProcessId,
    bus: CloudBus,
    ports: NotePorts,
    lost: u64,
}

impl NotesFeed {
    /// Starts it below a scope, named `notes-feed`.
    pub fn start(scope: &Scope, here: ProcessId, bus: CloudBus, ports: NotePorts) -> Child<Self> {
        let spec = ChildSpec::new("notes-feed").policy(RestartPolicy::permanent());
        scope.supervise(spec, move |_| Self {
            here: here.clone(),
            bus: bus.clone(),
            ports: ports.clone(),
            lost: 0,
        })
    }

    fn tell<M>(&mut self, ports: &[Port<M>], message: M)
    where
        M: actix::Message<Result: Send> + Clone + Send + 'static,
    {
        self.lost += ports.iter().filter(|port| port.tell(message.clone()).is_err()).count() as u64;
    }

    fn take(&mut self, says: Says) {
        let ports = self.ports.clone();
        match says {
            Says::WhoIsConnected => self.tell(&[ports.who_is_connected], SayWhoIsConnected),
            Says::Send(send) => self.tell(&[ports.send], send),
            Says::Answered(answered) => self.tell(&[ports.answered], answered),
            Says::CutHem(cut) => self.tell(&[ports.cut_hem], cut),
            Says::HemChanged(fact) => self.tell(&ports.hem_changed, fact),
            Says::HemRemoved(fact) => self.tell(&ports.hem_removed, fact),
            Says::MicrogridChanged(fact) => self.tell(&ports.microgrid_changed, fact),
            Says::MicrogridRemoved(fact) => self.tell(&ports.microgrid_removed, fact),
            Says::JobChanged(fact) => self.tell(&ports.job_changed, fact),
            Says::JobRemoved(fact) => self.tell(&ports.job_removed, fact),
            // Of a later version, which says something that this one need not know.
            _ => {}
        }
    }
}

impl Actor for NotesFeed {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        for audience in [Audience::All, Audience::Process(self.here.clone())] {
            match audience.pattern() {
                Ok(pattern) => {
                    context.add_stream(self.bus.notes.bind(&pattern, QUEUE));
                }
                Err(error) => log::error!("notes of other processes cannot be taken in: {error}"),
            }
        }
        context.add_stream(self.bus.events.bind(&Pattern::all(), QUEUE));
        let ask = Note { from: self.here.clone(), says: Says::WhoIsConnected };
        self.bus.notes.publish(&Audience::All.key(), ask);
    }
}

impl Observe for NotesFeed {
    fn observe(&self) -> serde_json::Value {
        json!({ "lost": self.lost })
    }
}

supervised!(NotesFeed);

impl StreamHandler<Delivery<Note>> for NotesFeed {
    fn handle(&mut self, delivery: Delivery<Note>, _: &mut Context<Self>) {
        self.lost += delivery.lost_before;
        let Note { from, says } = delivery.message;
        if from != self.here {
            self.take(says);
        }
    }

    // The other streams go on; all end with the bus.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl StreamHandler<Delivery<CloudEvent>> for NotesFeed {
    fn handle(&mut self, delivery: Delivery<CloudEvent>, _: &mut Context<Self>) {
        self.lost += delivery.lost_before;
        let ports = self.ports.clone();
        match delivery.message {
            CloudEvent::HemConnected(fact) if fact.process.as_ref() != Some(&self.here) => {
                self.tell(&ports.connected, fact);
            }
            // Of this process's own HEMs these are known already, and change nothing when heard again.
            CloudEvent::HemDisconnected(fact) => self.tell(&ports.disconnected, fact),
            CloudEvent::HemHeard(fact) => self.tell(&ports.heard, fact),
            CloudEvent::LatestSeen(fact) => self.tell(&ports.latest, fact),
            _ => {}
        }
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}
