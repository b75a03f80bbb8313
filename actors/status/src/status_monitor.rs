//! The actor that keeps every HEM's status: it hands facts to the board, tells others what the board
//! says, and asks the historian and the registrar what it lacks.

use std::collections::VecDeque;
use std::time::Duration;

use actix::prelude::*;
use memcloud_domain::messages::{
    GetLatestReading, GetRoster, HemChanged, HemConnected, HemDisconnected, HemHeard, HemRemoved,
    HemStatusChanged, LatestSeen, ProcessesChanged, ReadingsCommitted,
};
use memcloud_domain::{HemId, MicrogridId, Timestamp};
use memcloud_supervision::{Observe, Port, Scope, supervised};

use crate::StatusSettings;
use crate::board::{Board, Effect, Fact};
use crate::messages::{
    ForgetHem, GetHemStatus, GetMicrogridStatus, ListHemStatuses, ListMicrogridStatuses,
};

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(100);
/// So many HEMs are looked at before others on the arbiter have a turn.
const HEMS_PER_TURN: usize = 256;
/// A question that could not be answered is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// A roster that was answered is asked for again no sooner than after this.
const ASK_ROSTER_AGAIN: Duration = Duration::from_secs(60);

/// Keeps every HEM's status for REST and MEMWeb.
///
/// It consumes `HemConnected`, `HemDisconnected`, `HemHeard`, `LatestSeen`, `ReadingsCommitted`,
/// `HemChanged`, `HemRemoved` and `ProcessesChanged`, and answers the questions of [`crate::messages`]. What it knows is in
/// memory alone: after a restart it is learnt again from the facts, the historian and the registrar.
pub struct StatusMonitor {
    scope: Scope,
    settings: StatusSettings,
    board: Board,
    historian: Port<GetLatestReading>,
    registrar: Option<Port<GetRoster>>,
    told: Vec<Port<HemStatusChanged>>,
    lookups: VecDeque<HemId>,
    lookups_under_way: usize,
    untaken: u64,
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
        Self {
            scope,
            board: Board::new(settings.clone()),
            settings,
            historian,
            registrar: None,
            told,
            lookups: VecDeque::new(),
            lookups_under_way: 0,
            untaken: 0,
        }
    }

    /// Has it ask for the nodes of a HEM whose `HemConnected` it missed: without them a HEM has no totals
    /// until it connects again.
    #[must_use]
    pub fn with_rosters(mut self, registrar: Port<GetRoster>) -> Self {
        self.registrar = Some(registrar);
        self
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.scope.clock().unix_ms())
    }

    fn accept(&mut self, fact: Fact<'_>, context: &mut Context<Self>) {
        let effects = self.board.accept(fact, self.now());
        self.carry_out(effects, context);
    }

    fn carry_out(&mut self, effects: Vec<Effect>, context: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Tell(change) => {
                    for listener in &self.told {
                        if listener.tell(change.clone()).is_err() {
                            self.untaken += 1;
                        }
                    }
                }
                // Each HEM asks once, so the queue is bounded as the board is.
                Effect::LookUp(hem) => self.lookups.push_back(hem),
                Effect::AskRoster(microgrid) => self.ask_roster(microgrid, context),
            }
        }
        self.look_up(context);
    }

    fn look_up(&mut self, context: &mut Context<Self>) {
        while self.lookups_under_way < self.settings.max_lookups {
            let Some(hem) = self.lookups.pop_front() else { return };
            self.lookups_under_way += 1;
            let historian = self.historian.clone();
            let deadline = self.settings.lookup_deadline;
            let question = GetLatestReading { hem: hem.clone() };
            let lookup = async move { historian.ask(question, deadline).await };
            context.spawn(lookup.into_actor(self).map(move |answer, actor: &mut Self, context| {
                actor.lookups_under_way -= 1;
                let reason = match answer {
                    Ok(Ok(Some(reading))) => {
                        actor.accept(Fact::Found(&hem, &reading), context);
                        return;
                    }
                    Ok(Ok(None)) => return actor.look_up(context),
                    Ok(Err(unavailable)) => unavailable.to_string(),
                    Err(error) => error.to_string(),
                };
                log::debug!(
                    hem = hem.as_str(),
                    reason = reason.as_str();
                    "the newest values of a HEM could not be looked up; asking again"
                );
                context.run_later(ASK_AGAIN, |actor, context| {
                    actor.lookups.push_back(hem);
                    actor.look_up(context);
                });
                actor.look_up(context);
            }));
        }
    }

    fn ask_roster(&mut self, microgrid: MicrogridId, context: &mut Context<Self>) {
        let Some(registrar) = self.registrar.clone() else { return };
        let deadline = self.settings.lookup_deadline;
        let question = GetRoster { microgrid: microgrid.clone() };
        let roster = async move { registrar.ask(question, deadline).await };
        context.spawn(roster.into_actor(self).map(move |answer, actor: &mut Self, context| {
            let pause = match answer {
                Ok(Ok(roster)) => {
                    if let Some(roster) = roster {
                        actor.accept(Fact::Roster(&roster), context);
                    }
                    ASK_ROSTER_AGAIN
                }
                Ok(Err(_)) | Err(_) => ASK_AGAIN,
            };
            context.run_later(pause, move |actor, _| actor.board.ask_roster_again(&microgrid));
        }));
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        let (effects, more) = self.board.tick(self.now(), HEMS_PER_TURN);
        self.carry_out(effects, context);
        if more {
            context.run_later(Duration::from_millis(1), |actor, context| actor.tick(context));
        }
    }
}

impl Actor for StatusMonitor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(TICK, |actor, context| actor.tick(context));
    }
}

impl Observe for StatusMonitor {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({
            "hems": self.board.len(),
            "forgotten": self.board.forgotten(),
            "lookups_waiting": self.lookups.len(),
            "changes_not_taken": self.untaken,
        })
    }
}

supervised!(StatusMonitor);

impl Handler<HemConnected> for StatusMonitor {
    type Result = ();
    fn handle(&mut self, fact: HemConnected, context: &mut Self::Context) {
        self.accept(Fact::Connected(&fact), context);
    }
}

impl Handler<HemDisconnected> for StatusMonitor {
    type Result = ();
    fn handle(&mut self, fact: HemDisconnected, context: &mut Self::Context) {
        self.accept(Fact::Disconnected(&fact), context);
    }
}

impl Handler<HemHeard> for StatusMonitor {
    type Result = ();
    fn handle(&mut self, fact: HemHeard, context: &mut Self::Context) {
        self.accept(Fact::Heard(&fact), context);
    }
}

impl Handler<LatestSeen> for StatusMonitor {
    type Result = ();
    fn handle(&mut self, fact: LatestSeen, context: &mut Self::Context) {
        self.accept(Fact::Latest(&fact), context);
    }
}

impl Handler<ReadingsCommitted> for StatusMonitor {
    type Result = ();
    fn handle(&mut self, fact: ReadingsCommitted, context: &mut Self::Context) {
        self.accept(Fact::Committed(&fact), context);
    }
}

impl Handler<HemChanged> for StatusMonitor {
    type Result = ();
    fn handle(&mut self, fact: HemChanged, context: &mut Self::Context) {
        self.accept(Fact::Changed(&fact), context);
    }
}

impl Handler<HemRemoved> for StatusMonitor {
    type Result = ();
    fn handle(&mut self, fact: HemRemoved, context: &mut Self::Context) {
        self.accept(Fact::Removed(&fact.hem), context);
    }
}

impl Handler<ProcessesChanged> for StatusMonitor {
    type Result = ();
    fn handle(&mut self, fact: ProcessesChanged, context: &mut Self::Context) {
        self.accept(Fact::Live(&fact.live), context);
    }
}

impl Handler<ForgetHem> for StatusMonitor {
    type Result = ();
    fn handle(&mut self, order: ForgetHem, context: &mut Self::Context) {
        self.accept(Fact::Removed(&order.hem), context);
    }
}

impl Handler<GetHemStatus> for StatusMonitor {
    type Result = MessageResult<GetHemStatus>;
    fn handle(&mut self, question: GetHemStatus, _: &mut Self::Context) -> Self::Result {
        let now = self.now();
        MessageResult(self.board.status(&question.hem, now))
    }
}

impl Handler<ListHemStatuses> for StatusMonitor {
    type Result = MessageResult<ListHemStatuses>;
    fn handle(&mut self, question: ListHemStatuses, _: &mut Self::Context) -> Self::Result {
        let now = self.now();
        MessageResult(self.board.page(question, now))
    }
}

impl Handler<GetMicrogridStatus> for StatusMonitor {
    type Result = MessageResult<GetMicrogridStatus>;
    fn handle(&mut self, question: GetMicrogridStatus, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.board.microgrid(&question.microgrid, self.now()))
    }
}

impl Handler<ListMicrogridStatuses> for StatusMonitor {
    type Result = MessageResult<ListMicrogridStatuses>;
    fn handle(&mut self, question: ListMicrogridStatuses, _: &mut Self::Context) -> Self::Result {
        let now = self.now();
        MessageResult(question.microgrids.iter().map(|id| self.board.microgrid(id, now)).collect())
    }
}
