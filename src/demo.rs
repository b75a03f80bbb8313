//! The demo: a cloud, a fleet of emulated homes that reach it over TLS like any others, energy apps
//! that watch and steer them, and what a person sees of it. Started again on the same folder it goes
//! on where it was.

mod apps;
mod findings;
mod sampler;
mod steering_sampler;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use memcloud_domain::{Access, MicrogridId, PowerLimits, Role, Secret, Timestamp};
use memcloud_emulator::{Backfill, Dataset, Fleet, FleetConfig};
use memcloud_registry::{
    Clerk, CreateApiToken, CreateEnrolmentToken, CreateMicrogrid, GetMicrogrid, ListApiTokens,
    NewMicrogrid, PageRequest, RegistryError, RevokeApiToken,
};
use memcloud_supervision::Clock;
use tokio::sync::watch;

use self::sampler::Sampler;
use crate::cloud::Cloud;
use crate::config::Configuration;
use crate::demo_view::{Addresses, DemoSnapshot};
use crate::keys;

/// The microgrid of the demo.
const MICROGRID: &str = "fontana";
/// The name of its token; an earlier one of this name is revoked.
const TOKEN_NAME: &str = "demo";
/// How often the picture changes.
const BEAT: Duration = Duration::from_secs(1);

/// What the demo is made of.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// How many homes; absent: as many as the data has.
    pub hems: Option<usize>,
    /// A recorded year; absent: Fontana.
    pub data: Option<PathBuf>,
    /// The first port of the homes' local energy-app interface; 0: none.
    pub api_port: u16,
}

/// The running demo.
pub struct Demo {
    cloud: Cloud,
    fleet: Option<Fleet>,
    sampler: Sampler,
    chosen: watch::Sender<Option<String>>,
}

impl Demo {
    /// Starts the cloud, prepares microgrid, apps and token, and starts the homes.
    ///
    /// # Errors
    /// When the data cannot be read, or the cloud or the fleet cannot start.
    pub async fn start(
        configuration: &Configuration,
        options: &DemoOptions,
    ) -> anyhow::Result<Self> {
        let dataset = match &options.data {
            Some(path) => Dataset::read(path),
            None => Dataset::fontana(),
        }?;
        let homes = options.hems.unwrap_or(dataset.home_count());
        anyhow::ensure!(homes > 0, "a demo needs a home: give --hems 1 or more");
        let microgrid = MicrogridId::new(MICROGRID)?;
        let configuration = with_free_ports(configuration)?;
        let cloud = Cloud::start(&configuration).await?;
        let clerk = cloud.clerk();
        prepare_microgrid(&clerk, &microgrid)?;
        apps::deploy(&clerk, &microgrid, homes)?;
        let token = new_token(&clerk)?;
        let enrol = clerk.carry_out(CreateEnrolmentToken {
            microgrid: microgrid.clone(),
            uses: Some(u32::try_from(homes).unwrap_or(u32::MAX)),
            expires: None,
        })?;
        let fleet =
            start_fleet(&configuration, &cloud, options, &dataset, homes, enrol.secret).await?;
        let addresses = shown_addresses(&configuration, &cloud, &token);
        let first = DemoSnapshot {
            addresses,
            messages: VecDeque::new(),
            ..DemoSnapshot::starting("Fontana", dataset.offset(), now(&cloud))
        };
        let (chosen, looked_at) = watch::channel(None);
        let sampler = Sampler::new(microgrid, &cloud, looked_at, first);
        Ok(Self { cloud, fleet: Some(fleet), sampler, chosen })
    }

    /// Where the view says which home the person looks at.
    #[must_use]
    pub fn chosen_home(&self) -> watch::Sender<Option<String>> {
        self.chosen.clone()
    }

    /// What there is to show at once.
    #[must_use]
    pub fn first_snapshot(&self) -> DemoSnapshot {
        self.sampler.snapshot().clone()
    }

    /// Keeps the picture true until the cloud gives up; answers why it did.
    pub async fn run(&mut self, snapshots: &watch::Sender<DemoSnapshot>) -> anyhow::Error {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                failure = self.cloud.failed() => return anyhow::anyhow!("the cloud gave up: {failure}"),
                _ = beat.tick() => {}
            }
            if let Some(fleet) = &self.fleet {
                self.sampler.sample(&fleet.progress()).await;
                // Nobody may be looking any more; the demo goes on until it is told to stop.
                let _ = snapshots.send(self.sampler.snapshot().clone());
            }
        }
    }

    /// Stops homes and cloud within a time, everything flushed; answers a farewell.
    pub async fn stop(mut self, within: Duration) -> String {
        let progress = self.fleet.as_ref().map(Fleet::progress).unwrap_or_default();
        if let Some(fleet) = self.fleet.take() {
            fleet.stop(within / 3).await;
        }
        let left = self.cloud.stop(within * 2 / 3).await;
        if !left.is_empty() {
            log::warn!("these did not stop in time and were left: {}", left.join(", "));
        }
        format!(
            "stopped; {} readings were acknowledged, and are on disk. `memcloud demo` goes on from here.",
            progress.acknowledged
        )
    }
}

fn now(cloud: &Cloud) -> Timestamp {
    Timestamp(cloud.scope().clock().unix_ms())
}

/// The configured ports if they are free; a demo beside something else takes free ones instead.
fn with_free_ports(configuration: &Configuration) -> anyhow::Result<Configuration> {
    let mut chosen = configuration.clone();
    for (key, address) in [("http.bind", &mut chosen.http.bind), ("hem.bind", &mut chosen.hem.bind)]
    {
        match std::net::TcpListener::bind(*address) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                log::warn!("{address} is taken; the demo uses a free port instead ({key})");
                address.set_port(0);
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("cannot listen on {address}; set {key} to an address of this machine")
                });
            }
        }
    }
    Ok(chosen)
}

fn prepare_microgrid(clerk: &Clerk, id: &MicrogridId) -> anyhow::Result<()> {
    match clerk.carry_out(GetMicrogrid { id: id.clone() }) {
        Ok(_) => Ok(()),
        Err(RegistryError::NotFound { .. }) => {
            clerk.carry_out(CreateMicrogrid(NewMicrogrid {
                id: id.clone(),
                name: "Fontana".to_owned(),
                time_zone: Some("America/Los_Angeles".to_owned()),
                limits: PowerLimits::default(),
            }))?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// A new admin's token; the one of an earlier run is revoked, as nobody wrote it down.
fn new_token(clerk: &Clerk) -> anyhow::Result<Secret> {
    let page = PageRequest::first(PageRequest::MAX_LIMIT);
    for token in clerk.carry_out(ListApiTokens { page })?.items {
        if token.name == TOKEN_NAME {
            clerk.carry_out(RevokeApiToken { id: token.id })?;
        }
    }
    let access = Access { role: Role::Admin, microgrid: None };
    Ok(clerk.carry_out(CreateApiToken { name: TOKEN_NAME.to_owned(), access })?.secret)
}

async fn start_fleet(
    configuration: &Configuration,
    cloud: &Cloud,
    options: &DemoOptions,
    dataset: &Arc<Dataset>,
    homes: usize,
    enrol: Secret,
) -> anyhow::Result<Fleet> {
    let ca = keys::Made::at(&configuration.keys.dir).ca_certificate;
    let tls = memcloud_sdk::hem::trust(&ca, None)?;
    let clock: Clock = cloud.scope().clock().clone();
    let config = FleetConfig {
        homes,
        enrol: Some(enrol),
        state: Some(configuration.data.dir.join("homes")),
        backfill: Some(Backfill::week()),
        api_port: options.api_port,
        ..FleetConfig::new(&cloud.addresses().hem.to_string(), tls, Arc::clone(dataset))
    };
    Ok(Fleet::start(config, Arc::new(move || Timestamp(clock.unix_ms()))).await?)
}

fn shown_addresses(configuration: &Configuration, cloud: &Cloud, token: &Secret) -> Addresses {
    let addresses = cloud.addresses();
    Addresses {
        rest: format!("http://{}/api/v1", addresses.http),
        docs: format!("http://{}/api/docs/", addresses.http),
        hem: addresses.hem.to_string(),
        ca_file: keys::Made::at(&configuration.keys.dir).ca_certificate.display().to_string(),
        admin_token: token.expose().to_owned(),
    }
}
