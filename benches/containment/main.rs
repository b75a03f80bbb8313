//! Whether a neighbour notices: the time of commands in one microgrid, while in another one a job
//! panics, one floods its dispatch with wishes, one asks for a megawatt, and one hammers REST with the
//! token that it was given. Rounds with and without them alternate on one running cloud.
//!
//! `cargo bench --bench containment`; the environment may set `BENCH_ROUNDS` (5), `_SECONDS` (10),
//! `_RATE` (100 commands a second in the neighbouring microgrid), `_HEMS` (25 in each).

mod apps;
#[path = "../commands/caller.rs"]
mod caller;
#[path = "../support/mod.rs"]
mod support;

use std::cell::Cell;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use memcloud::cloud::Cloud;
use memcloud::config::Configuration;
use memcloud_domain::{
    CommandOutcome, HemId, JobId, MicrogridId, NodeAction, NodeDeclaration, NodeId, NodeKind,
    NodeReading, Secret, Watts,
};
use memcloud_rest::{JobChange, NewHem, NewJob, NewMicrogrid, WantedJobState};
use memcloud_sdk::hem::{
    CommandReply, Credential, HemClient, HemConfig, HemHandler, TlsTransport, trust,
};
use memcloud_sdk::rest::{PageQuery, RestClient};
use memcloud_wire::SampleTime;
use memcloud_worker::AppCatalogue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use apps::{Floods, Megawatt, Panics};
use caller::Caller;
use support::figures::{Figure, float, per_mille};
use support::option;

/// Callers of the neighbouring microgrid, and connections of the one that hammers.
const CALLERS: usize = 8;
const HAMMERS: usize = 8;
/// The jobs' lives settle before a round is measured.
const SETTLING: Duration = Duration::from_secs(3);
const QUIET: &str = "quiet";
const NOISY: &str = "noisy";

fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((role, _)) if role == "serve" => actix_rt::System::new().block_on(serve()),
        _ => actix_rt::System::new().block_on(compare()),
    }
}

/// Says a line of the report.
fn say(text: impl fmt::Display) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// The cloud with its bad apps, in a process of its own, until its input ends.
async fn serve() -> anyhow::Result<()> {
    let configuration = Configuration::load(None)?;
    let apps = AppCatalogue::standard().with::<Panics>().with::<Floods>().with::<Megawatt>();
    let mut cloud = Cloud::start_with_apps(&configuration, apps).await?;
    let addresses = cloud.addresses();
    let token = cloud.clerk().carry_out(memcloud_registry::CreateApiToken {
        name: "bench".to_owned(),
        access: memcloud_domain::Access { role: memcloud_domain::Role::Admin, microgrid: None },
    })?;
    say(format_args!("{} {} {}", addresses.http, addresses.hem, token.secret.expose()))?;
    tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new())).await??;
    cloud.stop(Duration::from_secs(10)).await;
    Ok(())
}

/// A running cloud; killed when dropped.
struct Server {
    process: std::process::Child,
    http: SocketAddr,
    hem: SocketAddr,
    token: String,
}

impl Server {
    fn start(folder: &Path, keys: &Path) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("serve")
            .env("MEMCLOUD_HTTP__BIND", "127.0.0.1:0")
            .env("MEMCLOUD_HEM__BIND", "127.0.0.1:0")
            .env("MEMCLOUD_DATA__DIR", folder)
            .env("MEMCLOUD_KEYS__DIR", keys)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().context("it has an output")?;
        BufReader::new(output).read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let mut word = || words.next().context("the cloud does not start");
        let (http, hem, token) = (word()?.parse()?, word()?.parse()?, word()?.to_owned());
        Ok(Self { process, http, hem, token })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A HEM that does what it is told.
struct Willing;

impl HemHandler for Willing {
    fn command(&self, _: &memcloud_wire::Command) -> CommandReply {
        CommandReply::Now(CommandOutcome::Done, None)
    }
}

fn nodes() -> Vec<NodeDeclaration> {
    let node = |number, name: &str, kind, controls: &[NodeAction]| NodeDeclaration {
        node: NodeId(number),
        name: name.to_owned(),
        kind,
        rated_watts: None,
        min_watts: None,
        max_watts: None,
        capacity_wh: None,
        critical: None,
        priority: None,
        controls: Some(controls.to_vec()),
        default: None,
    };
    vec![
        node(0, "Grid", NodeKind::Grid, &[]),
        NodeDeclaration {
            min_watts: Some(Watts(-3_000.0)),
            max_watts: Some(Watts(3_000.0)),
            ..node(1, "Battery", NodeKind::Storage, &[NodeAction::SetPower])
        },
        NodeDeclaration {
            rated_watts: Some(Watts(2_000.0)),
            ..node(2, "Heater", NodeKind::Load, &[NodeAction::Switch])
        },
    ]
}

struct Bench {
    server: Server,
    rest: RestClient,
    authority: PathBuf,
    hems: u64,
    rate: f64,
    seconds: u64,
    /// The jobs of the noisy microgrid that are switched on and off.
    jobs: Vec<(&'static str, JobId)>,
    /// The one that hammers, and its token.
    hammer: Option<(JobId, Secret)>,
}

async fn compare() -> anyhow::Result<()> {
    let (rounds, seconds) = (option("ROUNDS", 5)?, option("SECONDS", 10)?);
    let folder = tempfile::tempdir()?;
    let keys = folder.path().join("keys");
    support::cloud::make_keys(&keys)?;
    let server = Server::start(&folder.path().join("data"), &keys)?;
    let token = Secret::new(server.token.clone());
    let rest = RestClient::new(&format!("http://{}", server.http), token, None)?;
    let mut bench = Bench {
        authority: support::cloud::authority(&keys),
        hems: option("HEMS", 25)?,
        rate: float(option("RATE", 100)?),
        seconds,
        jobs: Vec::new(),
        hammer: None,
        server,
        rest,
    };
    say(format_args!(
        "{} HEMs in each of two microgrids, {} commands/s in the quiet one; {rounds} rounds of {seconds} s \
         each way, alternating",
        bench.hems, bench.rate
    ))?;
    let clients = bench.settle_in().await?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut hammered = Figure::default();
    for round in 1..=rounds {
        alone.push(bench.measure().await?);
        bench.make_noise(true).await?;
        let stop = Rc::new(Cell::new(false));
        let hammers = bench.hammers(&stop);
        sleep(SETTLING).await;
        beside.push(bench.measure().await?);
        stop.set(true);
        let mut answers = 0;
        for hammer in hammers {
            answers += hammer.await??;
        }
        hammered.add(float(answers) / (float(seconds) + SETTLING.as_secs_f64()));
        if round == rounds {
            bench.explain().await?;
        }
        bench.make_noise(false).await?;
        sleep(SETTLING).await;
        let (Some(last_alone), Some(last_beside)) = (alone.last(), beside.last()) else { continue };
        say(format_args!(
            "round {round}: p99 {:.1} ms alone, {:.1} ms beside",
            last_alone.1, last_beside.1
        ))?;
    }
    drop(clients);
    report(&alone, &beside, &hammered)
}

fn report(alone: &[(f64, f64)], beside: &[(f64, f64)], hammered: &Figure) -> anyhow::Result<()> {
    let figure = |rounds: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| -> Figure {
        rounds.iter().map(of).collect()
    };
    let (p50, p99) = (|round: &(f64, f64)| round.0, |round: &(f64, f64)| round.1);
    let (quiet, noisy) = (figure(alone, p99), figure(beside, p99));
    say("\n| the neighbour's commands | alone | beside the bad jobs | ratio |\n|---|---|---|---|")?;
    for (name, of) in [("p50, ms", p50 as fn(&(f64, f64)) -> f64), ("p99, ms", p99)] {
        let (quiet, noisy) = (figure(alone, of), figure(beside, of));
        let ratio = noisy.median() / quiet.median();
        say(format_args!("| {name} | {quiet:.1} | {noisy:.1} | {ratio:.2} |"))?;
    }
    say(format_args!("\nrequests of the job that hammers, answered a second: {hammered:.0}"))?;
    let bound = (1.5 * quiet.median()).max(quiet.highest());
    let verdict = if noisy.median() <= bound { "within" } else { "over" };
    say(format_args!(
        "the median p99 beside them is {verdict} the bound of {bound:.1} ms: 1.5 times the median alone, or the \
         highest round alone"
    ))
}

impl Bench {
    /// Makes the microgrids, their HEMs and the jobs, which do not run yet.
    async fn settle_in(&mut self) -> anyhow::Result<Vec<HemClient>> {
        let tls = trust(&self.authority, None)?;
        let address = format!("localhost:{}", self.server.hem.port());
        let mut clients = Vec::new();
        for microgrid in [QUIET, NOISY] {
            let id = MicrogridId::new(microgrid)?;
            let new = NewMicrogrid {
                id: id.clone(),
                ..serde_json::from_value(serde_json::json!({"id": microgrid, "name": microgrid}))?
            };
            self.rest.create_microgrid(&new).await?;
            for number in 0..self.hems {
                let hem = HemId::new(&format!("{microgrid}-{number}"))?;
                let new: NewHem =
                    serde_json::from_value(serde_json::json!({"id": hem, "microgrid": id}))?;
                let key = self.rest.create_hem(&new).await?.key;
                let config =
                    HemConfig { nodes: Some(nodes()), ..HemConfig::new(hem, Credential::Key(key)) };
                let transport = TlsTransport::new(&address, Arc::clone(&tls))?;
                let (client, _) = HemClient::spawn(config, transport, Willing)?;
                clients.push(client);
            }
        }
        while !clients.iter().all(HemClient::is_online) {
            sleep(Duration::from_millis(20)).await;
        }
        let reporting = clients.clone();
        actix_rt::spawn(async move {
            loop {
                for client in &reporting {
                    let watts = |node, watts| NodeReading {
                        watts: Some(Watts(watts)),
                        ..NodeReading::empty(NodeId(node))
                    };
                    let now =
                        memcloud_domain::Timestamp(memcloud_supervision::Clock::system().unix_ms());
                    // A full queue shows in the figures.
                    let _ = client.record(
                        SampleTime::At(now),
                        &[watts(0, -500.0), watts(1, 0.0), watts(2, 500.0)],
                    );
                }
                sleep(Duration::from_secs(1)).await;
            }
        });
        let noisy = MicrogridId::new(NOISY)?;
        for app in ["panics", "floods", "megawatt", "external"] {
            let new = NewJob { app: app.to_owned(), configuration: None, priority: None };
            let job = self.rest.deploy(&noisy, &new).await?;
            if app == "external" {
                let token = self.rest.create_job_token(&job.id).await?.token;
                self.hammer = Some((job.id.clone(), token));
            }
            self.jobs.push((app, job.id));
        }
        self.make_noise(false).await?;
        Ok(clients)
    }

    async fn make_noise(&self, wanted: bool) -> anyhow::Result<()> {
        let state = if wanted { WantedJobState::Running } else { WantedJobState::Stopped };
        for (_, job) in &self.jobs {
            let change = JobChange { state: Some(state), configuration: None, priority: None };
            self.rest.change_job(job, &change).await?;
        }
        Ok(())
    }

    /// The time of the quiet microgrid's commands, p50 and p99, ms, from when each was due.
    async fn measure(&self) -> anyhow::Result<(f64, f64)> {
        let begin = Instant::now();
        let until = begin + Duration::from_secs(self.seconds);
        let mut callers = Vec::new();
        for number in 0..CALLERS {
            let mut caller = Caller::connect(self.server.http, &self.server.token).await?;
            let (rate, hems) = (self.rate, self.hems);
            callers.push(actix_rt::spawn(async move {
                let mut took = Vec::new();
                let mut turn = u64::try_from(number)?;
                loop {
                    let due = begin + Duration::from_secs_f64(float(turn) / rate);
                    sleep_until(due).await;
                    if Instant::now() >= until {
                        return anyhow::Ok(took);
                    }
                    caller.command(&format!("{QUIET}-{}", turn % hems)).await?;
                    took.push(due.elapsed().as_secs_f64() * 1e3);
                    turn += u64::try_from(CALLERS)?;
                }
            }));
        }
        let mut all = Vec::new();
        for caller in callers {
            all.extend(caller.await??);
        }
        Ok((per_mille(&mut all, 500), per_mille(&mut all, 990)))
    }

    /// Hammers REST with the external job's token, as fast as it is answered.
    fn hammers(
        &self,
        stop: &Rc<Cell<bool>>,
    ) -> Vec<actix_rt::task::JoinHandle<anyhow::Result<u64>>> {
        let Some((job, token)) = &self.hammer else { return Vec::new() };
        let body = format!(
            r#"{{"wishes":[{{"hem":"{NOISY}-0","node":2,"action":"switch","on":false,"lease_seconds":60,"reason":"now"}}]}}"#
        );
        let request = format!(
            "POST /api/v1/jobs/{job}/wishes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: \
             application/json\r\nContent-Length: {}\r\n\r\n{body}",
            token.expose(),
            body.len()
        );
        let address = self.server.http;
        (0..HAMMERS)
            .map(|_| {
                let (request, stop) = (request.clone(), Rc::clone(stop));
                actix_rt::spawn(async move {
                    let mut answers = 0;
                    while !stop.get() {
                        let mut stream = TcpStream::connect(address).await?;
                        let mut answer = [0; 16 << 10];
                        while !stop.get() {
                            if stream.write_all(request.as_bytes()).await.is_err() {
                                break;
                            }
                            match stream.read(&mut answer).await {
                                Ok(read) if read > 0 => answers += 1,
                                // It was sent away: it comes again.
                                _ => break,
                            }
                        }
                    }
                    Ok(answers)
                })
            })
            .collect()
    }

    /// What the cloud says of the bad jobs.
    async fn explain(&self) -> anyhow::Result<()> {
        for (app, job) in &self.jobs {
            let standing = self.rest.job(job).await?;
            say(format_args!("\n{app}: {}", serde_json::to_string(&standing.state)?))?;
            let log = self.rest.job_log(job, &PageQuery::default()).await?;
            for line in log.items.iter().rev().take(2) {
                say(format_args!("  log: {}", line.text))?;
            }
        }
        let why = self.rest.why(&HemId::new(&format!("{NOISY}-0"))?).await?;
        for node in why.items {
            say(format_args!("why {} node {}: {}", node.hem, node.node, node.sentence))?;
        }
        Ok(())
    }
}
