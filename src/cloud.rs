//! Starts the tree and hands out the ports: the one place that knows who answers whom. Embeddable:
//! a program with an actix system of its own starts a [`Cloud`] beside its own actors.

mod bus;
mod cluster;
mod data_folder;
mod health;
mod parts;
pub(crate) mod readings_feed;
mod stores;
mod zone_keeper;

use std::sync::Arc;
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle};
use memcloud_bus::Publisher;
use memcloud_bus::rabbitmq::RabbitMq;
use memcloud_cluster::StepDown;
use memcloud_cmo::ChiefMicrogridOperator;
use memcloud_hem::{HemConfig, HemPorts, HemUnit, StoreHealth};
use memcloud_historian::{FlushAndStop, Historian, HistorianMetrics};
use memcloud_registry::{Clerk, Followers, Randomness, Registry};
use memcloud_supervision::{Child, Clock, ExitReason, Scope};
use memcloud_worker::AppCatalogue;

use crate::api::{
    self, ApiServer, CommandPorts, DispatchPorts, Handles, HistorianPorts, RegistrarPorts,
    StatusPorts,
};
use crate::config::Configuration;
use crate::metrics::CloudCollector;

use self::bus::bus_for;
use self::cluster::{Cluster, Neighbours};
pub use self::data_folder::Addresses;
use self::data_folder::DataFolder;
use self::health::{bus_health, commands_health, historian_health, registrar_health};
use self::parts::{
    hem_config, operator, start_commands, start_historian, start_maintenance, start_registrar,
    start_status,
};
use self::readings_feed::ReadingsFeed;
use self::stores::{keys_for, open_registry, open_telemetry, set_time_zones};
use self::zone_keeper::ZoneKeeper;

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
    commands: CommandPorts,
    arbiters: Vec<Arbiter>,
    broker: Option<RabbitMq>,
    cluster: Option<Cluster>,
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

        let web_store = Arc::new(open_registry(configuration)?);
        let registry: Arc<dyn Registry> = web_store.clone();
        let tls = keys_for(configuration, registry.as_ref())?;
        let store = open_telemetry(scope, configuration).await?;
        set_time_zones(scope, &registry, &store).await?;

        let (bus, broker) = bus_for(configuration)?;
        let publisher = Publisher::start(scope, bus.clone());
        let followers = Followers::default();
        let registrar = start_registrar(scope, &registry, &followers);
        let metrics = Arc::new(HistorianMetrics::default());
        let historian = start_historian(scope, configuration, &store, &metrics, publisher.port());
        start_maintenance(scope, configuration, &store, &metrics);
        let (commands, command_ports, command_metrics) =
            start_commands(scope, configuration, web_store)?;
        let cluster = Cluster::start(scope, configuration, &bus, &commands)?;
        let zones = ZoneKeeper::start(scope, historian.port());
        followers.microgrid_changed(zones.port());

        let status = start_status(
            scope,
            configuration,
            historian.port(),
            registrar.port(),
            publisher.port(),
        );
        ReadingsFeed::start(scope, "status-feed", &bus, status.port());
        followers.hem_changed(status.port()).hem_removed(status.port());
        ReadingsFeed::start(scope, "commands-feed", &bus, commands.port());
        followers.hem_changed(commands.port()).hem_removed(commands.port());

        let mut operator = operator(
            configuration,
            &bus,
            &registrar,
            &historian,
            &commands,
            &publisher,
            apps.clone(),
        );
        operator.ports.needed = cluster.as_ref().map(|cluster| cluster.member.port());
        let dispatch_counts = Arc::clone(&operator.counts);
        let cmo = ChiefMicrogridOperator::start(scope, operator);
        followers
            .microgrid_changed(cmo.port())
            .microgrid_removed(cmo.port())
            .hem_changed(cmo.port())
            .hem_removed(cmo.port())
            .job_changed(cmo.port())
            .job_removed(cmo.port());
        command_ports
            .dispatch(cmo.port())
            .entries(historian.port())
            .roster(registrar.port())
            .changed(cmo.port())
            .changed(publisher.port());

        let arbiters: Vec<Arbiter> =
            (0..configuration.hem.workers).map(|_| Arbiter::new()).collect();
        let (kept_up, clock) = (Arc::clone(&metrics), scope.clock().clone());
        let mut connected = vec![commands.port(), publisher.port(), status.port()];
        let mut disconnected = vec![commands.port(), publisher.port(), status.port()];
        if let Some(cluster) = &cluster {
            connected.push(cluster.presence.port());
            disconnected.push(cluster.presence.port());
        }
        let process = cluster.as_ref().map(|cluster| cluster.process.clone());
        let answered = match &cluster {
            Some(cluster) => cluster.writer.port(),
            None => commands.port(),
        };
        let hem = HemUnit::start(
            scope,
            HemConfig { process: process.clone(), ..hem_config(configuration, tls) },
            HemPorts {
                authenticate: registrar.port(),
                open_session: historian.port(),
                store_entries: historian.port(),
                close_session: historian.port(),
                store_health: StoreHealth::new(move || kept_up.keeps_up(clock.instant())),
                answered,
                connected,
                disconnected,
                heard: vec![publisher.port(), status.port()],
                latest: vec![publisher.port(), status.port()],
            },
            arbiters.iter().map(Arbiter::handle).collect::<Vec<ArbiterHandle>>(),
        )?;
        followers.cut_hem(hem.cut_hem());
        match &cluster {
            Some(cluster) => {
                let neighbours =
                    Neighbours { hem: &hem, commands: &commands, status: &status, cmo: &cmo };
                let sender = cluster.tie(scope, &followers, &neighbours);
                command_ports.send(sender.port());
            }
            None => drop(command_ports.send(hem.send_commands())),
        }

        let collected = prometheus::Registry::new();
        collected.register(Box::new(CloudCollector::new(
            hem.metrics(),
            Arc::clone(&metrics),
            command_metrics,
            dispatch_counts,
            cluster.as_ref().map(|cluster| Arc::clone(&cluster.metrics)),
            bus.clone(),
        )))?;
        #[cfg(target_os = "linux")]
        collected
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let status_ports = StatusPorts::of(&status);
        let registrar_ports = RegistrarPorts::of(&registrar);
        let asked_of_commands = CommandPorts::of(&commands);
        let api = api::serve(
            Handles {
                clock: scope.clock().clone(),
                scope: scope.clone(),
                tree: scope.tree(),
                registrar: registrar_ports.clone(),
                historian: HistorianPorts::of(&historian),
                status: status_ports.clone(),
                commands: asked_of_commands.clone(),
                dispatch: DispatchPorts::of(&cmo),
                cluster: cluster.as_ref().map(Cluster::api_ports),
                process,
                apps,
                health: vec![
                    bus_health(bus.clone()),
                    historian_health(historian.port()),
                    registrar_health(registrar.port()),
                    commands_health(commands.port()),
                ],
                bus,
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
        if let Some(cluster) = &cluster {
            cluster.begin(configuration.advertised(addresses.http)?);
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
            commands: asked_of_commands,
            arbiters,
            broker,
            cluster,
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

    /// What may be asked of the `CommandProcessor`.
    #[must_use]
    pub fn commands(&self) -> &CommandPorts {
        &self.commands
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
        if let Some(cluster) = &self.cluster {
            // Nothing of its microgrids goes on here: others take them at once.
            let _ = cluster.member.ask(StepDown, remaining()).await;
        }
        let left = self.scope.shutdown(remaining()).await;
        // After everyone who publishes: their last words are heard by other processes.
        if let Some(broker) = &self.broker {
            broker.stop(remaining()).await;
        }
        for arbiter in self.arbiters.drain(..) {
            arbiter.stop();
        }
        self.folder.remove_addresses();
        left
    }
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
