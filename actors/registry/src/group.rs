//! Several writes in one transaction: whoever comes to the writer's turn writes what all who wait for
//! it have brought. Alone, one writes at once; under load, groups form by themselves.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use memcloud_store::registry::RegistryError;
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::clerk::{Clerk, Kind};
use crate::desk::Desk;

type Reply<R> = oneshot::Sender<Result<R, RegistryError>>;
type Queue<T, R> = Rc<RefCell<VecDeque<(T, Reply<R>)>>>;
type WriteAll<T, R> = fn(&Clerk, &[T]) -> Result<Vec<R>, RegistryError>;

/// Items that wait to be written together. Clones share the queue.
pub(crate) struct Group<T, R> {
    queue: Queue<T, R>,
    most: usize,
    write_all: WriteAll<T, R>,
    written: Rc<Cell<Written>>,
}

/// What was written so far.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Written {
    /// In so many transactions …
    pub(crate) transactions: u64,
    /// … so many items.
    pub(crate) items: u64,
}

impl<T, R> Clone for Group<T, R> {
    fn clone(&self) -> Self {
        Self {
            queue: Rc::clone(&self.queue),
            most: self.most,
            write_all: self.write_all,
            written: Rc::clone(&self.written),
        }
    }
}

impl<T: Send + 'static, R: Send + 'static> Group<T, R> {
    /// At most so many in one transaction, written by a function that answers for each in order.
    pub(crate) fn new(most: usize, write_all: WriteAll<T, R>) -> Self {
        Self { queue: Rc::default(), most: most.max(1), write_all, written: Rc::default() }
    }

    /// Writes an item, with others.
    pub(crate) async fn write(&self, desk: &Desk, item: T) -> Result<R, RegistryError> {
        // Whoever finds no place leaves nothing in the queue.
        let _place = desk.place()?;
        let (reply, mut answer) = oneshot::channel();
        self.queue.borrow_mut().push_back((item, reply));
        loop {
            // Turns come in the order of the queue: when mine comes, my item is in front, or was
            // written by one before me.
            let turn = desk.turn(Kind::Write).await?;
            match answer.try_recv() {
                Ok(answer) => return answer,
                Err(TryRecvError::Closed) => return Err(lost()),
                Err(TryRecvError::Empty) => {}
            }
            let (items, replies) = self.take();
            let write_all = self.write_all;
            let outcome = desk.carry(turn, move |clerk| write_all(clerk, &items)).await;
            answer_all(outcome, replies);
        }
    }

    fn take(&self) -> (Vec<T>, Vec<Reply<R>>) {
        let mut queue = self.queue.borrow_mut();
        let count = queue.len().min(self.most);
        let mut written = self.written.get();
        written.transactions += 1;
        written.items += u64::try_from(count).unwrap_or(0);
        self.written.set(written);
        queue.drain(..count).unzip()
    }

    pub(crate) fn written(&self) -> Written {
        self.written.get()
    }
}

fn answer_all<R>(outcome: Result<Vec<R>, RegistryError>, replies: Vec<Reply<R>>) {
    // Whoever does not wait for its answer any more loses only that.
    match outcome {
        Ok(answers) => {
            for (answer, reply) in answers.into_iter().zip(replies) {
                let _ = reply.send(Ok(answer));
            }
        }
        Err(error) => {
            let reason = match error {
                RegistryError::Unavailable { reason } => reason,
                other => other.to_string(),
            };
            for reply in replies {
                let _ = reply.send(Err(RegistryError::Unavailable { reason: reason.clone() }));
            }
        }
    }
}

fn lost() -> RegistryError {
    RegistryError::Unavailable { reason: "the write was given up".to_owned() }
}
