//! What the benches share: a cloud of their own, processor time, and figures with their spread.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each bench is a program of its own, and uses a part of this"
)]

pub(crate) mod cloud;
pub(crate) mod figures;
pub(crate) mod processor;

use std::time::Duration;

/// An option of a bench, taken from the environment: `BENCH_<NAME>`.
pub(crate) fn option(name: &str, default: u64) -> anyhow::Result<u64> {
    match std::env::var(format!("BENCH_{name}")) {
        Ok(text) => text
            .parse()
            .map_err(|_| anyhow::anyhow!("BENCH_{name}={text} is no whole number, 0 or more")),
        Err(_) => Ok(default),
    }
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut probe: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let clock = memcloud_supervision::Clock::system();
    let begun = clock.instant();
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if clock.instant() > begun + patience {
            anyhow::bail!("waited {patience:?} in vain: {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
