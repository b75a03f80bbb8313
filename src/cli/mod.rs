//! The command line. Each command is a file; what scripts need stands alone on standard output, all
//! else goes to standard error. Exit codes: 0 done, 1 it could not be done, 2 the call was wrong.

mod demo;
mod hem;
mod keys;
mod microgrid;
mod openapi;
mod serve;
mod simulate;
mod token;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Parser, Subcommand};
use memcloud_registry::{Clerk, Listing, PageRequest, Randomness, RegistryError, SqlRegistry};
use memcloud_supervision::Clock;

use crate::config::{Configuration, ConfigurationError};
use crate::simulate::scenario::ScenarioError;

/// Runs microgrids: homes report by TLS, energy apps watch and steer them, people see and control it all.
#[derive(Debug, Parser)]
#[command(
    name = "memcloud",
    version,
    about,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Arguments {
    /// A configuration file (TOML); what it leaves out is as in config/default.toml. Any setting can also be
    /// given in the environment, e.g. MEMCLOUD_HTTP__BIND=127.0.0.1:0.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything on this machine with real homes, to look at it: no server to install.
    Demo(demo::Options),
    /// Run the cloud.
    Serve,
    /// Make the TLS keys, and sign client certificates for HEMs.
    Keys(keys::Options),
    /// Add, list and revoke the tokens with which people and programs call REST.
    #[command(subcommand)]
    Token(token::Command),
    /// Add and list microgrids, and issue enrolment tokens.
    #[command(subcommand)]
    Microgrid(microgrid::Command),
    /// Register and list HEMs; their keys are rotated and revoked by REST.
    #[command(subcommand)]
    Hem(hem::Command),
    /// Run a scenario of homes and jobs in simulated time, and report what control changes.
    Simulate(simulate::Options),
    /// Print the OpenAPI document of the REST API.
    Openapi,
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(arguments) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "memcloud: {error:#}");
            // A wrong setting is a wrong call.
            if error.is::<ConfigurationError>() || error.is::<ScenarioError>() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn dispatch(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = arguments.config.as_deref();
    match arguments.command {
        Command::Demo(options) => demo::run(config, &options),
        Command::Serve => serve::run(&load(config)?),
        Command::Keys(options) => keys::run(&load(config)?, &options).map(|()| ExitCode::SUCCESS),
        Command::Token(command) => token::run(&load(config)?, &command).map(|()| ExitCode::SUCCESS),
        Command::Microgrid(command) => {
            microgrid::run(&load(config)?, &command).map(|()| ExitCode::SUCCESS)
        }
        Command::Hem(command) => hem::run(&load(config)?, &command).map(|()| ExitCode::SUCCESS),
        Command::Simulate(options) => simulate::run(&options),
        Command::Openapi => openapi::run().map(|()| ExitCode::SUCCESS),
    }
}

fn load(file: Option<&std::path::Path>) -> anyhow::Result<Configuration> {
    Ok(Configuration::load(file)?)
}

/// The registry without an actor, beside a server that may be running.
fn clerk(configuration: &Configuration) -> anyhow::Result<Clerk> {
    std::fs::create_dir_all(&configuration.data.dir).with_context(|| {
        format!(
            "the data folder {} cannot be made; set data.dir to one that can",
            configuration.data.dir.display()
        )
    })?;
    let address = configuration.web_store_address()?;
    let registry = SqlRegistry::open_at(&address)
        .with_context(|| format!("the web store {address} cannot be opened (web_store.url)"))?;
    Ok(Clerk::new(Arc::new(registry), Clock::system(), Randomness::system()))
}

/// All pages of a list.
fn pages<T>(
    mut list: impl FnMut(PageRequest) -> Result<Listing<T>, RegistryError>,
) -> anyhow::Result<Vec<T>> {
    let mut items = Vec::new();
    let mut request = PageRequest::first(PageRequest::MAX_LIMIT);
    loop {
        let page = list(request)?;
        items.extend(page.items);
        let Some(next) = page.next else { return Ok(items) };
        request = PageRequest { after: Some(next), limit: PageRequest::MAX_LIMIT };
    }
}

/// Prints what a script takes: alone on a line of standard output.
fn print(text: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("standard output is closed")
}

/// Says something to the person, on standard error.
fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
