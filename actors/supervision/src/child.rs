//! What a parent holds of a child.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message};
use tokio::time::timeout_at;

use crate::clock::ahead;
use crate::node::Node;
use crate::port::ask;
use crate::{ActorState, AskError, ExitReason, Port, TellError};

/// A child of mine. Dropping it does not end the child; ending the parent does.
pub struct Child<A: Actor> {
    address: Addr<A>,
    node: Arc<Node>,
}

impl<A: Actor> Clone for Child<A> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), node: Arc::clone(&self.node) }
    }
}

impl<A: Actor> fmt::Debug for Child<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Child({}, {:?})", self.node.path(), self.node.state())
    }
}

impl<A> Child<A>
where
    A: Actor<Context = Context<A>>,
{
    pub(crate) fn new(address: Addr<A>, node: Arc<Node>) -> Self {
        Self { address, node }
    }

    /// Its address, the same over all its lives.
    #[must_use]
    pub fn addr(&self) -> Addr<A> {
        self.address.clone()
    }

    /// Its name under its parent: the one that was asked for, with a number where that was taken.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> ActorState {
        self.node.state()
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
        Port::of(self.address.clone().recipient(), Arc::clone(&self.node))
    }

    /// Asks it, as [`Port::ask`] does.
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
        ask(Some(&self.node), deadline, || self.address.send(message)).await
    }

    /// Tells it, as [`Port::tell`] does.
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
        self.address.try_send(message).map_err(TellError::from)
    }

    /// Shuts it and everything below it down, leaves first. It handles what was accepted before; its
    /// `stopping` and `stopped` run. After the deadline it is cut off. Answers why it ended, also where
    /// it had already.
    pub async fn stop(&self, deadline: Duration) -> ExitReason {
        let by = ahead(deadline);
        self.node.ask_to_stop(by);
        if timeout_at(by, self.node.over()).await.is_err() {
            self.node.cut_off();
            return ExitReason::CutOff;
        }
        self.node.last_exit().unwrap_or(ExitReason::Shutdown)
    }

    /// Waits until it has ended for good, and answers why.
    pub async fn ended(&self) -> ExitReason {
        self.node.over().await;
        self.node.last_exit().unwrap_or(ExitReason::Shutdown)
    }
}
