//! The benches, each beside its bare limit.

use clap::Args;

use crate::layout;

/// Which benches.
#[derive(Args)]
pub(crate) struct Options {
    /// Only benches whose name contains this.
    filter: Option<String>,
}

/// A bench: its name, its package, the target that runs it.
const BENCHES: [(&str, &[&str]); 0] = [];

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    for (name, arguments) in BENCHES {
        if options.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())) {
            layout::run("cargo", arguments, &[])?;
        }
    }
    Ok(())
}
