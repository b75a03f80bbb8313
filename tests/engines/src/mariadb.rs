//! A MariaDB of one's own, with its data in one folder. Its user is `root`, without a password.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::guarded::{Guarded, program, spare_port};

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// A running MariaDB; stopped when dropped.
#[derive(Debug)]
pub struct MariaDb {
    folder: PathBuf,
    port: u16,
    server: Option<Guarded>,
}

impl MariaDb {
    /// Whether its programs are on this machine.
    #[must_use]
    pub fn is_here() -> bool {
        ["mariadbd", "mariadb-install-db", "mariadb-admin"]
            .iter()
            .all(|name| program(name).is_some())
    }

    /// Whether the client's library and headers are on this machine, which the feature `mysql` links.
    #[must_use]
    pub fn can_be_linked() -> bool {
        program("mariadb_config").is_some() || program("mysql_config").is_some()
    }

    /// Makes a database folder, starts the server and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed, or does not come up; with what it printed.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("data");
        fs::create_dir_all(&data).with_context(|| format!("{} cannot be made", data.display()))?;
        let install = program("mariadb-install-db").context("MariaDB is not installed")?;
        let made = Command::new(install)
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(user())
            .output()
            .context("mariadb-install-db could not be started")?;
        if !made.status.success() {
            bail!(
                "mariadb-install-db failed: {}{}",
                String::from_utf8_lossy(&made.stdout),
                String::from_utf8_lossy(&made.stderr)
            );
        }
        let mut maria = Self { folder: folder.to_path_buf(), port: spare_port()?, server: None };
        maria.start_again()?;
        Ok(maria)
    }

    /// Its address, which stays the same over restarts.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port)
    }

    /// Stops the server, and waits until it is gone.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts the server where it was, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up; with what it printed.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let program_of_server = program("mariadbd").context("MariaDB is not installed")?;
        let admin = program("mariadb-admin").context("MariaDB's client is not installed")?;
        let mut command_line = vec![
            program_of_server.display().to_string(),
            "--no-defaults".to_owned(),
            format!("--datadir={}", self.folder.join("data").display()),
            // A socket's path may have but 107 bytes, so it is relative to the data.
            "--socket=mariadb.sock".to_owned(),
            format!("--port={}", self.port),
            "--bind-address=127.0.0.1".to_owned(),
            "--skip-name-resolve".to_owned(),
            "--innodb-buffer-pool-size=64M".to_owned(),
            "--max-connections=400".to_owned(),
        ];
        command_line.extend(user());
        let mut server = Guarded::start("mariadb", &self.folder, &command_line, &[])?;
        let port = format!("--port={}", self.port);
        server.wait_until(STARTS_WITHIN, || {
            Command::new(&admin)
                .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=root"])
                .args([port.as_str(), "--connect-timeout=5", "ping"])
                .output()
                .is_ok_and(|asked| asked.status.success())
        })?;
        self.server = Some(server);
        Ok(())
    }
}

/// MariaDB runs as root only if it is told to, and then needs no other user's folder.
fn user() -> Option<String> {
    is_root().then(|| "--user=root".to_owned())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
