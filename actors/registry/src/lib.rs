//! Keeps microgrids, HEMs, keys, tokens and jobs: the `Registrar` is the actor, the `Clerk` the same
//! without one, for the command line. What is kept, and how, is `memcloud-store`'s `Registry`.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use memcloud_registry::{Clerk, CreateMicrogrid, NewMicrogrid, Randomness, SqlRegistry};
//! use memcloud_supervision::Clock;
//!
//! let registry = SqlRegistry::open("data/web.db")?;
//! let clerk = Clerk::new(std::sync::Arc::new(registry), Clock::system(), Randomness::system());
//! let new = NewMicrogrid {
//!     id: "fontana".parse()?,
//!     name: "Fontana".to_owned(),
//!     time_zone: Some("America/Los_Angeles".to_owned()),
//!     limits: Default::default(),
//! };
//! let microgrid = clerk.carry_out(CreateMicrogrid(new))?;
//! # Ok(()) }
//! ```

pub mod clerk;
mod desk;
pub mod followers;
mod group;
pub mod messages;
pub mod randomness;
pub mod registrar;
mod token_cache;

pub use clerk::{Clerk, Errand, Kind};
pub use followers::{Fact, Followers};
pub use memcloud_store::registry::{
    ApiToken, Beginning, EnrolmentToken, Hem, HemChange, IdempotencyLimits, IdempotencyScope,
    IdempotentAnswer, IdempotentRequest, InvalidCursor, JobChange, KeyState, Listing, Microgrid,
    MicrogridChange, NewMicrogrid, NumberedLogLine, PageRequest, Registry, RegistryError,
    ResultCursor, ResultPage, ResultQuery, SqlRegistry,
};
pub use messages::*;
pub use randomness::Randomness;
pub use registrar::{Registrar, RegistrarConfig, RegistrarParts};
