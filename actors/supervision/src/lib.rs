//! Supervision for actix actors: a child that panics is rebuilt from its factory and keeps its
//! address; policies say how often and how fast; who gives up tells its parent; the tree of all
//! actors can be looked at; and in tests time is simulated.

mod child;
pub mod clock;
mod driver;
mod intake;
mod node;
pub mod policy;
pub mod port;
pub mod scope;
pub mod tree;
#[cfg(feature = "universe")]
pub mod universe;

pub use child::Child;
pub use clock::Clock;
pub use driver::rebuild;
pub use policy::{Backoff, ExitReason, GivingUp, RestartKind, RestartPolicy};
pub use port::{AskError, Port, TellError};
pub use scope::{ChildExited, ChildSpec, Generation, Inspect, Observe, OffloadError, Scope};
pub use tree::{ActorState, Tree, TreeNode};
#[cfg(feature = "universe")]
pub use universe::Universe;

/// The README's examples are run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;

/// Makes an actor type one that can be supervised: implements `actix::Supervised` (the state is
/// rebuilt from the factory) and answers the kit's `Inspect` with `Observe::observe`.
///
/// ```
/// # use actix::{Actor, Context};
/// use memcloud_supervision::{Observe, supervised};
///
/// struct Pump;
/// impl Actor for Pump {
///     type Context = Context<Self>;
/// }
/// impl Observe for Pump {}
/// supervised!(Pump);
/// ```
#[macro_export]
macro_rules! supervised {
    ($actor:ty) => {
        impl ::actix::Supervised for $actor {
            fn restarting(&mut self, _: &mut ::actix::Context<Self>) {
                $crate::rebuild(self);
            }
        }
        impl ::actix::Handler<$crate::Inspect> for $actor {
            type Result = ::actix::MessageResult<$crate::Inspect>;
            fn handle(
                &mut self,
                _: $crate::Inspect,
                _: &mut ::actix::Context<Self>,
            ) -> Self::Result {
                ::actix::MessageResult($crate::Observe::observe(self))
            }
        }
    };
}
