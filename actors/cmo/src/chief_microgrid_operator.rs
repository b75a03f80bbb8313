//! The actor that has a supervisor for every microgrid: made when the first of its HEMs sends data, or
//! its first command or job comes, or, at the start, because it has jobs that must catch up. It only passes on; a
//! supervisor that fails for good is tried again after a while and troubles no other microgrid.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture,
    StreamHandler,
};
use memcloud_bus::{CloudBus, CloudEvent, Delivery, Pattern};
use memcloud_domain::messages::{
    CommandChanged, DispatchCommand, HemChanged, HemRemoved, JobChanged, JobRemoved,
    LeaveMicrogrid, ListMicrogridsWithJobs, MicrogridChanged, MicrogridNeeded, MicrogridRemoved,
    MicrogridTaken, ReadingsCommitted,
};
use memcloud_domain::{MicrogridId, NodeWhy, Tenure};
use memcloud_microgrid::{
    AssignJob, DispatchCounts, ExplainNodes, GetJob, HappenedInMicrogrid, JobStanding, ListJobs,
    MicrogridAssembly, MicrogridError, MicrogridLimits, MicrogridPorts, MicrogridSupervisor,
    RemoveJob, StartJob, StopJob, SubmitWishes, WishesTaken,
};
use memcloud_supervision::{
    AskError, Child, ChildExited, ChildSpec, Observe, Port, RestartPolicy, Scope, supervised,
};
use memcloud_worker::{AppCatalogue, ReadingsMissed, StepThreads};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{ListMicrogridSupervisors, RemoveMicrogrid, SupervisorStanding};

/// Whom the operator and everyone below it ask and tell.
#[derive(Debug, Clone)]
pub struct OperatorPorts {
    /// Whom supervisors and their workers ask and tell.
    pub microgrid: MicrogridPorts,
    /// Which microgrids have jobs.
    pub with_jobs: Port<ListMicrogridsWithJobs>,
    /// In a cluster: who sees to it that a microgrid has an owner. Only microgrids that were given to this
    /// process get a supervisor then. Absent: all do, since there is one process.
    pub needed: Option<Port<MicrogridNeeded>>,
}

/// The operator's bounds and times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatorLimits {
    /// Microgrids that may run.
    pub microgrids: usize,
    /// Messages that may wait for the operator.
    pub mailbox: usize,
    /// Commits that may wait in its queue on the bus.
    pub readings_queue: usize,
    /// Facts that may wait in its queue on the bus.
    pub events_queue: usize,
    /// How long a supervisor that failed for good is left alone.
    pub parole: Duration,
    /// How long a supervisor may take to answer, and to stop.
    pub ask_deadline: Duration,
    /// The bounds of each microgrid.
    pub microgrid: MicrogridLimits,
}

impl Default for OperatorLimits {
    fn default() -> Self {
        Self {
            microgrids: 10_000,
            mailbox: 1_024,
            readings_queue: 1_024,
            events_queue: 4_096,
            parole: Duration::from_secs(60),
            ask_deadline: Duration::from_secs(30),
            microgrid: MicrogridLimits::default(),
        }
    }
}

/// All that an operator is made of.
#[derive(Debug, Clone)]
pub struct OperatorAssembly {
    /// Where commits and facts come from.
    pub bus: CloudBus,
    /// Whom it asks and tells.
    pub ports: OperatorPorts,
    /// The apps that can be run.
    pub catalogue: Arc<AppCatalogue>,
    /// Where their steps run.
    pub threads: StepThreads,
    /// Its bounds.
    pub limits: OperatorLimits,
    /// What dispatch counts.
    pub counts: Arc<DispatchCounts>,
}

/// Has a supervisor for every microgrid.
#[derive(Debug)]
pub struct ChiefMicrogridOperator {
    assembly: OperatorAssembly,
    scope: Scope,
    supervisors: BTreeMap<MicrogridId, Child<MicrogridSupervisor>>,
    /// In a cluster: the microgrids that this process runs.
    tenures: BTreeMap<MicrogridId, Tenure>,
    /// Those that it does not run and asked an owner for, and when.
    asked_for: BTreeMap<MicrogridId, Instant>,
    /// Microgrids whose supervisor failed for good, and when it is tried again.
    on_parole: BTreeMap<MicrogridId, Instant>,
    refused: u64,
}

impl ChiefMicrogridOperator {
    const TICK: Duration = Duration::from_secs(5);
    const RETRY: Duration = Duration::from_secs(2);
    /// How soon an owner is asked for again, for a microgrid that another process runs or nobody does.
    const ASK_FOR_OWNER_AGAIN: Duration = Duration::from_secs(5);
    /// How long a supervisor may take to stop whose microgrid may be another process's already.
    const LEAVE_AT_ONCE: Duration = Duration::from_secs(1);
    /// How often a process of a cluster looks which microgrids have jobs: one that was given up, and of
    /// which nobody heard, is found again.
    const FIND_JOBS_AGAIN: Duration = Duration::from_secs(60);

    /// Starts the operator below a scope, named `cmo`.
    pub fn start(scope: &Scope, assembly: OperatorAssembly) -> Child<Self> {
        let spec = ChildSpec::new("cmo")
            .policy(RestartPolicy::permanent())
            .mailbox(assembly.limits.mailbox);
        scope.supervise(spec, move |own| Self {
            assembly: assembly.clone(),
            scope: own,
            supervisors: BTreeMap::new(),
            tenures: BTreeMap::new(),
            asked_for: BTreeMap::new(),
            on_parole: BTreeMap::new(),
            refused: 0,
        })
    }

    /// The supervisor of a microgrid, made where there is none.
    fn supervisor_of(
        &mut self,
        microgrid: &MicrogridId,
        context: &mut Context<Self>,
    ) -> Result<Child<MicrogridSupervisor>, MicrogridError> {
        if let Some(supervisor) = self.supervisors.get(microgrid) {
            return Ok(supervisor.clone());
        }
        if self.on_parole.contains_key(microgrid) {
            let microgrid = microgrid.clone();
            return Err(MicrogridError::Unreachable { microgrid, source: AskError::Stopped });
        }
        if self.is_elsewhere(microgrid) {
            self.ask_for_owner(microgrid);
            return Err(MicrogridError::RunElsewhere { microgrid: microgrid.clone() });
        }
        let limit = self.assembly.limits.microgrids;
        if self.supervisors.len() >= limit {
            self.refused += 1;
            return Err(MicrogridError::TooManyMicrogrids { microgrid: microgrid.clone(), limit });
        }
        log::info!(microgrid = microgrid.as_str(); "a microgrid gets its supervisor");
        let assembly = MicrogridAssembly {
            microgrid: microgrid.clone(),
            tenure: self.tenures.get(microgrid).cloned(),
            ports: self.assembly.ports.microgrid.clone(),
            catalogue: Arc::clone(&self.assembly.catalogue),
            threads: self.assembly.threads.clone(),
            limits: self.assembly.limits.microgrid,
            counts: Arc::clone(&self.assembly.counts),
        };
        let spec = ChildSpec::new(microgrid.as_str()).watched_by(context.address().recipient());
        let supervisor = MicrogridSupervisor::start(&self.scope, spec, assembly);
        self.supervisors.insert(microgrid.clone(), supervisor.clone());
        Ok(supervisor)
    }

    // -------------------------------------------------------------------------------- a cluster

    /// Whether there is a cluster, and another process of it (or none) runs a microgrid.
    fn is_elsewhere(&self, microgrid: &MicrogridId) -> bool {
        self.assembly.ports.needed.is_some() && !self.tenures.contains_key(microgrid)
    }

    /// Sees to it that somebody runs a microgrid; not again for a while.
    fn ask_for_owner(&mut self, microgrid: &MicrogridId) {
        let Some(needed) = &self.assembly.ports.needed else { return };
        let now = self.scope.clock().instant();
        let is_recent = |at: &Instant| now < *at + Self::ASK_FOR_OWNER_AGAIN;
        if self.asked_for.get(microgrid).is_some_and(is_recent) {
            return;
        }
        if self.asked_for.len() >= self.assembly.limits.microgrids {
            self.asked_for.retain(|_, at| is_recent(at));
        }
        if needed.tell(MicrogridNeeded { microgrid: microgrid.clone() }).is_ok() {
            self.asked_for.insert(microgrid.clone(), now);
        }
    }

    fn take_on(&mut self, microgrid: &MicrogridId, context: &mut Context<Self>) {
        if let Err(error) = self.supervisor_of(microgrid, context) {
            log::error!(microgrid = microgrid.as_str(), reason = error.to_string().as_str(); "a microgrid that has jobs gets no supervisor");
        }
    }

    /// At the start, for those whose HEMs may be silent.
    fn find_jobs(&mut self, context: &mut Context<Self>) {
        let port = self.assembly.ports.with_jobs.clone();
        let deadline = self.assembly.limits.ask_deadline;
        let asking = async move {
            match port.ask(ListMicrogridsWithJobs, deadline).await {
                Ok(Ok(microgrids)) => Ok(microgrids),
                Ok(Err(unavailable)) => Err(unavailable.to_string()),
                Err(error) => Err(error.to_string()),
            }
        };
        context.spawn(wrap_future(asking).map(|answer, operator: &mut Self, context| {
            match answer {
                Ok(microgrids) => {
                    for microgrid in microgrids {
                        if operator.is_elsewhere(&microgrid) {
                            operator.ask_for_owner(&microgrid);
                        } else {
                            operator.take_on(&microgrid, context);
                        }
                    }
                    if operator.assembly.ports.needed.is_some() {
                        context.run_later(Self::FIND_JOBS_AGAIN, Self::find_jobs);
                    }
                }
                Err(reason) => {
                    log::warn!(reason = reason.as_str(); "it cannot be learnt now which microgrids have jobs");
                    context.run_later(Self::RETRY, |operator, context| operator.find_jobs(context));
                }
            }
        }));
    }

    fn end_paroles(&mut self, context: &mut Context<Self>) {
        let now = self.scope.clock().instant();
        let over: Vec<MicrogridId> = self
            .on_parole
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(microgrid, _)| microgrid.clone())
            .collect();
        for microgrid in over {
            self.on_parole.remove(&microgrid);
            if !self.is_elsewhere(&microgrid) {
                self.take_on(&microgrid, context);
            }
        }
    }

    /// Passes a question on to the supervisor of a microgrid that may be new.
    fn ask_supervisor<M, T>(
        &mut self,
        microgrid: MicrogridId,
        message: M,
        context: &mut Context<Self>,
    ) -> ResponseFuture<Result<T, MicrogridError>>
    where
        M: Message<Result = Result<T, MicrogridError>> + Send + 'static,
        T: Send + 'static,
        MicrogridSupervisor: Handler<M>,
    {
        let supervisor = match self.supervisor_of(&microgrid, context) {
            Ok(supervisor) => supervisor,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let deadline = self.assembly.limits.ask_deadline;
        Box::pin(async move {
            supervisor
                .ask(message, deadline)
                .await
                .map_err(|source| MicrogridError::Unreachable { microgrid, source })?
        })
    }

    /// Passes a fact on where there is a supervisor. One that has no room learns the same at its next
    /// look at the store.
    fn pass_on<M>(&self, microgrid: &MicrogridId, fact: M)
    where
        M: Message<Result = ()> + Send + 'static,
        MicrogridSupervisor: Handler<M>,
    {
        if let Some(supervisor) = self.supervisors.get(microgrid)
            && let Err(error) = supervisor.tell(fact)
        {
            log::warn!(microgrid = microgrid.as_str(), reason = error.to_string().as_str(); "a supervisor could not be told a fact");
        }
    }

    fn stop_supervisor(
        &mut self,
        microgrid: &MicrogridId,
        deadline: Duration,
    ) -> ResponseFuture<()> {
        self.on_parole.remove(microgrid);
        let supervisor = self.supervisors.remove(microgrid);
        Box::pin(async move {
            if let Some(supervisor) = supervisor {
                supervisor.stop(deadline).await;
            }
        })
    }
}

impl Actor for ChiefMicrogridOperator {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let limits = &self.assembly.limits;
        let bus = &self.assembly.bus;
        context.add_stream(bus.readings.bind(&Pattern::all(), limits.readings_queue));
        context.add_stream(bus.events.bind(&Pattern::all(), limits.events_queue));
        context.run_interval(Self::TICK, Self::end_paroles);
        self.find_jobs(context);
    }
}

impl Observe for ChiefMicrogridOperator {
    fn observe(&self) -> Value {
        json!({
            "microgrids": self.supervisors.len(),
            "tenures": self.tenures.len(),
            "on_parole": self.on_parole.keys().map(MicrogridId::as_str).take(20).collect::<Vec<_>>(),
            "refused": self.refused,
        })
    }
}

supervised!(ChiefMicrogridOperator);

impl StreamHandler<Delivery<ReadingsCommitted>> for ChiefMicrogridOperator {
    fn handle(&mut self, delivery: Delivery<ReadingsCommitted>, context: &mut Context<Self>) {
        if delivery.lost_before > 0 {
            log::info!(lost = delivery.lost_before; "the bus lost commits, so the jobs look in the store");
            for supervisor in self.supervisors.values() {
                // One that has no room has its jobs look by themselves within seconds.
                let _ = supervisor.tell(ReadingsMissed);
            }
        }
        let committed = delivery.message;
        match self.supervisor_of(&committed.microgrid, context) {
            // A hint: a supervisor that has no room for it has its jobs read the store.
            Ok(supervisor) => drop(supervisor.tell(committed)),
            Err(error) => {
                log::debug!(microgrid = committed.microgrid.as_str(), reason = error.to_string().as_str(); "readings have no supervisor");
            }
        }
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl StreamHandler<Delivery<CloudEvent>> for ChiefMicrogridOperator {
    fn handle(&mut self, delivery: Delivery<CloudEvent>, _: &mut Context<Self>) {
        let event = delivery.message;
        // Unnumbered values and statuses are for people's eyes; what jobs report is on their own bus.
        let concerns_jobs = matches!(
            event,
            CloudEvent::HemConnected(_) | CloudEvent::HemDisconnected(_) | CloudEvent::HemHeard(_)
        );
        if !concerns_jobs {
            return;
        }
        if let Some(supervisor) = self.supervisors.get(event.microgrid()) {
            drop(supervisor.tell(HappenedInMicrogrid(event)));
        }
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<ChildExited> for ChiefMicrogridOperator {
    type Result = ();

    fn handle(&mut self, exited: ChildExited, _: &mut Context<Self>) {
        let ended = self.supervisors.iter().find(|(_, child)| child.name() == exited.name);
        let Some(microgrid) = ended.map(|(microgrid, _)| microgrid.clone()) else { return };
        if !exited.reason.is_failure() {
            return;
        }
        log::error!(microgrid = microgrid.as_str(), reason = exited.reason.to_string().as_str(); "a microgrid's supervisor failed for good and is tried again later");
        self.supervisors.remove(&microgrid);
        let until = self.scope.clock().instant() + self.assembly.limits.parole;
        self.on_parole.insert(microgrid, until);
    }
}

impl Handler<JobChanged> for ChiefMicrogridOperator {
    type Result = ();

    fn handle(&mut self, changed: JobChanged, context: &mut Context<Self>) {
        let microgrid = changed.job.microgrid.clone();
        // A new supervisor reads its jobs itself, but perhaps before this one was written.
        if self.supervisor_of(&microgrid, context).is_ok() {
            self.pass_on(&microgrid, changed);
        }
    }
}

impl Handler<DispatchCommand> for ChiefMicrogridOperator {
    type Result = ();

    fn handle(&mut self, offered: DispatchCommand, context: &mut Context<Self>) {
        let microgrid = offered.command.microgrid.clone();
        match self.supervisor_of(&microgrid, context) {
            // What has no room is offered again.
            Ok(_) => self.pass_on(&microgrid, offered),
            Err(error) => {
                log::warn!(microgrid = microgrid.as_str(), command = offered.command.id.as_str(), reason = error.to_string().as_str(); "a command has no supervisor to decide on it");
            }
        }
    }
}

macro_rules! pass_on {
    ($($fact:ident by $microgrid:expr),* $(,)?) => {$(
        impl Handler<$fact> for ChiefMicrogridOperator {
            type Result = ();

            fn handle(&mut self, fact: $fact, _: &mut Context<Self>) {
                let microgrid: MicrogridId = $microgrid(&fact);
                self.pass_on(&microgrid, fact);
            }
        }
    )*};
}
pass_on!(
    JobRemoved by |fact: &JobRemoved| fact.microgrid.clone(),
    HemChanged by |fact: &HemChanged| fact.microgrid.clone(),
    HemRemoved by |fact: &HemRemoved| fact.microgrid.clone(),
    MicrogridChanged by |fact: &MicrogridChanged| fact.profile.id.clone(),
    CommandChanged by |fact: &CommandChanged| fact.command.microgrid.clone(),
);

impl Handler<MicrogridTaken> for ChiefMicrogridOperator {
    type Result = ();

    fn handle(&mut self, taken: MicrogridTaken, context: &mut Context<Self>) {
        let microgrid = taken.tenure.microgrid.clone();
        if self.tenures.get(&microgrid) == Some(&taken.tenure) {
            return;
        }
        self.asked_for.remove(&microgrid);
        // One of an earlier tenure would write under it.
        let earlier = self.stop_supervisor(&microgrid, Self::LEAVE_AT_ONCE);
        context.spawn(wrap_future(earlier).map(|(), _, _| ()));
        self.tenures.insert(microgrid.clone(), taken.tenure);
        self.take_on(&microgrid, context);
    }
}

impl Handler<LeaveMicrogrid> for ChiefMicrogridOperator {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, leave: LeaveMicrogrid, _: &mut Context<Self>) -> Self::Result {
        self.tenures.remove(&leave.microgrid);
        let deadline =
            if leave.in_order { self.assembly.limits.ask_deadline } else { Self::LEAVE_AT_ONCE };
        self.stop_supervisor(&leave.microgrid, deadline)
    }
}

impl Handler<MicrogridRemoved> for ChiefMicrogridOperator {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, removed: MicrogridRemoved, _: &mut Context<Self>) -> Self::Result {
        self.stop_supervisor(&removed.microgrid, self.assembly.limits.ask_deadline)
    }
}

impl Handler<RemoveMicrogrid> for ChiefMicrogridOperator {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, remove: RemoveMicrogrid, _: &mut Context<Self>) -> Self::Result {
        self.stop_supervisor(&remove.microgrid, self.assembly.limits.ask_deadline)
    }
}

impl Handler<ListMicrogridSupervisors> for ChiefMicrogridOperator {
    type Result = MessageResult<ListMicrogridSupervisors>;

    fn handle(&mut self, _: ListMicrogridSupervisors, _: &mut Context<Self>) -> Self::Result {
        let standing = |(microgrid, child): (&MicrogridId, &Child<MicrogridSupervisor>)| {
            SupervisorStanding { microgrid: microgrid.clone(), state: child.state() }
        };
        MessageResult(self.supervisors.iter().map(standing).collect())
    }
}

macro_rules! ask_on {
    ($($question:ident => $answer:ty, by $microgrid:expr);* $(;)?) => {$(
        impl Handler<$question> for ChiefMicrogridOperator {
            type Result = ResponseFuture<Result<$answer, MicrogridError>>;

            fn handle(&mut self, question: $question, context: &mut Context<Self>) -> Self::Result {
                let microgrid: MicrogridId = $microgrid(&question);
                self.ask_supervisor(microgrid, question, context)
            }
        }
    )*};
}
ask_on!(
    AssignJob => (), by |question: &AssignJob| question.record.microgrid.clone();
    StopJob => (), by |question: &StopJob| question.microgrid.clone();
    StartJob => (), by |question: &StartJob| question.microgrid.clone();
    RemoveJob => (), by |question: &RemoveJob| question.microgrid.clone();
    ListJobs => Vec<JobStanding>, by |question: &ListJobs| question.microgrid.clone();
    GetJob => JobStanding, by |question: &GetJob| question.microgrid.clone();
    ExplainNodes => Vec<NodeWhy>, by |question: &ExplainNodes| question.microgrid.clone();
    SubmitWishes => WishesTaken, by |question: &SubmitWishes| question.microgrid.clone();
);
