//! The actor around one energy app: it feeds it from the bus and the store, runs its steps where they
//! harm nobody, and keeps its state, results and log. What it reads next is decided by [`Intake`],
//! what is unsaved is held by [`Ledger`]; a crash goes on from the last checkpoint.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, MessageResult, ResponseFuture, Running,
    StreamHandler,
};
use memcloud_bus::{CommittedBatch, Delivery, Pattern};
use memcloud_domain::messages::{
    HemBatch, JobReport, JobReported, JobWished, SaveCheckpoint, Unavailable,
};
use memcloud_domain::{Asker, HemId, JobCheckpoint, JobLogLevel, NodeId, Timestamp, Wish};
use memcloud_supervision::{
    Backoff, Child, ChildSpec, GivingUp, Observe, RestartPolicy, Scope, supervised,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::intake::{Intake, Reach};
use crate::ledger::Ledger;
use crate::preparation::{NotReady, Ready, flatten, marks, prepare, state_of};
use crate::step_threads::{Hanging, StepError};
use crate::{
    AdmitWishes, DrainJob, ExternalGate, GetProgress, JobAssembly, JobProgress, NotAdmitted,
    NoteInLog, Noticed, Outcome, ReadingsMissed, Roster, RunningApp, View, WishQueue,
};

/// What outlives a crash of the actor.
#[derive(Debug, Clone, Default)]
struct Lives {
    hanging: Hanging,
    last_failure: Arc<Mutex<Option<String>>>,
}

enum Phase {
    /// Where it stood is being loaded.
    Loading,
    /// It works.
    Working,
}

/// Runs one energy app for one microgrid.
pub struct WorkerJob {
    assembly: JobAssembly,
    scope: Scope,
    lives: Lives,
    phase: Phase,
    /// Absent while it is on a step's thread.
    app: Option<Box<dyn RunningApp>>,
    intake: Intake,
    ledger: Ledger,
    wishes: WishQueue,
    /// Of a job of the app `external`: it reads nothing and makes no steps.
    external: Option<ExternalGate>,
    /// Whether the app has seen something since it was saved last.
    dirty: bool,
    urgent: bool,
    saving: bool,
    asking_marks: bool,
    next_marks: Instant,
    next_checkpoint: Instant,
    next_tick: Option<Instant>,
    draining: bool,
    drained: Vec<oneshot::Sender<Result<(), Unavailable>>>,
    progress: JobProgress,
}

struct StepDone {
    app: Box<dyn RunningApp>,
    outcome: Option<Outcome>,
    /// How many of its wishes were too many.
    lost_wishes: u64,
    saved: Option<Result<(Value, usize), String>>,
}

impl WorkerJob {
    /// How long it waits before it asks a store again that was away.
    const RETRY: Duration = Duration::from_secs(2);

    /// A job is started again after 1, 2, 4, 8 and 16 s; the sixth failure within ten minutes ends it.
    #[must_use]
    pub fn policy() -> RestartPolicy {
        RestartPolicy::transient()
            .bearing(5, Duration::from_secs(600))
            .backoff(Backoff {
                initial: Duration::from_secs(1),
                max: Duration::from_secs(30),
                factor: 2.0,
                jitter: 0.1,
            })
            .giving_up(GivingUp::Stop)
    }

    /// Starts a job as a child of a scope.
    pub fn start(scope: &Scope, spec: ChildSpec, assembly: JobAssembly) -> Child<Self> {
        let lives = Lives::default();
        scope.supervise(spec, move |own| Self::new(assembly.clone(), own, lives.clone()))
    }

    fn new(assembly: JobAssembly, scope: Scope, lives: Lives) -> Self {
        let limits = assembly.limits;
        let now = scope.clock().instant();
        let last_failure = lives.last_failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut ledger = Ledger::new(&limits);
        if let Some(failure) = &last_failure {
            let text = format!("started again from the last checkpoint, because {failure}");
            ledger.say(Timestamp(scope.clock().unix_ms()), JobLogLevel::Error, text);
        }
        let record = &assembly.record;
        let rules = assembly.app.external(&record.configuration);
        let external =
            rules.map(|rules| ExternalGate::new(rules, Timestamp(scope.clock().unix_ms())));
        Self {
            external,
            intake: Intake::new(limits, std::collections::BTreeMap::new()),
            ledger,
            wishes: WishQueue::new(limits.wishes),
            assembly,
            scope,
            lives,
            phase: Phase::Loading,
            app: None,
            dirty: false,
            urgent: false,
            saving: false,
            asking_marks: false,
            next_marks: now,
            next_checkpoint: now,
            next_tick: None,
            draining: false,
            drained: Vec::new(),
            progress: JobProgress { last_failure, ..JobProgress::default() },
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.scope.clock().unix_ms())
    }

    fn roster(&self) -> Option<Arc<Roster>> {
        self.assembly.roster.borrow().clone()
    }

    fn fail(&self, reason: String) {
        log::warn!(job = self.assembly.record.id.as_str(), app = self.assembly.record.app.as_str(), reason = reason.as_str(); "a job failed");
        *self.lives.last_failure.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(reason.clone());
        self.scope.fail(reason);
    }

    fn load(&mut self, context: &mut Context<Self>) {
        let preparing =
            prepare(self.assembly.clone(), self.scope.clone(), self.lives.hanging.clone());
        context.spawn(wrap_future(preparing).map(|ready, job: &mut Self, context| match ready {
            Ok(ready) => job.begin(ready, context),
            Err(NotReady::Later(reason)) => {
                log::warn!(job = job.assembly.record.id.as_str(), reason = reason.as_str(); "a job waits for a store");
                context.run_later(Self::RETRY, |job, context| job.load(context));
            }
            Err(NotReady::Failed(reason)) => job.fail(reason),
        }));
    }

    fn begin(&mut self, ready: Ready, context: &mut Context<Self>) {
        self.phase = Phase::Working;
        self.intake = ready.intake;
        self.app = Some(ready.app);
        // Where a new job begins is kept before anything can go wrong with it.
        self.dirty = ready.is_new || !self.ledger.is_empty();
        self.next_tick = self.assembly.app.about().tick.map(|_| self.scope.clock().instant());
        self.ask_marks(context);
        self.pump(context);
    }

    /// Does whatever can be done now: reads a page, makes a step, saves.
    fn pump(&mut self, context: &mut Context<Self>) {
        if matches!(self.phase, Phase::Loading) {
            return;
        }
        let roster = self.roster();
        if !self.draining
            && let Some(roster) = &roster
            && let Some(read) = self.intake.next_page(roster)
        {
            let port = self.assembly.ports.entries.clone();
            let deadline = self.assembly.limits.ask_deadline;
            let asking = async move { flatten(port.ask(read, deadline).await) };
            context.spawn(wrap_future(asking).map(Self::take_page));
        }
        self.step(roster, context);
    }

    fn take_page(page: Result<HemBatch, String>, job: &mut Self, context: &mut Context<Self>) {
        match page {
            Ok(page) => job.intake.take_page(page),
            Err(reason) => {
                log::warn!(job = job.assembly.record.id.as_str(), reason = reason.as_str(); "a job cannot read the store now");
                job.intake.page_failed();
            }
        }
        job.pump(context);
    }

    fn step(&mut self, roster: Option<Arc<Roster>>, context: &mut Context<Self>) {
        let instant = self.scope.clock().instant();
        let may_step = roster.is_some() && !self.draining && !self.ledger.is_full();
        let tick_due = may_step && self.next_tick.is_some_and(|due| due <= instant);
        let save_due = self.dirty
            && !self.saving
            && (self.draining || self.urgent || self.next_checkpoint <= instant);
        let has_waiting = may_step && self.intake.has_waiting();
        if !(tick_due || save_due || has_waiting) {
            return;
        }
        let Some(mut app) = self.app.take() else { return };
        let next = if has_waiting { self.intake.next_step() } else { None };
        let has_view = next.is_some() || tick_due;
        let (portions, reach) = next.unwrap_or_default();
        let view = roster.filter(|_| has_view).map(|roster| View::new(roster, portions));
        if view.is_some()
            && let Some(every) = self.assembly.app.about().tick
        {
            self.next_tick = Some(instant + every.max(self.assembly.limits.least_tick));
        }
        let now = self.now();
        let seen = view.as_ref().map_or(0, |view| view.entries().count());
        let threads = self.assembly.threads.clone();
        let scope = self.scope.clone();
        let hanging = self.lives.hanging.clone();
        let deadline = self.assembly.limits.step_deadline;
        let most_wishes = self.assembly.limits.wishes;
        // A step that may cross the checkpoint's time is saved with it, so that the state needs no
        // thread of its own.
        let stepping = async move {
            let work = move || {
                let mut outcome = view.map(|view| app.step(now, &view));
                let mut lost_wishes = 0;
                if let Some(outcome) = &mut outcome {
                    let wanted = std::mem::take(&mut outcome.wishes);
                    let withdrawn = std::mem::take(&mut outcome.withdrawn);
                    (outcome.wishes, outcome.withdrawn, lost_wishes) =
                        WishQueue::condense(most_wishes, wanted, withdrawn);
                    lost_wishes += outcome.unheard;
                }
                let urgent = outcome.as_ref().is_some_and(|outcome| outcome.urgent);
                let saved = (save_due || urgent).then(|| state_of(app.as_ref()));
                StepDone { app, outcome, lost_wishes, saved }
            };
            threads.run(&scope, &hanging, deadline, work).await
        };
        context.spawn(
            wrap_future(stepping)
                .map(move |done, job: &mut Self, context| job.stepped(done, reach, seen, context)),
        );
    }

    fn stepped(
        &mut self,
        done: Result<StepDone, StepError>,
        reach: Reach,
        seen: usize,
        context: &mut Context<Self>,
    ) {
        let StepDone { app, outcome, lost_wishes, saved } = match done {
            Ok(done) => done,
            Err(error) => return self.fail(error.to_string()),
        };
        self.app = Some(app);
        self.intake.stepped(reach);
        if let Some(outcome) = outcome {
            self.progress.steps += 1;
            self.progress.seen += u64::try_from(seen).unwrap_or(0);
            self.dirty |= seen > 0 || !outcome.results.is_empty() || !outcome.log.is_empty();
            self.urgent |= outcome.urgent;
            self.wishes.lost(lost_wishes);
            self.absorb(outcome);
        }
        match saved {
            Some(Ok((state, bytes))) if !self.saving => self.save(state, bytes, context),
            Some(Err(reason)) => return self.fail(reason),
            _ => {}
        }
        if self.draining && !self.dirty && !self.saving {
            // The step found nothing, so that no save will say that it is over.
            self.answer_drained(&Ok(()));
        }
        self.pump(context);
    }

    fn absorb(&mut self, mut outcome: Outcome) {
        let now = self.now();
        let wishes = std::mem::take(&mut outcome.wishes);
        let withdrawn = std::mem::take(&mut outcome.withdrawn);
        self.ledger.absorb(outcome, now);
        if let Some(complaint) = self.wishes.absorb(wishes, withdrawn, now) {
            log::warn!(job = self.assembly.record.id.as_str(), reason = complaint.as_str(); "a job's wishes are dropped");
            self.ledger.say(now, JobLogLevel::Warn, complaint);
            self.dirty = true;
        }
        self.tell_wishes();
    }

    /// Tells dispatch what the app wants. Where dispatch has no room now it is told with the next timer.
    fn tell_wishes(&mut self) {
        if self.draining || self.wishes.is_empty() {
            return;
        }
        let Some(port) = &self.assembly.wishes else {
            self.wishes.discard();
            return;
        };
        let (wishes, withdrawn) = self.wishes.take();
        let wished = wished(&self.assembly, wishes, withdrawn);
        if let Err(error) = port.tell(wished) {
            let JobWished { wishes, withdrawn, .. } = error.into_message();
            self.wishes.put_back(wishes, withdrawn);
        }
    }

    fn save(&mut self, state: Value, bytes: usize, context: &mut Context<Self>) {
        let limits = self.assembly.limits;
        let budget = bytes / limits.checkpoint_bytes_per_second.max(1);
        let paid_off = Duration::from_secs(u64::try_from(budget).unwrap_or(u64::MAX));
        self.next_checkpoint = self.scope.clock().instant() + limits.checkpoint_every.max(paid_off);
        self.saving = true;
        self.dirty = false;
        self.urgent = false;
        let save = self.checkpoint(state);
        let port = self.assembly.ports.save.clone();
        let asking = async move { flatten(port.ask(save, limits.ask_deadline).await) };
        context.spawn(wrap_future(asking).map(Self::saved));
    }

    fn checkpoint(&mut self, state: Value) -> SaveCheckpoint {
        let (results, log) = self.ledger.begin_saving(self.now());
        SaveCheckpoint {
            job: self.assembly.record.id.clone(),
            checkpoint: JobCheckpoint { cursors: self.intake.cursors(), state },
            results,
            log,
            tenure: self.assembly.tenure.clone(),
        }
    }

    fn saved(answer: Result<(), String>, job: &mut Self, context: &mut Context<Self>) {
        job.saving = false;
        match answer {
            Ok(()) => {
                job.progress.saved = Some(job.now());
                job.report();
                if job.draining && !job.dirty {
                    job.answer_drained(&Ok(()));
                }
            }
            Err(reason) => {
                log::warn!(job = job.assembly.record.id.as_str(), reason = reason.as_str(); "a job could not be saved and keeps what it has");
                job.ledger.not_saved();
                job.dirty = true;
                job.urgent = false;
                job.next_checkpoint = job.scope.clock().instant() + Self::RETRY;
                job.answer_drained(&Err(Unavailable { what: "web store", reason }));
            }
        }
        job.pump(context);
    }

    fn answer_drained(&mut self, answer: &Result<(), Unavailable>) {
        for waiting in self.drained.drain(..) {
            let _ = waiting.send(answer.clone());
        }
    }

    /// Shows what is now saved. Whoever is too slow for it reads the store.
    fn report(&mut self) {
        let record = &self.assembly.record;
        for result in self.ledger.saved() {
            let reported = JobReported {
                job: record.id.clone(),
                microgrid: record.microgrid.clone(),
                report: JobReport::Result(result),
            };
            self.assembly.results.publish(record.id.as_str(), reported.clone());
            if self.assembly.ports.reported.tell(reported).is_err() {
                break;
            }
        }
    }

    fn ask_marks(&mut self, context: &mut Context<Self>) {
        if self.external.is_some() {
            return;
        }
        if std::mem::replace(&mut self.asking_marks, true) {
            return;
        }
        let limits = self.assembly.limits;
        self.next_marks = self.scope.clock().instant() + limits.catch_up_every;
        let asking = marks(self.assembly.clone());
        context.spawn(wrap_future(asking).map(|answer, job: &mut Self, context| {
            job.asking_marks = false;
            match answer {
                Ok(marks) => job.intake.take_marks(marks),
                Err(reason) => {
                    log::warn!(job = job.assembly.record.id.as_str(), reason = reason.as_str(); "a job cannot learn what is stored now");
                }
            }
            job.pump(context);
        }));
    }

    fn look_at_timers(&mut self, context: &mut Context<Self>) {
        if matches!(self.phase, Phase::Working)
            && !self.draining
            && self.next_marks <= self.scope.clock().instant()
        {
            self.ask_marks(context);
        }
        self.tell_wishes();
        self.listen_for_program();
        self.pump(context);
    }

    /// Says once when a program outside falls silent, and once when it is back.
    fn listen_for_program(&mut self) {
        let now = self.now();
        let Some(noticed) = self.external.as_mut().and_then(|gate| gate.look(now)) else { return };
        let (level, text) = match noticed {
            Noticed::FellSilent { since } => (
                JobLogLevel::Warn,
                format!(
                    "nothing was heard of the program since {since}: its wishes end with their leases"
                ),
            ),
            Noticed::Returned { since } => (
                JobLogLevel::Info,
                format!("the program is heard of again; it was silent since {since}"),
            ),
        };
        self.ledger.say(now, level, text);
        self.dirty = true;
        self.urgent = true;
    }
}

impl std::fmt::Debug for WorkerJob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("WorkerJob")
            .field("assembly", &self.assembly)
            .finish_non_exhaustive()
    }
}

fn wished(assembly: &JobAssembly, wishes: Vec<Wish>, withdrawn: Vec<(HemId, NodeId)>) -> JobWished {
    let record = &assembly.record;
    let asker = Asker::Job {
        job: record.id.clone(),
        app: record.app.clone(),
        version: assembly.app.about().version.to_owned(),
    };
    JobWished { asker, priority: record.priority, wishes, withdrawn }
}

impl Actor for WorkerJob {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if self.external.is_none() {
            let queue = self.assembly.readings.bind(&Pattern::all(), self.assembly.limits.queue);
            context.add_stream(queue);
        }
        let roster = self.assembly.roster.clone();
        let changes = futures_util::stream::unfold(roster, |mut roster| async move {
            roster.changed().await.ok()?;
            Some((RosterChanged, roster))
        });
        context.add_stream(changes);
        let every = self.assembly.limits.look_every.max(Duration::from_millis(10));
        context.run_interval(every, Self::look_at_timers);
        self.load(context);
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        // Whoever drains a job first has nothing left here. If even this is lost, the job goes on from
        // its last checkpoint and finds the same again.
        if self.dirty
            && !self.saving
            && let Some(Ok((state, _))) = self.app.as_deref().map(state_of)
        {
            let save = self.checkpoint(state);
            if self.assembly.ports.save.tell(save).is_err() {
                log::warn!(job = self.assembly.record.id.as_str(); "a job stopped without a last checkpoint");
            }
        }
        Running::Stop
    }
}

impl Observe for WorkerJob {
    fn observe(&self) -> Value {
        json!({
            "app": self.assembly.record.app,
            "progress": self.current_progress(),
            "left_out": self.intake.left_out(),
            "wishes": {"told": self.wishes.told(), "dropped": self.wishes.dropped()},
            "external": self.external.as_ref().map(|gate| json!({
                "admitted": gate.admitted(), "turned_down": gate.turned_down(),
            })),
        })
    }
}

impl WorkerJob {
    fn current_progress(&self) -> JobProgress {
        let behind = self.roster().map_or(0, |roster| self.intake.behind(&roster));
        let caught_up = matches!(self.phase, Phase::Working) && behind == 0;
        let backlog = self.intake.backlog();
        let hearing = self.external.as_ref().map(ExternalGate::hearing);
        JobProgress { caught_up, behind, backlog, hearing, ..self.progress.clone() }
    }
}

supervised!(WorkerJob);

impl StreamHandler<Delivery<CommittedBatch>> for WorkerJob {
    fn handle(&mut self, delivery: Delivery<CommittedBatch>, context: &mut Context<Self>) {
        if matches!(self.phase, Phase::Loading) {
            // What is stored meanwhile is learnt from the marks.
            return;
        }
        let roster = self.roster();
        self.intake.take_batch(&delivery.message, roster.as_deref());
        if delivery.lost_before > 0 {
            self.ask_marks(context);
        }
        self.pump(context);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

/// The microgrid's roster is known, or has changed.
struct RosterChanged;

impl StreamHandler<RosterChanged> for WorkerJob {
    fn handle(&mut self, _: RosterChanged, context: &mut Context<Self>) {
        self.pump(context);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<DrainJob> for WorkerJob {
    type Result = ResponseFuture<Result<(), Unavailable>>;

    fn handle(&mut self, _: DrainJob, context: &mut Context<Self>) -> Self::Result {
        self.draining = true;
        let is_idle = self.app.is_some() && !self.saving && !self.dirty;
        if matches!(self.phase, Phase::Loading) || is_idle {
            return Box::pin(async { Ok(()) });
        }
        let (answer, answered) = oneshot::channel();
        self.drained.push(answer);
        self.pump(context);
        Box::pin(async move {
            answered.await.unwrap_or_else(|_| {
                Err(Unavailable { what: "job", reason: "it crashed while it was stopped".into() })
            })
        })
    }
}

impl Handler<GetProgress> for WorkerJob {
    type Result = MessageResult<GetProgress>;

    fn handle(&mut self, _: GetProgress, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.current_progress())
    }
}

impl Handler<AdmitWishes> for WorkerJob {
    type Result = Result<JobWished, NotAdmitted>;

    fn handle(&mut self, submitted: AdmitWishes, _: &mut Context<Self>) -> Self::Result {
        let now = self.now();
        let AdmitWishes { wishes, withdrawn } = submitted;
        let gate = self.external.as_mut().ok_or(NotAdmitted::NotExternal)?;
        let admitted = gate.admit(wishes, &withdrawn, now);
        self.listen_for_program();
        Ok(wished(&self.assembly, admitted?, withdrawn))
    }
}

impl Handler<NoteInLog> for WorkerJob {
    type Result = ();

    fn handle(&mut self, note: NoteInLog, _: &mut Context<Self>) {
        self.ledger.say(self.now(), JobLogLevel::Warn, note.text);
        self.dirty = true;
    }
}

impl Handler<ReadingsMissed> for WorkerJob {
    type Result = ();

    fn handle(&mut self, _: ReadingsMissed, context: &mut Context<Self>) {
        if matches!(self.phase, Phase::Working) {
            self.ask_marks(context);
        }
    }
}
