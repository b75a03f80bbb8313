//! Carries out what the registry is asked, synchronously: on blocking threads for the `Registrar`,
//! directly for the command line, which works beside a running server on the same database.

use std::sync::Arc;

use memcloud_domain::Timestamp;
use memcloud_store::registry::{IdempotencyLimits, Registry, RegistryError};
use memcloud_supervision::Clock;

use crate::followers::Fact;
use crate::randomness::Randomness;

/// Whether an errand waits for the one writer, or for one of the readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only reads.
    Read,
    /// It writes.
    Write,
}

/// Something the clerk can be asked to do.
pub trait Errand: Send + 'static {
    /// What it answers.
    type Answer: Send + 'static;
    /// Whether it writes.
    const KIND: Kind;

    /// Does it, and notes what changed for those who follow.
    ///
    /// # Errors
    /// As the errand says.
    fn carry_out(self, clerk: &Clerk, facts: &mut Vec<Fact>)
    -> Result<Self::Answer, RegistryError>;
}

/// Carries out what the registry is asked.
#[derive(Clone)]
pub struct Clerk {
    registry: Arc<dyn Registry>,
    clock: Clock,
    randomness: Randomness,
    idempotency: IdempotencyLimits,
}

impl std::fmt::Debug for Clerk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Clerk")
    }
}

impl Clerk {
    /// A clerk for a registry.
    #[must_use]
    pub fn new(registry: Arc<dyn Registry>, clock: Clock, randomness: Randomness) -> Self {
        Self { registry, clock, randomness, idempotency: IdempotencyLimits::default() }
    }

    /// Keeps answers for idempotency keys by these limits.
    #[must_use]
    pub fn with_idempotency(mut self, limits: IdempotencyLimits) -> Self {
        self.idempotency = limits;
        self
    }

    /// Does what is asked. Nobody is told of changes: that is the `Registrar`'s part.
    ///
    /// # Errors
    /// As the errand says.
    pub fn carry_out<E: Errand>(&self, errand: E) -> Result<E::Answer, RegistryError> {
        errand.carry_out(self, &mut Vec::new())
    }

    /// The database.
    pub(crate) fn registry(&self) -> &dyn Registry {
        self.registry.as_ref()
    }

    /// The moment.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.clock.unix_ms())
    }

    /// Where secrets and ids come from.
    pub(crate) fn randomness(&self) -> &Randomness {
        &self.randomness
    }

    /// How long and how much is kept of POSTs with a key.
    pub(crate) fn idempotency(&self) -> &IdempotencyLimits {
        &self.idempotency
    }
}
