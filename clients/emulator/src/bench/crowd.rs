//! Many HEMs that say nothing: how long they take to come, what they cost while they are there, and
//! how all of them come back at once.

use std::sync::Arc;
use std::time::Duration;

use memcloud_wire::{CloudFrame, HemFrame};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::histogram::{Histogram, Percentiles};
use super::session::{Failure, Session};
use super::{Bench, BenchConfig, Errors, processor_time};
use crate::EmulatorError;
use crate::noise::between;

/// The first and the longest wait after an attempt that failed.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// How a crowd came and stayed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct IdleReport {
    /// How many HEMs there are.
    pub hems: usize,
    /// How many were welcomed.
    pub welcomed: usize,
    /// Until the last of them was, in seconds.
    pub connect_seconds: f64,
    /// From connecting to the welcome, in milliseconds, of the attempts that went well.
    pub connect_ms: Percentiles,
    /// Attempts that failed while they came, by code.
    pub connect_errors: Errors,
    /// How long they then stayed, in seconds.
    pub idle_seconds: f64,
    /// Heartbeats sent and answered.
    pub pings: u64,
    /// Answers to them.
    pub pongs: u64,
    /// Connections that ended while they stayed, by code.
    pub idle_errors: Errors,
    /// Processor time of this process while they stayed, in seconds.
    pub processor_seconds: f64,
}

/// How a crowd came back.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReconnectReport {
    /// How many HEMs there are.
    pub hems: usize,
    /// How many were welcomed before, and dropped.
    pub dropped: usize,
    /// How many came back.
    pub back: usize,
    /// Until the last of them was welcomed, in seconds.
    pub seconds: f64,
    /// From the drop to each welcome, in milliseconds.
    pub back_ms: Percentiles,
    /// How often they tried.
    pub attempts: u64,
    /// Attempts that failed on the way back, by code.
    pub errors: Errors,
}

/// What one HEM's way in came to.
struct Arrival {
    session: Option<Session>,
    heartbeat: Duration,
    /// From the crowd's begin to the welcome.
    took: Duration,
    /// The same, of the attempt that went well alone.
    attempt_took: Duration,
    attempts: u64,
    errors: Errors,
}

/// Connects the HEMs of a bench, so many at a time, each trying until the deadline.
async fn gather(
    bench: &Arc<Bench>,
    at_a_time: usize,
    begin: Instant,
    deadline: Instant,
    seed: u64,
) -> Vec<Arrival> {
    let gate = Arc::new(Semaphore::new(at_a_time.max(1)));
    let mut tasks = JoinSet::new();
    for index in 0..bench.hems.len() {
        let (bench, gate) = (bench.clone(), gate.clone());
        tasks.spawn(async move { arrive(&bench, index, &gate, begin, deadline, seed).await });
    }
    tasks.join_all().await
}

async fn arrive(
    bench: &Bench,
    index: usize,
    gate: &Semaphore,
    begin: Instant,
    deadline: Instant,
    seed: u64,
) -> Arrival {
    let mut arrival = Arrival {
        session: None,
        heartbeat: Duration::from_secs(30),
        took: Duration::ZERO,
        attempt_took: Duration::ZERO,
        attempts: 0,
        errors: Errors::default(),
    };
    let Some(hem) = bench.hems.get(index) else { return arrival };
    let mut wait = RETRY_FIRST;
    while Instant::now() < deadline {
        // Never closed.
        let Ok(pass) = gate.acquire().await else { break };
        arrival.attempts += 1;
        let attempt = Instant::now();
        let opened = Session::open(bench, hem, None).await;
        drop(pass);
        match opened {
            Ok((session, welcome)) => {
                arrival.session = Some(session);
                arrival.heartbeat = Duration::from_secs(u64::from(welcome.heartbeat_s.max(1)));
                arrival.took = begin.elapsed();
                arrival.attempt_took = attempt.elapsed();
                return arrival;
            }
            Err(failure) => {
                arrival.errors.count(&failure.code);
                let step = u64::try_from(index).unwrap_or(0) ^ (arrival.attempts << 40);
                let jitter = between(seed, step, 0.5, 1.0);
                tokio::time::sleep(failure.retry_after.unwrap_or(wait).mul_f64(jitter)).await;
                wait = (wait * 2).min(RETRY_MOST);
            }
        }
    }
    arrival
}

/// Connects a crowd, lets it keep its heartbeat for a while, and takes it down.
///
/// # Errors
/// [`EmulatorError`] where the address or a file cannot be used.
pub async fn idle(
    config: &BenchConfig,
    at_a_time: usize,
    stay: Duration,
) -> Result<IdleReport, EmulatorError> {
    let bench = Arc::new(Bench::open(config)?);
    let begin = Instant::now();
    let deadline = begin + Duration::from_secs(120);
    let mut report = IdleReport { hems: config.hems, ..IdleReport::default() };
    let mut latency = Histogram::default();
    let (stop, _) = watch::channel(false);
    let mut stays = JoinSet::new();
    for arrival in gather(&bench, at_a_time, begin, deadline, config.seed).await {
        report.connect_errors.add(&arrival.errors);
        let Some(session) = arrival.session else { continue };
        report.welcomed += 1;
        report.connect_seconds = report.connect_seconds.max(arrival.took.as_secs_f64());
        latency.count(arrival.attempt_took, 1);
        stays.spawn(keep_heartbeat(session, arrival.heartbeat.mul_f64(0.6), stop.subscribe()));
    }
    report.connect_ms = latency.percentiles();
    log::info!(
        "{} of {} HEMs are in after {:.1} s",
        report.welcomed,
        report.hems,
        report.connect_seconds
    );
    let processor = processor_time();
    let stayed = Instant::now();
    tokio::time::sleep(stay).await;
    report.processor_seconds = processor_time().saturating_sub(processor).as_secs_f64();
    report.idle_seconds = stayed.elapsed().as_secs_f64();
    stop.send_replace(true);
    for (pings, pongs, failure) in stays.join_all().await {
        report.pings += pings;
        report.pongs += pongs;
        if let Some(failure) = failure {
            report.idle_errors.count(&failure.code);
        }
    }
    Ok(report)
}

/// What an idle connection waits for.
enum Event {
    Stopped,
    Due,
    Heard(Result<Vec<CloudFrame>, Failure>),
}

/// Pings until told to stop; how often, how often it was answered, and what ended it before.
async fn keep_heartbeat(
    mut session: Session,
    every: Duration,
    mut stopped: watch::Receiver<bool>,
) -> (u64, u64, Option<Failure>) {
    let mut ping = Vec::new();
    HemFrame::Ping.encode(&mut ping);
    let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
    let (mut pings, mut pongs) = (0, 0);
    loop {
        let event = tokio::select! {
            _ = stopped.changed() => Event::Stopped,
            _ = ticks.tick() => Event::Due,
            frames = session.read() => Event::Heard(frames),
        };
        let outcome = match event {
            Event::Stopped => {
                session.close().await;
                return (pings, pongs, None);
            }
            Event::Due => {
                pings += 1;
                session.write(&ping).await
            }
            Event::Heard(frames) => frames.map(|frames| {
                let answers = frames.iter().filter(|frame| matches!(frame, CloudFrame::Pong));
                pongs += u64::try_from(answers.count()).unwrap_or(0);
            }),
        };
        if let Err(failure) = outcome {
            return (pings, pongs, Some(failure));
        }
    }
}

/// Connects a crowd, drops every connection at one moment, and lets all of them come back at once.
///
/// # Errors
/// [`EmulatorError`] where the address or a file cannot be used, or nobody was let in.
pub async fn reconnect(
    config: &BenchConfig,
    at_a_time: usize,
    patience: Duration,
) -> Result<ReconnectReport, EmulatorError> {
    let bench = Arc::new(Bench::open(config)?);
    let begin = Instant::now();
    let first = gather(&bench, at_a_time, begin, begin + patience, config.seed).await;
    let mut report = ReconnectReport { hems: config.hems, ..ReconnectReport::default() };
    report.dropped = first.iter().filter(|arrival| arrival.session.is_some()).count();
    if report.dropped == 0 {
        let mut errors = Errors::default();
        first.iter().for_each(|arrival| errors.add(&arrival.errors));
        let errors = serde_json::to_string(&errors).unwrap_or_default();
        return Err(EmulatorError::Connection(format!("not one HEM was let in ({errors})")));
    }
    log::info!(
        "{} HEMs are in after {:.1} s; dropping them",
        report.dropped,
        begin.elapsed().as_secs_f64()
    );
    drop(first);
    let begin = Instant::now();
    let mut latency = Histogram::default();
    for arrival in gather(&bench, config.hems, begin, begin + patience, config.seed ^ 1).await {
        report.attempts += arrival.attempts;
        report.errors.add(&arrival.errors);
        if arrival.session.is_some() {
            report.back += 1;
            report.seconds = report.seconds.max(arrival.took.as_secs_f64());
            latency.count(arrival.took, 1);
        }
    }
    report.back_ms = latency.percentiles();
    Ok(report)
}
