//! A place in the tree: what an actor needs to have children, read the time and do slow work.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::dev::channel::channel;
use actix::{Actor, Addr, Arbiter, Context, Handler, Message, Recipient, Supervised};
use actix_rt::ArbiterHandle;

use crate::child::Child;
use crate::clock::ahead;
use crate::driver::{Driver, Ending, Factory, Seed, message_of, shut_children_down};
use crate::node::{House, Node};
use crate::{Clock, ExitReason, Port, RestartPolicy, Tree};

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
        Self {
            name: name.into(),
            policy: RestartPolicy::default(),
            mailbox: 64,
            arbiter: None,
            watcher: None,
        }
    }

    /// Sets its restart policy.
    #[must_use]
    pub fn policy(mut self, policy: RestartPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets its mailbox's capacity. It holds whatever the actor's context is told.
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

/// A place in the tree. An actor's factory is given one for each of the actor's lives; children can
/// be started in it while that life lasts.
#[derive(Clone)]
pub struct Scope {
    node: Arc<Node>,
    generation: u64,
}

impl fmt::Debug for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Scope({}, life {})", self.path(), self.generation)
    }
}

impl Scope {
    /// The root of a new tree. Its children run on the arbiter on which it is made.
    #[must_use]
    pub fn root(name: &str, clock: Clock) -> Self {
        let house = Arc::new(House::new(clock));
        let arbiter = Arbiter::try_current();
        let here = arbiter.is_some();
        let node = Node::new(name.into(), "root", None, house, arbiter, 0);
        if here {
            let _ = node.thread.set(std::thread::current().id());
        }
        Self { node: Arc::new(node), generation: 0 }
    }

    pub(crate) fn of_life(node: Arc<Node>, generation: u64) -> Self {
        Self { node, generation }
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.node.house.clock
    }

    /// The path in the tree, e.g. `memcloud/cmo/fontana`.
    #[must_use]
    pub fn path(&self) -> String {
        self.node.path()
    }

    /// Which life of the actor this scope was given to.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation(self.generation)
    }

    /// Whether that life still lasts.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.node.generation() == self.generation
    }

    /// The whole tree.
    #[must_use]
    pub fn tree(&self) -> Tree {
        let mut node = &self.node;
        while let Some(parent) = &node.parent {
            node = parent;
        }
        Tree::new(Arc::clone(node))
    }

    /// Starts a child. The factory makes the actor, at first and after every crash, on the child's
    /// arbiter; the scope it is given is the child's own, for children of its own. What it made
    /// replaces the crashed actor, which is dropped only then.
    ///
    /// A name that is taken gets a number (`name#2`). In a scope whose life is over, or that is being
    /// shut down, the child is stopped from the first: its watcher is told, and questions are answered
    /// with [`AskError::Stopped`](crate::AskError::Stopped).
    pub fn supervise<A, F>(&self, spec: ChildSpec, factory: F) -> Child<A>
    where
        A: Actor<Context = Context<A>> + Supervised + Observe + Handler<Inspect>,
        F: FnMut(Scope) -> A + Send + 'static,
    {
        let ChildSpec { name, policy, mailbox, arbiter, watcher } = spec;
        // To actix a capacity of 0 means without bound.
        let capacity = mailbox.max(1);
        let (sender, receiver) = channel::<A>(capacity);
        let address = Addr::new(sender);
        let stays = arbiter.is_none();
        let arbiter = arbiter.or_else(|| self.node.arbiter.clone()).or_else(Arbiter::try_current);
        let make = |unique: Arc<str>| {
            let parent = Some(Arc::clone(&self.node));
            let house = Arc::clone(&self.node.house);
            Node::new(unique, type_name::<A>(), parent, house, arbiter.clone(), capacity)
        };
        let Some(node) = self.node.adopt(self.generation, name.clone(), make) else {
            let node = Arc::new(make(name.into()));
            drop(Ending::new(Arc::clone(&node), watcher));
            return Child::new(address, node);
        };
        let seed = Seed {
            node: Arc::clone(&node),
            ending: Ending::new(Arc::clone(&node), watcher),
            policy,
            factory: Box::new(factory) as Factory<A>,
            receiver,
            address: address.clone(),
        };
        let home = self.node.thread.get();
        if stays && home.is_some_and(|home| *home == std::thread::current().id()) {
            actix_rt::spawn(Driver::new(seed));
        } else if let Some(arbiter) = arbiter {
            // Where that arbiter is gone, the seed is dropped, which says that the child has ended.
            arbiter.spawn_fn(move || {
                actix_rt::spawn(Driver::new(seed));
            });
        } else {
            log::error!(actor = node.path().as_str(); "there is no arbiter to run an actor on: start an actix system first");
        }
        Child::new(address, node)
    }

    /// A port to this scope's own actor, given its address, for siblings to call back.
    #[must_use]
    pub fn port<A, M>(&self, own_address: Addr<A>) -> Port<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Actor + Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        Port::of(own_address.recipient(), Arc::clone(&self.node))
    }

    /// Does slow work on a blocking thread; in a simulated Universe at once.
    ///
    /// The work goes on when the actor that asked for it crashes; who keeps its result elsewhere than
    /// in the actor's context compares [`Scope::generation`].
    ///
    /// # Errors
    /// [`OffloadError`] when it panics.
    pub async fn offload<T, F>(&self, work: F) -> Result<T, OffloadError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        if self.clock().is_simulated() {
            return catch_unwind(AssertUnwindSafe(work))
                .map_err(|panic| OffloadError::Panicked(message_of(&*panic)));
        }
        actix_rt::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => OffloadError::Panicked(message_of(&*panic)),
            Err(_) => OffloadError::Cancelled,
        })
    }

    /// Ends the actor of this scope as failed: as if it had panicked with this message. Nothing happens
    /// where this life of it is over anyway. On the root it is the tree that fails.
    pub fn fail(&self, message: impl Into<String>) {
        if self.is_current() {
            self.node.fail(ExitReason::Panicked { message: message.into() });
        }
    }

    /// Waits until the root of this tree gives up: a child of it failed too often and its policy says
    /// to escalate. The process should then end, not with success.
    pub fn failed(&self) -> impl Future<Output = ExitReason> + Send + 'static {
        let house = Arc::clone(&self.node.house);
        async move { house.failed().await }
    }

    /// Shuts everything below this scope down, leaves first. An actor's `stopping` and `stopped` run,
    /// after it has handled what was in its mailbox; siblings stop at the same time. Who is not done by
    /// the deadline is cut off, and named in the answer.
    pub async fn shutdown(&self, deadline: Duration) -> Vec<String> {
        let is_root = self.node.parent.is_none();
        if is_root {
            self.node.refuse_children();
        }
        let left = shut_children_down(Arc::clone(&self.node), ahead(deadline)).await;
        if is_root {
            self.node.forget_failures();
        }
        left
    }
}

fn type_name<A>() -> &'static str {
    let full = std::any::type_name::<A>();
    let without_generics = full.split('<').next().unwrap_or(full);
    without_generics.rsplit("::").next().unwrap_or(full)
}
