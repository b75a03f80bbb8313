//! A `memcloud serve` of one's own for each test, in a folder of its own, on free ports.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a test waits for what it expects, before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) fn memcloud() -> Command {
    Command::new(env!("CARGO_BIN_EXE_memcloud"))
}

/// Waits until something holds; fails with a sentence.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "tests with real processes use real time")]
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a cloud under test is told.
#[derive(Default)]
pub(crate) struct Builder {
    settings: Vec<(String, String)>,
}

impl Builder {
    /// Sets a configuration key, e.g. `hem.heartbeat`.
    pub(crate) fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// Starts the cloud, with an admin's token.
    pub(crate) fn start(self) -> TestCloud {
        let folder = tempfile::tempdir().unwrap();
        let mut cloud = TestCloud {
            folder,
            settings: self.settings,
            process: None,
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            hem: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: String::new(),
        };
        cloud.token = cloud.call_for_line(&["token", "add", "--role", "admin", "tests"]);
        cloud.launch();
        cloud
    }
}

/// A running `memcloud serve`.
pub(crate) struct TestCloud {
    folder: TempDir,
    settings: Vec<(String, String)>,
    process: Option<Child>,
    /// Where REST is.
    pub(crate) http: SocketAddr,
    /// Where HEMs connect.
    pub(crate) hem: SocketAddr,
    /// An admin's token.
    pub(crate) token: String,
}

impl TestCloud {
    /// A cloud that is yet to be told something.
    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    /// A cloud with the defaults.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// The folder that holds its data and keys.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority that clients trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder().join("keys/ca-cert.pem")
    }

    fn command(&self) -> Command {
        let mut command = memcloud();
        command
            .current_dir(self.folder())
            .env("MEMCLOUD_HTTP__BIND", "127.0.0.1:0")
            .env("MEMCLOUD_HEM__BIND", "127.0.0.1:0")
            .env("MEMCLOUD_LOG__FILE", self.folder().join("memcloud.log"));
        for (key, value) in &self.settings {
            command.env(format!("MEMCLOUD_{}", key.to_uppercase().replace('.', "__")), value);
        }
        command
    }

    /// Calls another command of the binary beside the running cloud.
    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Calls a command that prints one line alone on standard output.
    #[track_caller]
    pub(crate) fn call_for_line(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines();
        let line = lines.next().unwrap().to_owned();
        assert_eq!(lines.next(), None, "{arguments:?} prints more than one line");
        line
    }

    /// Starts the process (again), on the same folder; ports may change.
    pub(crate) fn launch(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let addresses = self.folder().join("data/addresses.json");
        let _ = std::fs::remove_file(&addresses);
        let mut process = self
            .command()
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let text = eventually("memcloud serve writes addresses.json", || {
            if let Some(status) = process.try_wait().unwrap() {
                let mut said = String::new();
                process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("memcloud serve ended ({status}): {said}\n{}", self.log());
            }
            std::fs::read_to_string(&addresses).ok()
        });
        let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
        self.http = addresses["http"].as_str().unwrap().parse().unwrap();
        self.hem = addresses["hem"].as_str().unwrap().parse().unwrap();
        self.process = Some(process);
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("memcloud.log")).unwrap_or_default()
    }

    /// Whether its process runs.
    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let process = self.process.as_ref().expect("it runs");
        let id = nix::unistd::Pid::from_raw(i32::try_from(process.id()).unwrap());
        nix::sys::signal::kill(id, signal).unwrap();
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// SIGTERM, and waits for its end.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let mut process = self.process.take().expect("it runs");
        eventually("memcloud serve ends after SIGTERM", || process.try_wait().unwrap())
    }

    /// The address of a REST path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }
}

impl Drop for TestCloud {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the cloud's log ---\n{}", self.log());
        }
        self.kill();
    }
}
