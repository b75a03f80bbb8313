//! A town: an operator over stores in memory, with switches for what can go wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use memcloud_bus::{CloudBus, Publisher};
use memcloud_cmo::{ChiefMicrogridOperator, OperatorAssembly, OperatorLimits, OperatorPorts};
use memcloud_domain::messages::{
    ListJobsOf, ListMarks, LoadCheckpoint, MicrogridNeeded, MicrogridProfile, MicrogridRoster,
    ReadEntriesAfter, ReadingsCommitted, RosterHem, SaveCheckpoint, Unavailable,
};
use memcloud_domain::{
    Entry, HemId, JobId, JobRecord, JobState, MicrogridId, NodeDeclaration, NodeId, NodeKind,
    NodeReading, PowerLimits, Reading, Seq, Timestamp, Watts,
};
use memcloud_microgrid::{AssignJob, GetJob, JobStanding, MicrogridError, MicrogridPorts};
use memcloud_supervision::{
    Child, ChildSpec, Observe, Port, Scope, TreeNode, Universe, supervised,
};
use memcloud_worker::{
    About, AppCatalogue, AppDescription, AppError, AppFactory, AppendEntries, EnergyApp,
    GetJobOutput, InMemoryHistory, InMemoryJobs, JobOutput, Outcome, PutJob, PutRoster, RunningApp,
    Start, StepThreads, View, WorkerPorts,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ledger::{Ledger, Steerer};

/// 2026-07-01T00:00:00Z.
pub(crate) const NOW: i64 = 1_782_864_000_000;
const SOON: Duration = Duration::from_secs(30);

pub(crate) fn run<F: Future<Output = ()>>(test: impl FnOnce(Scope) -> F) {
    Universe::run(NOW, test);
}

pub(crate) fn hem(name: &str) -> HemId {
    HemId::new(name).unwrap()
}

pub(crate) fn microgrid(name: &str) -> MicrogridId {
    MicrogridId::new(name).unwrap()
}

pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// A reading of the grid node, taken `seq` seconds after the town's first moment.
pub(crate) fn reading(seq: u64) -> Entry {
    let ts = Timestamp(NOW + i64::try_from(seq).unwrap() * 1_000);
    reading_at(seq, ts)
}

pub(crate) fn reading_at(seq: u64, ts: Timestamp) -> Entry {
    let grid = NodeReading { watts: Some(Watts(-500.0)), ..NodeReading::empty(NodeId(0)) };
    Entry::Reading(Reading { seq: Seq(seq), ts, received: ts, nodes: vec![grid] })
}

/// What can be made to go wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Switches {
    pub(crate) hints_lost: Arc<AtomicBool>,
    pub(crate) web_store_away: Arc<AtomicBool>,
    pub(crate) iot_store_away: Arc<AtomicBool>,
}

pub(crate) fn turn(switch: &AtomicBool, on: bool) {
    switch.store(on, Ordering::SeqCst);
}

/// Stands before the stores and the bus and does as the switches say.
struct Gate {
    switches: Switches,
    jobs: Child<InMemoryJobs>,
    history: Port<ReadEntriesAfter>,
    marks: Port<ListMarks>,
}

impl Actor for Gate {
    type Context = Context<Self>;
}
impl Observe for Gate {}
supervised!(Gate);

macro_rules! gated {
    ($message:ty, $switch:ident, $what:literal, $port:expr) => {
        impl Handler<$message> for Gate {
            type Result = ResponseFuture<<$message as Message>::Result>;

            fn handle(&mut self, message: $message, _: &mut Context<Self>) -> Self::Result {
                let away = self.switches.$switch.load(Ordering::SeqCst);
                let port: Port<$message> = $port(self);
                Box::pin(async move {
                    if away {
                        return Err(Unavailable { what: $what, reason: "the test says so".into() });
                    }
                    port.ask(message, SOON).await.unwrap()
                })
            }
        }
    };
}
gated!(ListJobsOf, web_store_away, "web store", |gate: &Gate| gate.jobs.port());
gated!(LoadCheckpoint, web_store_away, "web store", |gate: &Gate| gate.jobs.port());
gated!(SaveCheckpoint, web_store_away, "web store", |gate: &Gate| gate.jobs.port());
gated!(ReadEntriesAfter, iot_store_away, "iot store", |gate: &Gate| gate.history.clone());
gated!(ListMarks, iot_store_away, "iot store", |gate: &Gate| gate.marks.clone());

/// Loses commits while the switch says so.
struct Lossy {
    switches: Switches,
    publisher: Port<ReadingsCommitted>,
}

impl Actor for Lossy {
    type Context = Context<Self>;
}
impl Observe for Lossy {}
supervised!(Lossy);

impl Handler<ReadingsCommitted> for Lossy {
    type Result = ();

    fn handle(&mut self, committed: ReadingsCommitted, _: &mut Context<Self>) {
        if !self.switches.hints_lost.load(Ordering::SeqCst) {
            drop(self.publisher.tell(committed));
        }
    }
}

pub(crate) struct Town {
    pub(crate) scope: Scope,
    pub(crate) switches: Switches,
    pub(crate) jobs: Child<InMemoryJobs>,
    pub(crate) history: Child<InMemoryHistory>,
    pub(crate) publisher: Child<Publisher>,
    pub(crate) operator: Child<ChiefMicrogridOperator>,
    assembly: OperatorAssembly,
}

impl Town {
    pub(crate) fn build(scope: &Scope) -> Self {
        Self::with(scope, OperatorLimits::default())
    }

    pub(crate) fn with(scope: &Scope, limits: OperatorLimits) -> Self {
        Self::made(scope, limits, None, None)
    }

    /// One of several processes, which sees to owners so.
    pub(crate) fn shared(scope: &Scope, needed: &Port<MicrogridNeeded>) -> Self {
        Self::made(scope, OperatorLimits::default(), None, Some(needed.clone()))
    }

    /// One whose microgrids are steered through a ledger.
    pub(crate) fn steered(scope: &Scope, ledger: &Child<Ledger>) -> Self {
        Self::made(scope, OperatorLimits::default(), Some(ledger), None)
    }

    fn made(
        scope: &Scope,
        limits: OperatorLimits,
        ledger: Option<&Child<Ledger>>,
        needed: Option<Port<MicrogridNeeded>>,
    ) -> Self {
        let switches = Switches::default();
        let bus = CloudBus::in_process();
        let publisher = Publisher::start(scope, bus.clone());
        let jobs = scope.supervise(ChildSpec::new("jobs").mailbox(1_024), {
            let kept = InMemoryJobs::new();
            move |_| kept.clone()
        });
        let lossy = scope.supervise(ChildSpec::new("lossy").mailbox(4_096), {
            let (switches, publisher) = (switches.clone(), publisher.port());
            move |_| Lossy { switches: switches.clone(), publisher: publisher.clone() }
        });
        let history = InMemoryHistory::new(scope.clone(), lossy.port(), 100_000);
        let history =
            scope.supervise(ChildSpec::new("history").mailbox(1_024), move |_| history.clone());
        let gate = scope.supervise(ChildSpec::new("gate").mailbox(1_024), {
            let (switches, jobs, history) = (switches.clone(), jobs.clone(), history.clone());
            move |_| Gate {
                switches: switches.clone(),
                jobs: jobs.clone(),
                history: history.port(),
                marks: history.port(),
            }
        });
        let worker = WorkerPorts {
            entries: gate.port(),
            marks: gate.port(),
            load: gate.port(),
            save: gate.port(),
            reported: publisher.port(),
        };
        let microgrid = MicrogridPorts {
            worker,
            jobs: gate.port(),
            roster: jobs.port(),
            states: jobs.port(),
            place: ledger.map(Child::port),
            open_commands: ledger.map(Child::port),
            events: ledger.map(Child::port),
        };
        let mut catalogue =
            AppCatalogue::standard().with::<Recorder>().with::<FreshRecorder>().with::<Steerer>();
        catalogue.add(Arc::new(Trap));
        let assembly = OperatorAssembly {
            bus,
            ports: OperatorPorts { microgrid, with_jobs: jobs.port(), needed },
            catalogue: Arc::new(catalogue),
            threads: StepThreads::offloaded(),
            limits,
            counts: Arc::default(),
        };
        let operator = ChiefMicrogridOperator::start(scope, assembly.clone());
        let scope = scope.clone();
        Self { scope, switches, jobs, history, publisher, operator, assembly }
    }

    pub(crate) fn bus(&self) -> &CloudBus {
        &self.assembly.bus
    }

    /// Ends the operator and everything below it, and begins anew with what the stores hold.
    pub(crate) async fn restart_operator(&mut self) {
        self.operator.stop(SOON).await;
        self.operator = ChiefMicrogridOperator::start(&self.scope, self.assembly.clone());
    }

    pub(crate) async fn settle(&self, of: &str, hems: &[&str]) {
        self.settle_with(
            of,
            hems,
            vec![NodeDeclaration {
                node: NodeId(0),
                name: "grid".into(),
                kind: NodeKind::Grid,
                rated_watts: None,
                min_watts: None,
                max_watts: None,
                capacity_wh: None,
                critical: None,
                priority: None,
                controls: None,
                default: None,
            }],
        )
        .await;
    }

    pub(crate) async fn settle_with(&self, of: &str, hems: &[&str], nodes: Vec<NodeDeclaration>) {
        let roster = MicrogridRoster {
            profile: MicrogridProfile { id: microgrid(of), time_zone: "Europe/Zurich".into() },
            limits: PowerLimits::default(),
            hems: hems.iter().map(|name| roster_hem(name, &nodes)).collect(),
        };
        self.jobs.ask(PutRoster(roster), SOON).await.unwrap();
    }

    /// Keeps a job and assigns it.
    pub(crate) async fn deploy(
        &self,
        of: &str,
        job: &str,
        app: &str,
        configuration: Value,
    ) -> JobId {
        let record = record(of, job, app, configuration);
        let id = record.id.clone();
        self.jobs.ask(PutJob(record.clone()), SOON).await.unwrap();
        self.assign(record).await.unwrap();
        id
    }

    pub(crate) async fn assign(&self, record: JobRecord) -> Result<(), MicrogridError> {
        self.operator.ask(AssignJob { record }, SOON).await.unwrap()
    }

    pub(crate) async fn send(
        &self,
        of: &str,
        from: &str,
        entries: impl IntoIterator<Item = Entry>,
    ) {
        let append = AppendEntries {
            microgrid: microgrid(of),
            hem: hem(from),
            entries: entries.into_iter().collect(),
        };
        self.history.ask(append, SOON).await.unwrap();
    }

    pub(crate) async fn output(&self, job: &JobId) -> JobOutput {
        self.jobs.ask(GetJobOutput { job: job.clone() }, SOON).await.unwrap()
    }

    /// What a recorder saw, as saved: numbers by HEM, in the order of the steps.
    pub(crate) async fn seen(&self, job: &JobId) -> BTreeMap<String, Vec<u64>> {
        let checkpoint = self.output(job).await.checkpoint;
        let Some(checkpoint) = checkpoint else { return BTreeMap::new() };
        serde_json::from_value::<Record>(checkpoint.state).unwrap().seen
    }

    pub(crate) async fn standing(&self, of: &str, job: &JobId) -> JobStanding {
        let ask = GetJob { microgrid: microgrid(of), job: job.clone() };
        self.operator.ask(ask, SOON).await.unwrap().unwrap()
    }

    /// The node of the tree at a path below the operator.
    pub(crate) async fn node(&self, path: &[&str]) -> Option<TreeNode> {
        let mut node = self.scope.tree().snapshot(1_000).await;
        for name in ["cmo"].iter().chain(path) {
            node = node.children.into_iter().find(|child| child.name == *name)?;
        }
        Some(node)
    }
}

pub(crate) fn record(of: &str, job: &str, app: &str, configuration: Value) -> JobRecord {
    JobRecord {
        id: JobId::new(job).unwrap(),
        microgrid: microgrid(of),
        app: app.into(),
        configuration,
        priority: 0,
        created: Timestamp(NOW),
        state: JobState::Running,
    }
}

pub(crate) fn up_to(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

/// How a recorder misbehaves.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RecorderConfiguration {
    /// Panics when it sees this number …
    pub(crate) panic_at: Option<u64>,
    /// … so often.
    pub(crate) times: usize,
    /// Tells it from others in the same test.
    pub(crate) label: String,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) seen: BTreeMap<String, Vec<u64>>,
    pub(crate) late: Vec<u64>,
}

/// Keeps the number of every entry that it sees.
pub(crate) struct Recorder(RecorderConfiguration);

std::thread_local! {
    /// How often the recorders of this test have panicked. Outside of any state, as a bug would be.
    static PANICS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl Recorder {
    fn look(&self, state: &mut Record, view: &View) -> Outcome {
        let mut outcome = Outcome::default();
        for entry in view.entries() {
            let seq = entry.entry.seq().0;
            if self.0.panic_at == Some(seq) && PANICS.get() < self.0.times {
                PANICS.set(PANICS.get() + 1);
                panic!("seven is too much");
            }
            state.seen.entry(entry.hem.to_string()).or_default().push(seq);
            if entry.late {
                state.late.push(seq);
            }
            let at = entry.entry.ts();
            outcome.report("seen", entry.hem.as_str(), at, at, json!(seq));
        }
        outcome
    }
}

const RECORDER: About = About {
    name: "recorder",
    version: "1",
    title: "Recorder",
    description: "Keeps the number of every entry that it sees.",
    start: Start::Beginning,
    tick: None,
};

impl EnergyApp for Recorder {
    type Configuration = RecorderConfiguration;
    type State = Record;
    const ABOUT: About = RECORDER;

    fn new(configuration: RecorderConfiguration) -> Result<Self, String> {
        Ok(Self(configuration))
    }

    fn step(&self, state: &mut Record, _: Timestamp, view: &View) -> Outcome {
        self.look(state, view)
    }
}

/// The same, beginning with what comes after its deployment.
pub(crate) struct FreshRecorder(Recorder);

impl EnergyApp for FreshRecorder {
    type Configuration = RecorderConfiguration;
    type State = Record;
    const ABOUT: About = About { name: "fresh-recorder", start: Start::Now, ..RECORDER };

    fn new(configuration: RecorderConfiguration) -> Result<Self, String> {
        Ok(Self(Recorder(configuration)))
    }

    fn step(&self, state: &mut Record, _: Timestamp, view: &View) -> Outcome {
        self.0.look(state, view)
    }
}

/// A bug in a third party's factory: it panics in the supervisor itself.
struct Trap;

impl AppFactory for Trap {
    fn about(&self) -> About {
        About { name: "trap", ..RECORDER }
    }

    fn describe(&self) -> AppDescription {
        AppDescription {
            about: self.about(),
            schema: Value::Null,
            default_configuration: Value::Null,
        }
    }

    fn validate(&self, _: &Value) -> Result<Value, AppError> {
        panic!("a factory that cannot even validate")
    }

    fn start(&self, _: &Value, _: &Value) -> Result<Box<dyn RunningApp>, AppError> {
        panic!("a factory that cannot even start")
    }
}

fn roster_hem(name: &str, nodes: &[NodeDeclaration]) -> RosterHem {
    RosterHem { hem: hem(name), nodes: nodes.to_vec(), limits: PowerLimits::default() }
}
