//! The benches, each beside its bare limit. What they found is in `benches/RESULTS.md`.

use clap::Args;

use crate::layout;

/// Which benches.
#[derive(Args)]
pub(crate) struct Options {
    /// Only benches whose name contains this: ingest, supervision, codec, history, rest,
    /// commands, containment.
    filter: Option<String>,
}

/// A bench: its name, which is its target's too, and its package.
const BENCHES: [(&str, &str); 7] = [
    ("ingest", "memcloud"),
    ("supervision", "memcloud"),
    ("codec", "memcloud-wire"),
    ("history", "memcloud"),
    ("rest", "memcloud"),
    ("commands", "memcloud"),
    ("containment", "memcloud"),
];

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let is_wanted =
        |name: &str| options.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
    let wanted: Vec<_> = BENCHES.iter().filter(|(name, _)| is_wanted(name)).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        anyhow::bail!("no bench is called so; there are {}", names.join(", "));
    }
    for (name, package) in wanted {
        layout::run("cargo", &["bench", "-p", package, "--bench", name], &[])?;
    }
    Ok(())
}
