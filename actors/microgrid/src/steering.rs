//! A supervisor's side of dispatch: it tells the [`Dispatcher`] what happens, has the ledger write what
//! that decides, and answers why. Where no ledger is given, nothing is steered.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{
    ActorFuture, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, SpawnHandle,
};
use memcloud_domain::messages::{
    CommandChanged, DispatchCommand, JobWished, ListEvents, ListOpenCommands, Order, PlaceOrders,
    TimeRange, Verdict,
};
use memcloud_domain::{Asker, Epoch, HemEvent, HemId, JobId, NodeDeclaration, NodeWhy, Timestamp};
use memcloud_supervision::Port;
use memcloud_worker::{AdmitWishes, NotAdmitted, NoteInLog, Roster};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::assembly::MicrogridAssembly;
use crate::dispatch::{Dispatcher, Effect, Event, Link, Tally};
use crate::messages::is_running;
use crate::microgrid_supervisor::flatten;
use crate::{
    ExplainNodes, MicrogridError, MicrogridSupervisor, SubmitWishes, WishRefused, WishesTaken,
};

/// What a supervisor keeps of dispatch.
#[derive(Debug)]
pub(crate) struct Steering {
    dispatcher: Dispatcher,
    tally: Tally,
    place: Port<PlaceOrders>,
    open: Option<Port<ListOpenCommands>>,
    events: Option<Port<ListEvents>>,
    /// What dispatch was told last of the homes and of the jobs.
    roster: Option<Arc<Roster>>,
    running: Option<BTreeSet<JobId>>,
    asking_open: bool,
    next_open: Instant,
    timer: Option<(Instant, SpawnHandle)>,
}

impl Steering {
    pub(crate) fn new(assembly: &MicrogridAssembly, now: Instant) -> Option<Self> {
        let ports = &assembly.ports;
        let place = ports.place.clone()?;
        Some(Self {
            dispatcher: Dispatcher::new(assembly.limits.dispatch, ports.events.is_some()),
            tally: Tally::new(Arc::clone(&assembly.counts)),
            place,
            open: ports.open_commands.clone(),
            events: ports.events.clone(),
            roster: None,
            running: None,
            asking_open: false,
            next_open: now,
            timer: None,
        })
    }

    pub(crate) fn observe(&self) -> Value {
        let figures = self.dispatcher.figures();
        json!({
            "ready": self.dispatcher.is_ready(),
            "orders": figures.orders,
            "refused_by_envelope": figures.refused_by_envelope,
            "refused_by_rank": figures.refused_by_rank,
            "refused_by_budget": figures.refused_by_budget,
            "held_back": figures.held_back,
            "wishes_standing": figures.wishes_standing,
        })
    }
}

impl MicrogridSupervisor {
    /// Between two goes others have their turn.
    const BREATH: Duration = Duration::from_millis(2);
    /// So far back a press of a button is looked for.
    const LOOK_BACK: Duration = Duration::from_secs(24 * 3_600);
    /// So many of a home's events are looked at.
    const EVENTS: usize = 1_000;

    /// Tells dispatch what happened, and does what follows.
    pub(crate) fn dispatch(&mut self, event: Event, context: &mut Context<Self>) {
        let now = self.now();
        let roster = self.roster.borrow().clone();
        let Some(steering) = &mut self.steering else { return };
        let mut effects = Vec::new();
        if let Some(roster) = roster
            && !steering.roster.as_ref().is_some_and(|told| Arc::ptr_eq(told, &roster))
        {
            steering.roster = Some(Arc::clone(&roster));
            effects = steering.dispatcher.accept(Event::Roster(roster), now);
        }
        effects.extend(steering.dispatcher.accept(event, now));
        steering.tally.tell(steering.dispatcher.figures());
        for effect in effects {
            match effect {
                Effect::Place { batch, verdicts } => self.place(batch, verdicts, context),
                Effect::LookBack(hem) => self.look_back(hem, context),
                Effect::RefreshRoster => {
                    let soon = self.instant() + Self::TICK;
                    self.next_roster = self.next_roster.min(soon);
                }
                Effect::Say { job, text } => self.say_in_log(&job, text),
            }
        }
        self.arm(context);
    }

    /// Goes on with dispatch when it is due.
    fn arm(&mut self, context: &mut Context<Self>) {
        let (now, instant) = (self.now(), self.instant());
        let Some(steering) = &mut self.steering else { return };
        let Some(due) = steering.dispatcher.due() else { return };
        let at = instant + due.since(now).max(Self::BREATH);
        if steering.timer.as_ref().is_some_and(|(set, _)| *set <= at) {
            return;
        }
        let handle = context.run_later(at - instant, |supervisor, context| {
            if let Some(steering) = &mut supervisor.steering {
                steering.timer = None;
            }
            supervisor.dispatch(Event::Tick, context);
        });
        if let Some((_, later)) = steering.timer.replace((at, handle)) {
            context.cancel_future(later);
        }
    }

    fn place(&mut self, batch: u64, verdicts: Vec<Verdict>, context: &mut Context<Self>) {
        let Some(steering) = &self.steering else { return };
        let place = PlaceOrders { microgrid: self.assembly.microgrid.clone(), verdicts };
        let (port, deadline) = (steering.place.clone(), self.assembly.limits.ask_deadline);
        let asking = async move { flatten(port.ask(place, deadline).await) };
        context.spawn(wrap_future(asking).map(move |answer, supervisor: &mut Self, context| {
            let event = match answer {
                Ok(placements) => Event::Placed { batch, placements },
                Err(reason) => {
                    log::warn!(microgrid = supervisor.assembly.microgrid.as_str(), reason = reason.as_str(); "the ledger does not take what dispatch decided, which is tried again");
                    Event::NotPlaced { batch }
                }
            };
            supervisor.dispatch(event, context);
        }));
    }

    fn look_back(&mut self, hem: HemId, context: &mut Context<Self>) {
        let port = self.steering.as_ref().and_then(|steering| steering.events.clone());
        let deadline = self.assembly.limits.ask_deadline;
        let range = TimeRange { from: Some(self.now().minus(Self::LOOK_BACK)), to: None };
        let ask = ListEvents {
            hem: hem.clone(),
            range,
            after: None,
            limit: Self::EVENTS,
            order: Order::Descending,
        };
        let asking = async move {
            match port {
                Some(port) => flatten(port.ask(ask, deadline).await).map(|page| page.items),
                None => Ok(Vec::new()),
            }
        };
        context.spawn(wrap_future(asking).map(
            move |answer: Result<Vec<HemEvent>, String>, supervisor: &mut Self, context| {
                if let Err(reason) = &answer {
                    log::warn!(hem = hem.as_str(), reason = reason.as_str(); "whether someone at home pressed a button cannot be read now");
                }
                supervisor.dispatch(Event::LookedBack { hem, events: answer.ok() }, context);
            },
        ));
    }

    fn say_in_log(&self, job: &JobId, text: String) {
        log::warn!(microgrid = self.assembly.microgrid.as_str(), job = job.as_str(), reason = text.as_str(); "dispatch holds a job back");
        if let Some(worker) = self.workers.get(job) {
            // A worker without room is told the same a minute later, if it still is so.
            drop(worker.tell(NoteInLog { text }));
        }
    }

    /// With each of the supervisor's ticks.
    pub(crate) fn look_at_steering(&mut self, context: &mut Context<Self>) {
        let now = self.instant();
        let Some(steering) = &self.steering else { return };
        let is_time = steering.next_open <= now && !steering.asking_open;
        let is_worth_it = !steering.dispatcher.is_ready() || steering.dispatcher.has_orders();
        if is_time && is_worth_it {
            self.list_open(context);
        }
        // The roster may be known, or be another.
        self.dispatch(Event::Tick, context);
    }

    fn list_open(&mut self, context: &mut Context<Self>) {
        let asked = self.now();
        let deadline = self.assembly.limits.ask_deadline;
        let ask = ListOpenCommands { microgrid: self.assembly.microgrid.clone() };
        let Some(steering) = &mut self.steering else { return };
        steering.asking_open = true;
        let port = steering.open.clone();
        let asking = async move {
            match port {
                Some(port) => flatten(port.ask(ask, deadline).await),
                None => Ok(Vec::new()),
            }
        };
        context.spawn(wrap_future(asking).map(move |answer, supervisor: &mut Self, context| {
            let every = supervisor.assembly.limits.refresh_every;
            let now = supervisor.instant();
            let Some(steering) = &mut supervisor.steering else { return };
            steering.asking_open = false;
            match answer {
                Ok(records) => {
                    steering.next_open = now + every;
                    supervisor.dispatch(Event::Open { records, asked }, context);
                }
                Err(reason) => {
                    steering.next_open = now + Self::RETRY;
                    log::warn!(microgrid = supervisor.assembly.microgrid.as_str(), reason = reason.as_str(); "it cannot be learnt now which commands are open");
                }
            }
        }));
    }

    /// The wishes of jobs that do not run end. Nothing is said before the jobs are known.
    pub(crate) fn tell_running_jobs(&mut self, context: &mut Context<Self>) {
        if !self.jobs_known {
            return;
        }
        let running = self.jobs.records().filter(|record| is_running(&record.state));
        let running: BTreeSet<JobId> = running.map(|record| record.id.clone()).collect();
        let Some(steering) = &mut self.steering else { return };
        if steering.running.as_ref() != Some(&running) {
            steering.running = Some(running.clone());
            self.dispatch(Event::Jobs(running), context);
        }
    }

    pub(crate) fn link(
        &mut self,
        hem: &HemId,
        epoch: Epoch,
        link: Link,
        context: &mut Context<Self>,
    ) {
        self.dispatch(Event::Connection { hem: hem.clone(), epoch, link }, context);
    }

    fn runs(&self, job: &JobId) -> bool {
        self.jobs.get(job).is_some_and(|record| is_running(&record.state))
    }

    /// What was admitted of what a program submitted goes to dispatch, but what cannot be.
    fn take_wishes(&mut self, mut wished: JobWished, context: &mut Context<Self>) -> WishesTaken {
        let Asker::Job { job, .. } = wished.asker.clone() else { return WishesTaken::default() };
        let Some(steering) = &self.steering else {
            let because = NOT_STEERED.to_owned();
            let refuse = |wish| WishRefused { wish, because: because.clone() };
            let refused = wished.wishes.into_iter().map(refuse).collect();
            return WishesTaken { refused, ..WishesTaken::default() };
        };
        let mut refused = Vec::new();
        let mut taken = Vec::new();
        for wish in wished.wishes {
            match steering.dispatcher.cannot_be(&wished.asker, &wish) {
                Some(because) => refused.push(WishRefused { wish, because }),
                None => taken.push(wish),
            }
        }
        let count = taken.len();
        wished.wishes = taken;
        self.dispatch(Event::Wished(wished), context);
        let steering = self.steering.as_ref();
        let standing = steering.map_or(0, |steering| steering.dispatcher.wishes_of(&job));
        WishesTaken { taken: count, standing, refused }
    }
}

const NOT_STEERED: &str = "nothing is steered here, since this cloud keeps no ledger of commands";

impl Handler<DispatchCommand> for MicrogridSupervisor {
    type Result = ();

    fn handle(&mut self, offered: DispatchCommand, context: &mut Context<Self>) {
        self.dispatch(Event::Offered(offered.command), context);
    }
}

impl Handler<CommandChanged> for MicrogridSupervisor {
    type Result = ();

    fn handle(&mut self, changed: CommandChanged, context: &mut Context<Self>) {
        self.dispatch(Event::Changed(changed.command), context);
    }
}

impl Handler<JobWished> for MicrogridSupervisor {
    type Result = ();

    fn handle(&mut self, wished: JobWished, context: &mut Context<Self>) {
        // What a job said last before it was stopped ends with it.
        if matches!(&wished.asker, Asker::Job { job, .. } if self.runs(job)) {
            self.dispatch(Event::Wished(wished), context);
        }
    }
}

impl Handler<SubmitWishes> for MicrogridSupervisor {
    type Result = ResponseActFuture<Self, Result<WishesTaken, MicrogridError>>;

    fn handle(&mut self, submitted: SubmitWishes, _: &mut Context<Self>) -> Self::Result {
        let SubmitWishes { microgrid, job, wishes, withdrawn } = submitted;
        let count = wishes.len().max(withdrawn.len());
        let limit = self.assembly.limits.dispatch.wishes_at_once;
        let app = match self.known(&job) {
            Ok(_) if count > limit => Err(MicrogridError::TooManyWishes { count, limit }),
            Ok(record) if is_running(&record.state) => Ok(record.app.clone()),
            Ok(_) => Err(MicrogridError::NotRunning { job: job.clone() }),
            Err(error) => Err(error),
        };
        let worker = self.workers.get(&job).cloned();
        let deadline = self.assembly.limits.ask_deadline;
        let admitting = async move {
            let app = app?;
            let worker = worker.ok_or_else(|| MicrogridError::NotRunning { job: job.clone() })?;
            let admit = AdmitWishes { wishes, withdrawn };
            let admitted = worker.ask(admit, deadline).await;
            let admitted =
                admitted.map_err(|source| MicrogridError::Unreachable { microgrid, source })?;
            admitted.map_err(|error| match error {
                NotAdmitted::TooFast { per_minute, retry_after } => {
                    MicrogridError::TooFast { job, per_minute, retry_after }
                }
                NotAdmitted::TooMany { most } => {
                    MicrogridError::TooManyWishes { count, limit: most }
                }
                _ => MicrogridError::NotExternal { job, app },
            })
        };
        let admitting = wrap_future::<_, Self>(admitting);
        Box::pin(admitting.map(|admitted, supervisor: &mut Self, context| {
            Ok(supervisor.take_wishes(admitted?, context))
        }))
    }
}

impl Handler<ExplainNodes> for MicrogridSupervisor {
    type Result = ResponseActFuture<Self, Result<Vec<NodeWhy>, MicrogridError>>;

    fn handle(&mut self, explain: ExplainNodes, _: &mut Context<Self>) -> Self::Result {
        let microgrid = self.assembly.microgrid.clone();
        let roster = self.roster.borrow().clone();
        let (hems, error) = match (roster, explain.hem) {
            (None, _) => (Vec::new(), Some(MicrogridError::HomesUnknown { microgrid })),
            (Some(roster), None) => (roster.homes().keys().cloned().collect(), None),
            (Some(roster), Some(hem)) if roster.has(&hem) => (vec![hem], None),
            (Some(_), Some(hem)) => {
                (Vec::new(), Some(MicrogridError::UnknownHem { microgrid, hem }))
            }
        };
        Box::pin(Explaining { hems: hems.into_iter(), said: Vec::new(), error })
    }
}

/// Explains home after home, a few at a time.
struct Explaining {
    hems: std::vec::IntoIter<HemId>,
    said: Vec<NodeWhy>,
    error: Option<MicrogridError>,
}

impl Explaining {
    const AT_ONCE: usize = 16;
}

impl ActorFuture<MicrogridSupervisor> for Explaining {
    type Output = Result<Vec<NodeWhy>, MicrogridError>;

    fn poll(
        mut self: Pin<&mut Self>,
        supervisor: &mut MicrogridSupervisor,
        context: &mut Context<MicrogridSupervisor>,
        task: &mut task::Context<'_>,
    ) -> Poll<Self::Output> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Err(error));
        }
        // What was heard of the homes and not told yet.
        supervisor.dispatch(Event::Tick, context);
        let now = supervisor.now();
        for _ in 0..Self::AT_ONCE {
            let Some(hem) = self.hems.next() else {
                return Poll::Ready(Ok(std::mem::take(&mut self.said)));
            };
            match &supervisor.steering {
                Some(steering) => self.said.extend(steering.dispatcher.why(&hem, now)),
                None => {
                    let roster = supervisor.roster.borrow().clone();
                    let nodes = roster.as_ref().and_then(|roster| roster.homes().get(&hem));
                    let nodes = nodes.into_iter().flatten();
                    self.said.extend(nodes.map(|node| not_steered(&hem, node, now)));
                }
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

fn not_steered(hem: &HemId, node: &NodeDeclaration, now: Timestamp) -> NodeWhy {
    let the_node = crate::dispatch::words::node(node);
    NodeWhy {
        hem: hem.clone(),
        node: node.node,
        sentence: format!("Nothing is ordered of {the_node}: {NOT_STEERED}."),
        since: now,
        settings: Vec::new(),
        claims: Vec::new(),
    }
}
