//! What a job tells its dispatch, in a world with paused time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler};
use memcloud_bus::{CloudBus, ExchangeKind, InProcessExchange, Publisher};
use memcloud_domain::messages::JobWished;
use memcloud_domain::{
    Asker, JobId, JobRecord, JobState, MicrogridId, NodeId, Setting, Timestamp, Watts, Wish,
};
use memcloud_supervision::{Child, ChildSpec, Observe, Scope, Universe, supervised};
use memcloud_worker::{
    About, AdmitWishes, AppCatalogue, AppendEntries, EnergyApp, GetJobOutput, GetProgress, Hearing,
    InMemoryHistory, InMemoryJobs, JobAssembly, JobLimits, JobOutput, NotAdmitted, Outcome, PutJob,
    ReadingsMissed, Roster, Start, StepThreads, View, WorkerJob, WorkerPorts,
};
use serde_json::{Value, json};

use crate::support::{LOAD, at, entry, hem, power, roster};

const SOON: Duration = Duration::from_secs(5);
const NOON: &str = "2026-07-01T12:00:00Z";
/// A power at which the app panics after it has wished.
const POISON: f64 = 666.0;
/// A power at which it wishes far too much.
const FLOOD: f64 = 999.0;

/// Wishes of every node that it sees what it measured.
struct Echo;

impl EnergyApp for Echo {
    type Configuration = Nothing;
    type State = ();

    const ABOUT: About = About {
        name: "echo",
        version: "2.1.0",
        title: "Echo",
        description: "Wishes what it sees.",
        start: Start::Beginning,
        tick: None,
    };

    fn new(_: Nothing) -> Result<Self, String> {
        Ok(Self)
    }

    fn step(&self, (): &mut (), _: Timestamp, view: &View) -> Outcome {
        let mut outcome = Outcome::default();
        for seen in view.entries() {
            for node in &seen.reading().unwrap().nodes {
                let watts = node.watts.unwrap();
                let count = if watts.value() == FLOOD { 10_500_u32 } else { 1 };
                for number in 0..count {
                    let watts = Watts(watts.value() + f64::from(number));
                    let node = NodeId(u8::try_from(number % 250).unwrap() + node.node.0);
                    let lease = Duration::from_secs(60);
                    outcome.wish(seen.hem, node, Setting::Power { watts }, lease, "as it is");
                }
                assert!(watts.value() != POISON, "poisoned");
            }
        }
        outcome
    }
}

#[derive(Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

/// Keeps what it is told; takes its time for each message.
struct Dispatch {
    told: Arc<Mutex<Vec<JobWished>>>,
    takes: Duration,
}

impl Actor for Dispatch {
    type Context = Context<Self>;
}

impl Observe for Dispatch {
    fn observe(&self) -> Value {
        Value::Null
    }
}

supervised!(Dispatch);

impl Handler<JobWished> for Dispatch {
    type Result = ();

    fn handle(&mut self, wished: JobWished, context: &mut Context<Self>) {
        self.told.lock().unwrap().push(wished);
        if !self.takes.is_zero() {
            context.wait(actix::fut::wrap_future(tokio::time::sleep(self.takes)));
        }
    }
}

struct Stage {
    scope: Scope,
    jobs: Child<InMemoryJobs>,
    history: Child<InMemoryHistory>,
    told: Arc<Mutex<Vec<JobWished>>>,
    worker: Child<WorkerJob>,
    seq: u64,
    _roster: tokio::sync::watch::Sender<Option<Arc<Roster>>>,
}

impl Stage {
    async fn set(scope: &Scope, app: &str, configuration: Value, takes: Duration) -> Self {
        let publisher = Publisher::start(scope, CloudBus::in_process());
        let jobs = scope.supervise(ChildSpec::new("jobs"), {
            let kept = InMemoryJobs::new();
            move |_| kept.clone()
        });
        let history = InMemoryHistory::new(scope.clone(), publisher.port(), 1_000);
        let history = scope.supervise(ChildSpec::new("history"), move |_| history.clone());
        let told = Arc::new(Mutex::new(Vec::new()));
        let dispatch = scope.supervise(ChildSpec::new("dispatch").mailbox(1), {
            let told = Arc::clone(&told);
            move |_| Dispatch { told: Arc::clone(&told), takes }
        });
        let catalogue = AppCatalogue::standard().with::<Echo>();
        let record = JobRecord {
            id: JobId::new("job-1").unwrap(),
            microgrid: MicrogridId::new("fontana").unwrap(),
            app: app.into(),
            configuration: catalogue.validate(app, &configuration).unwrap(),
            priority: 7,
            created: Timestamp(at(NOON)),
            state: JobState::Running,
        };
        jobs.ask(PutJob(record.clone()), SOON).await.unwrap();
        let (roster_in, roster_out) = tokio::sync::watch::channel(Some(roster("UTC", &["home-1"])));
        let exchange = |name: &str| InProcessExchange::new(name, ExchangeKind::Topic);
        let assembly = JobAssembly {
            app: Arc::clone(catalogue.get(app).unwrap()),
            record,
            tenure: None,
            ports: WorkerPorts {
                entries: history.port(),
                marks: history.port(),
                load: jobs.port(),
                save: jobs.port(),
                reported: publisher.port(),
            },
            readings: Arc::new(exchange("readings")),
            results: Arc::new(InProcessExchange::new("results", ExchangeKind::Topic)),
            roster: roster_out,
            wishes: Some(dispatch.port()),
            threads: StepThreads::offloaded(),
            limits: JobLimits::default(),
        };
        let spec = ChildSpec::new("job-1").policy(WorkerJob::policy());
        let worker = WorkerJob::start(scope, spec, assembly);
        Self { scope: scope.clone(), jobs, history, told, worker, seq: 0, _roster: roster_in }
    }

    async fn send(&mut self, watts: f64) {
        self.seq += 1;
        let now = self.scope.clock().unix_ms();
        let entries = vec![entry(self.seq, now, vec![power(LOAD, watts)])];
        let microgrid = MicrogridId::new("fontana").unwrap();
        self.history
            .ask(AppendEntries { microgrid, hem: hem("home-1"), entries }, SOON)
            .await
            .unwrap();
        let _ = self.worker.port().tell(ReadingsMissed);
    }

    async fn wait(&self, seconds: u64) {
        self.scope.clock().sleep(Duration::from_secs(seconds)).await;
    }

    fn told(&self) -> Vec<JobWished> {
        self.told.lock().unwrap().clone()
    }

    fn powers(&self) -> Vec<f64> {
        let told = self.told();
        let wishes = told.iter().flat_map(|wished| &wished.wishes);
        wishes.map(|wish| crate::homes::watts_of(wish).unwrap()).collect()
    }

    async fn output(&self) -> JobOutput {
        self.jobs.ask(GetJobOutput { job: JobId::new("job-1").unwrap() }, SOON).await.unwrap()
    }

    async fn log(&self) -> Vec<String> {
        self.output().await.log.into_iter().map(|line| line.text).collect()
    }
}

fn run<Fut: Future<Output = ()>>(test: impl FnOnce(Scope) -> Fut) {
    Universe::run(at(NOON), test);
}

#[test]
fn a_step_is_followed_by_its_wishes_with_who_wants_them_and_how_much() {
    run(|scope| async move {
        let mut stage = Stage::set(&scope, "echo", json!({}), Duration::ZERO).await;
        stage.wait(1).await;
        stage.send(100.0).await;
        stage.wait(1).await;
        let told = stage.told();
        let [wished] = told.as_slice() else { panic!("{told:?}") };
        let asker = Asker::Job {
            job: JobId::new("job-1").unwrap(),
            app: "echo".into(),
            version: "2.1.0".into(),
        };
        assert_eq!((&wished.asker, wished.priority), (&asker, 7));
        assert_eq!(wished.wishes[0].lease_ms, 60_000);
        assert_eq!(stage.powers(), [100.0]);
    });
}

#[test]
fn what_a_life_that_panicked_wished_is_never_told() {
    run(|scope| async move {
        let mut stage = Stage::set(&scope, "echo", json!({}), Duration::ZERO).await;
        stage.wait(1).await;
        stage.send(100.0).await;
        stage.wait(5).await;
        stage.send(POISON).await;
        stage.wait(1).await;
        assert_eq!(stage.powers(), [100.0]);
        stage.wait(200).await;
        assert_eq!(stage.powers(), [100.0], "nor after all its restarts");
    });
}

#[test]
fn a_dispatch_that_is_slow_is_told_the_newest_and_nothing_is_forgotten() {
    run(|scope| async move {
        let mut stage = Stage::set(&scope, "echo", json!({}), Duration::from_secs(10)).await;
        stage.wait(1).await;
        for watts in 1_u32..=9 {
            stage.send(f64::from(watts)).await;
            stage.wait(1).await;
        }
        stage.wait(60).await;
        let powers = stage.powers();
        assert_eq!(powers.last(), Some(&9.0), "{powers:?}");
        assert!(powers.len() < 9, "what was overtaken is not told: {powers:?}");
    });
}

#[test]
fn a_flood_of_wishes_is_cut_and_the_log_says_so() {
    run(|scope| async move {
        let mut stage = Stage::set(&scope, "echo", json!({}), Duration::ZERO).await;
        stage.wait(1).await;
        stage.send(FLOOD).await;
        stage.wait(10).await;
        let log = stage.log().await;
        assert!(log.iter().any(|line| line.starts_with("500 wishes were dropped")), "{log:?}");
        assert!(stage.powers().len() <= 10_000);
    });
}

fn switch_off() -> Vec<Wish> {
    vec![Wish {
        hem: hem("home-1"),
        node: LOAD,
        setting: Setting::Switch { on: false },
        lease_ms: 3_600_000,
        reason: "its budget is used up".into(),
    }]
}

#[test]
fn a_program_outside_wishes_through_its_job_and_its_silence_is_said_once() {
    run(|scope| async move {
        let configuration = json!({"silent_after_seconds": 60, "max_lease_seconds": 100});
        let stage = Stage::set(&scope, "external", configuration, Duration::ZERO).await;
        stage.wait(1).await;
        let withdrawn = vec![(hem("home-1"), NodeId(1))];
        let submission = AdmitWishes { wishes: switch_off(), withdrawn: withdrawn.clone() };
        let wished = stage.worker.ask(submission, SOON).await.unwrap().unwrap();
        assert_eq!((wished.priority, wished.wishes[0].lease_ms), (7, 100_000));
        assert_eq!(wished.withdrawn, withdrawn);
        let heard = Some(Timestamp(at(NOON) + 1_000));
        let progress = stage.worker.ask(GetProgress, SOON).await.unwrap();
        assert_eq!(progress.hearing, Some(Hearing::Running { heard }));

        stage.wait(300).await;
        let since = Timestamp(at(NOON) + 1_000);
        let progress = stage.worker.ask(GetProgress, SOON).await.unwrap();
        assert_eq!(progress.hearing, Some(Hearing::Silent { since }));
        let log = stage.log().await;
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(log[0].starts_with("nothing was heard of the program since"), "{log:?}");

        let alive = AdmitWishes { wishes: vec![], withdrawn: vec![] };
        stage.worker.ask(alive, SOON).await.unwrap().unwrap();
        stage.wait(2).await;
        let log = stage.log().await;
        assert!(log[1].starts_with("the program is heard of again"), "{log:?}");
    });
}

#[test]
fn a_job_of_a_program_outside_reads_nothing_and_keeps_no_cursor() {
    run(|scope| async move {
        let mut stage = Stage::set(&scope, "external", json!({}), Duration::ZERO).await;
        stage.send(100.0).await;
        stage.wait(60).await;
        let progress = stage.worker.ask(GetProgress, SOON).await.unwrap();
        assert_eq!((progress.seen, progress.steps, progress.behind), (0, 0, 0));
        let cursors = stage.output().await.checkpoint.unwrap().cursors;
        assert!(cursors.is_empty(), "{cursors:?}");
    });
}

#[test]
fn nobody_wishes_from_outside_for_an_app_that_runs_here() {
    run(|scope| async move {
        let stage = Stage::set(&scope, "echo", json!({}), Duration::ZERO).await;
        stage.wait(1).await;
        let submission = AdmitWishes { wishes: switch_off(), withdrawn: vec![] };
        let answer = stage.worker.ask(submission, SOON).await.unwrap();
        assert_eq!(answer, Err(NotAdmitted::NotExternal));
    });
}
