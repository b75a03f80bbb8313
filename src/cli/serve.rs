//! `memcloud serve`: runs the cloud until it is told to stop.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::cloud::Cloud;
use crate::config::Configuration;
use crate::logging;

/// How long an orderly stop may take before what is left is left.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Runs the cloud until SIGTERM or SIGINT; a second signal ends the process at once.
pub(super) fn run(configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start(&configuration.log)?;
    actix_rt::System::new().block_on(async {
        let mut cloud = Cloud::start(configuration).await?;
        let reason = tokio::select! {
            name = stop_signal() => Ok(name?),
            failure = cloud.failed() => Err(failure),
        };
        match &reason {
            Ok(name) => log::info!("{name}: stopping; a second one ends at once"),
            Err(failure) => log::error!("the cloud gave up, and stops: {failure}"),
        }
        let stop = cloud.stop(STOP_WITHIN);
        let left = tokio::select! {
            left = stop => left,
            name = stop_signal() => {
                log::warn!("{}: ended at once; whatever was acknowledged is on disk", name?);
                return Ok(ExitCode::FAILURE);
            }
        };
        if !left.is_empty() {
            log::warn!("these did not stop in time and were left: {}", left.join(", "));
        }
        log::info!("stopped");
        Ok(if reason.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Waits for SIGTERM or SIGINT, and says which.
pub(super) async fn stop_signal() -> anyhow::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be listened to")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be listened to")?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
