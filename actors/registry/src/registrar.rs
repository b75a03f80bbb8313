//! Keeps microgrids, HEMs, keys, tokens and jobs.

use std::sync::Arc;
use std::time::Duration;

use memcloud_store::registry::Registry;
use memcloud_supervision::Scope;

use crate::followers::Followers;
use crate::randomness::Randomness;

/// What the `Registrar` is made of.
#[derive(Clone)]
pub struct RegistrarParts {
    /// The database.
    pub registry: Arc<dyn Registry>,
    /// Where keys, tokens and ids come from.
    pub randomness: Randomness,
    /// Who is told of changes; more may be added later.
    pub followers: Followers,
    /// Its bounds.
    pub config: RegistrarConfig,
}

/// The bounds of the `Registrar`.
#[derive(Debug, Clone)]
pub struct RegistrarConfig {
    /// How many may read at a time.
    pub readers: usize,
    /// How many questions may wait; beyond that they are answered `Unavailable`.
    pub max_waiting: usize,
    /// How many HEMs' arrivals, or jobs' checkpoints, go into one transaction.
    pub group: usize,
    /// How many API tokens are remembered.
    pub remembered_tokens: usize,
    /// How long an API token is believed without asking the database again.
    pub token_trust: Duration,
    /// How often what is over is swept out.
    pub sweep_every: Duration,
}

impl Default for RegistrarConfig {
    fn default() -> Self {
        Self {
            readers: 4,
            max_waiting: 16_384,
            group: 256,
            remembered_tokens: 10_000,
            token_trust: Duration::from_secs(2),
            sweep_every: Duration::from_secs(60),
        }
    }
}

/// Keeps microgrids, HEMs, keys, tokens and jobs. Stateless but for caches and queues: all that counts
/// is in the database.
pub struct Registrar {
    scope: Scope,
    parts: RegistrarParts,
}

impl Registrar {
    /// Makes the actor; for the factory given to `Scope::supervise`.
    #[must_use]
    pub fn new(scope: Scope, parts: RegistrarParts) -> Self {
        Self { scope, parts }
    }
}
