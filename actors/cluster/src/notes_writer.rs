//! Says what other processes should know: that a HEM answered a command which another process ordered,
//! and what changed in the web data.

use std::collections::BTreeSet;

use actix::{Actor, Context, Handler};
use memcloud_bus::{Audience, CloudBus, Note, Says};
use memcloud_domain::messages::{
    CommandAnswered, CutHem, HemChanged, HemRemoved, JobChanged, JobRemoved, LeaveMicrogrid,
    MicrogridChanged, MicrogridRemoved, MicrogridTaken,
};
use memcloud_domain::{MicrogridId, ProcessId};
use memcloud_supervision::{Child, ChildSpec, Observe, Port, RestartPolicy, Scope, supervised};
use serde_json::json;

/// Says what other processes should know.
pub struct NotesWriter {
    here: ProcessId,
    bus: CloudBus,
    ledger: Port<CommandAnswered>,
    /// Microgrids that this process runs: what HEMs answer there concerns nobody else.
    held: BTreeSet<MicrogridId>,
    untaken: u64,
}

impl NotesWriter {
    /// So many messages may wait for it.
    pub const MAILBOX: usize = 8_192;

    /// Starts it below a scope, named `notes-writer`; `ledger` is this process's own.
    pub fn start(
        scope: &Scope,
        here: ProcessId,
        bus: CloudBus,
        ledger: Port<CommandAnswered>,
    ) -> Child<Self> {
        let spec = ChildSpec::new("notes-writer")
            .policy(RestartPolicy::permanent())
            .mailbox(Self::MAILBOX);
        scope.supervise(spec, move |_| Self {
            here: here.clone(),
            bus: bus.clone(),
            ledger: ledger.clone(),
            held: BTreeSet::new(),
            untaken: 0,
        })
    }

    fn say(&self, says: Says) {
        self.bus.notes.publish(&Audience::All.key(), Note { from: self.here.clone(), says });
    }
}

impl Actor for NotesWriter {
    type Context = Context<Self>;
}

impl Observe for NotesWriter {
    fn observe(&self) -> serde_json::Value {
        json!({ "answers_not_taken": self.untaken })
    }
}

supervised!(NotesWriter);

impl Handler<CommandAnswered> for NotesWriter {
    type Result = ();

    fn handle(&mut self, answered: CommandAnswered, _: &mut Context<Self>) {
        if !self.held.contains(&answered.microgrid) {
            self.say(Says::Answered(answered.clone()));
        }
        // Also where it is not held, as far as is known here: whoever does not run it passes it over.
        if self.ledger.tell(answered).is_err() {
            // It is asked for again.
            self.untaken += 1;
        }
    }
}

impl Handler<MicrogridTaken> for NotesWriter {
    type Result = ();

    fn handle(&mut self, taken: MicrogridTaken, _: &mut Context<Self>) {
        self.held.insert(taken.tenure.microgrid);
    }
}

impl Handler<LeaveMicrogrid> for NotesWriter {
    type Result = ();

    fn handle(&mut self, leave: LeaveMicrogrid, _: &mut Context<Self>) {
        self.held.remove(&leave.microgrid);
    }
}

macro_rules! say {
    ($($fact:ident),*) => {$(
        impl Handler<$fact> for NotesWriter {
            type Result = ();

            fn handle(&mut self, fact: $fact, _: &mut Context<Self>) {
                self.say(Says::$fact(fact));
            }
        }
    )*};
}
say!(CutHem, HemChanged, HemRemoved, MicrogridChanged, MicrogridRemoved, JobChanged, JobRemoved);
