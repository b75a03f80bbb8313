//! How messages get from an actor's address to its handlers. The kit takes them out of actix's queue
//! itself: so it knows how many wait, can handle what was accepted before it stops an actor, and keeps
//! them while an actor is restarted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as Task, Poll};

use actix::dev::channel::AddressReceiver;
use actix::dev::{Envelope, EnvelopeProxy};
use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Context};
use futures_util::Stream;

use crate::Observe;
use crate::node::Node;

/// So many messages are handled before others on the arbiter have a turn.
const MESSAGES_PER_TURN: usize = 128;

/// The messages of an actor that wait.
pub(crate) struct Intake<A: Actor> {
    receiver: Option<AddressReceiver<A>>,
    taken: VecDeque<Envelope<A>>,
    node: Arc<Node>,
    /// How many are still to be handled before the actor is stopped.
    before_stop: Option<usize>,
}

pub(crate) enum Next<A: Actor> {
    Message(Envelope<A>),
    Nothing,
    StopNow,
}

impl<A: Actor> Intake<A> {
    pub(crate) fn new(receiver: AddressReceiver<A>, node: Arc<Node>) -> Self {
        Self { receiver: Some(receiver), taken: VecDeque::new(), node, before_stop: None }
    }

    pub(crate) fn receiver(&self) -> Option<&AddressReceiver<A>> {
        self.receiver.as_ref()
    }

    /// Takes out what has come, so that it is counted; `limit` bounds what waits in here.
    fn fill(&mut self, limit: usize, task: &mut Task<'_>) {
        let Some(receiver) = &mut self.receiver else { return };
        while self.taken.len() < limit {
            let Poll::Ready(Some(message)) = Pin::new(&mut *receiver).poll_next(task) else {
                break;
            };
            self.taken.push_back(message);
        }
        self.count();
    }

    fn count(&self) {
        self.node.depth.store(self.taken.len(), Ordering::Relaxed);
    }

    fn next(&mut self, task: &mut Task<'_>) -> Next<A> {
        if let Some(left) = &mut self.before_stop {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => {
                    self.before_stop = None;
                    return Next::StopNow;
                }
            }
        } else if self.taken.is_empty() {
            self.fill(self.node.capacity, task);
        }
        let next = self.taken.pop_front();
        self.count();
        next.map_or(Next::Nothing, Next::Message)
    }

    /// Has the actor stopped once it has handled everything that was accepted until now.
    pub(crate) fn stop_after_these(&mut self, task: &mut Task<'_>) {
        self.fill(usize::MAX, task);
        self.before_stop = Some(self.taken.len());
    }

    /// The actor takes nothing now: what waits in here counts against the mailbox's capacity.
    pub(crate) fn rest(&mut self, task: &mut Task<'_>) {
        self.fill(self.node.capacity, task);
        let space = self.node.capacity.saturating_sub(self.taken.len()).max(1);
        if let Some(receiver) = &mut self.receiver
            && receiver.capacity() != space
        {
            receiver.set_capacity(space);
        }
    }

    /// Closes the address; what waits is dropped.
    pub(crate) fn close(&mut self) -> (Option<AddressReceiver<A>>, VecDeque<Envelope<A>>) {
        (self.receiver.take(), std::mem::take(&mut self.taken))
    }
}

/// Runs in the actor's context and handles one message after the other.
pub(crate) struct Pump<A: Actor> {
    pub(crate) intake: Rc<RefCell<Intake<A>>>,
    pub(crate) node: Arc<Node>,
}

impl<A> ActorFuture<A> for Pump<A>
where
    A: Actor<Context = Context<A>> + Observe,
{
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        context: &mut Context<A>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        let this = self.get_mut();
        for asker in this.node.take_probes() {
            let _ = asker.send(actor.observe());
        }
        for _ in 0..MESSAGES_PER_TURN {
            if context.waiting() {
                return Poll::Pending;
            }
            let next = this.intake.borrow_mut().next(task);
            match next {
                Next::Message(mut message) => message.handle(actor, context),
                Next::Nothing => return Poll::Pending,
                Next::StopNow => {
                    context.stop();
                    return Poll::Pending;
                }
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}
