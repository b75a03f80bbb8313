//! The exchange of a single process: queues are bound in memory, publishing is a push into each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::{
    BusMessage, Exchange, ExchangeFigures, ExchangeKind, Pattern, Queue, QueueInlet, queue,
};

#[derive(Debug)]
struct Binding<M> {
    pattern: Pattern,
    inlet: QueueInlet<M>,
}

/// An exchange within one process.
#[derive(Debug)]
pub struct InProcessExchange<M> {
    name: String,
    kind: ExchangeKind,
    bindings: RwLock<Vec<Binding<M>>>,
    published: AtomicU64,
    routed: AtomicU64,
    dropped: AtomicU64,
}

impl<M: BusMessage> InProcessExchange<M> {
    /// Makes an exchange without queues.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: ExchangeKind) -> Self {
        Self {
            name: name.into(),
            kind,
            bindings: RwLock::new(Vec::new()),
            published: AtomicU64::new(0),
            routed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    fn forget_abandoned(&self) {
        let mut bindings = self.bindings.write().unwrap_or_else(PoisonError::into_inner);
        bindings.retain(|binding| !binding.inlet.is_abandoned());
    }
}

impl<M: BusMessage> Exchange<M> for InProcessExchange<M> {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> ExchangeKind {
        self.kind
    }

    fn publish(&self, key: &str, message: M) {
        self.published.fetch_add(1, Ordering::Relaxed);
        let mut abandoned = false;
        {
            let bindings = self.bindings.read().unwrap_or_else(PoisonError::into_inner);
            for binding in bindings.iter() {
                if self.kind == ExchangeKind::Topic && !binding.pattern.fits(key) {
                    continue;
                }
                if binding.inlet.is_abandoned() {
                    abandoned = true;
                    continue;
                }
                let cost = binding.inlet.push(message.clone());
                self.routed.fetch_add(1, Ordering::Relaxed);
                self.dropped.fetch_add(cost, Ordering::Relaxed);
            }
        }
        if abandoned {
            self.forget_abandoned();
        }
    }

    fn bind(&self, pattern: &Pattern, capacity: usize) -> Queue<M> {
        let (inlet, outlet) = queue(capacity);
        let mut bindings = self.bindings.write().unwrap_or_else(PoisonError::into_inner);
        bindings.retain(|binding| !binding.inlet.is_abandoned());
        bindings.push(Binding { pattern: pattern.clone(), inlet });
        outlet
    }

    fn figures(&self) -> ExchangeFigures {
        let bindings = self.bindings.read().unwrap_or_else(PoisonError::into_inner);
        ExchangeFigures {
            published: self.published.load(Ordering::Relaxed),
            routed: self.routed.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            queues: bindings.iter().filter(|binding| !binding.inlet.is_abandoned()).count(),
            broker: None,
        }
    }
}
