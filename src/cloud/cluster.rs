//! What a process of a cluster has beside: whoever makes it one, and whoever talks to the others. A cloud
//! whose bus or stores are its own has none of it.

use std::sync::Arc;

use anyhow::Context;
use memcloud_bus::CloudBus;
use memcloud_cluster::{
    Begin, ClusterConfig, ClusterMember, ClusterMetrics, CommandSender, MemberParts, MemberPorts,
    NotePorts, NotesFeed, NotesWriter, PresenceKeeper,
};
use memcloud_cmo::ChiefMicrogridOperator;
use memcloud_commands::CommandProcessor;
use memcloud_domain::ProcessId;
use memcloud_hem::HemUnit;
use memcloud_registry::{Followers, SqlRegistry};
use memcloud_status::StatusMonitor;
use memcloud_supervision::{Child, Scope};
use uuid::Uuid;

use crate::api::ClusterPorts;
use crate::config::Configuration;

/// One process of a cluster.
pub(super) struct Cluster {
    /// Its name, made anew whenever it starts.
    pub(super) process: ProcessId,
    /// Whoever makes it one.
    pub(super) member: Child<ClusterMember>,
    /// Whoever says who is connected here.
    pub(super) presence: Child<PresenceKeeper>,
    /// Whoever says what others should know.
    pub(super) writer: Child<NotesWriter>,
    /// What it counts.
    pub(super) metrics: Arc<ClusterMetrics>,
    ports: MemberPorts,
    bus: CloudBus,
}

/// Whom a process of a cluster tells what it hears.
pub(super) struct Neighbours<'a> {
    pub(super) hem: &'a HemUnit,
    pub(super) commands: &'a Child<CommandProcessor>,
    pub(super) status: &'a Child<StatusMonitor>,
    pub(super) cmo: &'a Child<ChiefMicrogridOperator>,
}

impl Cluster {
    /// Starts what the others need to know of; absent where there can be only one process. It takes no
    /// part before [`Cluster::begin`].
    pub(super) fn start(
        scope: &Scope,
        configuration: &Configuration,
        bus: &CloudBus,
        commands: &Child<CommandProcessor>,
    ) -> anyhow::Result<Option<Self>> {
        if !configuration.is_cluster() {
            return Ok(None);
        }
        let process = new_name().context("no name for this process")?;
        let address = configuration.web_store_address()?;
        // Of its own, so that a beat waits for nothing that others write.
        let store = SqlRegistry::open_at(&address)
            .with_context(|| format!("the web store {address} cannot be opened (web_store.url)"))?;
        let (ports, metrics) = (MemberPorts::default(), Arc::new(ClusterMetrics::default()));
        let parts = MemberParts {
            store: Arc::new(store),
            process: process.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ports: ports.clone(),
            metrics: Arc::clone(&metrics),
            config: ClusterConfig::default(),
        };
        log::info!(process = process.as_str(); "this process is one of a cluster");
        Ok(Some(Self {
            member: ClusterMember::start(scope, parts),
            presence: PresenceKeeper::start(scope, bus.clone()),
            writer: NotesWriter::start(scope, process.clone(), bus.clone(), commands.port()),
            process,
            metrics,
            ports,
            bus: bus.clone(),
        }))
    }

    /// What REST asks.
    pub(super) fn api_ports(&self) -> ClusterPorts {
        ClusterPorts::of(&self.member)
    }

    /// Ties it to everyone here, and listens to the other processes. Answers who takes commands to the
    /// HEMs, wherever they are.
    pub(super) fn tie(
        &self,
        scope: &Scope,
        followers: &Followers,
        neighbours: &Neighbours<'_>,
    ) -> Child<CommandSender> {
        let Neighbours { hem, commands, status, cmo } = neighbours;
        let sender = CommandSender::start(
            scope,
            self.process.clone(),
            self.bus.clone(),
            hem.send_commands(),
            Arc::clone(&self.metrics),
        );
        followers
            .cut_hem(self.writer.port())
            .hem_changed(self.writer.port())
            .hem_removed(self.writer.port())
            .microgrid_changed(self.writer.port())
            .microgrid_removed(self.writer.port())
            .job_changed(self.writer.port())
            .job_removed(self.writer.port());
        // The ledger is open before there is anyone who writes into it, and until nobody does.
        self.ports
            .taken(commands.port())
            .taken(cmo.port())
            .taken(self.writer.port())
            .leave(cmo.port())
            .leave(commands.port())
            .leave(self.writer.port())
            .live(commands.port())
            .live(status.port())
            .live(sender.port());
        let heard = NotePorts {
            connected: vec![
                commands.port(),
                status.port(),
                sender.port(),
                hem.welcomed_elsewhere(),
            ],
            disconnected: vec![commands.port(), status.port(), sender.port()],
            heard: vec![status.port()],
            latest: vec![status.port()],
            send: hem.send_commands(),
            answered: commands.port(),
            who_is_connected: self.presence.port(),
            cut_hem: hem.cut_hem(),
            hem_changed: vec![status.port(), commands.port(), cmo.port()],
            hem_removed: vec![status.port(), commands.port(), cmo.port()],
            microgrid_changed: vec![cmo.port()],
            microgrid_removed: vec![cmo.port()],
            job_changed: vec![cmo.port()],
            job_removed: vec![cmo.port()],
        };
        NotesFeed::start(scope, self.process.clone(), self.bus.clone(), heard);
        sender
    }

    /// Everything else is up: from now on this process takes its share.
    pub(super) fn begin(&self, address: String) {
        if self.member.tell(Begin { address }).is_err() {
            log::error!("this process does not become one of the cluster");
        }
    }
}

/// A name that no process had before.
fn new_name() -> anyhow::Result<ProcessId> {
    let mut name = Uuid::new_v4().simple().to_string();
    name.truncate(12);
    Ok(ProcessId::new(&format!("p-{name}"))?)
}
