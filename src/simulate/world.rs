//! The actor tree of a simulation: the cloud's own actors over stores in memory, below one scope, with
//! simulated homes where the sockets would be. What is wired here is wired in `src/cloud.rs` for a
//! cloud with sockets.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use memcloud_bus::{CloudBus, Publisher};
use memcloud_cmo::{ChiefMicrogridOperator, OperatorAssembly, OperatorLimits, OperatorPorts};
use memcloud_commands::{CommandIds, CommandParts, CommandPorts, CommandProcessor, CommandsConfig};
use memcloud_domain::{JobRecord, NodeDeclaration, PowerLimits, Timestamp, Watts};
use memcloud_emulator::{Home, HomeState, declarations};
use memcloud_historian::{
    FlushAndStop, Historian, HistorianConfig, HistorianMetrics, Maintenance, MaintenanceConfig,
};
use memcloud_microgrid::{DispatchLimits, MicrogridLimits, MicrogridPorts};
use memcloud_registry::{
    Clerk, CreateJob, CreateMicrogrid, Followers, NewMicrogrid, Randomness, RegisterHem, Registrar,
    RegistrarConfig, RegistrarParts, Registry, SqlRegistry,
};
use memcloud_store::registry::CommandStore;
use memcloud_store::sqlite::Location;
use memcloud_store::telemetry::sqlite::SqliteOptions;
use memcloud_store::telemetry::{Retention, SqliteTelemetry, TelemetryStore};
use memcloud_supervision::{Child, ChildSpec, RestartPolicy, Scope};
use memcloud_worker::{AppCatalogue, JobLimits, StepThreads, WorkerPorts};

use super::command_counter::{CommandCounter, CommandCounts};
use super::report::CommandsReport;
use super::scenario::Scenario;
use super::simulated_fleet::{FleetFigures, FleetPorts, GetFigures, LiveUntil, SimulatedFleet};
use super::simulated_hem::SimulatedHem;
use crate::cloud::readings_feed::ReadingsFeed;

/// In simulated time only what hangs for ever takes so long.
const DEADLINE: Duration = Duration::from_secs(30);
/// An hour of readings is kept raw: whoever was offline is caught up with from the homes' own memory.
const KEEP_RAW: Duration = Duration::from_secs(3_600);
/// Roll-ups are made so often, and what is older than kept goes so often.
const UPKEEP_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// The operator and its jobs start so long after a step: what they do by the clock they do after the
/// readings of a step have come, and not just before.
const AFTER_READINGS: Duration = Duration::from_millis(500);
/// Minutes that are kept; nobody looks at them here.
const KEEP_MINUTES: Duration = Duration::from_secs(86_400);
/// Jobs are saved so often; their process is not killed here.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// How often a job looks whether it missed something.
const CATCH_UP_EVERY: Duration = Duration::from_secs(3_600);
/// Commands that ended are kept for so long; they are counted as they change.
const KEEP_COMMANDS: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// The actor tree of a simulation.
pub(super) struct World {
    clerk: Clerk,
    fleet: Child<SimulatedFleet>,
    historian: Child<Historian>,
    cmo: Child<ChiefMicrogridOperator>,
    metrics: Arc<HistorianMetrics>,
    counts: CommandCounts,
    jobs: Vec<JobRecord>,
    /// What each home declares, and its state at the start.
    starts: Vec<(Vec<NodeDeclaration>, HomeState)>,
}

impl World {
    /// Opens the stores, registers microgrid, HEMs and jobs, and starts every actor.
    pub(super) async fn start(
        scope: &Scope,
        scenario: &Scenario,
        apps: AppCatalogue,
    ) -> anyhow::Result<Self> {
        let web_store = Arc::new(
            SqlRegistry::open_at(&Location::Memory.into()).context("the web store in memory")?,
        );
        let registry: Arc<dyn Registry> = web_store.clone();
        let store: Arc<dyn TelemetryStore> = Arc::new(
            SqliteTelemetry::open(Location::Memory, SqliteOptions::default())
                .context("the iot store in memory")?,
        );
        store.set_time_zone(&scenario.microgrid, scenario.time_zone)?;
        let randomness = Randomness::seeded(scenario.seed);
        let clerk = Clerk::new(Arc::clone(&registry), scope.clock().clone(), randomness.clone());
        let hems = register(&clerk, scenario)?;
        let jobs = deploy(&clerk, scenario)?;

        let bus = CloudBus::in_process();
        let publisher = Publisher::start(scope, bus.clone());
        let followers = Followers::default();
        let registrar = start_registrar(scope, registry, randomness, &followers);
        let metrics = Arc::new(HistorianMetrics::default());
        let historian = start_historian(scope, scenario, &store, &metrics, &publisher);
        start_maintenance(scope, &store, &metrics);
        let (commands, command_ports) = start_commands(scope, scenario, web_store);
        ReadingsFeed::start(scope, "commands-feed", &bus, commands.port());
        tokio::time::sleep(AFTER_READINGS).await;
        let cmo = ChiefMicrogridOperator::start(
            scope,
            OperatorAssembly {
                bus: bus.clone(),
                ports: operator_ports(&registrar, &historian, &commands, &publisher),
                catalogue: Arc::new(apps),
                threads: StepThreads::offloaded(),
                limits: limits(scenario.step),
                counts: Arc::default(),
            },
        );
        followers
            .hem_changed(commands.port())
            .hem_changed(cmo.port())
            .job_changed(cmo.port())
            .microgrid_changed(cmo.port());
        let counts = CommandCounts::default();
        command_ports
            .dispatch(cmo.port())
            .entries(historian.port())
            .roster(registrar.port())
            .changed(cmo.port())
            .changed(publisher.port())
            .changed(start_counter(scope, &counts).port());

        let starts =
            hems.iter().map(|hem| (hem.nodes().to_vec(), hem.home().state().clone())).collect();
        let fleet = start_fleet(
            scope,
            scenario,
            FleetPorts {
                authenticate: registrar.port(),
                open: historian.port(),
                store: historian.port(),
                close: historian.port(),
                answered: commands.port(),
                connected: vec![commands.port(), publisher.port()],
                disconnected: vec![commands.port(), publisher.port()],
            },
            hems,
        );
        command_ports.send(fleet.port());
        Ok(Self { clerk, fleet, historian, cmo, metrics, counts, jobs, starts })
    }

    /// What each home declares, and its state at the start.
    pub(super) fn starts(&self) -> &[(Vec<NodeDeclaration>, HomeState)] {
        &self.starts
    }

    /// The registry without the actor.
    pub(super) fn clerk(&self) -> &Clerk {
        &self.clerk
    }

    /// Its jobs.
    pub(super) fn jobs(&self) -> &[JobRecord] {
        &self.jobs
    }

    /// How many readings the historian has stored.
    pub(super) fn stored(&self) -> u64 {
        self.metrics.stored.get()
    }

    /// How many commands are in which state.
    pub(super) fn commands(&self) -> CommandsReport {
        self.counts.report()
    }

    /// Has all homes live on until a moment, and measure.
    pub(super) async fn live(&self, until: Timestamp) -> anyhow::Result<Vec<HomeState>> {
        self.fleet.ask(LiveUntil(until), DEADLINE).await.context("the simulated homes crashed")
    }

    /// Stops the jobs, saved as far as they came, then the rest; answers what the homes had said.
    pub(super) async fn stop(&self) -> anyhow::Result<FleetFigures> {
        self.cmo.stop(DEADLINE).await;
        let figures =
            self.fleet.ask(GetFigures, DEADLINE).await.context("the simulated homes crashed")?;
        self.historian.ask(FlushAndStop, DEADLINE).await.context("the historian crashed")?;
        Ok(figures)
    }
}

/// The ledger of commands. Its times are those of a HEM that reports every step: an effect can only be
/// seen in the readings that follow.
fn start_commands(
    scope: &Scope,
    scenario: &Scenario,
    store: Arc<dyn CommandStore>,
) -> (Child<CommandProcessor>, CommandPorts) {
    let ports = CommandPorts::default();
    let usual = CommandsConfig::default();
    let parts = CommandParts {
        store,
        ports: ports.clone(),
        ids: CommandIds::seeded(scenario.seed),
        metrics: Arc::default(),
        config: CommandsConfig {
            effect_window: usual.effect_window.max(scenario.step * 3),
            retention: KEEP_COMMANDS,
            offer_again: scenario.step,
            look_again: scenario.step,
            ..usual
        },
    };
    (CommandProcessor::start(scope, parts), ports)
}

fn start_counter(scope: &Scope, counts: &CommandCounts) -> Child<CommandCounter> {
    let counts = counts.clone();
    let spec = ChildSpec::new("command-counter").mailbox(16_384);
    scope.supervise(spec, move |_| CommandCounter::new(counts.clone()))
}

fn operator_ports(
    registrar: &Child<Registrar>,
    historian: &Child<Historian>,
    commands: &Child<CommandProcessor>,
    publisher: &Child<Publisher>,
) -> OperatorPorts {
    OperatorPorts {
        microgrid: MicrogridPorts {
            worker: WorkerPorts {
                entries: historian.port(),
                marks: historian.port(),
                load: registrar.port(),
                save: registrar.port(),
                reported: publisher.port(),
            },
            jobs: registrar.port(),
            roster: registrar.port(),
            states: registrar.port(),
            place: Some(commands.port()),
            open_commands: Some(commands.port()),
            events: Some(historian.port()),
        },
        with_jobs: registrar.port(),
        needed: None,
    }
}

/// With nothing new between two steps, what is looked at by the clock is looked at once a step.
fn limits(step: Duration) -> OperatorLimits {
    OperatorLimits {
        microgrid: MicrogridLimits {
            refresh_every: HOUR,
            job: JobLimits {
                catch_up_every: CATCH_UP_EVERY,
                checkpoint_every: CHECKPOINT_EVERY,
                look_every: step,
                ..JobLimits::default()
            },
            dispatch: DispatchLimits { limits_every: step, ..DispatchLimits::default() },
            ..MicrogridLimits::default()
        },
        ..OperatorLimits::default()
    }
}

fn register(clerk: &Clerk, scenario: &Scenario) -> anyhow::Result<Vec<SimulatedHem>> {
    clerk.carry_out(CreateMicrogrid(NewMicrogrid {
        id: scenario.microgrid.clone(),
        name: scenario.microgrid.to_string(),
        time_zone: Some(scenario.time_zone.name().to_owned()),
        limits: PowerLimits {
            import_watts: scenario.import_limit_watts.map(Watts),
            export_watts: scenario.export_limit_watts.map(Watts),
        },
    }))?;
    let mut hems = Vec::with_capacity(scenario.homes.len());
    for home in &scenario.homes {
        let issued = clerk.carry_out(RegisterHem {
            id: home.hem.clone(),
            microgrid: scenario.microgrid.clone(),
            name: None,
        })?;
        let nodes = declarations(&home.profile);
        let emulated = Home::new(home.profile.clone(), scenario.from);
        hems.push(SimulatedHem::new(home.hem.clone(), issued.key, nodes, emulated));
    }
    Ok(hems)
}

fn deploy(clerk: &Clerk, scenario: &Scenario) -> anyhow::Result<Vec<JobRecord>> {
    let mut jobs = Vec::with_capacity(scenario.jobs.len());
    for job in &scenario.jobs {
        jobs.push(clerk.carry_out(CreateJob {
            microgrid: scenario.microgrid.clone(),
            app: job.app.clone(),
            configuration: job.configuration.clone(),
            priority: job.priority,
        })?);
    }
    Ok(jobs)
}

fn start_registrar(
    scope: &Scope,
    registry: Arc<dyn Registry>,
    randomness: Randomness,
    followers: &Followers,
) -> Child<Registrar> {
    let parts = RegistrarParts {
        registry,
        randomness,
        followers: followers.clone(),
        config: RegistrarConfig {
            sweep_every: HOUR,
            carry_log_every: HOUR,
            ..RegistrarConfig::default()
        },
    };
    let spec = ChildSpec::new("registrar").policy(RestartPolicy::permanent()).mailbox(4_096);
    scope.supervise(spec, move |own| Registrar::new(own, parts.clone()))
}

fn start_historian(
    scope: &Scope,
    scenario: &Scenario,
    store: &Arc<dyn TelemetryStore>,
    metrics: &Arc<HistorianMetrics>,
    publisher: &Child<Publisher>,
) -> Child<Historian> {
    let mut config = HistorianConfig::default();
    // One commit for all that comes at the same moment.
    config.commit.entries = scenario.homes.len().min(config.commit.entries);
    config.commit.delay = Duration::from_millis(1);
    let (store, metrics, published) = (Arc::clone(store), Arc::clone(metrics), publisher.port());
    let spec = ChildSpec::new("historian").policy(RestartPolicy::permanent()).mailbox(4_096);
    scope.supervise(spec, move |own| {
        Historian::new(own, config, Arc::clone(&store), published.clone(), Arc::clone(&metrics))
    })
}

fn start_maintenance(
    scope: &Scope,
    store: &Arc<dyn TelemetryStore>,
    metrics: &Arc<HistorianMetrics>,
) {
    let config = MaintenanceConfig {
        roll_up_every: UPKEEP_EVERY,
        // What is dropped within hours need not be sealed.
        seal_every: Duration::from_secs(100 * 365 * 86_400),
        retain_every: UPKEEP_EVERY,
        checkpoint_every: UPKEEP_EVERY,
        breath: Duration::ZERO,
        retention: Retention { raw: KEEP_RAW, minute: KEEP_MINUTES },
        ..MaintenanceConfig::default()
    };
    let (store, metrics) = (Arc::clone(store), Arc::clone(metrics));
    let spec = ChildSpec::new("maintenance").policy(RestartPolicy::permanent());
    scope.supervise(spec, move |own| {
        Maintenance::new(own, &config, Arc::clone(&store), Arc::clone(&metrics))
    });
}

/// Homes that crashed cannot be had again as they were: then the simulation is over.
fn start_fleet(
    scope: &Scope,
    scenario: &Scenario,
    ports: FleetPorts,
    hems: Vec<SimulatedHem>,
) -> Child<SimulatedFleet> {
    let (microgrid, timeline) = (scenario.microgrid.clone(), scenario.timeline.clone());
    let mut hems = Some(hems);
    let spec = ChildSpec::new("homes").policy(RestartPolicy::temporary()).mailbox(4_096);
    scope.supervise(spec, move |own| {
        SimulatedFleet::new(
            own,
            ports.clone(),
            microgrid.clone(),
            timeline.clone(),
            hems.take().unwrap_or_default(),
        )
    })
}
