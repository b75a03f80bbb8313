//! What REST and the command line ask of the registry. What sibling actors ask is in
//! `memcloud_domain::messages`.
//!
//! None of these may be lost: each is answered, with what was done or why not.

mod health;
pub(crate) mod hems;
mod idempotency;
mod jobs;
mod microgrids;
mod tokens;
pub(crate) mod valid;

pub use health::GetHealth;
pub use hems::{
    DeleteHem, GetHem, IssuedKey, ListHems, RegisterHem, RevokeHemKey, RotateHemKey, UpdateHem,
};
pub use idempotency::{BeginIdempotent, FinishIdempotent};
pub use jobs::{CreateJob, DeleteJob, GetJob, ListJobLog, ListJobResults, ListJobs, UpdateJob};
pub use microgrids::{
    CreateMicrogrid, DeleteMicrogrid, GetMicrogrid, ListMicrogrids, UpdateMicrogrid,
};
pub use tokens::{
    AuthenticateToken, CreateApiToken, CreateEnrolmentToken, CreateJobToken, DeleteEnrolmentTokens,
    IssuedApiToken, IssuedEnrolmentToken, ListApiTokens, ListEnrolmentTokens, RevokeApiToken,
    RevokeJobToken,
};
