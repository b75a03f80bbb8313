//! An actor's place in the tree, shared by its driver, its scopes, its `Child` and its ports.
//! Nothing in here waits while it holds a lock.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;

use actix_rt::ArbiterHandle;
use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;

use crate::{ActorState, Clock, ExitReason};

/// So many children that were given up are remembered by their parent.
const REMEMBERED_FAILURES: usize = 32;

/// So many pictures of the tree can wait for an actor at a time.
const PROBES: usize = 16;

/// What a whole tree shares.
pub(crate) struct House {
    pub(crate) clock: Clock,
    jitter: AtomicU64,
    failure: OnceLock<ExitReason>,
    failed: Notify,
}

impl House {
    pub(crate) fn new(clock: Clock) -> Self {
        // Simulated worlds repeat themselves.
        let seed = if clock.is_simulated() { 1 } else { rand::random() };
        Self {
            clock,
            jitter: AtomicU64::new(seed),
            failure: OnceLock::new(),
            failed: Notify::new(),
        }
    }

    /// A number from 0 to 1, by SplitMix64 (Steele, Lea and Flood, 2014).
    pub(crate) fn chance(&self) -> f64 {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut mixed = self.jitter.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        f64::from(high) / f64::from(u32::MAX)
    }

    pub(crate) async fn failed(&self) -> ExitReason {
        loop {
            let mut told = pin!(self.failed.notified());
            told.as_mut().enable();
            if let Some(reason) = self.failure.get() {
                return reason.clone();
            }
            told.await;
        }
    }
}

/// How a child's end is seen by its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is over and forgotten.
    Over,
    /// It was given up and is remembered as failed.
    GivenUp,
    /// It was given up and its parent fails.
    Escalated,
}

struct Inner {
    children: BTreeMap<Arc<str>, Arc<Node>>,
    accepting: bool,
    supervised: u64,
    last_exit: Option<ExitReason>,
    stop_by: Option<Instant>,
    failure: Option<ExitReason>,
    probes: Vec<oneshot::Sender<serde_json::Value>>,
    /// Who below it was cut off while it was shut down.
    left_behind: Vec<String>,
}

pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) actor: &'static str,
    pub(crate) parent: Option<Arc<Node>>,
    pub(crate) house: Arc<House>,
    pub(crate) arbiter: Option<ArbiterHandle>,
    /// The thread that it runs on, once it does.
    pub(crate) thread: OnceLock<ThreadId>,
    pub(crate) capacity: usize,
    /// Messages that wait.
    pub(crate) depth: AtomicUsize,
    /// Questions through ports that are outstanding: as many as the mailbox holds.
    pub(crate) questions: Semaphore,
    /// Wakes the driver.
    pub(crate) waker: AtomicWaker,
    pub(crate) crashes: AtomicU64,
    pub(crate) probed: AtomicBool,
    generation: AtomicU64,
    state: AtomicU8,
    kill: AtomicBool,
    ended: Notify,
    inner: Mutex<Inner>,
}

impl Node {
    pub(crate) fn new(
        name: Arc<str>,
        actor: &'static str,
        parent: Option<Arc<Node>>,
        house: Arc<House>,
        arbiter: Option<ArbiterHandle>,
        capacity: usize,
    ) -> Self {
        Self {
            name,
            actor,
            parent,
            house,
            arbiter,
            thread: OnceLock::new(),
            capacity,
            depth: AtomicUsize::new(0),
            questions: Semaphore::new(capacity.clamp(1, Semaphore::MAX_PERMITS)),
            waker: AtomicWaker::new(),
            crashes: AtomicU64::new(0),
            probed: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            state: AtomicU8::new(encode(ActorState::Running)),
            kill: AtomicBool::new(false),
            ended: Notify::new(),
            inner: Mutex::new(Inner {
                children: BTreeMap::new(),
                accepting: true,
                supervised: 0,
                last_exit: None,
                stop_by: None,
                failure: None,
                probes: Vec::new(),
                left_behind: Vec::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ------------------------------------------------------------------------ looked at by anyone

    pub(crate) fn path(&self) -> String {
        match &self.parent {
            Some(parent) => format!("{}/{}", parent.path(), self.name),
            None => self.name.to_string(),
        }
    }

    pub(crate) fn state(&self) -> ActorState {
        decode(self.state.load(Ordering::Acquire))
    }

    pub(crate) fn set_state(&self, state: ActorState) {
        self.state.store(encode(state), Ordering::Release);
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state(), ActorState::Stopped | ActorState::Failed) && self.parent.is_some()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn last_exit(&self) -> Option<ExitReason> {
        self.lock().last_exit.clone()
    }

    pub(crate) async fn over(&self) {
        loop {
            let mut told = pin!(self.ended.notified());
            told.as_mut().enable();
            if self.is_over() {
                return;
            }
            told.await;
        }
    }

    /// The first children by name, and how many more there are.
    pub(crate) fn some_children(&self, limit: usize) -> (Vec<Arc<Node>>, usize) {
        let inner = self.lock();
        let listed: Vec<_> = inner.children.values().take(limit).cloned().collect();
        let more = inner.children.len() - listed.len();
        (listed, more)
    }

    pub(crate) fn live_children(&self) -> Vec<Arc<Node>> {
        self.lock().children.values().filter(|child| !child.is_over()).cloned().collect()
    }

    /// The paths of what still lives here and below, leaves first.
    pub(crate) fn list_living(&self, into: &mut Vec<String>) {
        for child in self.live_children() {
            child.list_living(into);
        }
        if !self.is_over() {
            into.push(self.path());
        }
    }

    /// Asks the actor to show itself. Of many who ask at once, some are not answered.
    pub(crate) fn probe(&self) -> oneshot::Receiver<serde_json::Value> {
        let (answer, shown) = oneshot::channel();
        let mut inner = self.lock();
        inner.probes.retain(|asker| !asker.is_closed());
        if inner.probes.len() < PROBES {
            inner.probes.push(answer);
        }
        drop(inner);
        self.probed.store(true, Ordering::Release);
        self.waker.wake();
        shown
    }

    pub(crate) fn take_probes(&self) -> Vec<oneshot::Sender<serde_json::Value>> {
        if !self.probed.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut self.lock().probes)
    }

    // ------------------------------------------------------------------------ asked by others

    pub(crate) fn ask_to_stop(&self, by: Instant) {
        let mut inner = self.lock();
        inner.stop_by = Some(inner.stop_by.map_or(by, |earlier| earlier.min(by)));
        drop(inner);
        self.waker.wake();
    }

    /// Cuts it and everything below it off, as soon as their arbiters come to it.
    pub(crate) fn cut_off(&self) {
        for child in self.live_children() {
            child.cut_off();
        }
        self.kill.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Has it fail for a reason. A root has no actor to fail: whoever waits for that is told.
    pub(crate) fn fail(&self, reason: ExitReason) {
        if self.parent.is_none() {
            log::error!(actor = self.name.as_ref(), reason = reason.to_string().as_str(); "the root of the tree gives up");
            let _ = self.house.failure.set(reason.clone());
            self.lock().last_exit = Some(reason);
            self.set_state(ActorState::Failed);
            self.house.failed.notify_waiters();
            return;
        }
        self.lock().failure = Some(reason);
        self.waker.wake();
    }

    pub(crate) fn refuse_children(&self) {
        self.lock().accepting = false;
    }

    /// Forgets the children that were given up, which would otherwise hold their parent.
    pub(crate) fn forget_failures(&self) {
        let mut inner = self.lock();
        let forgotten = std::mem::take(&mut inner.children);
        let (over, living): (BTreeMap<_, _>, BTreeMap<_, _>) =
            forgotten.into_iter().partition(|(_, child)| child.is_over());
        inner.children = living;
        drop(inner);
        drop(over);
    }

    // ------------------------------------------------------------------------ done by its driver

    pub(crate) fn is_cut_off(&self) -> bool {
        self.kill.load(Ordering::Acquire)
    }

    pub(crate) fn stop_by(&self) -> Option<Instant> {
        self.lock().stop_by
    }

    pub(crate) fn take_failure(&self) -> Option<ExitReason> {
        self.lock().failure.take()
    }

    pub(crate) fn leave_behind(&self, paths: Vec<String>) {
        self.lock().left_behind = paths;
    }

    pub(crate) fn take_left_behind(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().left_behind)
    }

    /// Begins the next life.
    pub(crate) fn begin_life(&self) -> u64 {
        self.forget_failures();
        let mut inner = self.lock();
        inner.accepting = true;
        inner.failure = None;
        drop(inner);
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.set_state(ActorState::Running);
        generation
    }

    /// Notes why a life ended; no child is taken on until the next.
    pub(crate) fn end_life(&self, reason: &ExitReason, state: ActorState) {
        let mut inner = self.lock();
        inner.accepting = false;
        inner.last_exit = Some(reason.clone());
        drop(inner);
        self.set_state(state);
    }

    /// Ends for good: out of the tree, or remembered as failed.
    pub(crate) fn end(self: &Arc<Self>, reason: ExitReason, verdict: Verdict) {
        self.refuse_children();
        self.forget_failures();
        self.lock().last_exit = Some(reason);
        self.depth.store(0, Ordering::Relaxed);
        let state = if verdict == Verdict::Over { ActorState::Stopped } else { ActorState::Failed };
        self.set_state(state);
        if let Some(parent) = &self.parent {
            if verdict == Verdict::Over {
                parent.forget(self);
            } else {
                parent.limit_failures();
            }
        }
        self.questions.close();
        self.ended.notify_waiters();
    }

    // ------------------------------------------------------------------------ its children

    /// Takes a child on under its name, or under the name with a number where that is taken.
    /// Nothing where the scope's life is over.
    pub(crate) fn adopt(
        &self,
        generation: u64,
        name: String,
        make: impl FnOnce(Arc<str>) -> Node,
    ) -> Option<Arc<Node>> {
        let mut inner = self.lock();
        if !inner.accepting || generation != self.generation() {
            return None;
        }
        inner.supervised += 1;
        let free = inner.children.get(name.as_str()).is_none_or(|taken| taken.is_over());
        let unique: Arc<str> =
            if free { name.into() } else { format!("{name}#{}", inner.supervised).into() };
        let child = Arc::new(make(Arc::clone(&unique)));
        let replaced = inner.children.insert(unique, Arc::clone(&child));
        drop(inner);
        drop(replaced);
        Some(child)
    }

    fn forget(&self, child: &Arc<Node>) {
        let mut inner = self.lock();
        if inner.children.get(&child.name).is_some_and(|listed| Arc::ptr_eq(listed, child)) {
            inner.children.remove(&child.name);
        }
    }

    fn limit_failures(&self) {
        let mut inner = self.lock();
        let over: Vec<Arc<str>> = inner
            .children
            .iter()
            .filter(|(_, child)| child.is_over())
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in over.iter().take(over.len().saturating_sub(REMEMBERED_FAILURES)) {
            inner.children.remove(name);
        }
    }
}

fn encode(state: ActorState) -> u8 {
    match state {
        ActorState::Running => 0,
        ActorState::BackingOff => 1,
        ActorState::Stopping => 2,
        ActorState::Stopped => 3,
        ActorState::Failed => 4,
    }
}

fn decode(state: u8) -> ActorState {
    match state {
        0 => ActorState::Running,
        1 => ActorState::BackingOff,
        2 => ActorState::Stopping,
        3 => ActorState::Stopped,
        _ => ActorState::Failed,
    }
}
