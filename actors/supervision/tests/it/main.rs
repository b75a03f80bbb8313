//! What users of the kit count on, one sentence a test.

mod actors;
mod crashes;
