//! What the cloud is told: the compiled-in `config/default.toml`, then a file, then the environment.
//!
//! Everything is checked before anything starts. A wrong key or value is refused with its path and
//! the reason; relative paths are made absolute against the working directory.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, Environment, File, FileFormat};
use memcloud_bus::rabbitmq;
use serde::Deserialize;

mod engines;

use self::engines::without_password;
pub use self::engines::{Engine, IotPlace};

/// The commented defaults: the reference of all keys.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

const PREFIX: &str = "MEMCLOUD_";
/// What a demo has otherwise. `@data` at the beginning of a path is the data folder.
const DEMO: &str = r#"
data.dir = "data/demo"
keys.dir = "@data/keys"
log.file = "@data/memcloud.log"
hem.max_rate = 10000
"#;
const LISTS: [&str; 2] = ["keys.names", "http.allowed_origins"];

/// Why the configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The file of `--config` cannot be read.
    #[error("the configuration file {} cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A key that does not exist, or a value that cannot be.
    #[error("the setting `{key}` is wrong: {reason}")]
    Setting {
        /// Its path, e.g. `hem.bind`.
        key: String,
        /// Why.
        reason: String,
    },
}

fn wrong(key: &str, reason: impl Into<String>) -> ConfigurationError {
    ConfigurationError::Setting { key: key.into(), reason: reason.into() }
}

fn span<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!(
            "\"{text}\" is not a duration ({error}); write e.g. \"250ms\", \"10s\", \"5m\" or \"90d\""
        ))
    })
}

fn optional_address<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        serde::de::Error::custom(format!(
            "\"{text}\" is not an address with a port, e.g. \"127.0.0.1:9090\""
        ))
    })
}

fn optional_path<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key, and is the reference")]
pub struct Configuration {
    pub data: Data,
    pub keys: Keys,
    pub http: Http,
    pub hem: Hem,
    pub historian: Historian,
    pub commands: Commands,
    pub retention: Retention,
    pub status: Status,
    pub jobs: Jobs,
    pub web_store: Engine,
    pub iot_store: Engine,
    pub bus: Engine,
    pub log: Log,
}

macro_rules! section {
    ($name:ident { $($body:tt)* }) => {
        #[doc = concat!("The section `", stringify!($name), "`; see `config/default.toml`.")]
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "config/default.toml documents every key, and is the reference")]
        pub struct $name { $($body)* }
    };
}

section!(Data { pub dir: PathBuf });
section!(Keys { pub dir: PathBuf, pub names: Vec<String> });
section!(Http {
    pub bind: SocketAddr,
    #[serde(deserialize_with = "optional_address")]
    pub admin_bind: Option<SocketAddr>,
    pub advertise: String,
    pub workers: usize,
    pub max_body: usize,
    pub max_connections: usize,
    pub max_live: usize,
    pub live_queue: usize,
    pub live_history: usize,
    pub max_writes: u32,
    pub max_job_requests: u32,
    pub max_waiting: usize,
    pub allowed_origins: Vec<String>,
});
section!(Hem {
    pub bind: SocketAddr,
    pub workers: usize,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub max_handshakes: usize,
    #[serde(deserialize_with = "span")]
    pub handshake_timeout: Duration,
    #[serde(deserialize_with = "span")]
    pub hello_timeout: Duration,
    #[serde(deserialize_with = "span")]
    pub heartbeat: Duration,
    pub max_in_flight: u32,
    pub max_batch: usize,
    pub max_frame: usize,
    pub max_buffered_bytes: usize,
    pub max_rate: u32,
    #[serde(deserialize_with = "span")]
    pub read_pause: Duration,
    pub max_gap: u64,
    #[serde(deserialize_with = "span")]
    pub ack_timeout: Duration,
    #[serde(deserialize_with = "span")]
    pub write_timeout: Duration,
    #[serde(deserialize_with = "optional_path")]
    pub client_ca: Option<PathBuf>,
    pub proxy_protocol: bool,
});
section!(Historian {
    pub commit_entries: usize,
    pub commit_target: usize,
    #[serde(deserialize_with = "span")]
    pub commit_delay: Duration,
    pub chunk_entries: usize,
    #[serde(deserialize_with = "span")]
    pub maintenance_interval: Duration,
    pub throttle_entries_per_second: u32,
});
section!(Commands {
    #[serde(deserialize_with = "span")]
    pub result_timeout: Duration,
    #[serde(deserialize_with = "span")]
    pub effect_window: Duration,
    #[serde(deserialize_with = "span")]
    pub expires: Duration,
    #[serde(deserialize_with = "span")]
    pub lease: Duration,
    pub open_per_hem: usize,
    pub fleet_watts_per_minute: u32,
});
section!(Retention {
    #[serde(deserialize_with = "span")]
    pub raw: Duration,
    #[serde(deserialize_with = "span")]
    pub minute: Duration,
    #[serde(deserialize_with = "span")]
    pub commands: Duration,
});
section!(Status {
    #[serde(deserialize_with = "span")]
    pub active_window: Duration,
});
section!(Jobs {
    #[serde(deserialize_with = "span")]
    pub checkpoint_interval: Duration,
    #[serde(deserialize_with = "span")]
    pub catch_up_interval: Duration,
    #[serde(deserialize_with = "span")]
    pub step_timeout: Duration,
});

section!(Log {
    pub level: String,
    #[serde(deserialize_with = "optional_path")]
    pub file: Option<PathBuf>,
});

impl Log {
    // Else env_logger takes a misspelt level for a module's name, and logs nothing.
    fn check(&self) -> Result<(), ConfigurationError> {
        let filters =
            self.level.split_once('/').map_or(self.level.as_str(), |(filters, _)| filters);
        for filter in filters.split(',').map(str::trim).filter(|filter| !filter.is_empty()) {
            let level = filter.rsplit_once('=').map_or(filter, |(_, level)| level);
            if level.trim().parse::<log::LevelFilter>().is_err() {
                return Err(wrong(
                    "log.level",
                    format!(
                        "\"{filter}\" is no level; write error, warn, info, debug, trace or off, or MODULE=LEVEL"
                    ),
                ));
            }
        }
        Ok(())
    }
}

impl Configuration {
    /// Reads the defaults, then the file if one is named, then the process's environment.
    ///
    /// # Errors
    /// [`ConfigurationError`], naming the file or the setting.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigurationError> {
        Self::load_from("", file, process_environment())
    }

    /// The same, with what a demo has otherwise: its own data folder, with keys and log in it, and
    /// homes that may fill in a week quickly. Files and the environment still win.
    ///
    /// # Errors
    /// [`ConfigurationError`], naming the file or the setting.
    pub fn load_for_demo(file: Option<&Path>) -> Result<Self, ConfigurationError> {
        Self::load_from(DEMO, file, process_environment())
    }

    fn load_from(
        defaults: &str,
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigurationError> {
        let mut builder = Config::builder()
            .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
            .add_source(File::from_str(defaults, FileFormat::Toml));
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|error| ConfigurationError::File {
                path: path.to_path_buf(),
                reason: error.to_string(),
            })?;
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        }
        let settings = environment_settings(environment)?;
        let mut source = Environment::with_prefix("MEMCLOUD")
            .prefix_separator("_")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .source(Some(settings));
        for list in LISTS {
            source = source.with_list_parse_key(list);
        }
        let merged = builder.add_source(source).build().map_err(|error| match file {
            Some(path) => {
                ConfigurationError::File { path: path.to_path_buf(), reason: error.to_string() }
            }
            None => wrong("environment", error.to_string()),
        })?;
        let configuration: Self = serde_path_to_error::deserialize(merged).map_err(|error| {
            let (key, reason) = (error.path().to_string(), error.inner().to_string());
            // The reason may say the key, or its section, once more.
            let end = reason.rfind(" for key `").unwrap_or(reason.len());
            wrong(&key, reason.get(..end).unwrap_or(&reason))
        })?;
        configuration.check()?;
        configuration.with_absolute_paths()
    }

    fn check(&self) -> Result<(), ConfigurationError> {
        let at_least_one = [
            ("http.workers", self.http.workers),
            ("http.max_body", self.http.max_body),
            ("http.max_connections", self.http.max_connections),
            ("http.live_queue", self.http.live_queue),
            ("http.live_history", self.http.live_history),
            ("http.max_waiting", self.http.max_waiting),
            ("hem.workers", self.hem.workers),
            ("hem.max_connections", self.hem.max_connections),
            ("hem.max_connections_per_address", self.hem.max_connections_per_address),
            ("hem.max_handshakes", self.hem.max_handshakes),
            ("hem.max_batch", self.hem.max_batch),
            ("historian.commit_entries", self.historian.commit_entries),
            ("historian.commit_target", self.historian.commit_target),
            ("historian.chunk_entries", self.historian.chunk_entries),
            ("commands.open_per_hem", self.commands.open_per_hem),
        ];
        for (key, value) in at_least_one {
            if value == 0 {
                return Err(wrong(key, "it must be at least 1"));
            }
        }
        for (key, value) in
            [("hem.max_rate", self.hem.max_rate), ("hem.max_in_flight", self.hem.max_in_flight)]
        {
            if value == 0 {
                return Err(wrong(key, "it must be at least 1"));
            }
        }
        if self.hem.read_pause > Duration::from_secs(1) {
            return Err(wrong("hem.read_pause", "it must be at most 1s"));
        }
        for (key, value) in
            [("commands.expires", self.commands.expires), ("commands.lease", self.commands.lease)]
        {
            if value > Duration::from_hours(24) {
                return Err(wrong(key, "it must be at most a day (24h)"));
            }
        }
        if self.hem.max_frame < 1024 {
            return Err(wrong("hem.max_frame", "it must be at least 1024 bytes"));
        }
        if self.hem.max_buffered_bytes < self.hem.max_frame {
            return Err(wrong(
                "hem.max_buffered_bytes",
                "it must hold at least one frame (`hem.max_frame`)",
            ));
        }
        if self.historian.commit_target > self.historian.commit_entries {
            return Err(wrong(
                "historian.commit_target",
                "it must not exceed `historian.commit_entries`",
            ));
        }
        let not_zero = [
            ("hem.handshake_timeout", self.hem.handshake_timeout),
            ("hem.hello_timeout", self.hem.hello_timeout),
            ("hem.heartbeat", self.hem.heartbeat),
            ("hem.ack_timeout", self.hem.ack_timeout),
            ("hem.write_timeout", self.hem.write_timeout),
            ("historian.maintenance_interval", self.historian.maintenance_interval),
            ("commands.result_timeout", self.commands.result_timeout),
            ("commands.effect_window", self.commands.effect_window),
            ("commands.expires", self.commands.expires),
            ("commands.lease", self.commands.lease),
            ("retention.raw", self.retention.raw),
            ("retention.minute", self.retention.minute),
            ("retention.commands", self.retention.commands),
            ("status.active_window", self.status.active_window),
            ("jobs.checkpoint_interval", self.jobs.checkpoint_interval),
            ("jobs.catch_up_interval", self.jobs.catch_up_interval),
            ("jobs.step_timeout", self.jobs.step_timeout),
        ];
        for (key, value) in not_zero {
            if value.is_zero() {
                return Err(wrong(key, "it must be longer than 0s"));
            }
        }
        if self.hem.heartbeat < Duration::from_secs(1) || self.hem.heartbeat.subsec_nanos() != 0 {
            return Err(wrong("hem.heartbeat", "it must be whole seconds, at least \"1s\""));
        }
        self.check_iot_store()?;
        self.web_store_address()?;
        self.check_bus()?;
        self.log.check()
    }

    fn with_absolute_paths(mut self) -> Result<Self, ConfigurationError> {
        self.data.dir = std::path::absolute(&self.data.dir)
            .map_err(|error| wrong("data.dir", error.to_string()))?;
        let data = self.data.dir.clone();
        let absolute = |key: &str, path: &Path| match path.strip_prefix("@data") {
            Ok(below) => Ok(data.join(below)),
            Err(_) => std::path::absolute(path).map_err(|error| wrong(key, error.to_string())),
        };
        self.keys.dir = absolute("keys.dir", &self.keys.dir)?;
        if let Some(path) = &self.hem.client_ca {
            self.hem.client_ca = Some(absolute("hem.client_ca", path)?);
        }
        if let Some(path) = &self.log.file {
            self.log.file = Some(absolute("log.file", path)?);
        }
        Ok(self)
    }
}

impl fmt::Display for Configuration {
    /// One line of what matters at a start.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bus = if self.bus_is_local() {
            self.bus.url.clone()
        } else {
            rabbitmq::without_password(&self.bus.url)
        };
        write!(
            formatter,
            "data {}, iot store {}, web store {}, bus {bus}",
            self.data.dir.display(),
            without_password(&self.iot_store.url),
            without_password(&self.web_store.url)
        )
    }
}

fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The environment's settings. A name with our prefix that cannot be a setting is refused, so that a
/// misspelt one is not silently without effect.
fn environment_settings(
    environment: impl Iterator<Item = (String, String)>,
) -> Result<HashMap<String, String>, ConfigurationError> {
    let mut settings = HashMap::new();
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if rest.starts_with("TEST_") {
            continue;
        }
        if !rest.contains("__") {
            return Err(wrong(
                &name,
                "a setting in the environment is MEMCLOUD_SECTION__KEY, e.g. MEMCLOUD_HTTP__BIND",
            ));
        }
        settings.insert(name, value);
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn load(
        file: Option<&str>,
        environment: &[(&str, &str)],
    ) -> Result<Configuration, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memcloud.toml");
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
        }
        let pairs =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Configuration::load_from("", file.is_some().then_some(path.as_path()), pairs)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_configuration_for_production_is_one_that_is_taken() {
        let given = include_str!("../deploy/memcloud.toml");
        let configuration = load(Some(given), &[]).unwrap();
        assert!(configuration.hem.proxy_protocol);
        assert_eq!(configuration.data.dir, Path::new("/var/lib/memcloud"));
    }

    #[test]
    fn the_defaults_are_complete_and_right() {
        let configuration = load(None, &[]).unwrap();
        assert_eq!(configuration.hem.bind.port(), 23123);
        assert_eq!(configuration.retention.raw, Duration::from_secs(90 * 86_400));
        assert!(configuration.data.dir.is_absolute());
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
        let configuration = load(
            Some("[http]\nbind = \"127.0.0.1:1\"\nworkers = 3\n"),
            &[
                ("MEMCLOUD_HTTP__BIND", "127.0.0.1:2"),
                ("MEMCLOUD_KEYS__NAMES", "a.example,b.example"),
            ],
        )
        .unwrap();
        assert_eq!(configuration.http.bind.port(), 2);
        assert_eq!(configuration.http.workers, 3);
        assert_eq!(configuration.keys.names, ["a.example", "b.example"]);
    }

    #[test]
    fn a_wrong_setting_is_refused_with_its_path_and_the_reason() {
        for (file, environment, says) in [
            (Some("[hem]\nbindd = \"127.0.0.1:1\"\n"), &[][..], "`hem"),
            (Some("[hem]\nbind = \"nowhere\"\n"), &[], "`hem.bind`"),
            (Some("[retention]\nraw = \"90 parsecs\"\n"), &[], "`retention.raw`"),
            (Some("[hem]\nmax_batch = 0\n"), &[], "`hem.max_batch`"),
            (Some("[iot_store]\nurl = \"mongo\"\n"), &[], "`iot_store.url`"),
            (Some("[web_store]\nurl = \"mysql://host\"\n"), &[], "`web_store.url`"),
            (Some("[log]\nlevel = \"loud\"\n"), &[], "`log.level`"),
            (Some("[bus]\nurl = \"rabbit\"\n"), &[], "`bus.url`"),
            (None, &[("MEMCLOUD_BUS__URL", "amqp://")], "it names no host"),
            (Some("not toml"), &[], "memcloud.toml"),
            (None, &[("MEMCLOUD_HTTP__WORKERS", "many")], "`http.workers`"),
            (None, &[("MEMCLOUD_HTTPBIND", "x")], "MEMCLOUD_HTTPBIND"),
        ] {
            let error = load(file, environment).unwrap_err();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("for key"), "{error}");
        }
    }

    #[test]
    fn a_log_level_may_differ_by_module() {
        let level = [("MEMCLOUD_LOG__LEVEL", "info, memcloud_hem=debug,actix_server=off/socket")];
        assert!(load(None, &level).is_ok());
    }

    #[test]
    fn a_demo_keeps_everything_in_its_data_folder_unless_told_otherwise() {
        let environment =
            [("MEMCLOUD_DATA__DIR", "/somewhere"), ("MEMCLOUD_LOG__FILE", "/var/log/x")];
        let pairs = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let configuration = Configuration::load_from(DEMO, None, pairs.into_iter()).unwrap();
        assert_eq!(configuration.data.dir, Path::new("/somewhere"));
        assert_eq!(configuration.keys.dir, Path::new("/somewhere/keys"));
        assert_eq!(configuration.log.file.as_deref(), Some(Path::new("/var/log/x")));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Configuration::load(Some(Path::new("/nowhere/at/all.toml"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all.toml"));
    }
}
