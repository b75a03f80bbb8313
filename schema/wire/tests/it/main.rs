//! The protocol as a whole: every frame there and back, the committed corpus, and hostile bytes.

mod corpus;
mod frames;
mod mutate;
mod mutator;
