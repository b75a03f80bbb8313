//! Actors that crash on demand.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use memcloud_supervision::{
    Backoff, Child, ChildExited, ChildSpec, Observe, RestartPolicy, Scope, supervised,
};

pub(crate) const START: i64 = 1_700_000_000_000;
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// What actors did, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub(crate) fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Counts, and does what it is told to; what goes wrong at the start is steered from outside.
pub(crate) struct Counter {
    pub(crate) count: u32,
    pub(crate) diary: Diary,
    pub(crate) scope: Scope,
    pub(crate) panics_in_started: Arc<AtomicU32>,
}

impl Counter {
    pub(crate) fn new(scope: Scope, diary: &Diary) -> Self {
        Self { count: 0, diary: diary.clone(), scope, panics_in_started: Arc::default() }
    }
    fn name(&self) -> String {
        self.scope.path().rsplit('/').next().unwrap().to_owned()
    }
}

impl Actor for Counter {
    type Context = Context<Self>;
    fn started(&mut self, _: &mut Self::Context) {
        let left = self.panics_in_started.load(Ordering::SeqCst);
        if left > 0 {
            self.panics_in_started.store(left - 1, Ordering::SeqCst);
            panic!("no start today");
        }
        self.diary.note(format!("{} started", self.name()));
    }
    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        self.diary.note(format!("{} stopping", self.name()));
        Running::Stop
    }
    fn stopped(&mut self, _: &mut Self::Context) {
        self.diary.note(format!("{} stopped", self.name()));
    }
}

impl Observe for Counter {
    fn observe(&self) -> serde_json::Value {
        serde_json::json!({ "count": self.count })
    }
}

supervised!(Counter);

/// A test tells a counter to count.
#[derive(Debug, Message)]
#[rtype(result = "u32")]
pub(crate) struct Count;

impl Handler<Count> for Counter {
    type Result = u32;
    fn handle(&mut self, _: Count, _: &mut Self::Context) -> u32 {
        self.count += 1;
        self.diary.note(format!("{} counts {}", self.name(), self.count));
        self.count
    }
}

/// How a counter is to go wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum How {
    PanicInHandler,
    PanicInTimer,
    PanicInSpawned,
    PanicInReply,
    PanicInBlockingWork,
    Fail,
    Stop,
    WaitForEver,
    WaitFor(Duration),
    StuckReply,
}

/// A test tells a counter to go wrong.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct GoWrong(pub(crate) How);

impl Handler<GoWrong> for Counter {
    type Result = ResponseActFuture<Self, ()>;
    fn handle(&mut self, message: GoWrong, context: &mut Self::Context) -> Self::Result {
        let done = || Box::pin(actix::fut::ready(()));
        match message.0 {
            How::PanicInHandler => panic!("boom in {}", "a handler"),
            How::PanicInTimer => {
                context.run_later(Duration::from_millis(10), |_, _| panic!("boom in a timer"));
                done()
            }
            How::PanicInSpawned => {
                context.spawn(async { panic!("boom in a future") }.into_actor(self));
                done()
            }
            How::PanicInReply => Box::pin(async { panic!("boom in a reply") }.into_actor(self)),
            How::PanicInBlockingWork => {
                let scope = self.scope.clone();
                Box::pin(
                    async move { scope.offload(|| panic!("boom in blocking work")).await }
                        .into_actor(self)
                        .map(|result: Result<(), _>, actor: &mut Self, _| {
                            actor.diary.note(result.unwrap_err().to_string());
                        }),
                )
            }
            How::Fail => {
                self.scope.fail("said so");
                done()
            }
            How::Stop => {
                context.stop();
                done()
            }
            How::WaitForEver => {
                context.wait(std::future::pending().into_actor(self));
                done()
            }
            How::WaitFor(span) => {
                context.wait(actix::clock::sleep(span).into_actor(self));
                done()
            }
            How::StuckReply => Box::pin(std::future::pending().into_actor(self)),
        }
    }
}

/// A test asks a counter for a reply that crashes outside of the actor.
#[derive(Debug, Message)]
#[rtype(result = "u32")]
pub(crate) struct CrashOnTheWay;

impl Handler<CrashOnTheWay> for Counter {
    type Result = ResponseFuture<u32>;
    fn handle(&mut self, _: CrashOnTheWay, _: &mut Self::Context) -> Self::Result {
        Box::pin(async { panic!("boom on the way") })
    }
}

/// Starts a counter that notes in a diary what it does.
pub(crate) fn counter(
    scope: &Scope,
    name: &str,
    policy: RestartPolicy,
    diary: &Diary,
) -> Child<Counter> {
    let diary = diary.clone();
    scope.supervise(ChildSpec::new(name).policy(policy), move |scope| Counter::new(scope, &diary))
}

/// A family: a parent whose factory starts children, which are its again after every crash.
pub(crate) struct Parent {
    pub(crate) diary: Diary,
    pub(crate) children: Vec<Child<Counter>>,
}

impl Parent {
    pub(crate) fn new(scope: &Scope, names: &[&str], policy: RestartPolicy, diary: &Diary) -> Self {
        diary.note("parent made");
        let children = names.iter().map(|name| counter(scope, name, policy, diary)).collect();
        Self { diary: diary.clone(), children }
    }
}

impl Actor for Parent {
    type Context = Context<Self>;
    fn stopped(&mut self, _: &mut Self::Context) {
        self.diary.note("parent stopped");
    }
}

impl Observe for Parent {}
supervised!(Parent);

/// A test asks a parent for its children.
#[derive(Debug, Message)]
#[rtype(result = "Vec<Child<Counter>>")]
pub(crate) struct GetChildren;

impl Handler<GetChildren> for Parent {
    type Result = Vec<Child<Counter>>;
    fn handle(&mut self, _: GetChildren, _: &mut Self::Context) -> Self::Result {
        self.children.clone()
    }
}

/// A test tells a parent to crash.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Crash;

impl Handler<Crash> for Parent {
    type Result = ();
    fn handle(&mut self, _: Crash, _: &mut Self::Context) {
        panic!("the parent's own fault");
    }
}

/// Restarted after short pauses as often as it takes.
pub(crate) fn patient() -> RestartPolicy {
    RestartPolicy::transient().bearing(1_000, Duration::from_secs(3600)).backoff(Backoff {
        initial: Duration::from_millis(100),
        max: Duration::from_secs(10),
        factor: 2.0,
        jitter: 0.0,
    })
}

/// Writes down who ended and why.
pub(crate) struct Watcher(pub(crate) Diary);

impl Actor for Watcher {
    type Context = Context<Self>;
}

impl Handler<ChildExited> for Watcher {
    type Result = ();
    fn handle(&mut self, exited: ChildExited, _: &mut Self::Context) {
        self.0.note(format!("{} {}", exited.path, exited.reason));
    }
}
