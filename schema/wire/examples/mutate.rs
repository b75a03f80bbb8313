//! Sends mutated frames through the decoders and says what became of them:
//! `cargo run --release -p memcloud-wire --example mutate -- --frames 10000000 --seed 1`.
//!
//! A panic or a frame that takes a second ends it with a failure and the seed; memory is shown at the
//! start and at the end.

use std::io::Write;
use std::time::{Duration, Instant};

#[path = "../tests/it/mutator.rs"]
mod mutator;

const FRAMES_BETWEEN_LOOKS: u64 = 1_000;

#[expect(clippy::disallowed_methods, reason = "a tool that measures; nothing gives it a clock")]
fn now() -> Instant {
    Instant::now()
}

/// A line of `/proc/self/status` in KiB, e.g. `VmHWM`; 0 where there is no such file.
fn memory_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn argument(name: &str, default: u64) -> Result<u64, String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    match (arguments.next(), arguments.next()) {
        (None, _) => Ok(default),
        (Some(_), Some(value)) => {
            value.parse().map_err(|_| format!("{name} needs a whole number, not \"{value}\""))
        }
        (Some(_), None) => Err(format!("{name} needs a whole number")),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let frames = argument("--frames", 1_000_000)?;
    let seed = argument("--seed", 1)?;
    let mut out = std::io::stdout().lock();
    let mut mutator = mutator::Mutator::new(seed);
    for _ in 0..frames.min(10_000) {
        mutator.step();
    }
    let resident_at_start = memory_kib("VmRSS");
    writeln!(out, "seed {seed}: resident {resident_at_start} KiB after a warm-up")?;

    let started = now();
    let mut slowest = Duration::ZERO;
    let mut last_look = started;
    while mutator.outcomes().frames < frames {
        mutator.step();
        if mutator.outcomes().frames.is_multiple_of(FRAMES_BETWEEN_LOOKS) {
            let look = now();
            slowest = slowest.max(look - last_look);
            last_look = look;
            if slowest > Duration::from_secs(1) {
                return Err(format!("{FRAMES_BETWEEN_LOOKS} frames took {slowest:?}").into());
            }
        }
    }
    let took = started.elapsed();
    let outcomes = mutator.outcomes();
    writeln!(
        out,
        "{} frames, {} MB in {:.1} s: {:.0} frames/s; the slowest {FRAMES_BETWEEN_LOOKS} took {slowest:?}",
        outcomes.frames,
        outcomes.bytes / 1_000_000,
        took.as_secs_f64(),
        outcomes.frames as f64 / took.as_secs_f64(),
    )?;
    writeln!(out, "{outcomes:#?}")?;
    writeln!(
        out,
        "resident {} KiB at the end, {} KiB at most",
        memory_kib("VmRSS"),
        memory_kib("VmHWM")
    )?;
    Ok(())
}
