//! Readings as fast as the credit allows, or at a given rate: what is acknowledged per second, and
//! how long from send to acknowledgement.

use std::collections::VecDeque;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use memcloud_domain::{NodeReading, Timestamp};
use memcloud_wire::CloudFrame;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::encode::push_reading;
use super::histogram::{Histogram, Percentiles};
use super::session::{Failure, Session};
use super::{Bench, BenchConfig, Errors, on_this_thread, processor_time};
use crate::clock::Clock;
use crate::nodes::declarations;
use crate::{Dataset, EmulatorError, Home, HomeProfile};

/// So many frames are encoded and written in one go.
const CHUNK: u64 = 64;
/// How long to wait for the last acknowledgements at the end.
const DRAIN: Duration = Duration::from_secs(10);
/// How long after a lost connection the next attempt comes, unless the cloud asks for more.
const RETRY: Duration = Duration::from_millis(200);

/// How many readings per second, of all HEMs together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// As many as the credit allows.
    Max,
    /// So many.
    PerSecond(f64),
}

/// Which moments the readings are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// When they are sent. The homes live a second for each reading all the same, so that what is
    /// stored has the variety of a reading a second.
    Present,
    /// From so far back on, so far apart: a history to load.
    Past {
        /// How far back the first one is.
        begin: Duration,
        /// The time from one to the next.
        step: Duration,
    },
}

/// What to send.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// How fast.
    pub rate: Rate,
    /// How long is measured.
    pub seconds: u64,
    /// How long before the measuring begins.
    pub warmup_seconds: u64,
    /// How many threads share the HEMs.
    pub threads: usize,
    /// Which moments the readings are of.
    pub times: Times,
    /// Where to write which numbers of each HEM were acknowledged.
    pub acknowledged_file: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LoadReport {
    /// How many HEMs sent.
    pub hems: usize,
    /// The seconds that were measured.
    pub seconds: f64,
    /// Readings acknowledged while it was measured.
    pub acknowledged: u64,
    /// Of them, per second.
    pub acknowledged_per_second: f64,
    /// Bytes of a frame before TLS, in the mean.
    pub frame_bytes: f64,
    /// From handing a frame to TLS to its acknowledgement, in milliseconds.
    pub latency_ms: Percentiles,
    /// Readings sent in all, with warm-up.
    pub sent: u64,
    /// Readings acknowledged in all, with what came after the end.
    pub acknowledged_in_all: u64,
    /// Readings refused by name.
    pub refused: u64,
    /// Sent and never acknowledged, as their connection was lost or the end came first.
    pub unacknowledged: u64,
    /// Connections that were lost or not let in, by code.
    pub errors: Errors,
    /// How far a given rate was missed, 0 to 1.
    pub rate_missed: f64,
    /// Processor time of this process while it was measured.
    pub processor_seconds: f64,
}

/// One HEM's part.
#[derive(Default)]
struct Part {
    latency: Histogram,
    acknowledged: u64,
    acknowledged_in_all: u64,
    sent: u64,
    bytes: u64,
    refused: u64,
    errors: Errors,
    /// The numbers that were acknowledged: from, to.
    numbers: Vec<(u64, u64)>,
    hem: String,
}

/// When what begins and ends.
#[derive(Clone, Copy)]
struct Schedule {
    begin: Instant,
    measured_from: Instant,
    end: Instant,
    /// The time from one reading of a HEM to its next; none: no waiting.
    period: Option<Duration>,
}

/// Sends load from this process, and measures.
///
/// # Errors
/// [`EmulatorError`] where the options, the address or a file cannot be used, or where not one HEM
/// was let in.
pub fn load(
    config: &BenchConfig,
    options: &LoadOptions,
    clock: &Clock,
) -> Result<LoadReport, EmulatorError> {
    let bench = Arc::new(Bench::open(config)?);
    let dataset = Dataset::fontana()?;
    let threads = options.threads.clamp(1, config.hems.max(1));
    let hems = f64::from(u32::try_from(config.hems).unwrap_or(u32::MAX));
    let period = match options.rate {
        Rate::Max => None,
        Rate::PerSecond(rate) if rate > 0.0 => Some(Duration::from_secs_f64(hems / rate)),
        Rate::PerSecond(_) => {
            return Err(EmulatorError::Option("a rate must be above 0".to_owned()));
        }
    };
    let begin = Instant::now();
    let measured_from = begin + Duration::from_secs(options.warmup_seconds);
    let schedule = Schedule {
        begin,
        measured_from,
        end: measured_from + Duration::from_secs(options.seconds),
        period,
    };
    let make_sender = |index: usize| {
        let profile = HomeProfile::new(dataset.clone(), index, config.seed);
        let first = match options.times {
            Times::Present => clock(),
            Times::Past { begin, .. } => clock().minus(begin),
        };
        Sender {
            bench: bench.clone(),
            index,
            home: Home::new(profile, first),
            times: options.times,
            clock: clock.clone(),
            next_moment: first,
            schedule,
            part: Part::default(),
        }
    };
    let (parts, processor) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let senders: Vec<Sender> =
                    (thread..config.hems).step_by(threads).map(make_sender).collect();
                scope.spawn(move || on_this_thread(run_all(senders)))
            })
            .collect();
        let processor = measure_processor(schedule);
        let mut parts = Vec::new();
        for worker in workers {
            let ended = worker.join().map_err(|_| {
                EmulatorError::Connection("a thread of the load generator failed".to_owned())
            })?;
            parts.extend(ended?);
        }
        Ok::<_, EmulatorError>((parts, processor))
    })?;
    if let Some(path) = &options.acknowledged_file {
        write_acknowledged(path, &parts)?;
    }
    report(config, options, &parts, processor)
}

/// Waits out the measured span, and says what this process used in it.
fn measure_processor(schedule: Schedule) -> Duration {
    std::thread::sleep(schedule.measured_from.saturating_duration_since(Instant::now()));
    let before = processor_time();
    std::thread::sleep(schedule.end.saturating_duration_since(Instant::now()));
    processor_time().saturating_sub(before)
}

async fn run_all(senders: Vec<Sender>) -> Result<Vec<Part>, EmulatorError> {
    let mut tasks = JoinSet::new();
    for sender in senders {
        tasks.spawn(sender.run());
    }
    Ok(tasks.join_all().await)
}

fn report(
    config: &BenchConfig,
    options: &LoadOptions,
    parts: &[Part],
    processor: Duration,
) -> Result<LoadReport, EmulatorError> {
    let mut report = LoadReport {
        hems: config.hems,
        seconds: float(options.seconds),
        processor_seconds: processor.as_secs_f64(),
        ..LoadReport::default()
    };
    let mut latency = Histogram::default();
    let mut bytes = 0;
    for part in parts {
        latency.add(&part.latency);
        report.acknowledged += part.acknowledged;
        report.acknowledged_in_all += part.acknowledged_in_all;
        report.sent += part.sent;
        report.refused += part.refused;
        report.errors.add(&part.errors);
        bytes += part.bytes;
    }
    if report.sent == 0 {
        let errors = serde_json::to_string(&report.errors).unwrap_or_default();
        return Err(EmulatorError::Connection(format!(
            "not one HEM was let in ({errors}); is the cloud there, and are its keys or an \
             enrolment token given?"
        )));
    }
    report.unacknowledged = report.sent.saturating_sub(report.acknowledged_in_all);
    report.latency_ms = latency.percentiles();
    report.acknowledged_per_second = float(report.acknowledged) / report.seconds.max(1e-9);
    report.frame_bytes = float(bytes) / float(report.sent);
    if let Rate::PerSecond(rate) = options.rate {
        report.rate_missed = (1.0 - report.acknowledged_per_second / rate).max(0.0);
    }
    Ok(report)
}

fn write_acknowledged(path: &std::path::Path, parts: &[Part]) -> Result<(), EmulatorError> {
    let mut text = Vec::new();
    for part in parts {
        for (from, to) in &part.numbers {
            writeln!(text, "{} {from} {to}", part.hem)
                .map_err(EmulatorError::file("write", path))?;
        }
    }
    std::fs::write(path, text).map_err(EmulatorError::file("write", path))
}

/// One HEM that sends.
struct Sender {
    bench: Arc<Bench>,
    index: usize,
    home: Home,
    times: Times,
    clock: Clock,
    next_moment: Timestamp,
    schedule: Schedule,
    part: Part,
}

/// What is on its way in one connection.
struct Flight {
    first: u64,
    next: u64,
    acknowledged: u64,
    credit: u64,
    /// The last number of each chunk, and when it was sent.
    chunks: VecDeque<(u64, Instant)>,
}

impl Flight {
    fn in_flight(&self) -> u64 {
        self.next - 1 - self.acknowledged
    }
}

impl Sender {
    async fn run(mut self) -> Part {
        let Some(hem) = self.bench.hems.get(self.index).cloned() else { return self.part };
        self.part.hem = hem.to_string();
        let nodes = declarations(self.home.profile());
        while Instant::now() < self.schedule.end {
            let failure = match Session::open(&self.bench, &hem, Some(nodes.clone())).await {
                Ok((session, welcome)) => {
                    let mut flight = Flight {
                        first: welcome.seq.0 + 1,
                        next: welcome.seq.0 + 1,
                        acknowledged: welcome.seq.0,
                        credit: u64::from(welcome.max_in_flight),
                        chunks: VecDeque::new(),
                    };
                    let ended = self.send(session, &mut flight).await;
                    if flight.acknowledged >= flight.first {
                        self.part.numbers.push((flight.first, flight.acknowledged));
                    }
                    match ended {
                        Ok(()) => break,
                        Err(failure) => failure,
                    }
                }
                Err(failure) => failure,
            };
            self.part.errors.count(&failure.code);
            log::debug!(hem = hem.as_str(), code = failure.code.as_str(); "{}", failure.text);
            tokio::time::sleep(failure.retry_after.unwrap_or(RETRY)).await;
        }
        self.part
    }

    async fn send(&mut self, mut session: Session, flight: &mut Flight) -> Result<(), Failure> {
        let mut lines = Vec::with_capacity(96 * 1_024);
        let mut readings = Vec::new();
        // A connection after the first does not make up for what was not sent while there was none.
        let resumed = Instant::now();
        let mut due_base = self.part.sent;
        let mut due_from = self.first_due();
        if self.part.sent > 0 {
            due_from = resumed;
        }
        loop {
            let now = Instant::now();
            if now >= self.schedule.end {
                break;
            }
            let room = flight.credit.saturating_sub(flight.in_flight());
            let (due, next_due) = self.due(now, due_from, self.part.sent - due_base);
            if due == u64::MAX {
                due_base = self.part.sent;
            }
            let count = room.min(due).min(CHUNK);
            if count > 0 {
                lines.clear();
                self.encode(flight, count, &mut lines, &mut readings);
                flight.chunks.push_back((flight.next - 1, Instant::now()));
                session.write(&lines).await?;
                let frames = session.read_at_once()?;
                self.take(flight, &frames);
                continue;
            }
            let wake = if room == 0 { self.schedule.end } else { next_due };
            tokio::select! {
                frames = session.read() => {
                    let frames = frames?;
                    self.take(flight, &frames);
                }
                () = tokio::time::sleep_until(wake.min(self.schedule.end)) => {}
            }
        }
        self.drain(&mut session, flight).await;
        session.close().await;
        Ok(())
    }

    /// When this HEM's first reading is due: the HEMs are spread over a period.
    fn first_due(&self) -> Instant {
        let place = u32::try_from(self.index).unwrap_or(u32::MAX);
        let hems = u32::try_from(self.bench.hems.len().max(1)).unwrap_or(u32::MAX);
        self.schedule.begin + self.schedule.period.unwrap_or_default() / hems * place
    }

    /// How many readings are due now, and when the next one is.
    fn due(&self, now: Instant, from: Instant, sent: u64) -> (u64, Instant) {
        let Some(period) = self.schedule.period else { return (u64::MAX, now) };
        let elapsed = now.saturating_duration_since(from).as_nanos();
        let in_all = u64::try_from(elapsed / period.as_nanos().max(1)).unwrap_or(u64::MAX);
        let next = from + period.saturating_mul(u32::try_from(sent + 1).unwrap_or(u32::MAX));
        (in_all.saturating_sub(sent), next)
    }

    fn encode(
        &mut self,
        flight: &mut Flight,
        count: u64,
        lines: &mut Vec<u8>,
        readings: &mut Vec<NodeReading>,
    ) {
        let present = (self.clock)();
        for _ in 0..count {
            let lived = self.next_moment;
            let moment = match self.times {
                Times::Present => {
                    self.next_moment = lived.plus(Duration::from_secs(1));
                    present
                }
                Times::Past { step, .. } => {
                    self.next_moment = lived.plus(step).min(present);
                    lived
                }
            };
            self.home.sample_into(lived, readings);
            push_reading(lines, flight.next, moment.as_millis(), readings);
            flight.next += 1;
        }
        self.part.sent += count;
        self.part.bytes += u64::try_from(lines.len()).unwrap_or(0);
    }

    fn take(&mut self, flight: &mut Flight, frames: &[CloudFrame]) {
        for frame in frames {
            match frame {
                CloudFrame::Ack(ack) => self.acknowledge(flight, ack.seq.0),
                CloudFrame::Refused(_) => self.part.refused += 1,
                CloudFrame::Error(error) => self.part.errors.count(error.code.as_str()),
                _ => {}
            }
        }
    }

    fn acknowledge(&mut self, flight: &mut Flight, up_to: u64) {
        let up_to = up_to.min(flight.next - 1);
        let now = Instant::now();
        let measured = now >= self.schedule.measured_from && now < self.schedule.end;
        while let Some((last, sent)) = flight.chunks.front().copied()
            && flight.acknowledged < up_to
        {
            let newly = last.min(up_to) - flight.acknowledged;
            flight.acknowledged += newly;
            self.part.acknowledged_in_all += newly;
            if measured {
                self.part.acknowledged += newly;
                self.part.latency.count(now.saturating_duration_since(sent), newly);
            }
            if last <= up_to {
                flight.chunks.pop_front();
            }
        }
    }

    /// Waits for the acknowledgements of what was sent before the end.
    async fn drain(&mut self, session: &mut Session, flight: &mut Flight) {
        let deadline = Instant::now() + DRAIN;
        while flight.in_flight() > 0 {
            match tokio::time::timeout_at(deadline, session.read()).await {
                Ok(Ok(frames)) => self.take(flight, &frames),
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a report's figure")]
    let float = count as f64;
    float
}
