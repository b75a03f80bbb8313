//! The rules of the protocol, a sentence each.

mod errors;
mod flow;
mod life;
mod numbers;
mod orders;
mod properties;
mod script;
mod welcome;

use std::time::Duration;

const HELLO: &str = r#"{"type":"hello","protocol":1,"hem":"home-1","key":"k"}"#;
const SECOND: Duration = Duration::from_secs(1);
