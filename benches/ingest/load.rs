//! The load: a process of its own, with one thread, beside either server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use memcloud_emulator::bench::{BenchConfig, LoadOptions, Rate, Times, load};
use memcloud_emulator::clock::system_clock;
use memcloud_emulator::keyring::read_keys;
use memcloud_sdk::hem::trust;
use serde_json::Value;

/// From so far back on, a reading per second of each HEM: as a fleet sends that comes back, and as
/// many times more homes would at one reading per second. So roll-ups and sealing have the share that
/// they have in daily life.
const BACK: Duration = Duration::from_hours(48);
const STEP: Duration = Duration::from_secs(1);

/// What one load is told.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) port: u16,
    pub(crate) authority: PathBuf,
    pub(crate) hem_keys: PathBuf,
    pub(crate) hems: usize,
    /// Readings per second; none: as fast as the credit allows.
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: u64,
    pub(crate) warmup_seconds: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// Acknowledged per second, while it was measured.
    pub(crate) rate: f64,
    /// Acknowledged from beginning to end.
    pub(crate) in_all: f64,
    pub(crate) frame_bytes: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// How much of a core the load took.
    pub(crate) cores: f64,
}

impl Order {
    /// Runs the load in a process of its own.
    pub(crate) fn carry_out(&self) -> anyhow::Result<Outcome> {
        let output = Command::new(std::env::current_exe()?)
            .arg("load")
            .arg(self.port.to_string())
            .arg(&self.authority)
            .arg(&self.hem_keys)
            .arg(self.hems.to_string())
            .arg(self.rate.map_or_else(|| "max".to_owned(), |rate| rate.to_string()))
            .arg(self.seconds.to_string())
            .arg(self.warmup_seconds.to_string())
            .stderr(Stdio::inherit())
            .output()?;
        anyhow::ensure!(output.status.success(), "the load ended with {}", output.status);
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let unexpected = ["refused", "unacknowledged"]
            .into_iter()
            .any(|name| report.get(name).and_then(Value::as_u64) != Some(0));
        let errors = report.get("errors").and_then(Value::as_object);
        if unexpected || errors.is_none_or(|errors| !errors.is_empty()) {
            anyhow::bail!("not every reading was acknowledged: {report}");
        }
        let number = |pointer: &str| {
            let value = report.pointer(pointer).and_then(Value::as_f64);
            value.with_context(|| format!("the load's report has no {pointer}"))
        };
        Ok(Outcome {
            rate: number("/acknowledged_per_second")?,
            in_all: number("/acknowledged_in_all")?,
            frame_bytes: number("/frame_bytes")?,
            p50_ms: number("/latency_ms/p50")?,
            p99_ms: number("/latency_ms/p99")?,
            max_ms: number("/latency_ms/max")?,
            cores: number("/processor_seconds")? / number("/seconds")?,
        })
    }
}

/// The load's own process: prints its report.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [port, authority, hem_keys, hems, rate, seconds, warmup] = arguments else {
        anyhow::bail!("load takes 7 arguments");
    };
    let config = BenchConfig {
        host: "127.0.0.1".to_owned(),
        port: port.parse()?,
        tls: trust(Path::new(authority), None)?,
        hems: hems.parse()?,
        keys: read_keys(Path::new(hem_keys))?,
        enrol: None,
        prefix: "home".to_owned(),
        state: None,
        seed: 1,
    };
    let options = LoadOptions {
        rate: if rate == "max" { Rate::Max } else { Rate::PerSecond(rate.parse()?) },
        seconds: seconds.parse()?,
        warmup_seconds: warmup.parse()?,
        threads: 1,
        times: Times::Past { begin: BACK, step: STEP },
        acknowledged_file: None,
    };
    let report = load(&config, &options, &system_clock())?;
    serde_json::to_writer(std::io::stdout(), &report)?;
    Ok(())
}
