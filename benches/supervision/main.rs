//! What supervision costs beside plain actix: memory per actor, time per message and per question,
//! and how long a panicked actor is away. Each round is a process of its own, with a clean memory.
//!
//! `cargo bench --bench supervision` (Linux); `BENCH_ROUNDS` (5), `_ACTORS` (50000),
//! `_MESSAGES` (500000).

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench measures real time, and what does not run as it must ends it"
)]

#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use actix::prelude::*;
use memcloud_supervision::{
    AskError, Backoff, Child, ChildSpec, Clock, Observe, RestartPolicy, Scope, supervised,
};
use serde_json::{Value, json};
use support::figures::{Figure, float, per_mille};
use support::{option, processor};

const DEADLINE: Duration = Duration::from_secs(60);
/// So many panics are measured in a round.
const PANICS: u32 = 200;
/// The pause before a restart, of which nothing is left to chance.
const PAUSE: Duration = Duration::from_millis(1);

/// Asks for nothing, and is answered.
#[derive(Message)]
#[rtype(result = "()")]
struct Nothing;

/// What brings a supervised actor down.
#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

/// What brings an actor of plain actix to its own restart.
#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

macro_rules! does_nothing {
    ($actor:ident) => {
        struct $actor;

        impl Actor for $actor {
            type Context = Context<Self>;
            fn started(&mut self, context: &mut Self::Context) {
                context.set_mailbox_capacity(1_024);
            }
        }

        impl Handler<Nothing> for $actor {
            type Result = ();
            fn handle(&mut self, _: Nothing, _: &mut Context<Self>) {}
        }
    };
}
does_nothing!(Plain);
does_nothing!(Idler);

impl Supervised for Plain {}
impl Observe for Idler {}
supervised!(Idler);

impl Handler<Panic> for Idler {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("as it was told");
    }
}

impl Handler<Stop> for Plain {
    type Result = ();
    fn handle(&mut self, _: Stop, context: &mut Context<Self>) {
        context.stop();
    }
}

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("round") {
        // Two hundred panics say nothing that one would want to read.
        std::panic::set_hook(Box::new(|_| {}));
        let figures = System::new().block_on(round())?;
        writeln!(std::io::stdout(), "{figures}")?;
        return Ok(());
    }
    let rounds = option("ROUNDS", 5)?;
    let mut found = Vec::new();
    for _ in 0..rounds {
        let output = Command::new(std::env::current_exe()?)
            .arg("round")
            .stderr(Stdio::inherit())
            .output()?;
        anyhow::ensure!(output.status.success(), "a round ended with {}", output.status);
        found.push(serde_json::from_slice::<Value>(&output.stdout)?);
    }
    report(&found)
}

fn report(rounds: &[Value]) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{} rounds, medians (lowest to highest)\n", rounds.len())?;
    writeln!(out, "| | plain actix | supervised | supervised / plain |\n|---|---|---|---|")?;
    for (name, figure) in [
        ("memory of an idle actor, B", "bytes"),
        ("a message, told, ns", "tell_ns"),
        ("a question and its answer, with a time-out, ns", "ask_ns"),
    ] {
        let of = |round: &Value, kind: &str| {
            round.pointer(&format!("/{kind}/{figure}")).and_then(Value::as_f64).unwrap_or(f64::NAN)
        };
        let plain: Figure = rounds.iter().map(|round| of(round, "plain")).collect();
        let supervised: Figure = rounds.iter().map(|round| of(round, "supervised")).collect();
        let ratio: Figure =
            rounds.iter().map(|round| of(round, "supervised") / of(round, "plain")).collect();
        writeln!(out, "| {name} | {plain:.0} | {supervised:.0} | {ratio:.2} |")?;
    }
    writeln!(out)?;
    for (name, pointer) in [
        (
            "plain actix, from a stop to the first answer of the next life, us, p50",
            "/plain/restart_p50_us",
        ),
        ("the same, p99", "/plain/restart_p99_us"),
        (
            "supervised, from a panic to the first answer of the next life, us, p50",
            "/supervised/restart_p50_us",
        ),
        ("the same, p99", "/supervised/restart_p99_us"),
        ("supervised, all actors shut down, leaves first, ms", "/supervised/shutdown_ms"),
    ] {
        let figure: Figure = rounds
            .iter()
            .map(|round| round.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN))
            .collect();
        writeln!(out, "- {name}: {figure:.0}")?;
    }
    writeln!(out, "- of which the policy's own pause: {} us", PAUSE.as_micros())?;
    Ok(())
}

/// One round: plain and supervised actors in the same process.
async fn round() -> anyhow::Result<Value> {
    let actors = option("ACTORS", 50_000)?;
    let messages = option("MESSAGES", 500_000)?;
    let own = std::process::id();

    let before = processor::resident(own)?;
    let plain: Vec<_> = (0..actors).map(|_| Plain.start()).collect();
    for actor in &plain {
        actor.send(Nothing).await?;
    }
    let with_plain = processor::resident(own)?;
    let root = Scope::root("supervision", Clock::system());
    let supervised: Vec<_> = (0..actors)
        .map(|number| {
            let spec = ChildSpec::new(format!("idler-{number}"));
            root.supervise(spec.policy(RestartPolicy::temporary()), |_| Idler)
        })
        .collect();
    for actor in &supervised {
        actor.ask(Nothing, DEADLINE).await?;
    }
    let with_supervised = processor::resident(own)?;

    let (Some(one), Some(child)) = (plain.first(), supervised.first()) else {
        anyhow::bail!("there must be an actor");
    };
    let plain_tell = tell(one, messages).await?;
    let supervised_tell = tell(&child.addr(), messages).await?;
    let questions = messages / 5;
    let start = Instant::now();
    for _ in 0..questions {
        one.send(Nothing).timeout(DEADLINE).await?;
    }
    let plain_ask = each_ns(start, questions);
    let start = Instant::now();
    for _ in 0..questions {
        child.ask(Nothing, DEADLINE).await?;
    }
    let supervised_ask = each_ns(start, questions);

    let mut plain_restarts = stop_again_and_again().await?;
    let mut supervised_restarts = panic_again_and_again(&root).await;
    let start = Instant::now();
    let left = root.shutdown(DEADLINE).await;
    anyhow::ensure!(left.is_empty(), "{} did not stop", left.len());
    Ok(json!({
        "plain": {
            "bytes": (with_plain - before) / float(actors),
            "tell_ns": plain_tell,
            "ask_ns": plain_ask,
            "restart_p50_us": per_mille(&mut plain_restarts, 500),
            "restart_p99_us": per_mille(&mut plain_restarts, 990),
        },
        "supervised": {
            "bytes": (with_supervised - with_plain) / float(actors),
            "tell_ns": supervised_tell,
            "ask_ns": supervised_ask,
            "restart_p50_us": per_mille(&mut supervised_restarts, 500),
            "restart_p99_us": per_mille(&mut supervised_restarts, 990),
            "shutdown_ms": start.elapsed().as_secs_f64() * 1e3,
        },
    }))
}

fn each_ns(start: Instant, count: u64) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / float(count)
}

/// Messages without an answer, as fast as the mailbox takes them.
async fn tell<A>(address: &Addr<A>, messages: u64) -> anyhow::Result<f64>
where
    A: Actor<Context = Context<A>> + Handler<Nothing>,
{
    let start = Instant::now();
    for number in 0..messages {
        while address.try_send(Nothing).is_err() {
            actix_rt::task::yield_now().await;
        }
        if number % 512 == 0 {
            actix_rt::task::yield_now().await;
        }
    }
    address.send(Nothing).await?;
    Ok(each_ns(start, messages))
}

/// The only restart that plain actix knows: of an actor that has stopped by itself.
async fn stop_again_and_again() -> anyhow::Result<Vec<f64>> {
    let address = actix::Supervisor::start(|_| Plain);
    let mut took = Vec::new();
    for _ in 0..PANICS {
        let start = Instant::now();
        address.send(Stop).await?;
        address.send(Nothing).await?;
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(took)
}

/// Panics, and how long until the same address answers again.
async fn panic_again_and_again(root: &Scope) -> Vec<f64> {
    let backoff = Backoff { initial: PAUSE, max: PAUSE, factor: 1.0, jitter: 0.0 };
    let policy = RestartPolicy::permanent().bearing(PANICS + 1, DEADLINE).backoff(backoff);
    let child: Child<Idler> = root.supervise(ChildSpec::new("phoenix").policy(policy), |_| Idler);
    let mut took = Vec::new();
    for _ in 0..PANICS {
        let start = Instant::now();
        child.ask(Panic, DEADLINE).await.expect_err("it has panicked");
        loop {
            match child.ask(Nothing, DEADLINE).await {
                Ok(()) => break,
                Err(AskError::Restarting | AskError::Lost) => actix_rt::task::yield_now().await,
                Err(other) => panic!("it did not come back: {other}"),
            }
        }
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    took
}
