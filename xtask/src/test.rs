//! Everything that CI runs, in the order in which it fails fastest.

use std::process::Command;

use clap::Args;

use crate::engines::{EngineName, Engines, debian_packages};
use crate::{layout, tidy};

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
    if !options.only_tests {
        layout::run(
            "cargo",
            &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"],
            &[],
        )?;
    }
    layout::run("cargo", &["test", "--workspace", "--no-fail-fast"], &engines.environment())?;
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
