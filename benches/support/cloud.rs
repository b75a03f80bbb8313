//! A `memcloud serve` of a bench's own: a process, in a folder, on free ports.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use memcloud_domain::{Access, HemId, MicrogridId, Role};
use memcloud_registry::{
    Clerk, CreateApiToken, CreateMicrogrid, NewMicrogrid, Randomness, RegisterHem, SqlRegistry,
};
use memcloud_supervision::Clock;

use super::wait_for;

/// HEMs of a bench live in microgrids of so many homes.
const HOMES_PER_MICROGRID: usize = 25;

/// A running cloud; killed when dropped.
pub(crate) struct Cloud {
    process: Child,
    folder: PathBuf,
    /// Where REST is.
    pub(crate) http: SocketAddr,
    /// Where HEMs connect.
    pub(crate) hem: SocketAddr,
    /// An operator's token.
    pub(crate) token: String,
}

/// Makes TLS keys in a folder: servers use them, and load trusts their authority.
pub(crate) fn make_keys(folder: &Path) -> anyhow::Result<()> {
    memcloud::keys::make(folder, &[]).map(drop).context("no TLS keys could be made")
}

/// The authority in a folder of keys.
pub(crate) fn authority(keys: &Path) -> PathBuf {
    keys.join("ca-cert.pem")
}

/// Registers so many HEMs, and a token for REST; writes the HEMs' keys to a file, an id and a key on
/// each line. The token is the answer.
fn register(data: &Path, hems: usize, keys_file: &Path) -> anyhow::Result<String> {
    std::fs::create_dir_all(data)?;
    let registry = SqlRegistry::open(data.join("web.db"))?;
    let clerk = Clerk::new(Arc::new(registry), Clock::system(), Randomness::system());
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(keys_file)?;
    let mut text = String::new();
    for index in 0..hems {
        let microgrid = MicrogridId::new(&format!("village-{}", index / HOMES_PER_MICROGRID + 1))?;
        if index % HOMES_PER_MICROGRID == 0 {
            clerk.carry_out(CreateMicrogrid(NewMicrogrid {
                id: microgrid.clone(),
                name: microgrid.to_string(),
                time_zone: None,
                limits: memcloud_domain::PowerLimits::default(),
            }))?;
        }
        let id = HemId::new(&format!("home-{}", index + 1))?;
        let issued = clerk.carry_out(RegisterHem { id: id.clone(), microgrid, name: None })?;
        text.push_str(&format!("{id} {}\n", issued.key.expose()));
    }
    file.write_all(text.as_bytes())?;
    let access = Access { role: Role::Operator, microgrid: None };
    let issued = clerk.carry_out(CreateApiToken { name: "bench".to_owned(), access })?;
    Ok(issued.secret.expose().to_owned())
}

impl Cloud {
    /// Starts one in a folder with so many registered HEMs, whose keys are then in `hem-keys.txt`
    /// there. Settings are names as in `config/default.toml`, with their values.
    pub(crate) fn start(
        folder: &Path,
        keys: &Path,
        hems: usize,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let token = register(&folder.join("data"), hems, &hem_keys(folder))?;
        let addresses = folder.join("data/addresses.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_memcloud"));
        command
            .arg("serve")
            .current_dir(folder)
            .env("MEMCLOUD_HTTP__BIND", "127.0.0.1:0")
            .env("MEMCLOUD_HEM__BIND", "127.0.0.1:0")
            .env("MEMCLOUD_KEYS__DIR", keys)
            .env("MEMCLOUD_LOG__FILE", folder.join("memcloud.log"))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        for (name, value) in settings {
            command.env(format!("MEMCLOUD_{}", name.to_uppercase().replace('.', "__")), value);
        }
        let mut process = command.spawn().context("memcloud serve does not start")?;
        let text = wait_for("memcloud serve listens", Duration::from_secs(30), || {
            if let Some(status) = process.try_wait()? {
                let log = std::fs::read_to_string(folder.join("memcloud.log")).unwrap_or_default();
                anyhow::bail!("memcloud serve ended ({status}): {log}");
            }
            Ok(std::fs::read_to_string(&addresses).ok())
        })?;
        let found: serde_json::Value = serde_json::from_str(&text)?;
        let address = |name: &str| -> anyhow::Result<SocketAddr> {
            let text = found.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
            text.parse().with_context(|| format!("addresses.json names no {name}: {found}"))
        };
        let (http, hem) = (address("http")?, address("hem")?);
        Ok(Self { process, folder: folder.to_owned(), http, hem, token })
    }

    /// So many further tokens of an operator, made beside the running server: how much one token may
    /// write is limited.
    pub(crate) fn tokens(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let registry = SqlRegistry::open(self.folder.join("data/web.db"))?;
        let clerk = Clerk::new(Arc::new(registry), Clock::system(), Randomness::system());
        let access = Access { role: Role::Operator, microgrid: None };
        let make = |number| -> anyhow::Result<String> {
            let name = format!("caller-{number}");
            let issued = clerk.carry_out(CreateApiToken { name, access: access.clone() })?;
            Ok(issued.secret.expose().to_owned())
        };
        (0..count).map(make).collect()
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its telemetry.
    pub(crate) fn iot_db(&self) -> PathBuf {
        self.folder.join("data/iot.db")
    }

    /// What it has logged as a warning or an error.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.join("memcloud.log")).unwrap_or_default();
        let complains = |line: &&str| line.contains("WARN") || line.contains("ERROR");
        log.lines().filter(complains).map(str::to_owned).collect()
    }

    /// Stops it in good order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.process.id())?);
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM)?;
        wait_for("memcloud serve ends after SIGTERM", Duration::from_secs(30), || {
            Ok(self.process.try_wait()?)
        })?;
        Ok(())
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where the HEMs' keys are.
pub(crate) fn hem_keys(folder: &Path) -> PathBuf {
    folder.join("hem-keys.txt")
}
