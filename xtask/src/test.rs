//! Everything that CI runs, in the order in which it fails fastest.

use std::process::Command;

use anyhow::Context;
use clap::Args;

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
        layout::run(
            "cargo",
            &["clippy", "--workspace", "--all-targets", WITH_MYSQL, "--", "--deny", "warnings"],
            &[],
        )?;
    }
    layout::run("cargo", &["test", "--workspace", WITH_MYSQL, "--no-fail-fast"], &[])?;
    // What is tested has the feature; what most build has not.
    layout::run("cargo", &["check"], &[])?;
    layout::run(
        "python3",
        &["-m", "unittest", "discover", "--start-directory", "clients/python"],
        &[],
    )
}

/// Sees to it that a program is there: the tests run real clients.
fn ensure(program: &str, package: &str) -> anyhow::Result<()> {
    let answers = Command::new(program).arg("--version").output().is_ok();
    if answers {
        return Ok(());
    }
    let installed =
        layout::run("apt-get", &["install", "--yes", "--no-install-recommends", package], &[]);
    installed.with_context(|| {
        format!("the tests need `{program}`; install it, or run this as root on Debian")
    })
}
