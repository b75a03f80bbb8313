//! A bounded queue between an exchange and one reader: when it is full it loses its oldest message,
//! counts it, and says so with the next delivery.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;

/// A message from a queue, and what the queue lost before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<M> {
    /// The message.
    pub message: M,
    /// How many messages were lost between the delivery before and this one.
    pub lost_before: u64,
}

/// Makes a queue that holds at most so many messages (at least 1), and the end that an exchange's
/// adapter keeps.
#[must_use]
pub fn queue<M>(capacity: usize) -> (QueueInlet<M>, Queue<M>) {
    let shared = Arc::new(Mutex::new(Shared {
        waiting: VecDeque::new(),
        capacity: capacity.max(1),
        lost_unsaid: 0,
        lost: 0,
        reader_gone: false,
        closed: false,
        waker: None,
    }));
    (QueueInlet { shared: Arc::clone(&shared) }, Queue { shared })
}

#[derive(Debug)]
struct Shared<M> {
    waiting: VecDeque<(M, u64)>,
    capacity: usize,
    lost_unsaid: u64,
    lost: u64,
    reader_gone: bool,
    closed: bool,
    waker: Option<Waker>,
}

/// What is inside is whole between any two statements, so a panic elsewhere does not spoil it.
fn lock<M>(shared: &Mutex<Shared<M>>) -> MutexGuard<'_, Shared<M>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The adapter's end of a queue. Dropping it closes the queue once what waits has been read.
#[derive(Debug)]
pub struct QueueInlet<M> {
    shared: Arc<Mutex<Shared<M>>>,
}

impl<M> QueueInlet<M> {
    /// Puts a message in; answers how many messages this cost (0 or 1). Never waits.
    pub fn push(&self, message: M) -> u64 {
        let waker;
        let cost;
        {
            let mut shared = lock(&self.shared);
            if shared.reader_gone {
                return 0;
            }
            let full = shared.waiting.len() >= shared.capacity;
            let mut lost_before = std::mem::take(&mut shared.lost_unsaid);
            cost = u64::from(full);
            if full {
                let inherited = shared.waiting.pop_front().map_or(0, |(_, lost)| lost);
                shared.lost += 1;
                // The loss is said with whatever message is now the oldest.
                match shared.waiting.front_mut() {
                    Some((_, lost)) => *lost += inherited + 1,
                    None => lost_before += inherited + 1,
                }
            }
            shared.waiting.push_back((message, lost_before));
            waker = shared.waker.take();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        cost
    }

    /// Says that messages were lost on their way here; the reader learns it with the next delivery.
    pub fn note_lost(&self, count: u64) {
        let mut shared = lock(&self.shared);
        shared.lost_unsaid += count;
        shared.lost += count;
    }

    /// Whether the reader has dropped its end.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        lock(&self.shared).reader_gone
    }
}

impl<M> Drop for QueueInlet<M> {
    fn drop(&mut self) {
        let waker = {
            let mut shared = lock(&self.shared);
            shared.closed = true;
            shared.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The reader's end of a queue; also a `Stream`. Dropping it unbinds the queue.
#[derive(Debug)]
pub struct Queue<M> {
    shared: Arc<Mutex<Shared<M>>>,
}

impl<M> Queue<M> {
    /// Waits for the next message. `None` once the exchange is gone and everything has been read.
    /// May be dropped while it waits without losing anything.
    pub async fn recv(&mut self) -> Option<Delivery<M>> {
        std::future::poll_fn(|context| self.poll_recv(context)).await
    }

    /// The next message, if one waits.
    pub fn try_recv(&mut self) -> Option<Delivery<M>> {
        let (message, lost_before) = lock(&self.shared).waiting.pop_front()?;
        Some(Delivery { message, lost_before })
    }

    /// Polls for the next message.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Delivery<M>>> {
        let mut shared = lock(&self.shared);
        if let Some((message, lost_before)) = shared.waiting.pop_front() {
            return Poll::Ready(Some(Delivery { message, lost_before }));
        }
        if shared.closed {
            return Poll::Ready(None);
        }
        let same = shared.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if !same {
            shared.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// How many messages wait.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.shared).waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages it lost since it was bound.
    #[must_use]
    pub fn lost(&self) -> u64 {
        lock(&self.shared).lost
    }
}

impl<M> Drop for Queue<M> {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.reader_gone = true;
        let waiting = std::mem::take(&mut shared.waiting);
        drop(shared);
        // Messages may be large; they are freed outside the lock.
        drop(waiting);
    }
}

impl<M> Stream for Queue<M> {
    type Item = Delivery<M>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(context)
    }
}
