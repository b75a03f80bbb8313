//! A server process that does not outlive whoever started it, however that one ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Runs the server, and ends it once standard input closes: at an orderly end, at Ctrl-C and also if
/// the holder of the other end is killed. What does not go in 20 s is killed. The group is its own, so
/// that Ctrl-C reaches the holder first, and the server by this way alone.
const GUARD: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
{ read -r _ <&3; kill -TERM "$server"; sleep 20; kill -KILL 0; } 2>/dev/null &
wait "$server"
kill -KILL 0
"#;

/// A server that is stopped when this is dropped, or its process ends.
#[derive(Debug)]
pub struct Guarded {
    name: &'static str,
    guard: Child,
    lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Guarded {
    /// Starts a server; what it prints is appended to `<folder>/<name>.out`.
    ///
    /// # Errors
    /// When the folder cannot be written, or no process started.
    pub fn start<A: AsRef<OsStr>>(
        name: &'static str,
        folder: &Path,
        command_line: &[A],
        environment: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let log = folder.join(format!("{name}.out"));
        let output = File::options()
            .append(true)
            .create(true)
            .open(&log)
            .with_context(|| format!("{} cannot be written", log.display()))?;
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .args(command_line)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name} could not be started"))?;
        let lifeline = guard.stdin.take();
        Ok(Self { name, guard, lifeline, log })
    }

    /// Waits until the server answers.
    ///
    /// # Errors
    /// When it ended, or has not answered in time; with the end of what it printed.
    pub fn wait_until(
        &mut self,
        within: Duration,
        mut answers: impl FnMut() -> bool,
    ) -> anyhow::Result<()> {
        let mut ended = false;
        let answered = wait_until(within, || {
            ended = !matches!(self.guard.try_wait(), Ok(None));
            ended || answers()
        });
        if answered && !ended {
            return Ok(());
        }
        let printed = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = printed.lines().collect();
        let end = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n");
        let what = if ended { "ended".into() } else { format!("did not answer in {within:?}") };
        bail!("{} {what}; it printed, in {}:\n{end}", self.name, self.log.display())
    }

    /// Ends the server and waits until it is gone.
    pub fn stop(&mut self) {
        drop(self.lifeline.take());
        // The guard's own time-out bounds this.
        let _ = self.guard.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Asks again and again, for as long as it may take, whether something is so.
#[expect(clippy::disallowed_methods, reason = "real servers start in real time")]
pub fn wait_until(within: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A loopback port that nobody listens on.
///
/// # Errors
/// When the machine has none.
pub fn spare_port() -> anyhow::Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no loopback port is free")?;
    Ok(listener.local_addr()?.port())
}

/// Where a program is: in `PATH`, or where distributions put servers.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin", "/usr/lib/rabbitmq/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(process: &str) -> bool {
        Path::new("/proc").join(process.trim()).join("exe").exists()
    }

    #[test]
    fn a_server_ends_with_its_guard_and_leaves_no_process() {
        let folder = std::env::temp_dir().join(format!("memcloud-guard-{}", std::process::id()));
        let server = "echo $$; exec sleep 600";
        let mut guarded = Guarded::start("sleeper", &folder, &["sh", "-c", server], &[]).unwrap();
        let said = folder.join("sleeper.out");
        let is_up = || fs::read_to_string(&said).is_ok_and(|text| text.ends_with('\n'));
        guarded.wait_until(Duration::from_secs(10), is_up).unwrap();
        let process = fs::read_to_string(&said).unwrap();
        assert!(lives(&process));
        drop(guarded);
        assert!(!lives(&process));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_server_that_ends_is_reported_with_what_it_printed() {
        let folder = std::env::temp_dir().join(format!("memcloud-ended-{}", std::process::id()));
        let mut guarded =
            Guarded::start("broken", &folder, &["sh", "-c", "echo no such disk"], &[]).unwrap();
        let error = guarded.wait_until(Duration::from_secs(10), || false).unwrap_err();
        assert!(error.to_string().contains("no such disk"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
