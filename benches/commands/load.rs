//! The load: a process of its own, with one thread, beside either server: the HEMs, which carry out
//! what they are told at once, and for the cloud the callers.

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use memcloud_domain::CommandOutcome;
use memcloud_emulator::keyring::read_keys;
use memcloud_sdk::hem::{
    CommandReply, Credential, HemClient, HemConfig, HemHandler, TlsTransport, trust,
};
use memcloud_wire::Command;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::caller::Caller;
use crate::support::figures::{float, per_mille};

/// All HEMs are connected within this.
const CONNECTED_WITHIN: Duration = Duration::from_secs(60);

/// What a load is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Where HEMs connect.
    pub(crate) hem_port: u16,
    pub(crate) authority: PathBuf,
    pub(crate) hem_keys: PathBuf,
    pub(crate) hems: usize,
    /// Where REST is, and a token for each caller; the bare server has none, and commands by itself.
    pub(crate) rest: Option<(SocketAddr, Vec<String>)>,
    pub(crate) pace: Pace,
}

/// How many commands come, and for how long.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// So many at a time at most.
    pub(crate) callers: usize,
    /// So many a second; none: as many as can be.
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: u64,
    pub(crate) warmup_seconds: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Commands per second while it was measured.
    pub(crate) rate: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Outcome {
    /// Of how long each command took that ended while it was measured.
    pub(crate) fn of(mut took_ms: Vec<f64>, seconds: u64) -> Self {
        let count = u64::try_from(took_ms.len()).unwrap_or(u64::MAX);
        Self {
            rate: float(count) / float(seconds),
            p50_ms: per_mille(&mut took_ms, 500),
            p99_ms: per_mille(&mut took_ms, 990),
            max_ms: per_mille(&mut took_ms, 1_000),
        }
    }
}

/// A HEM that does what it is told.
struct Willing;

impl HemHandler for Willing {
    fn command(&self, _: &Command) -> CommandReply {
        CommandReply::Now(CommandOutcome::Done, None)
    }
}

/// The load's own process: says when the HEMs are connected, waits for a line, commands, and prints
/// what came of it; goes on until its input ends.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [order] = arguments else { anyhow::bail!("load takes 1 argument") };
    let order: Order = serde_json::from_str(order)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clients = runtime.block_on(connect(&order))?;
    crate::say("connected")?;
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    match order.rest {
        Some((address, tokens)) => {
            input.read_line(&mut line)?;
            let took = runtime.block_on(call(address, tokens, order.hems, order.pace))?;
            let outcome = Outcome::of(took, order.pace.seconds);
            crate::say(serde_json::to_string(&outcome)?)?;
        }
        None => runtime
            .block_on(async {
                // The end of the input is the end of the round.
                tokio::task::spawn_blocking(move || {
                    std::io::stdin().lock().read_line(&mut String::new())
                })
                .await
            })?
            .map(drop)?,
    }
    for client in &clients {
        client.stop();
    }
    Ok(())
}

async fn connect(order: &Order) -> anyhow::Result<Vec<HemClient>> {
    let tls = trust(&order.authority, None)?;
    let address = format!("localhost:{}", order.hem_port);
    let mut clients = Vec::new();
    for (hem, key) in read_keys(&order.hem_keys)?.into_iter().take(order.hems) {
        let config = HemConfig::new(hem, Credential::Key(key));
        let transport = TlsTransport::new(&address, Arc::clone(&tls))?;
        let (client, _) = HemClient::spawn(config, transport, Willing)?;
        clients.push(client);
    }
    let deadline = Instant::now() + CONNECTED_WITHIN;
    while !clients.iter().all(HemClient::is_online) {
        anyhow::ensure!(Instant::now() < deadline, "not all HEMs are connected");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(clients)
}

/// Commands for a while; how long each command took, in ms, that ended while it was measured.
async fn call(
    address: SocketAddr,
    tokens: Vec<String>,
    hems: usize,
    pace: Pace,
) -> anyhow::Result<Vec<f64>> {
    let begin = Instant::now();
    let from = begin + Duration::from_secs(pace.warmup_seconds);
    let until = from + Duration::from_secs(pace.seconds);
    let mut callers = JoinSet::new();
    for (number, token) in tokens.into_iter().enumerate() {
        callers.spawn(async move {
            let mut caller = Caller::connect(address, &token).await?;
            let mut took = Vec::new();
            // Each has HEMs of its own: a later order takes an earlier one's place.
            let mut own = (number..hems).step_by(pace.callers).cycle();
            let mut turn = number;
            loop {
                let due = match pace.rate {
                    Some(rate) => {
                        begin + Duration::from_secs_f64(float(u64::try_from(turn)?) / rate)
                    }
                    None => Instant::now(),
                };
                sleep_until(due).await;
                if Instant::now() >= until {
                    return anyhow::Ok(took);
                }
                let home = own.next().context("fewer HEMs than callers")? + 1;
                caller.command(&format!("home-{home}")).await?;
                let now = Instant::now();
                if (from..until).contains(&now) {
                    took.push((now - due).as_secs_f64() * 1e3);
                }
                turn += pace.callers;
            }
        });
    }
    let mut all = Vec::new();
    while let Some(done) = callers.join_next().await {
        all.extend(done??);
    }
    Ok(all)
}
