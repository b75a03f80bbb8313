//! Runs a scenario in simulated time: homes, jobs and the cloud's own actors on one thread whose clock
//! stands still until everybody waits, with stores in memory and no sockets. A year takes minutes, and
//! the same scenario with the same seed gives the same report, bit for bit.
//!
//! Beside it the same homes live the same span without the cloud: what control changes is the difference.

mod command_counter;
mod findings;
mod meter;
pub mod plot;
mod received_commands;
pub mod report;
pub mod scenario;
mod simulated_fleet;
mod simulated_hem;
pub mod table;
mod tariff;
pub mod timeline;
mod world;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Context;
use memcloud_domain::Timestamp;
use memcloud_emulator::{Home, declarations};
use memcloud_supervision::{Clock, Scope};
use memcloud_worker::AppCatalogue;

use self::meter::{Meter, Metered, QUARTER_MS};
use self::report::{CloudFindings, Report, TelemetryReport};
use self::scenario::Scenario;
use self::timeline::Span;
use self::world::World;

/// After each step everyone has so long, in simulated time, to do what follows from it: decide, order,
/// carry out, answer.
const SETTLE: Duration = Duration::from_millis(1_500);
/// So long everyone has to end.
const SHUTDOWN: Duration = Duration::from_secs(60);

/// How far a run is, and whether it is to stop; for another thread to look at and to set.
#[derive(Debug, Default)]
pub struct Watch {
    at: AtomicI64,
    stop: AtomicBool,
}

impl Watch {
    /// Up to when was simulated.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        Timestamp(self.at.load(Ordering::Relaxed))
    }

    /// Has the run stop at its next quarter-hour, with what there is so far.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn stops_at(&self, moment: Timestamp) -> bool {
        moment.as_millis() % QUARTER_MS == 0 && self.stop.load(Ordering::Relaxed)
    }
}

/// A run that is over.
#[derive(Debug)]
pub struct Finished {
    /// What it showed.
    pub report: Report,
    scenario: Scenario,
    control: Metered,
    without: Metered,
}

impl Finished {
    /// Draws some days of it, as an SVG.
    #[must_use]
    pub fn plot(&self, span: Span) -> String {
        plot::draw(&self.scenario, &self.control, &self.without, span)
    }
}

/// Lives a scenario twice, with the cloud and without it.
///
/// # Errors
/// When the simulation cannot go on: an actor that nobody may lose has failed.
pub fn run(scenario: &Scenario, apps: AppCatalogue, watch: &Watch) -> anyhow::Result<Finished> {
    watch.at.store(scenario.from.as_millis(), Ordering::Relaxed);
    let (control, without, findings) = std::thread::scope(|threads| {
        let alone = std::thread::Builder::new()
            .name("without-control".to_owned())
            .spawn_scoped(threads, || live_alone(scenario, watch))
            .context("a thread for the homes without the cloud cannot be started")?;
        let controlled = live_with_cloud(scenario, apps, watch);
        if controlled.is_err() {
            watch.stop();
        }
        let alone =
            alone.join().map_err(|_| anyhow::anyhow!("the homes without the cloud crashed"))?;
        let (control, findings) = controlled?;
        anyhow::Ok((control, alone, findings))
    })?;
    // Who stopped first has the last word on how far both are reported.
    let without = if control.until < without.until {
        live_alone(&scenario.until(control.until), &Watch::default())
    } else {
        without
    };
    let report = Report::new(scenario, &control, &without, findings);
    Ok(Finished { report, scenario: scenario.clone(), control, without })
}

fn live_with_cloud(
    scenario: &Scenario,
    apps: AppCatalogue,
    watch: &Watch,
) -> anyhow::Result<(Metered, CloudFindings)> {
    #[expect(clippy::expect_used, reason = "actix asks for a runtime and takes no error")]
    let system = actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime of one thread without I/O can be made")
    });
    system.block_on(async {
        let scope = Scope::root("simulation", Clock::simulated(scenario.from.as_millis()));
        let outcome = tokio::select! {
            biased;
            failure = scope.failed() => Err(anyhow::anyhow!("the simulated cloud gave up: {failure}")),
            outcome = live(&scope, scenario, apps, watch) => outcome,
        };
        let left = scope.shutdown(SHUTDOWN).await;
        if !left.is_empty() {
            log::warn!("these actors did not stop: {}", left.join(", "));
        }
        outcome
    })
}

async fn live(
    scope: &Scope,
    scenario: &Scenario,
    apps: AppCatalogue,
    watch: &Watch,
) -> anyhow::Result<(Metered, CloudFindings)> {
    let world = World::start(scope, scenario, apps).await?;
    let mut meter = Meter::new(scenario, world.starts().to_vec());
    // Everybody starts, HEMs connect, and counters are read for the first time.
    world.live(scenario.from).await?;
    tokio::time::sleep(SETTLE).await;
    let mut now = scenario.from;
    while now < scenario.until && !watch.stops_at(now) {
        now = now.plus(scenario.step);
        let ahead = now.since(Timestamp(scope.clock().unix_ms()));
        // Whatever was due in between is done now: between two steps nobody has anything to decide on.
        tokio::time::advance(ahead).await;
        let states = world.live(now).await?;
        meter.step(now, &states);
        tokio::time::sleep(SETTLE).await;
        watch.at.store(now.as_millis(), Ordering::Relaxed);
    }
    let metered = meter.finish();
    let figures = world.stop().await?;
    let findings = CloudFindings {
        commands: world.commands(),
        jobs: findings::jobs(world.clerk(), world.jobs())?,
        telemetry: TelemetryReport {
            readings: figures.taken,
            stored: world.stored(),
            unacknowledged: figures.unacknowledged,
            accounting: findings::audit(world.clerk(), world.jobs(), scenario, &metered)?,
        },
    };
    Ok((metered, findings))
}

/// The same homes, and nobody who tells them anything.
fn live_alone(scenario: &Scenario, watch: &Watch) -> Metered {
    let mut homes: Vec<Home> =
        scenario.homes.iter().map(|home| Home::new(home.profile.clone(), scenario.from)).collect();
    let starts =
        homes.iter().map(|home| (declarations(home.profile()), home.state().clone())).collect();
    let mut meter = Meter::new(scenario, starts);
    let mut now = scenario.from;
    let mut readings = Vec::new();
    while now < scenario.until && !watch.stops_at(now) {
        now = now.plus(scenario.step);
        let states: Vec<_> = homes
            .iter_mut()
            .map(|home| {
                home.sample_into(now, &mut readings);
                home.state().clone()
            })
            .collect();
        meter.step(now, &states);
    }
    meter.finish()
}
