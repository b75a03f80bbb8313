//! Everything that CI runs, in the order in which it fails fastest.

use std::process::Command;

use clap::Args;

use crate::engines::{EngineName, Engines, debian_packages};
use crate::{layout, tidy};

/// The one feature of the product, as the root package names it.
const WITH_MYSQL: &str = "--features=memcloud/mysql";

/// How much of it.
#[derive(Args)]
pub(crate) struct Options {
    /// Leave out formatting, clippy and tidy.
    #[arg(long)]
    only_tests: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure("python3", "python3")?;
    if !options.only_tests {
        layout::run("cargo", &["fmt", "--all", "--check"], &[])?;
        tidy::run()?;
    }
    // Before anything is built: the feature `mysql` links a library that comes with the engine.
    let engines = Engines::start(&EngineName::ALL)?;
    let feature = if engines.has(EngineName::MariaDb) { &[WITH_MYSQL][..] } else { &[] };
    let cargo = |before: &[&str], after: &[&str]| {
        let arguments = [before, &["--workspace"], feature, after].concat();
        layout::run("cargo", &arguments, &engines.environment())
    };
    if !options.only_tests {
        cargo(&["clippy", "--all-targets"], &["--", "--deny", "warnings"])?;
    }
    cargo(&["test"], &["--no-fail-fast"])?;
    if !feature.is_empty() {
        // What was tested has the feature; what most build has not.
        layout::run("cargo", &["check"], &[])?;
    }
    drop(engines);
    layout::run(
        "python3",
        &["-m", "unittest", "discover", "--start-directory", "clients/python"],
        &[],
    )
}

/// Sees to it that a program is there: the tests run real clients.
fn ensure(program: &str, package: &str) -> anyhow::Result<()> {
    if Command::new(program).arg("--version").output().is_ok() {
        return Ok(());
    }
    debian_packages(&[package])
}
