//! `memcloud demo`: everything on this machine, with real homes, to look at.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::sync::{oneshot, watch};

use super::serve::stop_signal;
use crate::config::Configuration;
use crate::demo::{Demo, DemoOptions};
use crate::{demo_view, logging};

/// Ctrl-C ends the demo within this.
const STOP_WITHIN: Duration = Duration::from_millis(1_800);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// How many homes: the real ones first, further ones are made from them [default: those of the data].
    #[arg(long, value_name = "N")]
    hems: Option<usize>,
    /// A recorded year of homes, in the layout of fontana-homes.csv [default: five homes of Fontana, California].
    #[arg(long, value_name = "FILE.csv")]
    data: Option<PathBuf>,
    /// Home i (from 0, the first 100) answers energy apps at home on UDP 127.0.0.1, this port + i; 0: none does.
    #[arg(long, value_name = "PORT", default_value_t = 9931)]
    api_port: u16,
}

pub(super) fn run(config: Option<&Path>, options: &Options) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load_for_demo(config)?;
    std::fs::create_dir_all(&configuration.data.dir).with_context(|| {
        format!(
            "the data folder {} cannot be made; set data.dir to one that can",
            configuration.data.dir.display()
        )
    })?;
    logging::start(&configuration.log)?;
    let options =
        DemoOptions { hems: options.hems, data: options.data.clone(), api_port: options.api_port };
    actix_rt::System::new().block_on(run_demo(&configuration, &options))
}

async fn run_demo(
    configuration: &Configuration,
    options: &DemoOptions,
) -> anyhow::Result<ExitCode> {
    let mut demo = Demo::start(configuration, options).await?;
    let (snapshots, shown) = watch::channel(demo.first_snapshot());
    let (quit, has_quit) = oneshot::channel();
    let chosen = demo.chosen_home();
    let view = std::thread::Builder::new()
        .name("demo-view".to_owned())
        .spawn(move || demo_view::run(shown, &chosen, quit))
        .context("the view cannot be started")?;
    let outcome = tokio::select! {
        failure = demo.run(&snapshots) => Err(failure),
        Ok(()) = has_quit => Ok(()),
        name = stop_signal() => name.map(|_| ()),
    };
    let farewell = demo.stop(STOP_WITHIN).await;
    drop(snapshots);
    match view.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::warn!("the view ended: {error}"),
        Err(_) => log::warn!("the view crashed"),
    }
    super::say(farewell);
    outcome.map(|()| ExitCode::SUCCESS)
}
