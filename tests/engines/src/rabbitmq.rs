//! A RabbitMQ of one's own, with its data in one folder and all its ports on the loopback.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::guarded::{Guarded, program, spare_port};

const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// Few threads and no busy waiting: it shares the machine with the tests.
const ERLANG: &str = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none";
/// Small alarms, so that a full disk or a small machine does not block publishers.
const SETTINGS: &str = "vm_memory_high_watermark.absolute = 1GB\ndisk_free_limit.absolute = 10MB\n";

/// A running RabbitMQ; stopped when dropped.
#[derive(Debug)]
pub struct RabbitMq {
    folder: PathBuf,
    port: u16,
    distribution_port: u16,
    names_port: u16,
    // The broker is stopped before the name service that it knows.
    broker: Option<Guarded>,
    _names: Guarded,
}

impl RabbitMq {
    /// Whether its programs are on this machine.
    #[must_use]
    pub fn is_here() -> bool {
        program("rabbitmq-defaults").is_some() && program("epmd").is_some()
    }

    /// Starts one in a folder and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed, or does not come up; with what it printed.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let names_port = spare_port()?;
        // Erlang would leave a name service behind that outlives the broker; it finds this one.
        let epmd = program("epmd").context("epmd (of Erlang) is not installed")?;
        let names_line = [epmd.into_os_string(), "-port".into(), names_port.to_string().into()];
        let loopback = [("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned())];
        let mut names = Guarded::start("epmd", folder, &names_line, &loopback)?;
        names.wait_until(STARTS_WITHIN, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, names_port)).is_ok()
        })?;
        let mut rabbit = Self {
            folder: folder.to_path_buf(),
            port: spare_port()?,
            distribution_port: spare_port()?,
            names_port,
            broker: None,
            _names: names,
        };
        rabbit.start_again()?;
        Ok(rabbit)
    }

    /// Its address, which stays the same over restarts.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port)
    }

    /// Its port on the loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops the broker, and waits until it is gone.
    pub fn stop(&mut self) {
        self.broker = None;
    }

    /// Starts the broker where it was, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up; with what it printed.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        // Debian's script in /usr/sbin insists on the user `rabbitmq`; the one beside its other tools
        // does not.
        let tools = program("rabbitmq-defaults").context("RabbitMQ is not installed")?;
        let tools = fs::canonicalize(tools)?;
        let server = tools.with_file_name("rabbitmq-server");
        let below = |name: &str| self.folder.join(name).display().to_string();
        fs::write(self.folder.join("enabled_plugins"), "[].")?;
        fs::write(self.folder.join("rabbitmq.conf"), SETTINGS)?;
        let environment = [
            ("HOME", self.folder.display().to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", self.names_port.to_string()),
            ("RABBITMQ_NODENAME", format!("memcloud-{}@localhost", self.port)),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", self.port.to_string()),
            ("RABBITMQ_DIST_PORT", self.distribution_port.to_string()),
            ("RABBITMQ_MNESIA_BASE", below("data")),
            ("RABBITMQ_LOG_BASE", below("log")),
            ("RABBITMQ_CONF_ENV_FILE", below("no-environment-file")),
            ("RABBITMQ_CONFIG_FILE", below("rabbitmq")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", below("enabled_plugins")),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG.to_owned()),
        ];
        let mut broker = Guarded::start("rabbitmq", &self.folder, &[server], &environment)?;
        broker.wait_until(STARTS_WITHIN, || answers(self.port))?;
        self.broker = Some(broker);
        Ok(())
    }
}

/// Whether it greets a client as AMQP 0-9-1 has it: a method frame on channel 0.
fn answers(port: u16) -> bool {
    let greet = || -> std::io::Result<[u8; 3]> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        let mut beginning = [0; 3];
        stream.read_exact(&mut beginning)?;
        Ok(beginning)
    };
    greet().is_ok_and(|beginning| beginning == [1, 0, 0])
}
