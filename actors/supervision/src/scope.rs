//! A place in the tree: what an actor needs to have children, read the time and do slow work.

use std::marker::PhantomData;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message, Recipient, Supervised};
use actix_rt::ArbiterHandle;

use crate::{AskError, Clock, ExitReason, Port, RestartPolicy, TellError, Tree};

/// What an actor shows of itself in the tree. Cheap: it runs in the actor.
pub trait Observe {
    /// A small JSON object.
    fn observe(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

/// The kit asks an actor to show itself.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "serde_json::Value")]
pub struct Inspect;

/// The kit tells a watcher that a child has ended for good.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ChildExited {
    /// The child's name under its parent.
    pub name: String,
    /// Its path in the tree.
    pub path: String,
    /// Why it ended.
    pub reason: ExitReason,
}

/// Which life of an actor something belongs to: results of slow work from an earlier one are stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// Why slow work has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OffloadError {
    /// The work panicked.
    #[error("the work panicked: {0}")]
    Panicked(String),
    /// The runtime is shutting down.
    #[error("the runtime is shutting down")]
    Cancelled,
}

/// How a child is to be run.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    name: String,
    policy: RestartPolicy,
    mailbox: usize,
    arbiter: Option<ArbiterHandle>,
    watcher: Option<Recipient<ChildExited>>,
}

impl ChildSpec {
    /// A child with a name that is unique under its parent; policy and mailbox (64) by default.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let _ = name.into();
        todo!()
    }

    /// Sets its restart policy.
    #[must_use]
    pub fn policy(mut self, policy: RestartPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets its mailbox's capacity.
    #[must_use]
    pub fn mailbox(mut self, capacity: usize) -> Self {
        self.mailbox = capacity;
        self
    }

    /// Runs it on another arbiter than its parent's.
    #[must_use]
    pub fn on(mut self, arbiter: ArbiterHandle) -> Self {
        self.arbiter = Some(arbiter);
        self
    }

    /// Has someone told when it has ended for good.
    #[must_use]
    pub fn watched_by(mut self, watcher: Recipient<ChildExited>) -> Self {
        self.watcher = Some(watcher);
        self
    }
}

/// A place in the tree.
#[derive(Debug, Clone)]
pub struct Scope {
    clock: Clock,
}

impl Scope {
    /// The root of a new tree.
    #[must_use]
    pub fn root(name: &str, clock: Clock) -> Self {
        let _ = name;
        Self { clock }
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The path in the tree, e.g. `memcloud/cmo/fontana`.
    #[must_use]
    pub fn path(&self) -> String {
        todo!()
    }

    /// Which life of the actor this scope was given to.
    #[must_use]
    pub fn generation(&self) -> Generation {
        todo!()
    }

    /// The whole tree.
    #[must_use]
    pub fn tree(&self) -> Tree {
        todo!()
    }

    /// Starts a child. The factory makes the actor, at first and after every crash, on the child's
    /// arbiter; the scope it is given is the child's own, for children of its own.
    pub fn supervise<A, F>(&self, spec: ChildSpec, factory: F) -> Child<A>
    where
        A: Actor<Context = Context<A>> + Supervised + Observe + Handler<Inspect>,
        F: FnMut(Scope) -> A + Send + 'static,
    {
        let _ = (spec, factory);
        todo!()
    }

    /// Does slow work on a blocking thread; in a simulated Universe at once.
    ///
    /// # Errors
    /// [`OffloadError`] when it panics.
    pub async fn offload<T, F>(&self, work: F) -> Result<T, OffloadError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let _ = work;
        todo!()
    }

    /// Ends the actor of this scope as failed: as if it had panicked with this message.
    pub fn fail(&self, message: impl Into<String>) {
        let _ = message.into();
        todo!()
    }

    /// Shuts everything below this scope down, leaves first. An actor's `stopping` and `stopped` run;
    /// who is not done by the deadline is left behind, and named in the answer.
    pub async fn shutdown(&self, deadline: Duration) -> Vec<String> {
        let _ = deadline;
        todo!()
    }
}

/// A child of mine. Dropping it does not end the child; ending the parent does.
pub struct Child<A: Actor> {
    marker: PhantomData<fn() -> A>,
}

impl<A> Child<A>
where
    A: Actor<Context = Context<A>>,
{
    /// Its address, the same over all its lives.
    #[must_use]
    pub fn addr(&self) -> Addr<A> {
        todo!()
    }

    /// A port for siblings.
    #[must_use]
    pub fn port<M>(&self) -> Port<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        todo!()
    }

    /// Asks it.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask<M>(&self, message: M, deadline: Duration) -> Result<M::Result, AskError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        self.port().ask(message, deadline).await
    }

    /// Tells it.
    ///
    /// # Errors
    /// [`TellError`].
    pub fn tell<M>(&self, message: M) -> Result<(), TellError<M>>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        self.port().tell(message)
    }

    /// Shuts it and everything below it down, leaves first.
    pub async fn stop(&self, deadline: Duration) -> ExitReason {
        let _ = deadline;
        todo!()
    }
}

/// Called by `supervised!`: replaces an actor's state with what its factory made.
pub fn rebuild<A: Actor>(actor: &mut A) {
    let _ = actor;
    todo!()
}
