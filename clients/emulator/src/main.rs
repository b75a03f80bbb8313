//! `memcloud-emulator`: a fleet of HEMs on the command line, and load for measuring a cloud.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use memcloud_domain::{HemId, Secret};
use memcloud_emulator::bench::{self, BenchConfig, LoadOptions, Rate, Times};
use memcloud_emulator::clock::system_clock;
use memcloud_emulator::keyring::read_keys;
use memcloud_emulator::misbehaviour::split_home;
use memcloud_emulator::{Backfill, Dataset, Fleet, FleetConfig, Misbehaviour};
use memcloud_sdk::hem::trust;
use serde::Serialize;

/// Emulates homes with their HEMs, with the physics of real ones.
///
/// Without a command it runs a fleet until Ctrl-C: a reading per interval and home, kept until the
/// cloud has it on disk.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Sends readings as fast as the credit allows, or at a rate; prints what was acknowledged and how
    /// fast, as JSON.
    Load(LoadArgs),
    /// Connects HEMs that only keep their heartbeat; prints how they came and stayed, as JSON.
    Idle(CrowdArgs),
    /// Connects HEMs, drops them all at one moment and lets them come back at once; prints how, as
    /// JSON.
    Reconnect(CrowdArgs),
}

/// Whom to connect to, and as whom.
#[derive(Args)]
struct ConnectArgs {
    /// The cloud.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Its port for HEMs.
    #[arg(long, default_value_t = 23123)]
    port: u16,
    /// The certificate authority to trust: `ca-cert.pem` of the cloud's keys folder.
    #[arg(long, value_name = "FILE", default_value = "keys/ca-cert.pem")]
    cafile: PathBuf,
    /// An enrolment token, for HEMs without a key; it needs as many uses.
    #[arg(long, value_name = "TOKEN")]
    enrol: Option<String>,
    /// Device keys: a HEM's id and its key on each line.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Decides the generated homes and the detail of all.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The ids of HEMs without a given key: PREFIX-1, PREFIX-2, …
    #[arg(long, value_name = "PREFIX", default_value = "home")]
    prefix: String,
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// How many homes; the first ones are those of the data, further ones are generated.
    #[arg(long, default_value_t = 5)]
    homes: usize,
    /// A recorded year in the layout of `data/fontana-homes.csv`; without it, that one.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Where keys, queues and counters are kept.
    #[arg(long, value_name = "DIR", default_value = "data/emulator")]
    state: PathBuf,
    /// The time between two readings: `1s`, `500ms`, `5m`.
    #[arg(long, default_value = "1s", value_parser = span)]
    interval: Duration,
    /// Fill in the past first, at one reading per minute: `7d`, `12h`. A home that was here before
    /// goes on from its last reading.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    backfill: Option<Duration>,
    /// Home i (from 0, the first 100) answers energy apps on UDP 127.0.0.1, this port + i; 0: none.
    #[arg(long, default_value_t = 9931)]
    api_port: u16,
    /// How many HEMs connect per second at the start.
    #[arg(long, value_name = "N", default_value_t = 200)]
    connects_per_second: u32,
    /// How homes misbehave, by the seed: `deaf=0.1,lose-results=0.05` for all, `home-3:deaf=1` for one;
    /// may be given again. Of each command: deaf (answered `done`, nothing is done), lose-results,
    /// disconnect (hangs up before it answers, for 20 s). Of each reading: reset-counters, jump-clock,
    /// frozen (a value stands still for 10 min), spikes. All are chances; drift=0.2 is how far the
    /// battery misses its set-point.
    #[arg(long, value_name = "[HEM:]WAY=N,…", verbatim_doc_comment)]
    misbehave: Vec<String>,
    /// Where each home records what it carried out, a JSON object a line: HEM.jsonl. It is on disk before
    /// the command is answered.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
}

#[derive(Args)]
struct LoadArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// How many HEMs.
    #[arg(long, default_value_t = 200)]
    hems: usize,
    /// Readings per second of all HEMs together, or MAX.
    #[arg(long, default_value = "MAX", value_parser = rate)]
    rate: Rate,
    /// How long is measured.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many seconds are sent before it is measured.
    #[arg(long, default_value_t = 3)]
    warmup: u64,
    /// How many threads send.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Readings of the past instead of the present: from so far back on (`7d`), `--step` apart.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    past: Option<Duration>,
    /// With `--past`, the time from one reading of a HEM to its next.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = span)]
    step: Duration,
    /// Where to write which numbers were acknowledged: `HEM FROM TO` on each line.
    #[arg(long, value_name = "FILE")]
    acknowledged: Option<PathBuf>,
    /// Where to keep the keys that enrolment brings, for the next run.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

#[derive(Args)]
struct CrowdArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// How many HEMs.
    #[arg(long, default_value_t = 5_000)]
    hems: usize,
    /// How many connect at a time at first.
    #[arg(long, default_value_t = 128)]
    at_a_time: usize,
    /// How long they stay; for `reconnect`, how long they may take.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where to keep the keys that enrolment brings, for the next run.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(std::io::stderr(), "memcloud-emulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        None => bench::on_this_thread(async { Ok(run_fleet(cli.run).await) })?,
        Some(Command::Load(args)) => {
            let options = LoadOptions {
                rate: args.rate,
                seconds: args.seconds,
                warmup_seconds: args.warmup,
                threads: args.threads,
                times: match args.past {
                    None => Times::Present,
                    Some(begin) => Times::Past { begin, step: args.step },
                },
                acknowledged_file: args.acknowledged,
            };
            let config = bench_config(args.connect, args.hems, args.state)?;
            print_json(&bench::load(&config, &options, &system_clock())?)
        }
        Some(Command::Idle(args)) => {
            let stay = Duration::from_secs(args.seconds);
            let config = bench_config(args.connect, args.hems, args.state)?;
            print_json(&bench::on_this_thread(bench::idle(&config, args.at_a_time, stay))?)
        }
        Some(Command::Reconnect(args)) => {
            let patience = Duration::from_secs(args.seconds.max(10));
            let config = bench_config(args.connect, args.hems, args.state)?;
            print_json(&bench::on_this_thread(bench::reconnect(&config, args.at_a_time, patience))?)
        }
    }
}

async fn run_fleet(args: RunArgs) -> anyhow::Result<()> {
    let dataset = match &args.data {
        Some(path) => Dataset::read(path)?,
        None => Dataset::fontana()?,
    };
    let keys = args.connect.keys.as_deref().map(read_keys).transpose()?.unwrap_or_default();
    let address = address(&args.connect);
    let tls = trust_of(&args.connect)?;
    let (misbehaviour, misbehaviour_of) = misbehaviour(&args.misbehave)?;
    let config = FleetConfig {
        misbehaviour,
        misbehaviour_of,
        record: args.record,
        homes: args.homes,
        seed: args.connect.seed,
        keys,
        enrol: args.connect.enrol.map(Secret::new),
        prefix: args.connect.prefix,
        state: Some(args.state),
        interval: args.interval,
        backfill: args.backfill.map(|span| Backfill { span, ..Backfill::week() }),
        api_port: args.api_port,
        connects_per_second: args.connects_per_second,
        ..FleetConfig::new(&address, tls, dataset)
    };
    bench::raise_file_limit();
    let fleet = Fleet::start(config, system_clock()).await?;
    log::info!("{} homes connect to {address}", args.homes);
    let mut ticks = tokio::time::interval(Duration::from_secs(10));
    ticks.tick().await;
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for SIGTERM")?;
    loop {
        tokio::select! {
            _ = ticks.tick() => say(&fleet),
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("cannot listen for Ctrl-C")?;
                break;
            }
            _ = terminated.recv() => break,
        }
    }
    say(&fleet);
    fleet.stop(Duration::from_secs(1)).await;
    Ok(())
}

/// How all homes misbehave, and how single ones do instead.
fn misbehaviour(
    options: &[String],
) -> anyhow::Result<(Misbehaviour, BTreeMap<HemId, Misbehaviour>)> {
    let mut all = Vec::new();
    let mut single = BTreeMap::new();
    for option in options {
        let (home, ways) = split_home(option);
        let read = Misbehaviour::parse(ways)
            .map_err(|problem| anyhow::anyhow!("--misbehave {option}: {problem}"))?;
        match home {
            Some(home) => {
                single.insert(
                    HemId::new(home).map_err(|problem| anyhow::anyhow!("{problem}"))?,
                    read,
                );
            }
            None => all.push(ways),
        }
    }
    let all = Misbehaviour::parse(&all.join(","))
        .map_err(|problem| anyhow::anyhow!("--misbehave: {problem}"))?;
    Ok((all, single))
}

fn say(fleet: &Fleet) {
    let progress = fleet.progress();
    let filling_in = progress
        .backfill
        .map(|(done, all)| format!(", filling in the past: {done} of {all}"))
        .unwrap_or_default();
    log::info!(
        "{} of {} homes online; recorded {}, acknowledged {}, refused {}, waiting {}; carried out {} commands{filling_in}",
        progress.online,
        progress.homes,
        progress.recorded,
        progress.acknowledged,
        progress.refused,
        progress.held,
        progress.carried_out,
    );
    if progress.online < progress.homes && !progress.disconnects.is_empty() {
        log::warn!("connections that ended, by code: {:?}", progress.disconnects);
    }
}

fn bench_config(
    connect: ConnectArgs,
    hems: usize,
    state: Option<PathBuf>,
) -> anyhow::Result<BenchConfig> {
    let keys = connect.keys.as_deref().map(read_keys).transpose()?.unwrap_or_default();
    let tls = trust_of(&connect)?;
    Ok(BenchConfig {
        host: connect.host,
        port: connect.port,
        tls,
        hems,
        keys,
        enrol: connect.enrol.map(Secret::new),
        prefix: connect.prefix,
        state,
        seed: connect.seed,
    })
}

fn trust_of(connect: &ConnectArgs) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    trust(&connect.cafile, None)
        .with_context(|| "give the cloud's ca-cert.pem with --cafile (`memcloud keys` makes it)")
}

fn address(connect: &ConnectArgs) -> String {
    if connect.host.contains(':') {
        format!("[{}]:{}", connect.host, connect.port)
    } else {
        format!("{}:{}", connect.host, connect.port)
    }
}

fn print_json(report: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// A span of time: a number and `ms`, `s`, `m`, `h` or `d`.
fn span(text: &str) -> Result<Duration, String> {
    let expected = || format!("\"{text}\" is no span of time like 500ms, 1s, 5m, 12h or 7d");
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).ok_or_else(expected)?;
    let number: u64 = number.parse().map_err(|_| expected())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(expected()),
    };
    let span = number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(expected)?;
    if span.is_zero() { Err("a span of time must be above 0".to_owned()) } else { Ok(span) }
}

fn rate(text: &str) -> Result<Rate, String> {
    if text.eq_ignore_ascii_case("max") {
        return Ok(Rate::Max);
    }
    match text.trim_end_matches("/s").parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(Rate::PerSecond(rate)),
        _ => Err(format!("\"{text}\" is no rate; MAX, or readings per second above 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn spans_and_rates_are_read_as_people_write_them() {
        assert_eq!(span("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("2"), Ok(Duration::from_secs(2)));
        for wrong in
            ["", "s", "-1s", "1 s", "0s", "1w", "99999999999999999999d", "9999999999999999999s"]
        {
            assert!(span(wrong).is_err(), "{wrong}");
        }
        assert_eq!(rate("max"), Ok(Rate::Max));
        assert_eq!(rate("5000/s"), Ok(Rate::PerSecond(5_000.0)));
        assert!(rate("0").is_err() && rate("fast").is_err() && rate("inf").is_err());
    }
}
