//! Starts the tree and hands out the ports: the one place that knows who answers whom. Embeddable:
//! a program with an actix system of its own starts a [`Cloud`] beside its own actors.

mod data_folder;
mod status_feed;
mod zone_keeper;

use std::sync::Arc;
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle};
use anyhow::Context;
use memcloud_bus::{CloudBus, Publisher};
use memcloud_cmo::{ChiefMicrogridOperator, OperatorAssembly, OperatorLimits, OperatorPorts};
use memcloud_hem::{HemConfig, HemPorts, HemUnit, StoreHealth, TlsFiles};
use memcloud_historian::{
    FlushAndStop, GetHealth, Historian, HistorianConfig, HistorianMetrics, Maintenance,
    MaintenanceConfig, ThrottledStore,
};
use memcloud_microgrid::{MicrogridLimits, MicrogridPorts};
use memcloud_registry::{
    Clerk, Followers, Listing, PageRequest, Randomness, Registrar, RegistrarConfig, RegistrarParts,
    Registry, SqliteRegistry,
};
use memcloud_rest::Away;
use memcloud_status::{StatusMonitor, StatusSettings};
use memcloud_store::sqlite::Location;
use memcloud_store::telemetry::sqlite::SqliteOptions;
use memcloud_store::telemetry::{Retention, SqliteTelemetry, TelemetryStore};
use memcloud_supervision::{Child, ChildSpec, Clock, ExitReason, Port, RestartPolicy, Scope};
use memcloud_worker::{AppCatalogue, JobLimits, StepThreads, WorkerPorts};

use crate::api::{
    self, ApiServer, Handles, HealthProbe, HistorianPorts, RegistrarPorts, StatusPorts,
};
use crate::config::Configuration;
use crate::keys;
use crate::metrics::CloudCollector;

pub use self::data_folder::Addresses;
use self::data_folder::DataFolder;
use self::status_feed::StatusFeed;
use self::zone_keeper::ZoneKeeper;

/// Steps of energy apps that run at a time, and that may hang before no more are started.
const STEPS_AT_A_TIME: usize = 4;
const STEPS_THAT_HANG: usize = 16;
/// How long `/health/ready` waits for a store's answer.
const HEALTH_DEADLINE: Duration = Duration::from_secs(2);

/// The running cloud.
pub struct Cloud {
    scope: Scope,
    folder: DataFolder,
    addresses: Addresses,
    api: ApiServer,
    hem: HemUnit,
    historian: Child<Historian>,
    cmo: Child<ChiefMicrogridOperator>,
    registry: Arc<dyn Registry>,
    metrics: Arc<HistorianMetrics>,
    status: StatusPorts,
    registrar: RegistrarPorts,
    arbiters: Vec<Arbiter>,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cloud").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Cloud {
    /// Opens the stores, starts every actor and listens; within an actix system.
    ///
    /// # Errors
    /// When the data folder is in use, a store or the keys cannot be used, or an address is taken:
    /// each says which setting to change. Nothing goes on running then.
    pub async fn start(configuration: &Configuration) -> anyhow::Result<Self> {
        Self::start_with_apps(configuration, AppCatalogue::standard()).await
    }

    /// The same, with energy apps of one's own.
    ///
    /// # Errors
    /// As [`Cloud::start`].
    pub async fn start_with_apps(
        configuration: &Configuration,
        apps: AppCatalogue,
    ) -> anyhow::Result<Self> {
        let scope = Scope::root("memcloud", Clock::system());
        match Self::start_below(&scope, configuration, apps).await {
            Ok(cloud) => Ok(cloud),
            Err(error) => {
                scope.shutdown(Duration::from_secs(2)).await;
                Err(error)
            }
        }
    }

    async fn start_below(
        scope: &Scope,
        configuration: &Configuration,
        apps: AppCatalogue,
    ) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        raise_file_limit();
        let folder = DataFolder::take(&configuration.data.dir)?;
        log::info!("starting: {configuration}");

        let registry: Arc<dyn Registry> = Arc::new(open_registry(configuration)?);
        let tls = keys_for(configuration, registry.as_ref())?;
        let store = open_telemetry(configuration)?;
        set_time_zones(scope, &registry, &store).await?;

        let bus = CloudBus::in_process();
        let publisher = Publisher::start(scope, bus.clone());
        let followers = Followers::default();
        let registrar = start_registrar(scope, &registry, &followers);
        let metrics = Arc::new(HistorianMetrics::default());
        let historian = start_historian(scope, configuration, &store, &metrics, publisher.port());
        start_maintenance(scope, configuration, &store, &metrics);
        let zones = ZoneKeeper::start(scope, historian.port());
        followers.microgrid_changed(zones.port());

        let status = start_status(
            scope,
            configuration,
            historian.port(),
            registrar.port(),
            publisher.port(),
        );
        StatusFeed::start(scope, &bus, status.port());
        followers.hem_changed(status.port()).hem_removed(status.port());

        let cmo = ChiefMicrogridOperator::start(
            scope,
            operator(configuration, &bus, &registrar, &historian, &publisher, apps.clone()),
        );
        followers
            .microgrid_changed(cmo.port())
            .microgrid_removed(cmo.port())
            .hem_changed(cmo.port())
            .hem_removed(cmo.port())
            .job_changed(cmo.port())
            .job_removed(cmo.port());

        let arbiters: Vec<Arbiter> =
            (0..configuration.hem.workers).map(|_| Arbiter::new()).collect();
        let (kept_up, clock) = (Arc::clone(&metrics), scope.clock().clone());
        let hem = HemUnit::start(
            scope,
            hem_config(configuration, tls),
            HemPorts {
                authenticate: registrar.port(),
                open_session: historian.port(),
                store_entries: historian.port(),
                close_session: historian.port(),
                store_health: StoreHealth::new(move || kept_up.keeps_up(clock.instant())),
                connected: vec![publisher.port(), status.port()],
                disconnected: vec![publisher.port(), status.port()],
                heard: vec![publisher.port(), status.port()],
                latest: vec![publisher.port(), status.port()],
            },
            arbiters.iter().map(Arbiter::handle).collect::<Vec<ArbiterHandle>>(),
        )?;
        followers.cut_hem(hem.cut_hem());

        let collected = prometheus::Registry::new();
        collected.register(Box::new(CloudCollector::new(
            hem.metrics(),
            Arc::clone(&metrics),
            bus.clone(),
        )))?;
        #[cfg(target_os = "linux")]
        collected
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let status_ports = StatusPorts::of(&status);
        let registrar_ports = RegistrarPorts::of(&registrar);
        let api = api::serve(
            Handles {
                clock: scope.clock().clone(),
                tree: scope.tree(),
                registrar: registrar_ports.clone(),
                historian: HistorianPorts::of(&historian),
                status: status_ports.clone(),
                apps,
                bus,
                health: vec![
                    historian_health(historian.port()),
                    registrar_health(registrar.port()),
                ],
                metrics: collected,
            },
            &configuration.http,
        )?;

        let addresses = Addresses { http: api.address(), hem: hem.address() };
        folder.write_addresses(&addresses)?;
        log::info!("HTTP on {}, HEMs on {}", addresses.http, addresses.hem);
        if let Some(admin) = api.admin_address() {
            log::info!("health and metrics on {admin}");
        }
        Ok(Self {
            scope: scope.clone(),
            folder,
            addresses,
            api,
            hem,
            historian,
            cmo,
            registry,
            metrics,
            status: status_ports,
            registrar: registrar_ports,
            arbiters,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The root of its tree, for actors of one's own beside it.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The Chief Microgrid Operator.
    #[must_use]
    pub fn cmo(&self) -> &Child<ChiefMicrogridOperator> {
        &self.cmo
    }

    /// What may be asked of the `Registrar`.
    #[must_use]
    pub fn registrar(&self) -> &RegistrarPorts {
        &self.registrar
    }

    /// What may be asked of the `StatusMonitor`.
    #[must_use]
    pub fn status(&self) -> &StatusPorts {
        &self.status
    }

    /// What the `Historian` counts.
    #[must_use]
    pub fn historian_metrics(&self) -> &Arc<HistorianMetrics> {
        &self.metrics
    }

    /// The registry without the actor, for what is done before anybody asks; it blocks.
    #[must_use]
    pub fn clerk(&self) -> Clerk {
        Clerk::new(Arc::clone(&self.registry), self.scope.clock().clone(), Randomness::system())
    }

    /// Waits until the tree gives up, because something in it failed more often than its policy bears.
    pub async fn failed(&self) -> String {
        match self.scope.failed().await {
            ExitReason::Escalated { child, reason } => format!("{child}: {reason}"),
            other => format!("{other:?}"),
        }
    }

    /// Stops in order, within a time: HEMs are told and their sockets closed, what they handed over
    /// is committed, jobs save where they stand, HTTP finishes its answers, and the actors stop, leaves
    /// first. Answers who did not stop in time.
    pub async fn stop(&mut self, within: Duration) -> Vec<String> {
        let clock = self.scope.clock().clone();
        let deadline = clock.instant() + within;
        let remaining = || deadline.saturating_duration_since(clock.instant());
        let open = self.hem.close(remaining()).await;
        if open > 0 {
            log::warn!("{open} HEM sockets were still open");
        }
        let jobs = self.cmo.stop(remaining());
        let http = self.api.stop();
        tokio::join!(jobs, http);
        if self.historian.ask(FlushAndStop, remaining()).await.is_err() {
            log::warn!(
                "not all that HEMs sent is on disk; none of that was acknowledged, and they keep it"
            );
        }
        let left = self.scope.shutdown(remaining()).await;
        for arbiter in self.arbiters.drain(..) {
            arbiter.stop();
        }
        self.folder.remove_addresses();
        left
    }
}

fn open_registry(configuration: &Configuration) -> anyhow::Result<SqliteRegistry> {
    let path = configuration.web_db();
    SqliteRegistry::open(&path).with_context(|| {
        format!("the web store {} cannot be opened (web_store.url)", path.display())
    })
}

fn open_telemetry(configuration: &Configuration) -> anyhow::Result<Arc<dyn TelemetryStore>> {
    let path = configuration.iot_db();
    let options = SqliteOptions {
        chunk_readings: configuration.historian.chunk_entries,
        ..SqliteOptions::default()
    };
    let store = SqliteTelemetry::open(Location::new(&path), options).with_context(|| {
        format!("the iot store {} cannot be opened (iot_store.url)", path.display())
    })?;
    let rate = configuration.historian.throttle_entries_per_second;
    if rate == 0 {
        return Ok(Arc::new(store));
    }
    log::warn!(
        "the iot store is slowed to {rate} entries a second (historian.throttle_entries_per_second)"
    );
    Ok(Arc::new(ThrottledStore::new(store, u64::from(rate))))
}

/// The TLS files; made where that harms nobody: the folder has none, and no HEM trusts others yet.
fn keys_for(configuration: &Configuration, registry: &dyn Registry) -> anyhow::Result<TlsFiles> {
    let folder = &configuration.keys.dir;
    if keys::is_empty(folder) {
        if !registry.hems(None, &PageRequest::first(1))?.items.is_empty() {
            anyhow::bail!(
                "{} has no keys, and HEMs are registered that trust others; put those keys there, set keys.dir, \
                 or make new ones with `memcloud keys` and give HEMs the new ca-cert.pem",
                folder.display()
            );
        }
        let made = keys::make(folder, &configuration.keys.names)?;
        log::info!(
            "made TLS keys in {}; clients trust {}",
            folder.display(),
            made.ca_certificate.display()
        );
    }
    let files = keys::Made::at(folder);
    Ok(TlsFiles {
        certificate: files.certificate,
        private_key: files.private_key,
        client_ca: configuration.hem.client_ca.clone(),
    })
}

/// Days are in their microgrid's time zone from the first roll-up on.
async fn set_time_zones(
    scope: &Scope,
    registry: &Arc<dyn Registry>,
    store: &Arc<dyn TelemetryStore>,
) -> anyhow::Result<()> {
    let (registry, store) = (Arc::clone(registry), Arc::clone(store));
    scope
        .offload(move || -> anyhow::Result<()> {
            let mut page = PageRequest::first(PageRequest::MAX_LIMIT);
            loop {
                let Listing { items, next } = registry.microgrids(&page)?;
                for microgrid in items {
                    let zone = microgrid.time_zone.parse().unwrap_or(chrono_tz::UTC);
                    store.set_time_zone(&microgrid.id, zone)?;
                }
                let Some(next) = next else { return Ok(()) };
                page.after = Some(next);
            }
        })
        .await?
}

fn start_registrar(
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

fn start_historian(
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

fn start_maintenance(
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

fn start_status(
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

fn operator(
    configuration: &Configuration,
    bus: &CloudBus,
    registrar: &Child<Registrar>,
    historian: &Child<Historian>,
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
                place: None,
                open_commands: None,
                events: Some(historian.port()),
            },
            with_jobs: registrar.port(),
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

fn hem_config(configuration: &Configuration, tls: TlsFiles) -> HemConfig {
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
        retention_raw: configuration.retention.raw,
        ..HemConfig::new(hem.bind, tls)
    }
}

fn historian_health(port: Port<GetHealth>) -> HealthProbe {
    Arc::new(move || {
        let port = port.clone();
        Box::pin(async move {
            match port.ask(GetHealth, HEALTH_DEADLINE).await {
                Ok(health) => {
                    health.away.into_iter().map(|away| shown(away.what, away.reason)).collect()
                }
                Err(error) => vec![shown("historian", error.to_string())],
            }
        })
    })
}

fn registrar_health(port: Port<memcloud_registry::GetHealth>) -> HealthProbe {
    Arc::new(move || {
        let port = port.clone();
        Box::pin(async move {
            match port.ask(memcloud_registry::GetHealth, HEALTH_DEADLINE).await {
                Ok(Ok(())) => Vec::new(),
                Ok(Err(away)) => vec![shown(away.what, away.reason)],
                Err(error) => vec![shown("registrar", error.to_string())],
            }
        })
    })
}

fn shown(what: &str, reason: String) -> Away {
    Away { what: what.to_owned(), reason }
}

/// A socket is a file: as many as the hard limit allows.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        log::warn!("the limit of open files stays as it is: {error}");
    }
}
