//! Load for a cloud that is being measured: many HEMs that write straight to their sockets, without
//! the queue and the caution of a real one, so that little of the machine goes to them.

mod crowd;
mod encode;
mod histogram;
mod load;
mod session;

use std::collections::BTreeMap;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use memcloud_domain::{HemId, Secret};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio_rustls::TlsConnector;

pub use self::crowd::{IdleReport, ReconnectReport, idle, reconnect};
pub use self::histogram::Percentiles;
pub use self::load::{LoadOptions, LoadReport, Rate, Times, load};
use self::session::Target;
use crate::EmulatorError;
use crate::keyring::Keyring;

/// Whom the bench connects to, and as whom.
#[derive(Debug, Clone)]
pub struct BenchConfig {
    /// The cloud.
    pub host: String,
    /// Its port for HEMs.
    pub port: u16,
    /// Whom to trust.
    pub tls: Arc<ClientConfig>,
    /// How many HEMs.
    pub hems: usize,
    /// HEMs with their device keys; the first ones take them.
    pub keys: Vec<(HemId, Secret)>,
    /// An enrolment token with enough uses for the others.
    pub enrol: Option<Secret>,
    /// The ids of HEMs without a given key begin with this.
    pub prefix: String,
    /// Where keys that enrolment brought are kept for the next run.
    pub state: Option<PathBuf>,
    /// Decides the homes' detail.
    pub seed: u64,
}

/// What the HEMs of a bench share.
struct Bench {
    target: Target,
    enrol: Option<Secret>,
    keyring: Mutex<Keyring>,
    hems: Vec<HemId>,
}

impl Bench {
    fn open(config: &BenchConfig) -> Result<Self, EmulatorError> {
        raise_file_limit();
        let unknown = |problem: String| {
            EmulatorError::Option(format!("cannot connect to {}: {problem}", config.host))
        };
        let address = (config.host.as_str(), config.port)
            .to_socket_addrs()
            .map_err(|error| unknown(error.to_string()))?
            .next()
            .ok_or_else(|| unknown("the name has no address".to_owned()))?;
        let server_name = ServerName::try_from(config.host.clone())
            .map_err(|error| unknown(error.to_string()))?;
        let mut keyring = Keyring::open(config.state.as_deref())?;
        let mut hems = Vec::with_capacity(config.hems);
        for index in 0..config.hems {
            let id = match config.keys.get(index) {
                Some((id, key)) => {
                    keyring.know(id.clone(), key.clone());
                    id.clone()
                }
                None => HemId::new(&format!("{}-{}", config.prefix, index + 1))
                    .map_err(|invalid| EmulatorError::Option(invalid.to_string()))?,
            };
            hems.push(id);
        }
        let target =
            Target { address, server_name, connector: TlsConnector::from(config.tls.clone()) };
        Ok(Self { target, enrol: config.enrol.clone(), keyring: Mutex::new(keyring), hems })
    }

    fn key_of(&self, hem: &HemId) -> Option<Secret> {
        self.keyring.lock().unwrap_or_else(PoisonError::into_inner).get(hem).cloned()
    }

    fn keep_key(&self, hem: &HemId, key: Secret) {
        let mut keyring = self.keyring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = keyring.keep(hem.clone(), key) {
            log::error!(hem = hem.as_str(); "its key was not kept: {error}");
        }
    }
}

/// Errors by code, as a report shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Errors(pub BTreeMap<String, u64>);

impl Errors {
    fn count(&mut self, code: &str) {
        *self.0.entry(code.to_owned()).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        for (code, count) in &other.0 {
            *self.0.entry(code.clone()).or_default() += count;
        }
    }
}

/// Lets this process open as many sockets as it may.
pub fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        log::warn!("the limit of open files stays at {soft}: {error}");
    }
}

/// The processor time that this process has used.
fn processor_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let used = usage.user_time() + usage.system_time();
    Duration::from_micros(u64::try_from(used.num_microseconds()).unwrap_or(0))
}

/// Runs a task on a runtime of this thread alone.
///
/// # Errors
/// [`EmulatorError::Option`] where the system gives no runtime; else the task's own.
pub fn on_this_thread<T>(
    task: impl Future<Output = Result<T, EmulatorError>>,
) -> Result<T, EmulatorError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| EmulatorError::Option(format!("no runtime: {error}")))?
        .block_on(task)
}
