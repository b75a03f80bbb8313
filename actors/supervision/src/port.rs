//! Sideways in the tree one talks through ports: a `Recipient` that knows whether its actor is up.

use std::time::Duration;

use actix::{Message, Recipient};

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The actor is between a crash and its restart, or its mailbox was not read in time because of it.
    #[error("the actor is restarting")]
    Restarting,
    /// The deadline passed.
    #[error("no answer within the deadline")]
    TimedOut,
    /// The actor is gone for good.
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
}

impl<M> Clone for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { recipient: self.recipient.clone() }
    }
}

impl<M> std::fmt::Debug for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Port")
    }
}

impl<M> From<Recipient<M>> for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn from(recipient: Recipient<M>) -> Self {
        Self { recipient }
    }
}

impl<M> Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// Asks, and waits for mailbox space and the answer, at most until the deadline.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, message: M, deadline: Duration) -> Result<M::Result, AskError> {
        let _ = (message, deadline);
        todo!()
    }

    /// Hands a message over if there is space for it now.
    ///
    /// # Errors
    /// [`TellError`] with the message.
    pub fn tell(&self, message: M) -> Result<(), TellError<M>> {
        let _ = message;
        todo!()
    }

    /// The plain recipient.
    #[must_use]
    pub fn recipient(&self) -> &Recipient<M> {
        &self.recipient
    }
}
