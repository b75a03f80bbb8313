//! Sideways in the tree one talks through ports: a `Recipient` that knows whether its actor is up.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::dev::SendError;
use actix::{MailboxError, Message, Recipient};
use tokio::sync::TryAcquireError;
use tokio::time::timeout_at;

use crate::ActorState;
use crate::clock::ahead;
use crate::node::Node;

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The actor is between a crash and its restart, or its mailbox was not read in time because of it.
    #[error("the actor is restarting")]
    Restarting,
    /// The deadline passed.
    #[error("no answer within the deadline")]
    TimedOut,
    /// The actor is gone for good. What was asked before it stopped may or may not have been done.
    #[error("the actor has stopped")]
    Stopped,
    /// The actor (or the future of this reply) crashed on it: it may or may not have been carried out.
    #[error("the actor crashed before it answered")]
    Lost,
}

/// Why a message was not taken; it is handed back.
#[derive(Debug, thiserror::Error)]
pub enum TellError<M> {
    /// The mailbox is full.
    #[error("the mailbox is full")]
    Full(M),
    /// The actor is gone for good.
    #[error("the actor has stopped")]
    Stopped(M),
}

/// A `Recipient<M>` that knows whether its actor is up.
pub struct Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    recipient: Recipient<M>,
    /// Absent where the recipient came from elsewhere than the kit.
    node: Option<Arc<Node>>,
}

impl<M> Clone for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { recipient: self.recipient.clone(), node: self.node.clone() }
    }
}

impl<M> std::fmt::Debug for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.node {
            Some(node) => write!(formatter, "Port({})", node.path()),
            None => formatter.write_str("Port"),
        }
    }
}

impl<M> From<Recipient<M>> for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn from(recipient: Recipient<M>) -> Self {
        Self { recipient, node: None }
    }
}

impl<M> Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    pub(crate) fn of(recipient: Recipient<M>, node: Arc<Node>) -> Self {
        Self { recipient, node: Some(node) }
    }

    /// Asks, and waits for mailbox space and the answer, at most until the deadline.
    ///
    /// Of an actor under supervision at most as many questions are outstanding at a time as its mailbox
    /// holds; more wait for their turn. A question that waits in the mailbox while the actor is
    /// restarted is answered after the restart, if that is before the deadline.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, message: M, deadline: Duration) -> Result<M::Result, AskError> {
        if !self.recipient.connected() {
            return Err(AskError::Stopped);
        }
        ask(self.node.as_deref(), deadline, || self.recipient.send(message)).await
    }

    /// Hands a message over if there is space for it now. While the actor is restarted, the message
    /// waits in its mailbox.
    ///
    /// # Errors
    /// [`TellError`] with the message.
    pub fn tell(&self, message: M) -> Result<(), TellError<M>> {
        self.recipient.try_send(message).map_err(TellError::from)
    }

    /// The plain recipient.
    #[must_use]
    pub fn recipient(&self) -> &Recipient<M> {
        &self.recipient
    }
}

impl<M> From<SendError<M>> for TellError<M> {
    fn from(error: SendError<M>) -> Self {
        match error {
            SendError::Full(message) => Self::Full(message),
            SendError::Closed(message) => Self::Stopped(message),
        }
    }
}

impl<M> TellError<M> {
    /// The message that was not taken.
    #[must_use]
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message) | Self::Stopped(message) => message,
        }
    }
}

pub(crate) async fn ask<R, S, F>(
    node: Option<&Node>,
    deadline: Duration,
    send: S,
) -> Result<R, AskError>
where
    S: FnOnce() -> F,
    F: Future<Output = Result<R, MailboxError>>,
{
    let by = ahead(deadline);
    let Some(node) = node else {
        return match timeout_at(by, send()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(AskError::Lost),
            Err(_) => Err(AskError::TimedOut),
        };
    };
    if node.is_over() {
        return Err(AskError::Stopped);
    }
    if node.state() == ActorState::BackingOff {
        return Err(AskError::Restarting);
    }
    let crashes = node.crashes.load(Ordering::Acquire);
    let crashed = || node.crashes.load(Ordering::Acquire) != crashes;
    let too_late = || {
        if crashed() { AskError::Restarting } else { AskError::TimedOut }
    };
    let _turn = match node.questions.try_acquire() {
        Ok(turn) => turn,
        Err(TryAcquireError::Closed) => return Err(AskError::Stopped),
        Err(TryAcquireError::NoPermits) => match timeout_at(by, node.questions.acquire()).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) => return Err(AskError::Stopped),
            Err(_) => return Err(too_late()),
        },
    };
    match timeout_at(by, send()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) if crashed() || !node.is_over() => Err(AskError::Lost),
        Ok(Err(_)) => Err(AskError::Stopped),
        Err(_) => Err(too_late()),
    }
}
