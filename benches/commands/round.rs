//! One round: a fresh server of either kind, the load beside it, and what both used.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context;
use memcloud_supervision::Clock;
use serde::Serialize;

use crate::load::{Order, Outcome, Pace};
use crate::support::cloud::{Cloud, authority, hem_keys, make_keys};
use crate::support::processor;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One loop without actors.
    Bare,
    /// `memcloud serve`.
    Cloud,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bare => "bare",
            Self::Cloud => "cloud",
        })
    }
}

/// How it is loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) hems: usize,
    pub(crate) callers: usize,
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: u64,
    pub(crate) warmup_seconds: u64,
}

/// What a round came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) outcome: Outcome,
    pub(crate) server_cores: f64,
    pub(crate) load_cores: f64,
    /// How much of a core everything else on the machine took.
    pub(crate) others_cores: f64,
}

/// Another process of this program; killed when dropped.
struct Helper {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Helper {
    fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(process.stdout.take().context("it has an output")?);
        Ok(Self { process, output })
    }

    fn says(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line)?;
        anyhow::ensure!(read > 0, "a part of the bench has ended before its time");
        Ok(line.trim_end().to_owned())
    }

    fn go(&mut self) -> anyhow::Result<()> {
        let input = self.process.stdin.as_mut().context("it has an input")?;
        input.write_all(b"go\n")?;
        Ok(input.flush()?)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value)?)
}

impl Plan {
    /// Runs it on a server with a folder of its own.
    pub(crate) fn run(&self, kind: Kind) -> anyhow::Result<Round> {
        let folder = tempfile::tempdir()?;
        let keys = folder.path().join("keys");
        make_keys(&keys)?;
        match kind {
            Kind::Bare => self.run_bare(folder.path(), &keys),
            Kind::Cloud => self.run_cloud(folder.path(), &keys),
        }
    }

    fn pace(&self) -> Pace {
        let Self { callers, rate, seconds, warmup_seconds, .. } = *self;
        Pace { callers, rate, seconds, warmup_seconds }
    }

    fn order(&self, hem_port: u16, folder: &Path, keys: &Path) -> Order {
        Order {
            hem_port,
            authority: authority(keys),
            hem_keys: hem_keys(folder),
            hems: self.hems,
            rest: None,
            pace: self.pace(),
        }
    }

    fn run_bare(&self, folder: &Path, keys: &Path) -> anyhow::Result<Round> {
        let any_keys: String =
            (1..=self.hems).map(|number| format!("home-{number} any\n")).collect();
        std::fs::write(hem_keys(folder), any_keys)?;
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let pace = json(&self.pace())?;
        let mut server = Helper::start(&["bare", &path(folder), &path(keys), &pace])?;
        let port = server.says()?.parse()?;
        let mut load = Helper::start(&["load", &json(&self.order(port, folder, keys))?])?;
        load.says()?;
        let (server_id, load_id) = (server.process.id(), load.process.id());
        measure(server_id, load_id, || {
            server.go()?;
            Ok(serde_json::from_str(&server.says()?)?)
        })
    }

    fn run_cloud(&self, folder: &Path, keys: &Path) -> anyhow::Result<Round> {
        let settings = [("hem.workers", "1".to_owned()), ("http.workers", "1".to_owned())];
        let cloud = Cloud::start(folder, keys, self.hems, &settings)?;
        let order = Order {
            rest: Some((cloud.http, cloud.tokens(self.callers)?)),
            ..self.order(cloud.hem.port(), folder, keys)
        };
        let mut load = Helper::start(&["load", &json(&order)?])?;
        load.says()?;
        let load_id = load.process.id();
        let round = measure(cloud.id(), load_id, || {
            load.go()?;
            Ok(serde_json::from_str(&load.says()?)?)
        })?;
        drop(load);
        for complaint in cloud.complaints() {
            crate::say(format_args!("  the cloud says: {complaint}"))?;
        }
        cloud.stop()?;
        Ok(round)
    }
}

/// What the processes use while something is measured, its warm-up included.
fn measure(
    server: u32,
    load: u32,
    work: impl FnOnce() -> anyhow::Result<Outcome>,
) -> anyhow::Result<Round> {
    let clock = Clock::system();
    let begun = clock.instant();
    let used = || -> anyhow::Result<[f64; 3]> {
        Ok([processor::of_process(server)?, processor::of_process(load)?, processor::of_machine()?])
    };
    let before = used()?;
    let outcome = work()?;
    let after = used()?;
    let took = (clock.instant() - begun).as_secs_f64();
    let [server_before, load_before, machine_before] = before;
    let [server_after, load_after, machine_after] = after;
    let server_cores = (server_after - server_before) / took;
    let load_cores = (load_after - load_before) / took;
    let others_cores = (machine_after - machine_before) / took - server_cores - load_cores;
    Ok(Round { outcome, server_cores, load_cores, others_cores })
}
