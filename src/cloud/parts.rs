//! How each actor is made of the configuration and of whom it talks to.

use std::sync::Arc;

use anyhow::Context;
use memcloud_bus::{CloudBus, Publisher};
use memcloud_cmo::{OperatorAssembly, OperatorLimits, OperatorPorts};
use memcloud_commands::{
    CommandIds, CommandMetrics, CommandParts, CommandPorts, CommandProcessor, CommandsConfig,
    Holdings,
};
use memcloud_hem::{HemConfig, TlsFiles};
use memcloud_historian::{
    Historian, HistorianConfig, HistorianMetrics, Maintenance, MaintenanceConfig,
};
use memcloud_microgrid::{MicrogridLimits, MicrogridPorts};
use memcloud_registry::{
    Followers, Randomness, Registrar, RegistrarConfig, RegistrarParts, Registry,
};
use memcloud_status::{StatusMonitor, StatusSettings};
use memcloud_store::registry::CommandStore;
use memcloud_store::telemetry::{Retention, TelemetryStore};
use memcloud_supervision::{Child, ChildSpec, Port, RestartPolicy, Scope};
use memcloud_worker::{AppCatalogue, JobLimits, StepThreads, WorkerPorts};

use crate::config::Configuration;

/// Steps of energy apps that run at a time, and that may hang before no more are started.
const STEPS_AT_A_TIME: usize = 4;
const STEPS_THAT_HANG: usize = 16;

pub(super) fn start_registrar(
    scope: &Scope,
    registry: &Arc<dyn Registry>,
    followers: &Followers,
) -> Child<Registrar> {
    let parts = RegistrarParts {
        registry: Arc::clone(registry),
        randomness: Randomness::system(),
        followers: followers.clone(),
        config: RegistrarConfig::default(),
    };
    let spec = ChildSpec::new("registrar").policy(RestartPolicy::permanent()).mailbox(4_096);
    scope.supervise(spec, move |own| Registrar::new(own, parts.clone()))
}

pub(super) fn start_historian(
    scope: &Scope,
    configuration: &Configuration,
    store: &Arc<dyn TelemetryStore>,
    metrics: &Arc<HistorianMetrics>,
    published: Port<memcloud_domain::messages::ReadingsCommitted>,
) -> Child<Historian> {
    let mut config = HistorianConfig::default();
    config.commit.entries = configuration.historian.commit_target;
    config.commit.delay = configuration.historian.commit_delay;
    config.commit.max_entries = configuration.historian.commit_entries;
    let (store, metrics) = (Arc::clone(store), Arc::clone(metrics));
    let spec = ChildSpec::new("historian").policy(RestartPolicy::permanent()).mailbox(4_096);
    scope.supervise(spec, move |own| {
        Historian::new(own, config, Arc::clone(&store), published.clone(), Arc::clone(&metrics))
    })
}

pub(super) fn start_maintenance(
    scope: &Scope,
    configuration: &Configuration,
    store: &Arc<dyn TelemetryStore>,
    metrics: &Arc<HistorianMetrics>,
) {
    let config = MaintenanceConfig {
        roll_up_every: configuration.historian.maintenance_interval,
        seal_every: configuration.historian.maintenance_interval,
        retention: Retention {
            raw: configuration.retention.raw,
            minute: configuration.retention.minute,
        },
        ..MaintenanceConfig::default()
    };
    let (store, metrics) = (Arc::clone(store), Arc::clone(metrics));
    let spec = ChildSpec::new("maintenance").policy(RestartPolicy::permanent());
    scope.supervise(spec, move |own| {
        Maintenance::new(own, &config, Arc::clone(&store), Arc::clone(&metrics))
    });
}

/// The ledger of commands. It keeps its own copy of the ports that are added to it later.
pub(super) fn start_commands(
    scope: &Scope,
    configuration: &Configuration,
    store: Arc<dyn CommandStore>,
) -> anyhow::Result<(Child<CommandProcessor>, CommandPorts, Arc<CommandMetrics>)> {
    let settings = &configuration.commands;
    let (ports, metrics) = (CommandPorts::default(), Arc::new(CommandMetrics::default()));
    let parts = CommandParts {
        store,
        ports: ports.clone(),
        ids: CommandIds::system().context("no random numbers for the ids of commands")?,
        metrics: Arc::clone(&metrics),
        config: CommandsConfig {
            holdings: if configuration.is_cluster() {
                Holdings::Tenures
            } else {
                Holdings::Everything
            },
            result_timeout: settings.result_timeout,
            effect_window: settings.effect_window,
            expires: settings.expires,
            lease: settings.lease,
            open_per_hem: settings.open_per_hem,
            fleet_watts_per_minute: f64::from(settings.fleet_watts_per_minute),
            retention: configuration.retention.commands,
            ..CommandsConfig::default()
        },
    };
    Ok((CommandProcessor::start(scope, parts), ports, metrics))
}

pub(super) fn start_status(
    scope: &Scope,
    configuration: &Configuration,
    historian: Port<memcloud_domain::messages::GetLatestReading>,
    rosters: Port<memcloud_domain::messages::GetRoster>,
    told: Port<memcloud_domain::messages::HemStatusChanged>,
) -> Child<StatusMonitor> {
    let settings = StatusSettings {
        active_window: configuration.status.active_window,
        ..StatusSettings::default()
    };
    let spec = ChildSpec::new("status").policy(RestartPolicy::permanent()).mailbox(8_192);
    scope.supervise(spec, move |own| {
        StatusMonitor::new(own, settings.clone(), historian.clone(), vec![told.clone()])
            .with_rosters(rosters.clone())
    })
}

pub(super) fn operator(
    configuration: &Configuration,
    bus: &CloudBus,
    registrar: &Child<Registrar>,
    historian: &Child<Historian>,
    commands: &Child<CommandProcessor>,
    publisher: &Child<Publisher>,
    apps: AppCatalogue,
) -> OperatorAssembly {
    OperatorAssembly {
        bus: bus.clone(),
        ports: OperatorPorts {
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
        },
        catalogue: Arc::new(apps),
        threads: StepThreads::new(STEPS_AT_A_TIME, STEPS_THAT_HANG),
        limits: OperatorLimits {
            microgrid: MicrogridLimits {
                job: JobLimits {
                    step_deadline: configuration.jobs.step_timeout,
                    catch_up_every: configuration.jobs.catch_up_interval,
                    checkpoint_every: configuration.jobs.checkpoint_interval,
                    ..JobLimits::default()
                },
                ..MicrogridLimits::default()
            },
            ..OperatorLimits::default()
        },
        counts: Arc::default(),
    }
}

pub(super) fn hem_config(configuration: &Configuration, tls: TlsFiles) -> HemConfig {
    let hem = &configuration.hem;
    HemConfig {
        max_connections: hem.max_connections,
        max_connections_per_address: hem.max_connections_per_address,
        max_handshakes: hem.max_handshakes,
        handshake_timeout: hem.handshake_timeout,
        hello_timeout: hem.hello_timeout,
        heartbeat: hem.heartbeat,
        max_in_flight: hem.max_in_flight,
        max_batch: hem.max_batch,
        max_frame: hem.max_frame,
        max_buffered_bytes: hem.max_buffered_bytes,
        max_rate: hem.max_rate,
        read_pause: hem.read_pause,
        max_gap: hem.max_gap,
        ack_timeout: hem.ack_timeout,
        write_timeout: hem.write_timeout,
        proxy_protocol: hem.proxy_protocol,
        retention_raw: configuration.retention.raw,
        ..HemConfig::new(hem.bind, tls)
    }
}
