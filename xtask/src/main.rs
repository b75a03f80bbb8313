//! The repository's one automation. CI runs exactly what a person runs.

mod bench;
mod engines;
mod layout;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The repository's automation.
#[derive(Parser)]
#[command(name = "cargo xtask", about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check what the compiler does not: layout, who uses whom, licences, one TLS provider.
    Tidy,
    /// Run everything that CI runs: formatting, clippy, tidy, all tests, the examples.
    Test(test::Options),
    /// Keep RabbitMQ, MariaDB and MongoDB for tests until Ctrl-C, and print how to name them.
    Engines(engines::Options),
    /// Run the benches, each beside its bare limit.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Tidy => tidy::run(),
        Task::Test(options) => test::run(&options),
        Task::Engines(options) => engines::run(&options),
        Task::Bench(options) => bench::run(&options),
    };
    if let Err(error) = done {
        eprintln!("xtask: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
