//! The actor between the sockets and the telemetry store: a thin shell over [`GroupCommit`], which
//! decides; this runs its jobs on blocking threads, answers, publishes, and reads for whoever asks.
//!
//! A crash loses nothing: with the core every session is fenced, so that HEMs connect again and send
//! what was never acknowledged; a commit that was under way completes or not, and is a replay then.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult,
    ResponseFuture,
};
use chrono_tz::Tz;
use log::{error, info, warn};
use memcloud_domain::messages::{
    CloseSession, GetLatestReading, GetSeries, HemBatch, HemMark, ListEvents, ListMarks,
    ListReadings, MicrogridProfile, OpenSession, Page, ReadEntriesAfter, ReadingsCommitted,
    SessionOpened, StoreEntries, Unavailable,
};
use memcloud_domain::{HemEvent, Reading, Series, Timestamp};
use memcloud_store::StoreError;
use memcloud_store::telemetry::{HemEntries, NewSession, PageQuery, SeriesQuery, TelemetryStore};
use memcloud_supervision::{Observe, OffloadError, Port, Scope};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::commit_job::{Job, JobReport};
use crate::group_commit::{
    CommitPolicy, Effect, Event, GroupCommit, IOT_STORE, Opening, StoreHealth,
};
use crate::metrics::HistorianMetrics;

/// How often sessions are forgotten whose sockets went without a word.
const SWEEP: Duration = Duration::from_secs(60);

/// How the historian works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistorianConfig {
    /// When to commit, and when to try again.
    pub commit: CommitPolicy,
    /// So many reads run at a time …
    pub reads: usize,
    /// … and so many more wait; beyond that a read is turned down.
    pub waiting_reads: usize,
}

impl Default for HistorianConfig {
    fn default() -> Self {
        Self { commit: CommitPolicy::default(), reads: 4, waiting_reads: 1_000 }
    }
}

/// `src` asks the `Historian` for `/health/ready` whether the store takes what it is given.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "HistorianHealth")]
pub struct GetHealth;

/// How the historian does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistorianHealth {
    /// Why the store is away; absent while it takes what it is given.
    pub away: Option<Unavailable>,
    /// For how long it has been away.
    pub away_for: Duration,
    /// Entries that wait for the disk.
    pub waiting: usize,
    /// Open sessions.
    pub sessions: usize,
}

/// `src` asks the `Historian`, once the sockets are closed, to take nothing more, to commit what it
/// has, and to stop. Answered when all of it is on disk; while the store is away it is not answered,
/// and whoever asked stops waiting: HEMs keep what was not acknowledged.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct FlushAndStop;

/// `src` tells the `Historian`, at start and on every change, in which time zone a microgrid's days
/// are. Must not be lost: until then its days are in UTC.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Unavailable>")]
pub struct SetTimeZone {
    /// The microgrid and its zone.
    pub profile: MicrogridProfile,
}

/// The actor between the sockets and the telemetry store.
pub struct Historian {
    scope: Scope,
    store: Arc<dyn TelemetryStore>,
    published: Port<ReadingsCommitted>,
    metrics: Arc<HistorianMetrics>,
    core: GroupCommit,
    reads: Arc<Semaphore>,
    pending_reads: Arc<Semaphore>,
    armed: Option<Instant>,
    flushed: Vec<oneshot::Sender<()>>,
}

memcloud_supervision::supervised!(Historian);

impl Historian {
    /// A historian over a store, which publishes what it has committed to a port, by `tell`.
    #[must_use]
    pub fn new(
        scope: Scope,
        config: HistorianConfig,
        store: Arc<dyn TelemetryStore>,
        published: Port<ReadingsCommitted>,
        metrics: Arc<HistorianMetrics>,
    ) -> Self {
        let reads = config.reads.max(1);
        Self {
            scope,
            store,
            published,
            core: GroupCommit::new(config.commit, Arc::clone(&metrics)),
            metrics,
            reads: Arc::new(Semaphore::new(reads)),
            pending_reads: Arc::new(Semaphore::new(reads + config.waiting_reads)),
            armed: None,
            flushed: Vec::new(),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.scope.clock().unix_ms())
    }

    fn drive(&mut self, event: Event, context: &mut Context<Self>) {
        let was_away = matches!(self.core.health(), StoreHealth::Away { .. });
        let effects = self.core.accept(event, self.scope.clock().instant());
        self.log_health(was_away);
        self.perform(effects, context);
    }

    fn perform(&mut self, effects: Vec<Effect>, context: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Answer(reply, answer) => {
                    // Whoever asked may have given up: its session is swept later.
                    let _ = reply.send(answer);
                }
                Effect::Publish(committed) => self.publish(committed),
                Effect::Run(job) => self.run(job, context),
                Effect::Alarm { hem, reason } => {
                    error!("hem.id" = hem.as_str(), reason = reason.as_str();
                        "entries of a HEM cannot be stored; its connection is ended");
                }
            }
        }
        self.arm(context);
        if !self.flushed.is_empty() && self.core.is_idle() {
            for waiter in self.flushed.drain(..) {
                let _ = waiter.send(());
            }
            context.stop();
        }
    }

    fn publish(&self, committed: ReadingsCommitted) {
        match self.published.tell(committed) {
            Ok(()) => self.metrics.published.increment(),
            Err(_) => self.metrics.dropped_hints.increment(),
        }
    }

    fn run(&self, job: Job, context: &mut Context<Self>) {
        let (scope, store, at) = (self.scope.clone(), Arc::clone(&self.store), self.now());
        let began = self.scope.clock().instant();
        let work = async move { scope.offload(move || job.run(store.as_ref(), at)).await };
        let done = wrap_future::<_, Self>(work).map(move |result, historian, context| {
            let report = match result {
                Ok(report) => report,
                Err(OffloadError::Panicked(message)) => JobReport::panicked(message),
                Err(_) => return,
            };
            let took = historian.scope.clock().instant().saturating_duration_since(began);
            let at = historian.now();
            historian.drive(Event::Finished { report, took, at }, context);
        });
        context.spawn(done);
    }

    fn arm(&mut self, context: &mut Context<Self>) {
        let Some(deadline) = self.core.deadline() else { return };
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return;
        }
        self.armed = Some(deadline);
        let pause = deadline.saturating_duration_since(self.scope.clock().instant());
        context.run_later(pause, |historian, context| {
            historian.armed = None;
            historian.drive(Event::Tick, context);
        });
    }

    fn log_health(&self, was_away: bool) {
        match (was_away, self.core.health()) {
            (false, StoreHealth::Away { reason, .. }) => {
                error!(reason = reason.as_str();
                    "the iot store does not take readings: acknowledgements wait until it does");
            }
            (true, StoreHealth::Healthy) => info!("the iot store takes readings again"),
            _ => {}
        }
    }

    /// Reads on a blocking thread; so many at a time, so many more waiting.
    fn read<T, F>(&self, what: &'static str, read: F) -> ResponseFuture<Result<T, Unavailable>>
    where
        T: Send + 'static,
        F: FnOnce(&dyn TelemetryStore) -> Result<T, StoreError> + Send + 'static,
    {
        let unavailable = |reason: String| Unavailable { what: IOT_STORE, reason };
        let Ok(place) = Arc::clone(&self.pending_reads).try_acquire_owned() else {
            self.metrics.refused_reads.increment();
            let refusal = unavailable("too many reads wait; ask again later".to_owned());
            return Box::pin(std::future::ready(Err(refusal)));
        };
        let (scope, store) = (self.scope.clone(), Arc::clone(&self.store));
        let reads = Arc::clone(&self.reads);
        Box::pin(async move {
            let _place = place;
            let Ok(_turn) = reads.acquire().await else {
                return Err(unavailable("the historian is shutting down".to_owned()));
            };
            match scope.offload(move || read(store.as_ref())).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(problem)) => {
                    if !problem.is_temporary() {
                        error!(what = what, error = problem.to_string().as_str();
                            "stored telemetry cannot be read");
                    }
                    Err(unavailable(problem.to_string()))
                }
                Err(problem) => Err(unavailable(problem.to_string())),
            }
        })
    }
}

impl Actor for Historian {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(SWEEP, |historian, _| historian.core.forget_abandoned_sessions());
    }
}

impl Observe for Historian {
    fn observe(&self) -> serde_json::Value {
        let away = match self.core.health() {
            StoreHealth::Healthy => None,
            StoreHealth::Away { reason, .. } => Some(reason.as_str()),
        };
        serde_json::json!({
            "sessions": self.core.session_count(),
            "waiting": self.core.waiting(),
            "stored": self.metrics.stored.get(),
            "commits": self.metrics.commits.get(),
            "store_away": away,
        })
    }
}

impl Handler<OpenSession> for Historian {
    type Result = ResponseFuture<Result<SessionOpened, Unavailable>>;

    fn handle(&mut self, message: OpenSession, context: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let session = NewSession { hem: message.hem, microgrid: message.microgrid };
        let opening = Opening { session, durable: message.durable, reply };
        self.drive(Event::Open(opening), context);
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| {
                let reason = "the historian restarted before it answered".to_owned();
                Err(Unavailable { what: IOT_STORE, reason })
            })
        })
    }
}

impl Handler<StoreEntries> for Historian {
    type Result = ();

    fn handle(&mut self, message: StoreEntries, context: &mut Self::Context) {
        let StoreEntries { hem, epoch, entries } = message;
        self.drive(Event::Entries(HemEntries { hem, epoch, entries }), context);
    }
}

impl Handler<CloseSession> for Historian {
    type Result = ();

    fn handle(&mut self, message: CloseSession, context: &mut Self::Context) {
        self.drive(Event::Close { hem: message.hem, epoch: message.epoch }, context);
    }
}

impl Handler<ReadEntriesAfter> for Historian {
    type Result = ResponseFuture<Result<HemBatch, Unavailable>>;

    fn handle(&mut self, message: ReadEntriesAfter, _: &mut Self::Context) -> Self::Result {
        let ReadEntriesAfter { hem, after, limit } = message;
        self.read("entries", move |store| store.entries_after(&hem, after, limit))
    }
}

impl Handler<ListMarks> for Historian {
    type Result = ResponseFuture<Result<Vec<HemMark>, Unavailable>>;

    fn handle(&mut self, message: ListMarks, _: &mut Self::Context) -> Self::Result {
        self.read("marks", move |store| store.marks(message.microgrid.as_ref()))
    }
}

impl Handler<ListReadings> for Historian {
    type Result = ResponseFuture<Result<Page<Reading>, Unavailable>>;

    fn handle(&mut self, message: ListReadings, _: &mut Self::Context) -> Self::Result {
        let ListReadings { hem, range, after, limit, order } = message;
        let query = PageQuery { hem, range, after, limit, order };
        self.read("readings", move |store| store.readings(&query))
    }
}

impl Handler<ListEvents> for Historian {
    type Result = ResponseFuture<Result<Page<HemEvent>, Unavailable>>;

    fn handle(&mut self, message: ListEvents, _: &mut Self::Context) -> Self::Result {
        let ListEvents { hem, range, after, limit, order } = message;
        let query = PageQuery { hem, range, after, limit, order };
        self.read("events", move |store| store.events(&query))
    }
}

impl Handler<GetSeries> for Historian {
    type Result = ResponseFuture<Result<Series, Unavailable>>;

    fn handle(&mut self, message: GetSeries, _: &mut Self::Context) -> Self::Result {
        let GetSeries { subject, quantity, from, to, points, time_zone } = message;
        let time_zone = parse_zone(&time_zone);
        let query = SeriesQuery { subject, quantity, from, to, points, time_zone };
        self.read("series", move |store| store.series(&query))
    }
}

impl Handler<GetLatestReading> for Historian {
    type Result = ResponseFuture<Result<Option<Reading>, Unavailable>>;

    fn handle(&mut self, message: GetLatestReading, _: &mut Self::Context) -> Self::Result {
        self.read("latest reading", move |store| store.latest_reading(&message.hem))
    }
}

impl Handler<SetTimeZone> for Historian {
    type Result = ResponseFuture<Result<(), Unavailable>>;

    fn handle(&mut self, message: SetTimeZone, _: &mut Self::Context) -> Self::Result {
        let MicrogridProfile { id, time_zone } = message.profile;
        let zone = parse_zone(&time_zone);
        self.read("time zone", move |store| store.set_time_zone(&id, zone))
    }
}

impl Handler<GetHealth> for Historian {
    type Result = MessageResult<GetHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        let (away, away_for) = match self.core.health() {
            StoreHealth::Healthy => (None, Duration::ZERO),
            StoreHealth::Away { reason, since } => (
                Some(Unavailable { what: IOT_STORE, reason: reason.clone() }),
                self.scope.clock().instant().saturating_duration_since(*since),
            ),
        };
        MessageResult(HistorianHealth {
            away,
            away_for,
            waiting: self.core.waiting(),
            sessions: self.core.session_count(),
        })
    }
}

impl Handler<FlushAndStop> for Historian {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: FlushAndStop, context: &mut Self::Context) -> Self::Result {
        let (done, flushed) = oneshot::channel();
        self.flushed.push(done);
        let effects = self.core.flush(self.scope.clock().instant());
        self.perform(effects, context);
        Box::pin(async move {
            let _ = flushed.await;
        })
    }
}

/// The zone by its IANA name. The registry holds only valid ones; UTC is the least surprising other.
fn parse_zone(name: &str) -> Tz {
    name.parse().unwrap_or_else(|_| {
        let name: String = name.chars().take(60).collect();
        warn!(time_zone = name.as_str(); "unknown time zone: UTC is used");
        Tz::UTC
    })
}
