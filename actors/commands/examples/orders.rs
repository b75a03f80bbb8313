//! Throws random orders of events at the ledger's state machine and holds every state against what is
//! true: `cargo run --release -p memcloud-commands --example orders -- --count 10000000`.

#[path = "../tests/it/random_orders.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is the tests' own world, run for longer"
)]
#[expect(dead_code, reason = "the tests use more of it")]
mod random_orders;

use std::io::Write;

use clap::Parser;

/// Throws random orders of events at the ledger's state machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many commands live.
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// The first one's seed; each next one has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<(), String> {
    let Arguments { count, seed } = Arguments::parse();
    let tally = random_orders::run(seed, count, memcloud_commands::ledger::step)?;
    let mut out = std::io::stdout().lock();
    let mut say = |text: String| writeln!(out, "{text}").map_err(|error| error.to_string());
    say(format!(
        "{} orders of events from seed {seed}: {} events, {} transitions, none illegal, none claims more than is true",
        tally.lives, tally.events, tally.steps
    ))?;
    for (state, count) in tally.ended_in {
        say(format!("{count:>12} ended {state}"))?;
    }
    Ok(())
}
