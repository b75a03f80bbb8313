//! A fleet of emulated HEMs in one process: each a home, a queue and a connection of its own.
//!
//! Needs a tokio runtime and nothing else, so it runs in the emulator's own process as well as
//! inside `memcloud demo`.

mod emulated_hem;
mod listener;
mod scribe;
mod state;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use memcloud_domain::{HemId, Secret};
use memcloud_sdk::hem::{
    Credential, HemClient, HemConfig, HemDriver, Keep, SyncPolicy, TlsTransport,
};
use rustls::ClientConfig;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::emulated_hem::{EmulatedHem, Parts};
use self::listener::Listener;
use self::scribe::Scribe;
pub use self::scribe::record_path;
use self::state::{HomeFile, home_path, queue_path};
use crate::clock::Clock;
use crate::misbehaviour::{Misbehaviour, Mischief};
use crate::{Dataset, EmulatorError, Home, HomeProfile};

/// How many homes answer energy apps at home.
const MOST_LOCAL_APIS: usize = 100;

/// The part of the past to fill in before a home goes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backfill {
    /// How far back, at most. A home that was here before goes on from its last reading.
    pub span: Duration,
    /// The time between two readings.
    pub every: Duration,
}

impl Backfill {
    /// The past week at one reading per minute.
    #[must_use]
    pub fn week() -> Self {
        Self { span: Duration::from_secs(7 * 86_400), every: Duration::from_secs(60) }
    }
}

/// What the fleet is and how it behaves.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// The cloud, `host:port`.
    pub address: String,
    /// Whom to trust; see [`memcloud_sdk::hem::trust`].
    pub tls: Arc<ClientConfig>,
    /// How many homes.
    pub homes: usize,
    /// The year that they live.
    pub dataset: Arc<Dataset>,
    /// Decides the generated homes and everything between two recorded hours.
    pub seed: u64,
    /// HEMs with their device keys; home *i* takes the *i*th.
    pub keys: Vec<(HemId, Secret)>,
    /// An enrolment token for the homes that have no key yet.
    pub enrol: Option<Secret>,
    /// The ids of homes without a given key begin with this: `home` makes `home-1`, `home-2`, …
    pub prefix: String,
    /// Where each HEM keeps its key, its queue and its home; without it all that is lost at the end.
    pub state: Option<PathBuf>,
    /// The time between two readings.
    pub interval: Duration,
    /// What to fill in first.
    pub backfill: Option<Backfill>,
    /// Home *i* answers energy apps on UDP 127.0.0.1, this port + *i*; 0: none does.
    pub api_port: u16,
    /// How many HEMs connect per second at the start.
    pub connects_per_second: u32,
    /// How the homes misbehave.
    pub misbehaviour: Misbehaviour,
    /// How single homes misbehave instead.
    pub misbehaviour_of: BTreeMap<HemId, Misbehaviour>,
    /// Where each home records the commands that it carried out, for an audit; see [`record_path`].
    pub record: Option<PathBuf>,
}

impl FleetConfig {
    /// The five real homes at a reading per second, in memory, without a local interface.
    #[must_use]
    pub fn new(address: &str, tls: Arc<ClientConfig>, dataset: Arc<Dataset>) -> Self {
        Self {
            address: address.to_owned(),
            tls,
            homes: dataset.home_count(),
            dataset,
            seed: 1,
            keys: Vec::new(),
            enrol: None,
            prefix: "home".to_owned(),
            state: None,
            interval: Duration::from_secs(1),
            backfill: None,
            api_port: 0,
            connects_per_second: 200,
            misbehaviour: Misbehaviour::default(),
            misbehaviour_of: BTreeMap::new(),
            record: None,
        }
    }
}

/// How the fleet fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetProgress {
    /// How many homes there are.
    pub homes: usize,
    /// How many are connected.
    pub online: usize,
    /// Readings and events recorded.
    pub recorded: u64,
    /// Readings and events that the cloud has on disk.
    pub acknowledged: u64,
    /// Readings and events that it refused by name.
    pub refused: u64,
    /// Readings and events waiting at the homes.
    pub held: u64,
    /// Readings that a queue did not take.
    pub skipped: u64,
    /// Commands carried out.
    pub carried_out: u64,
    /// While the past is being filled in: how much of it is on disk, and how much there is.
    pub backfill: Option<(u64, u64)>,
    /// Connections that ended, by the fatal code that was said, or `lost`.
    pub disconnects: BTreeMap<String, u64>,
}

/// What is counted across the fleet.
#[derive(Debug, Default)]
struct Tally {
    skipped: AtomicU64,
    carried_out: AtomicU64,
    disconnects: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    /// Counts a reading that was not taken; true for the first, which is worth a line in the log.
    fn count_skipped(&self) -> bool {
        self.skipped.fetch_add(1, Ordering::Relaxed) == 0
    }
}

/// A running fleet.
pub struct Fleet {
    hems: Vec<Arc<EmulatedHem>>,
    tally: Arc<Tally>,
    stopped: watch::Sender<bool>,
    homes_at_work: JoinSet<()>,
    connections: JoinSet<()>,
    scribe: Option<Scribe>,
}

impl Fleet {
    /// Starts a fleet on tokio's current runtime.
    ///
    /// # Errors
    /// [`EmulatorError`] where an id, the address or a file cannot be used. Not where the cloud is
    /// away: the HEMs try until it is there.
    pub async fn start(config: FleetConfig, clock: Clock) -> Result<Self, EmulatorError> {
        let ids = ids(&config)?;
        if let Some(unknown) = config.misbehaviour_of.keys().find(|id| !ids.contains(id)) {
            return Err(EmulatorError::Option(format!(
                "there is no home {unknown} to misbehave; there are {} homes",
                ids.len()
            )));
        }
        if let Some(folder) = &config.state {
            make_private_folder(folder)?;
        }
        let transport =
            TlsTransport::new(&config.address, config.tls.clone()).map_err(|error| {
                EmulatorError::Option(format!("cannot connect to {}: {error}", config.address))
            })?;
        let (stopped, _) = watch::channel(false);
        let scribe = if config.state.is_some() || config.record.is_some() {
            let (scribe, work) = Scribe::new(config.record.clone())?;
            tokio::spawn(work);
            Some(scribe)
        } else {
            None
        };
        let mut fleet = Self {
            scribe,
            hems: Vec::with_capacity(config.homes),
            tally: Arc::default(),
            stopped,
            homes_at_work: JoinSet::new(),
            connections: JoinSet::new(),
        };
        for (index, id) in ids.into_iter().enumerate() {
            let (hem, driver) = fleet.make_hem(&config, index, id, &transport, &clock)?;
            fleet.set_to_work(&config, index, hem, driver).await;
        }
        Ok(fleet)
    }

    fn make_hem(
        &self,
        config: &FleetConfig,
        index: usize,
        id: HemId,
        transport: &TlsTransport,
        clock: &Clock,
    ) -> Result<(Arc<EmulatedHem>, HemDriver), EmulatorError> {
        let profile = HomeProfile::new(config.dataset.clone(), index, config.seed);
        let given_key = config.keys.get(index).map(|(_, key)| key.clone());
        let credential = match (given_key, &config.enrol) {
            (Some(key), _) => Credential::Key(key),
            (None, Some(token)) => Credential::Enrol(token.clone()),
            // Enrolled before: the key is in the state folder. Else the cloud turns it away by name.
            (None, None) => Credential::Enrol(Secret::new("")),
        };
        let file = config.state.as_deref().map(|folder| home_path(folder, &id));
        let kept = file.as_deref().map(HomeFile::read).transpose()?.flatten();
        let misbehaviour = config.misbehaviour_of.get(&id).copied().unwrap_or(config.misbehaviour);
        let last_reading = kept.as_ref().and_then(|kept| kept.last_reading);
        let home = match kept {
            Some(kept) => Home::resume(profile, kept.home),
            None => {
                let back = config.backfill.map_or(Duration::ZERO, |backfill| backfill.span);
                Home::new(profile, clock().minus(back))
            }
        };
        let home = home.with_battery_drift(misbehaviour.drift);
        let keep = match &config.state {
            Some(folder) => Keep::Disk { path: queue_path(folder, &id), sync: SyncPolicy::Lazy },
            None => Keep::Memory,
        };
        let hem_config = HemConfig {
            firmware: Some(concat!("memcloud-emulator ", env!("CARGO_PKG_VERSION")).to_owned()),
            nodes: Some(home.declarations()),
            keep,
            ..HemConfig::new(id.clone(), credential)
        };
        let its_home = Arc::new(OnceLock::new());
        let listener =
            Listener { id: id.clone(), tally: self.tally.clone(), hem: its_home.clone() };
        let (client, driver) =
            HemClient::new(hem_config, transport.clone(), listener).map_err(|error| {
                EmulatorError::Client { hem: id.to_string(), problem: error.to_string() }
            })?;
        let hem = Arc::new(EmulatedHem::new(Parts {
            id,
            client,
            home,
            last_reading,
            file,
            clock: clock.clone(),
            tally: self.tally.clone(),
            scribe: self.scribe.clone(),
            mischief: Mischief::new(misbehaviour, config.seed, index),
        }));
        // Nobody else sets it.
        let _ = its_home.set(Arc::downgrade(&hem));
        Ok((hem, driver))
    }

    async fn set_to_work(
        &mut self,
        config: &FleetConfig,
        index: usize,
        hem: Arc<EmulatedHem>,
        driver: HemDriver,
    ) {
        let place = u32::try_from(index).unwrap_or(u32::MAX);
        let delay = Duration::from_secs(1) / config.connects_per_second.max(1) * place;
        self.connections.spawn(async move {
            tokio::time::sleep(delay).await;
            driver.run().await;
        });
        // Spread over the interval, so that thousands of homes do not speak at the same moment.
        let homes = u32::try_from(config.homes.max(1)).unwrap_or(u32::MAX);
        let phase = config.interval / homes * place;
        let stopped = self.stopped.subscribe();
        self.homes_at_work.spawn(hem.clone().run(config.interval, phase, config.backfill, stopped));
        if let Some(port) = api_port(config, index) {
            match UdpSocket::bind(("127.0.0.1", port)).await {
                Ok(socket) => {
                    let stopped = self.stopped.subscribe();
                    self.homes_at_work.spawn(serve_locally(hem.clone(), socket, stopped));
                }
                Err(error) => log::warn!(hem = hem.id.as_str(), port = port;
                    "no energy apps at this home: UDP port {port} cannot be used: {error}"),
            }
        }
        self.hems.push(hem);
    }

    /// How it fares now.
    #[must_use]
    pub fn progress(&self) -> FleetProgress {
        let disconnects = self.tally.disconnects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut progress = FleetProgress {
            homes: self.hems.len(),
            skipped: self.tally.skipped.load(Ordering::Relaxed),
            carried_out: self.tally.carried_out.load(Ordering::Relaxed),
            disconnects: disconnects.clone(),
            ..FleetProgress::default()
        };
        let (mut done, mut all) = (0, 0);
        for hem in &self.hems {
            let counters = hem.client.counters();
            progress.online += usize::from(hem.client.is_online());
            progress.recorded += counters.recorded;
            progress.acknowledged += counters.acknowledged;
            progress.refused += counters.refused;
            progress.held += counters.held;
            let (filled_in, to_fill_in) = hem.filled_in();
            done += filled_in;
            all += to_fill_in;
        }
        progress.backfill = Some((done, all)).filter(|(done, all)| done < all);
        progress
    }

    /// Drops every connection and connects again at once, as after a power cut at the cloud.
    pub fn reconnect_all(&self) {
        for hem in &self.hems {
            hem.client.reconnect();
        }
    }

    /// Stops: no more readings, what waits is given a moment to leave, every home is kept.
    pub async fn stop(mut self, grace: Duration) {
        self.stopped.send_replace(true);
        while self.homes_at_work.join_next().await.is_some() {}
        let all_drained = async {
            for hem in &self.hems {
                hem.client.drained().await;
            }
        };
        // What is not acknowledged by then stays in the queue's file and is sent next time.
        let _ = tokio::time::timeout(grace, all_drained).await;
        for hem in &self.hems {
            hem.client.stop();
        }
        let all_closed = async { while self.connections.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(1), all_closed).await.is_err() {
            self.connections.abort_all();
        }
    }
}

async fn serve_locally(
    hem: Arc<EmulatedHem>,
    socket: UdpSocket,
    mut stopped: watch::Receiver<bool>,
) {
    let mut datagram = [0_u8; 512];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut datagram) => received,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        // An error here is the echo of an answer that nobody waited for.
        let Ok((length, peer)) = received else { continue };
        let answer = hem.answer_locally(datagram.get(..length).unwrap_or_default()).await;
        if let Err(error) = socket.send_to(answer.as_bytes(), peer).await {
            log::debug!(hem = hem.id.as_str(); "a local answer did not leave: {error}");
        }
    }
}

fn api_port(config: &FleetConfig, index: usize) -> Option<u16> {
    if config.api_port == 0 || index >= MOST_LOCAL_APIS {
        return None;
    }
    config.api_port.checked_add(u16::try_from(index).ok()?)
}

/// The ids of the homes: those that have keys, then the generated ones.
fn ids(config: &FleetConfig) -> Result<Vec<HemId>, EmulatorError> {
    let generated = |index: usize| {
        let text = format!("{}-{}", config.prefix, index + 1);
        HemId::new(&text).map_err(|invalid| EmulatorError::Option(invalid.to_string()))
    };
    (0..config.homes)
        .map(|index| match config.keys.get(index) {
            Some((id, _)) => Ok(id.clone()),
            None => generated(index),
        })
        .collect()
}

fn make_private_folder(folder: &Path) -> Result<(), EmulatorError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(EmulatorError::file("create", folder))
}
