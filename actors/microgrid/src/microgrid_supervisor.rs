//! The supervisor of one microgrid: its bus, its roster, and a worker for each of its jobs. Which
//! jobs are to run is decided by [`Jobs`]; this actor starts and stops them, sees to it that their
//! states are recorded, and after a crash of its own begins again from the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture};
use futures_util::future::join_all;
use memcloud_bus::CloudEvent;
use memcloud_domain::messages::{
    HemChanged, HemRemoved, JobChanged, JobRemoved, JobReport, JobReported, ListJobsOf,
    MicrogridChanged, ReadingsCommitted, RecordJobState, Unavailable,
};
use memcloud_domain::{JobId, JobRecord, JobState, Timestamp};
use memcloud_supervision::{
    AskError, Backoff, Child, ChildExited, ChildSpec, ExitReason, GivingUp, Observe, RestartPolicy,
    Scope, supervised,
};
use memcloud_worker::{DrainJob, GetProgress, JobAssembly, ReadingsMissed, Roster, WorkerJob};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::assembly::MicrogridAssembly;
use crate::dispatch::{Event, Link};
use crate::jobs::{Effect, Jobs};
use crate::steering::Steering;
use crate::{
    AssignJob, GetJob, HappenedInMicrogrid, JobStanding, ListJobs, MicrogridBus, MicrogridError,
    RemoveJob, StartJob, StopJob,
};

/// Supervises one microgrid.
#[derive(Debug)]
pub struct MicrogridSupervisor {
    pub(crate) assembly: MicrogridAssembly,
    pub(crate) scope: Scope,
    pub(crate) bus: MicrogridBus,
    pub(crate) roster: watch::Sender<Option<Arc<Roster>>>,
    pub(crate) jobs: Jobs,
    pub(crate) workers: BTreeMap<JobId, Child<WorkerJob>>,
    /// States that the store has not confirmed yet.
    unrecorded: BTreeMap<JobId, JobState>,
    recording: bool,
    pub(crate) jobs_known: bool,
    listing: bool,
    next_listing: Instant,
    pub(crate) asking_roster: bool,
    pub(crate) next_roster: Instant,
    stopped: Vec<(JobId, oneshot::Sender<()>)>,
    /// Absent where nothing is steered.
    pub(crate) steering: Option<Steering>,
}

impl MicrogridSupervisor {
    pub(crate) const TICK: Duration = Duration::from_secs(1);
    pub(crate) const RETRY: Duration = Duration::from_secs(2);
    const PROGRESS_DEADLINE: Duration = Duration::from_secs(1);

    /// Restarted whatever happens, the sixth time in a minute not: then its operator is told, and
    /// takes it on again later.
    #[must_use]
    pub fn policy() -> RestartPolicy {
        RestartPolicy::permanent()
            .bearing(5, Duration::from_secs(60))
            .backoff(Backoff::default())
            .giving_up(GivingUp::Stop)
    }

    /// Starts a supervisor below its operator's scope, named by its microgrid.
    pub fn start(scope: &Scope, spec: ChildSpec, assembly: MicrogridAssembly) -> Child<Self> {
        let spec = spec.policy(Self::policy()).mailbox(assembly.limits.mailbox);
        scope.supervise(spec, move |own| Self::new(assembly.clone(), own))
    }

    fn new(assembly: MicrogridAssembly, scope: Scope) -> Self {
        let now = scope.clock().instant();
        let steering = Steering::new(&assembly, now);
        Self {
            steering,
            bus: MicrogridBus::new(&assembly.microgrid),
            assembly,
            scope,
            roster: watch::channel(None).0,
            jobs: Jobs::default(),
            workers: BTreeMap::new(),
            unrecorded: BTreeMap::new(),
            recording: false,
            jobs_known: false,
            listing: false,
            next_listing: now,
            asking_roster: false,
            next_roster: now,
            stopped: Vec::new(),
        }
    }

    pub(crate) fn instant(&self) -> Instant {
        self.scope.clock().instant()
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.scope.clock().unix_ms())
    }

    fn look_at_timers(&mut self, context: &mut Context<Self>) {
        let now = self.instant();
        if self.next_listing <= now {
            self.list_jobs(context);
        }
        if self.next_roster <= now {
            self.ask_roster(context);
        }
        self.record_states(context);
        self.look_at_steering(context);
    }

    // ------------------------------------------------------------------------------------ its jobs

    fn list_jobs(&mut self, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.listing, true) {
            return;
        }
        let as_of = self.jobs.changes();
        let port = self.assembly.ports.jobs.clone();
        let ask = ListJobsOf { microgrid: self.assembly.microgrid.clone() };
        let deadline = self.assembly.limits.ask_deadline;
        let asking = async move { flatten(port.ask(ask, deadline).await) };
        context.spawn(wrap_future(asking).map(move |answer, supervisor: &mut Self, context| {
            supervisor.listing = false;
            let pause = match answer {
                Ok(records) => {
                    supervisor.jobs_known = true;
                    let effects = supervisor.jobs.listed(records, as_of, &supervisor.unrecorded);
                    supervisor.carry_out(effects, context);
                    supervisor.assembly.limits.refresh_every
                }
                Err(reason) => {
                    log::warn!(microgrid = supervisor.assembly.microgrid.as_str(), reason = reason.as_str(); "the microgrid's jobs cannot be read now");
                    Self::RETRY
                }
            };
            supervisor.next_listing = supervisor.instant() + pause;
        }));
    }

    fn carry_out(&mut self, effects: Vec<Effect>, context: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Start(record) => self.start_worker(record, context),
                Effect::Stop(job) => self.stop_worker(job, context),
                Effect::Record(job, state) => {
                    self.show(&job, state.clone());
                    self.unrecorded.insert(job, state);
                    self.record_states(context);
                }
            }
        }
        self.tell_running_jobs(context);
    }

    fn start_worker(&mut self, record: JobRecord, context: &mut Context<Self>) {
        let job = record.id.clone();
        let limit = self.assembly.limits.jobs;
        let found = if self.workers.len() < limit {
            self.assembly.catalogue.get(&record.app).map_err(|error| error.to_string())
        } else {
            Err(format!("{limit} jobs run in this microgrid already; stop one first"))
        };
        let app = match found {
            Ok(app) => Arc::clone(app),
            Err(reason) => {
                let effects = self.jobs.not_startable(&job, reason, self.now());
                self.carry_out(effects, context);
                return;
            }
        };
        log::info!(microgrid = self.assembly.microgrid.as_str(), job = job.as_str(), app = record.app.as_str(); "a job starts");
        let assembly = JobAssembly {
            record,
            tenure: self.assembly.tenure.clone(),
            app,
            ports: self.assembly.ports.worker.clone(),
            readings: Arc::clone(&self.bus.readings),
            results: Arc::clone(&self.bus.results),
            roster: self.roster.subscribe(),
            wishes: self.steering.is_some().then(|| self.scope.port(context.address())),
            threads: self.assembly.threads.clone(),
            limits: self.assembly.limits.job,
        };
        let spec = ChildSpec::new(job.as_str())
            .policy(WorkerJob::policy())
            .watched_by(context.address().recipient());
        let worker = WorkerJob::start(&self.scope, spec, assembly);
        self.workers.insert(job, worker);
    }

    fn stop_worker(&mut self, job: JobId, context: &mut Context<Self>) {
        let worker = self.workers.remove(&job);
        let deadline = self.assembly.limits.drain_deadline;
        let stopping = async move {
            let Some(worker) = worker else { return };
            // What could not be saved is found again from the last checkpoint.
            let _ = worker.ask(DrainJob, deadline).await;
            worker.stop(deadline).await;
        };
        context.spawn(wrap_future(stopping).map(move |(), supervisor: &mut Self, context| {
            let effects = supervisor.jobs.worker_stopped(&job);
            supervisor.carry_out(effects, context);
            for (stopped, answer) in std::mem::take(&mut supervisor.stopped) {
                if stopped == job {
                    let _ = answer.send(());
                } else {
                    supervisor.stopped.push((stopped, answer));
                }
            }
        }));
    }

    fn record_states(&mut self, context: &mut Context<Self>) {
        if self.recording {
            return;
        }
        let Some((job, state)) = self.unrecorded.first_key_value() else { return };
        self.recording = true;
        let (job, state) = (job.clone(), state.clone());
        let port = self.assembly.ports.states.clone();
        let deadline = self.assembly.limits.ask_deadline;
        let tenure = self.assembly.tenure.clone();
        let record = RecordJobState { job: job.clone(), state: state.clone(), tenure };
        let asking = async move { flatten(port.ask(record, deadline).await) };
        context.spawn(wrap_future(asking).map(move |answer, supervisor: &mut Self, context| {
            supervisor.recording = false;
            match answer {
                Ok(()) => {
                    // A newer state of the same job stays, and is recorded next.
                    if supervisor.unrecorded.get(&job) == Some(&state) {
                        supervisor.unrecorded.remove(&job);
                    }
                    supervisor.record_states(context);
                }
                Err(reason) => {
                    log::warn!(job = job.as_str(), reason = reason.as_str(); "a job's state cannot be recorded now");
                }
            }
        }));
    }

    fn show(&self, job: &JobId, state: JobState) {
        if let JobState::Failed { reason, .. } = &state {
            log::error!(microgrid = self.assembly.microgrid.as_str(), job = job.as_str(), reason = reason.as_str(); "a job failed for good");
        }
        let reported = JobReported {
            job: job.clone(),
            microgrid: self.assembly.microgrid.clone(),
            report: JobReport::State(state),
        };
        self.bus.results.publish(job.as_str(), reported.clone());
        if self.assembly.ports.worker.reported.tell(reported).is_err() {
            log::debug!(job = job.as_str(); "nobody has room for a job's state");
        }
    }

    /// A wish for one job; answers once its worker has stopped, where it has to.
    fn wish(
        &mut self,
        job: &JobId,
        state: JobState,
        context: &mut Context<Self>,
    ) -> ResponseFuture<Result<(), MicrogridError>> {
        if let Err(error) = self.known(job) {
            return Box::pin(async { Err(error) });
        }
        let waits = !crate::messages::is_running(&state);
        let effects = self.jobs.wished(job, state);
        self.carry_out(effects, context);
        if waits { self.when_stopped(job) } else { Box::pin(async { Ok(()) }) }
    }

    fn when_stopped(&mut self, job: &JobId) -> ResponseFuture<Result<(), MicrogridError>> {
        if !self.jobs.has_worker(job) {
            return Box::pin(async { Ok(()) });
        }
        let (answer, answered) = oneshot::channel();
        self.stopped.push((job.clone(), answer));
        let microgrid = self.assembly.microgrid.clone();
        Box::pin(async move {
            let lost = |_| MicrogridError::Unreachable { microgrid, source: AskError::Lost };
            answered.await.map_err(lost)
        })
    }

    pub(crate) fn known(&self, job: &JobId) -> Result<&JobRecord, MicrogridError> {
        let microgrid = || self.assembly.microgrid.clone();
        match self.jobs.get(job) {
            Some(record) => Ok(record),
            None if self.jobs_known => {
                Err(MicrogridError::UnknownJob { microgrid: microgrid(), job: job.clone() })
            }
            None => Err(MicrogridError::JobsUnknown { microgrid: microgrid() }),
        }
    }

    fn may_assign(&self, record: &JobRecord) -> Result<(), MicrogridError> {
        let microgrid = || self.assembly.microgrid.clone();
        if record.microgrid != self.assembly.microgrid {
            return Err(MicrogridError::ForeignJob {
                job: record.id.clone(),
                owner: record.microgrid.clone(),
                microgrid: microgrid(),
            });
        }
        let limit = self.assembly.limits.jobs;
        if self.jobs.get(&record.id).is_none() && self.jobs.len() >= limit {
            return Err(MicrogridError::TooManyJobs { microgrid: microgrid(), limit });
        }
        let validated = self.assembly.catalogue.validate(&record.app, &record.configuration);
        validated
            .map(|_| ())
            .map_err(|source| MicrogridError::App { job: record.id.clone(), source })
    }

    /// Shows jobs with how far they are, as far as they answer.
    fn standings(&self, records: Vec<JobRecord>) -> impl Future<Output = Vec<JobStanding>> + use<> {
        let asking: Vec<_> = records
            .into_iter()
            .map(|record| {
                let worker = self.workers.get(&record.id).cloned();
                async move {
                    let progress = match worker {
                        Some(worker) => worker.ask(GetProgress, Self::PROGRESS_DEADLINE).await.ok(),
                        None => None,
                    };
                    JobStanding { record, progress }
                }
            })
            .collect();
        join_all(asking)
    }
}

pub(crate) fn flatten<T>(answer: Result<Result<T, Unavailable>, AskError>) -> Result<T, String> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(unavailable)) => Err(unavailable.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

impl Actor for MicrogridSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(Self::TICK, Self::look_at_timers);
        self.look_at_timers(context);
    }
}

impl Observe for MicrogridSupervisor {
    fn observe(&self) -> Value {
        let readings = self.bus.readings.figures();
        json!({
            "jobs": self.jobs.len(),
            "running": self.workers.len(),
            "homes": self.roster.borrow().as_ref().map(|roster| roster.homes().len()),
            "published": readings.published,
            "dropped": readings.dropped,
            "queues": readings.queues,
            "dispatch": self.steering.as_ref().map(Steering::observe),
        })
    }
}

supervised!(MicrogridSupervisor);

impl Handler<ReadingsCommitted> for MicrogridSupervisor {
    type Result = ();

    fn handle(&mut self, committed: ReadingsCommitted, context: &mut Context<Self>) {
        self.look_for_strangers(&committed);
        self.bus.publish(&committed);
        self.dispatch(Event::Stored(Arc::clone(&committed.batches)), context);
    }
}

impl Handler<ReadingsMissed> for MicrogridSupervisor {
    type Result = ();

    fn handle(&mut self, _: ReadingsMissed, _: &mut Context<Self>) {
        for worker in self.workers.values() {
            // A worker that has no room looks by itself within seconds.
            let _ = worker.tell(ReadingsMissed);
        }
    }
}

impl Handler<HappenedInMicrogrid> for MicrogridSupervisor {
    type Result = ();

    fn handle(
        &mut self,
        HappenedInMicrogrid(event): HappenedInMicrogrid,
        context: &mut Context<Self>,
    ) {
        match &event {
            CloudEvent::HemConnected(connected) => {
                self.home_declares(&connected.hem, &connected.nodes);
                self.link(&connected.hem, connected.epoch, Link::Up, context);
            }
            CloudEvent::HemDisconnected(disconnected) => {
                self.link(&disconnected.hem, disconnected.epoch, Link::Down, context);
            }
            _ => {}
        }
        self.bus.events.publish("", event);
    }
}

impl Handler<HemChanged> for MicrogridSupervisor {
    type Result = ();

    fn handle(&mut self, changed: HemChanged, _: &mut Context<Self>) {
        self.home_declares(&changed.hem, &changed.nodes);
        let knows = |roster: &Roster| roster.home_limits(&changed.hem) == changed.limits;
        if !self.roster.borrow().as_deref().is_some_and(knows) {
            self.change_roster(|roster| roster.with_home_limits(&changed.hem, changed.limits));
        }
    }
}

impl Handler<HemRemoved> for MicrogridSupervisor {
    type Result = ();

    fn handle(&mut self, removed: HemRemoved, _: &mut Context<Self>) {
        self.change_roster(|roster| roster.without_home(&removed.hem));
    }
}

impl Handler<MicrogridChanged> for MicrogridSupervisor {
    type Result = ();

    fn handle(&mut self, changed: MicrogridChanged, context: &mut Context<Self>) {
        self.change_roster(|roster| roster.with_profile(changed.profile));
        // Its limits may have changed too.
        self.ask_roster(context);
    }
}

impl Handler<JobChanged> for MicrogridSupervisor {
    type Result = ();

    fn handle(&mut self, changed: JobChanged, context: &mut Context<Self>) {
        self.unrecorded.remove(&changed.job.id);
        let effects = self.jobs.changed(changed.job);
        self.carry_out(effects, context);
    }
}

impl Handler<JobRemoved> for MicrogridSupervisor {
    type Result = ();

    fn handle(&mut self, removed: JobRemoved, context: &mut Context<Self>) {
        self.unrecorded.remove(&removed.job);
        let effects = self.jobs.removed(&removed.job);
        self.carry_out(effects, context);
    }
}

impl Handler<AssignJob> for MicrogridSupervisor {
    type Result = Result<(), MicrogridError>;

    fn handle(&mut self, assign: AssignJob, context: &mut Context<Self>) -> Self::Result {
        self.may_assign(&assign.record)?;
        let effects = self.jobs.changed(assign.record);
        self.carry_out(effects, context);
        Ok(())
    }
}

impl Handler<StopJob> for MicrogridSupervisor {
    type Result = ResponseFuture<Result<(), MicrogridError>>;

    fn handle(&mut self, stop: StopJob, context: &mut Context<Self>) -> Self::Result {
        self.wish(&stop.job, JobState::Stopped, context)
    }
}

impl Handler<StartJob> for MicrogridSupervisor {
    type Result = ResponseFuture<Result<(), MicrogridError>>;

    fn handle(&mut self, start: StartJob, context: &mut Context<Self>) -> Self::Result {
        self.wish(&start.job, JobState::Running, context)
    }
}

impl Handler<RemoveJob> for MicrogridSupervisor {
    type Result = ResponseFuture<Result<(), MicrogridError>>;

    fn handle(&mut self, remove: RemoveJob, context: &mut Context<Self>) -> Self::Result {
        if let Err(error) = self.known(&remove.job) {
            return Box::pin(async { Err(error) });
        }
        let effects = self.jobs.removed(&remove.job);
        self.carry_out(effects, context);
        self.when_stopped(&remove.job)
    }
}

impl Handler<ListJobs> for MicrogridSupervisor {
    type Result = ResponseFuture<Result<Vec<JobStanding>, MicrogridError>>;

    fn handle(&mut self, _: ListJobs, _: &mut Context<Self>) -> Self::Result {
        if !self.jobs_known && self.jobs.is_empty() {
            let microgrid = self.assembly.microgrid.clone();
            return Box::pin(async { Err(MicrogridError::JobsUnknown { microgrid }) });
        }
        let standings = self.standings(self.jobs.records().cloned().collect());
        Box::pin(async { Ok(standings.await) })
    }
}

impl Handler<GetJob> for MicrogridSupervisor {
    type Result = ResponseFuture<Result<JobStanding, MicrogridError>>;

    fn handle(&mut self, get: GetJob, _: &mut Context<Self>) -> Self::Result {
        let record = match self.known(&get.job) {
            Ok(record) => record.clone(),
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let standings = self.standings(vec![record]);
        let (microgrid, job) = (self.assembly.microgrid.clone(), get.job);
        Box::pin(async move {
            standings.await.pop().ok_or(MicrogridError::UnknownJob { microgrid, job })
        })
    }
}

impl Handler<ChildExited> for MicrogridSupervisor {
    type Result = ();

    fn handle(&mut self, exited: ChildExited, context: &mut Context<Self>) {
        let ended = self.workers.iter().find(|(_, worker)| worker.name() == exited.name);
        // Of a worker from before a crash of this supervisor nothing is to be said.
        let Some(job) = ended.map(|(job, _)| job.clone()) else { return };
        if !exited.reason.is_failure() {
            return;
        }
        self.workers.remove(&job);
        let reason = match exited.reason {
            ExitReason::Panicked { message } => message,
            other => other.to_string(),
        };
        let effects = self.jobs.worker_failed(&job, reason, self.now());
        self.carry_out(effects, context);
    }
}
