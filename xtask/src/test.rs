//! Everything that CI runs, in the order in which it fails fastest.

use clap::Args;

use crate::{layout, tidy};

/// How much of it.
#[derive(Args)]
pub(crate) struct Options {
    /// Leave out formatting, clippy and tidy.
    #[arg(long)]
    only_tests: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if !options.only_tests {
        layout::run("cargo", &["fmt", "--all", "--check"], &[])?;
        tidy::run()?;
        layout::run(
            "cargo",
            &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"],
            &[],
        )?;
    }
    layout::run("cargo", &["test", "--workspace", "--no-fail-fast"], &[])
}
