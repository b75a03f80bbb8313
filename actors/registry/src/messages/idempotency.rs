//! POSTs with an `Idempotency-Key`: begun, and finished with what was answered.

use actix::Message;
use memcloud_store::registry::{
    Beginning, IdempotencyScope, IdempotentAnswer, IdempotentRequest, RegistryError,
};

use crate::clerk::{Clerk, Errand, Kind};
use crate::followers::Fact;

/// REST asks, before a POST with a key, how it is to go on. `Invalid` key.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Beginning, RegistryError>")]
pub struct BeginIdempotent(pub IdempotentRequest);

/// REST has the answer to a POST with a key kept for 24 h; without an answer (it failed for no fault of
/// the caller) the key is free again.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), RegistryError>")]
pub struct FinishIdempotent {
    /// Whose key it is.
    pub scope: IdempotencyScope,
    /// What was answered.
    pub answer: Option<IdempotentAnswer>,
}

impl Errand for BeginIdempotent {
    type Answer = Beginning;
    const KIND: Kind = Kind::Write;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        let key = &self.0.scope.key;
        if key.is_empty() || key.len() > 255 || key.chars().any(char::is_control) {
            return Err(RegistryError::Invalid {
                what: "Idempotency-Key",
                reason: "a key is 1 to 255 printable characters".to_owned(),
            });
        }
        clerk.registry().begin_idempotent(&self.0, clerk.now(), clerk.idempotency())
    }
}

impl Errand for FinishIdempotent {
    type Answer = ();
    const KIND: Kind = Kind::Write;

    fn carry_out(self, clerk: &Clerk, _: &mut Vec<Fact>) -> Result<Self::Answer, RegistryError> {
        clerk.registry().finish_idempotent(
            &self.scope,
            self.answer.as_ref(),
            clerk.now(),
            clerk.idempotency(),
        )
    }
}
