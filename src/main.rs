//! The `memcloud` binary.
fn main() {}
