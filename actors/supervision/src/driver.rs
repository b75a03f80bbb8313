//! Runs one actor over all its lives. It polls the actor inside `catch_unwind`; after a panic it shuts
//! the actor's children down, waits, has the factory make a new actor and lets actix restart the
//! context with it, so that the address stays. It alone decides how an actor ends.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use actix::dev::channel::AddressReceiver;
use actix::dev::{AsyncContextParts, ContextFut, ContextParts};
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Recipient, Supervised};
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use crate::intake::{Intake, Pump};
use crate::node::{Node, Verdict};
use crate::policy::RestartWindow;
use crate::{
    ActorState, ChildExited, ExitReason, GivingUp, Observe, RestartKind, RestartPolicy, Scope,
};

/// The children of an actor that crashed have so long to end in good order.
const CHILDREN_OF_A_CRASHED_ACTOR: Duration = Duration::from_secs(5);

thread_local! {
    /// What the factory made, on its way into `restarting()`.
    static REPLACEMENT: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// Called by `supervised!`: replaces an actor's state with what its factory made.
pub fn rebuild<A: Actor>(actor: &mut A) {
    let made = REPLACEMENT.with(|slot| slot.borrow_mut().take());
    // Without one, the context is only being cleared after a crash.
    if let Some(Ok(replacement)) = made.map(|made| made.downcast::<A>()) {
        *actor = *replacement;
    }
}

/// Makes the actor, once for every life.
pub(crate) type Factory<A> = Box<dyn FnMut(Scope) -> A + Send>;

/// Says that a child has ended, exactly once, whatever becomes of its driver.
pub(crate) struct Ending {
    node: Arc<Node>,
    watcher: Option<Recipient<ChildExited>>,
    said: bool,
}

impl Ending {
    pub(crate) fn new(node: Arc<Node>, watcher: Option<Recipient<ChildExited>>) -> Self {
        Self { node, watcher, said: false }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a watcher must hear of an end once, full or not"
    )]
    fn say(&mut self, reason: ExitReason, verdict: Verdict) {
        if std::mem::replace(&mut self.said, true) {
            return;
        }
        self.node.end(reason.clone(), verdict);
        if let Some(watcher) = self.watcher.take() {
            watcher.do_send(ChildExited {
                name: self.node.name.to_string(),
                path: self.node.path(),
                reason: reason.clone(),
            });
        }
        if verdict == Verdict::Escalated
            && let Some(parent) = &self.node.parent
        {
            parent.fail(ExitReason::Escalated {
                child: self.node.path(),
                reason: reason.to_string(),
            });
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Its arbiter or its runtime went away under it.
        self.say(ExitReason::Shutdown, Verdict::Over);
    }
}

/// Everything a driver is made of; travels to the child's arbiter.
pub(crate) struct Seed<A: Actor> {
    pub(crate) node: Arc<Node>,
    pub(crate) ending: Ending,
    pub(crate) policy: RestartPolicy,
    pub(crate) factory: Factory<A>,
    pub(crate) receiver: AddressReceiver<A>,
    pub(crate) address: Addr<A>,
}

type Closing = Option<Pin<Box<dyn Future<Output = Vec<String>>>>>;

enum Phase {
    /// The next life begins.
    Begin,
    /// The actor runs.
    Run(Stage),
    /// A life is over: its children end, then comes what was decided.
    Close(Closing, Then),
    /// It waits for its restart.
    Pause(Pin<Box<Sleep>>),
}

enum Stage {
    Up,
    /// It is to stop; its children do first, while it goes on handling messages.
    ChildrenStop(Closing),
    /// It stops after what was accepted.
    LastMessages,
}

enum Then {
    Restart(Duration),
    End(ExitReason, Verdict),
}

/// Runs one actor over all its lives.
pub(crate) struct Driver<A>
where
    A: Actor<Context = Context<A>>,
{
    running: Option<ContextFut<A, Context<A>>>,
    /// actix restarts a context only while somebody could still send to its own mailbox.
    _own_mailbox: Option<Addr<A>>,
    /// Keeps the public address connected.
    _address: Addr<A>,
    intake: Rc<RefCell<Intake<A>>>,
    factory: Factory<A>,
    phase: Phase,
    window: RestartWindow,
    policy: RestartPolicy,
    node: Arc<Node>,
    // The last field: the end is said when everything else is gone.
    ending: Ending,
}

impl<A> Driver<A>
where
    A: Actor<Context = Context<A>> + Supervised + Observe,
{
    pub(crate) fn new(seed: Seed<A>) -> Self {
        let _ = seed.node.thread.set(std::thread::current().id());
        let intake = Rc::new(RefCell::new(Intake::new(seed.receiver, Arc::clone(&seed.node))));
        Self {
            running: None,
            _own_mailbox: None,
            _address: seed.address,
            intake,
            factory: seed.factory,
            phase: Phase::Begin,
            window: RestartWindow::default(),
            policy: seed.policy,
            node: seed.node,
            ending: seed.ending,
        }
    }

    fn step(&mut self, task: &mut Task<'_>) -> Poll<()> {
        loop {
            if self.node.is_cut_off() {
                return self.end(ExitReason::CutOff, Verdict::Over);
            }
            match &mut self.phase {
                // Also where it was asked to stop by now: what was accepted is handled first.
                Phase::Begin => self.begin(),
                Phase::Run(stage) => {
                    if let Some(reason) = self.node.take_failure() {
                        self.crashed(reason);
                        continue;
                    }
                    match stage {
                        Stage::Up => {
                            if let Some(by) = self.node.stop_by() {
                                self.node.refuse_children();
                                self.node.set_state(ActorState::Stopping);
                                // Where a child is stuck, its parent still ends in good order.
                                let span = by.saturating_duration_since(Instant::now());
                                let children_by = by - span / 10;
                                *stage =
                                    Stage::ChildrenStop(close_children(&self.node, children_by));
                                continue;
                            }
                        }
                        Stage::ChildrenStop(closing) => {
                            if let Poll::Ready(left) = poll_closing(closing, task) {
                                // Whoever shuts this actor down answers for them.
                                self.node.leave_behind(left);
                                self.intake.borrow_mut().stop_after_these(task);
                                *stage = Stage::LastMessages;
                            }
                        }
                        Stage::LastMessages => {}
                    }
                    let Some(running) = &mut self.running else {
                        self.phase = Phase::Begin;
                        continue;
                    };
                    match catch_unwind(AssertUnwindSafe(|| Pin::new(running).poll(task))) {
                        Ok(Poll::Pending) => {
                            self.intake.borrow_mut().rest(task);
                            return Poll::Pending;
                        }
                        Ok(Poll::Ready(())) => self.stopped(),
                        Err(panic) => {
                            self.crashed(ExitReason::Panicked { message: message_of(&*panic) });
                        }
                    }
                }
                Phase::Close(closing, _) => {
                    if poll_closing(closing, task).is_pending() {
                        self.intake.borrow_mut().rest(task);
                        return Poll::Pending;
                    }
                    match std::mem::replace(&mut self.phase, Phase::Begin) {
                        Phase::Close(_, Then::Restart(pause)) => {
                            self.phase = Phase::Pause(Box::pin(sleep(pause)));
                        }
                        Phase::Close(_, Then::End(reason, verdict)) => {
                            return self.end(reason, verdict);
                        }
                        other => self.phase = other,
                    }
                }
                Phase::Pause(sleep) => {
                    if self.node.stop_by().is_some() {
                        return self.end(ExitReason::Shutdown, Verdict::Over);
                    }
                    self.intake.borrow_mut().rest(task);
                    if sleep.as_mut().poll(task).is_pending() {
                        return Poll::Pending;
                    }
                    self.phase = Phase::Begin;
                }
            }
        }
    }

    /// Has the factory make an actor and puts it to work.
    fn begin(&mut self) {
        let scope = Scope::of_life(Arc::clone(&self.node), self.node.begin_life());
        let made = catch_unwind(AssertUnwindSafe(|| {
            let actor = (self.factory)(scope);
            match &mut self.running {
                None => {
                    let mut context = Context::new();
                    self._own_mailbox = Some(context.address());
                    if let Some(receiver) = self.intake.borrow().receiver() {
                        // From here on the context's address is the one that the child has.
                        *context.parts() = ContextParts::new(receiver.sender_producer());
                    }
                    self.running = Some(context.into_future(actor));
                }
                Some(running) => {
                    REPLACEMENT.with(|slot| *slot.borrow_mut() = Some(Box::new(actor)));
                    running.restart();
                    if REPLACEMENT.with(|slot| slot.borrow_mut().take()).is_some() {
                        log::error!(actor = self.node.path().as_str(); "`restarting` did not call `rebuild`: the actor goes on with its old state");
                    }
                }
            }
        }));
        self.phase = Phase::Run(Stage::Up);
        match (made, &mut self.running) {
            (Ok(()), Some(running)) => {
                let intake = Rc::clone(&self.intake);
                running.ctx().spawn(Pump { intake, node: Arc::clone(&self.node) });
            }
            (Ok(()), None) => {}
            (Err(panic), _) => {
                REPLACEMENT.with(|slot| slot.borrow_mut().take());
                self.crashed(ExitReason::Panicked { message: message_of(&*panic) });
            }
        }
    }

    fn stopped(&mut self) {
        let reason =
            if self.node.stop_by().is_some() { ExitReason::Shutdown } else { ExitReason::Stopped };
        self.life_over(reason);
    }

    fn crashed(&mut self, reason: ExitReason) {
        self.node.crashes.fetch_add(1, Ordering::AcqRel);
        log::warn!(
            actor = self.node.path().as_str(),
            reason = reason.to_string().as_str();
            "an actor failed"
        );
        if let Some(running) = &mut self.running {
            // Its timers and futures go at once, not with the restart: who waits for a reply from
            // one of them hears of it now. Terminated, it is not polled again until then.
            let cleared = catch_unwind(AssertUnwindSafe(|| running.restart()));
            if cleared.is_err() {
                log::error!(actor = self.node.path().as_str(); "a future of a failed actor panicked while it was dropped");
            }
            running.ctx().terminate();
        }
        self.life_over(reason);
    }

    /// Decides what comes after a life.
    fn life_over(&mut self, reason: ExitReason) {
        let wanted = match self.policy.kind {
            RestartKind::Permanent => true,
            RestartKind::Transient => reason.is_failure(),
            RestartKind::Temporary => false,
        };
        let then = if self.node.stop_by().is_some() || !wanted {
            Then::End(reason.clone(), Verdict::Over)
        } else if let Some(nth) = self.window.count(&self.policy, Instant::now()) {
            Then::Restart(self.policy.backoff.pause(nth, self.node.house.chance()))
        } else {
            log::error!(
                actor = self.node.path().as_str(),
                reason = reason.to_string().as_str();
                "an actor failed too often and is given up"
            );
            let verdict = match self.policy.giving_up {
                GivingUp::Escalate => Verdict::Escalated,
                GivingUp::Stop => Verdict::GivenUp,
            };
            Then::End(reason.clone(), verdict)
        };
        let state = match then {
            Then::Restart(_) => ActorState::BackingOff,
            Then::End(..) => ActorState::Stopping,
        };
        self.node.end_life(&reason, state);
        let by = Instant::now() + CHILDREN_OF_A_CRASHED_ACTOR;
        self.phase = Phase::Close(close_children(&self.node, by), then);
    }

    /// Lets go of everything, then says that it is over.
    fn end(&mut self, reason: ExitReason, verdict: Verdict) -> Poll<()> {
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            if let Some(mut running) = self.running.take() {
                // So that dropping it calls neither `stopping` nor `stopped` again.
                running.ctx().terminate();
            }
            let waiting = self.intake.borrow_mut().close();
            drop(waiting);
        }));
        if dropped.is_err() {
            log::error!(actor = self.node.path().as_str(); "an actor panicked while it was dropped");
        }
        self.ending.say(reason, verdict);
        Poll::Ready(())
    }
}

impl<A> Future for Driver<A>
where
    A: Actor<Context = Context<A>> + Supervised + Observe,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.node.waker.register(task.waker());
        match catch_unwind(AssertUnwindSafe(|| this.step(task))) {
            Ok(poll) => poll,
            Err(panic) => {
                let message = message_of(&*panic);
                log::error!(actor = this.node.path().as_str(), reason = message.as_str(); "the supervision of an actor failed");
                this.end(ExitReason::Panicked { message }, Verdict::Escalated)
            }
        }
    }
}

fn close_children(node: &Arc<Node>, by: Instant) -> Closing {
    if node.live_children().is_empty() {
        return None;
    }
    Some(Box::pin(shut_children_down(Arc::clone(node), by)))
}

/// Answers who was left behind.
fn poll_closing(closing: &mut Closing, task: &mut Task<'_>) -> Poll<Vec<String>> {
    match closing {
        Some(future) => future.as_mut().poll(task),
        None => Poll::Ready(Vec::new()),
    }
}

/// Shuts all children of a node down, each with what is below it first. Who is not done in time is cut
/// off, and named.
pub(crate) async fn shut_children_down(node: Arc<Node>, by: Instant) -> Vec<String> {
    let mut left = Vec::new();
    loop {
        let children = node.live_children();
        if children.is_empty() || !left.is_empty() {
            return left;
        }
        for child in &children {
            child.ask_to_stop(by);
        }
        for child in children {
            if timeout_at(by, child.over()).await.is_err() {
                let mut living = Vec::new();
                child.list_living(&mut living);
                child.cut_off();
                for path in &living {
                    log::error!(actor = path.as_str(); "an actor did not stop in time and is cut off");
                }
                left.append(&mut living);
            }
            left.append(&mut child.take_left_behind());
        }
    }
}

/// The text of a panic.
pub(crate) fn message_of(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
