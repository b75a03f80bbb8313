//! How a job begins: it loads where it stood and starts its app there.

use std::sync::Arc;

use memcloud_domain::JobCheckpoint;
use memcloud_domain::messages::{HemMark, ListMarks, LoadCheckpoint, Unavailable};
use memcloud_supervision::{AskError, Scope};
use serde_json::Value;

use crate::intake::Intake;
use crate::step_threads::Hanging;
use crate::{JobAssembly, RunningApp, Start};

/// A job that can begin.
pub(crate) struct Ready {
    pub(crate) app: Box<dyn RunningApp>,
    pub(crate) intake: Intake,
    pub(crate) is_new: bool,
}

/// Why a job cannot begin.
pub(crate) enum NotReady {
    /// A store is away: it is tried again.
    Later(String),
    /// The app cannot be started.
    Failed(String),
}

/// How far each of the microgrid's HEMs is stored.
pub(crate) async fn marks(assembly: JobAssembly) -> Result<Vec<HemMark>, String> {
    let ask = ListMarks { microgrid: Some(assembly.record.microgrid.clone()) };
    flatten(assembly.ports.marks.ask(ask, assembly.limits.ask_deadline).await)
}

/// Loads where the job stood and starts its app there.
pub(crate) async fn prepare(
    assembly: JobAssembly,
    scope: Scope,
    hanging: Hanging,
) -> Result<Ready, NotReady> {
    let limits = assembly.limits;
    let load = LoadCheckpoint { job: assembly.record.id.clone() };
    let loaded = flatten(assembly.ports.load.ask(load, limits.ask_deadline).await);
    let checkpoint = loaded.map_err(NotReady::Later)?;
    let is_new = checkpoint.is_none();
    let JobCheckpoint { cursors, state } = checkpoint.unwrap_or_default();
    let mut intake = Intake::new(limits, cursors);
    let is_external = assembly.app.external(&assembly.record.configuration).is_some();
    if is_new && !is_external && assembly.app.about().start == Start::Now {
        intake.begin_after(marks(assembly.clone()).await.map_err(NotReady::Later)?);
    }
    let factory = Arc::clone(&assembly.app);
    let configuration = assembly.record.configuration.clone();
    let starting = move || factory.start(&configuration, &state).map_err(|error| full_text(&error));
    let started = assembly.threads.run(&scope, &hanging, limits.step_deadline, starting).await;
    let app =
        started.map_err(|error| NotReady::Failed(error.to_string()))?.map_err(NotReady::Failed)?;
    Ok(Ready { app, intake, is_new })
}

/// A state to be saved, and how many bytes it has.
pub(crate) fn state_of(app: &dyn RunningApp) -> Result<(Value, usize), String> {
    let state = app.save().map_err(|error| full_text(&error))?;
    let bytes = serde_json::to_vec(&state).map_or(0, |text| text.len());
    Ok((state, bytes))
}

/// An error and what it came from, in one line.
fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// An answer or, in a sentence, why there is none.
pub(crate) fn flatten<T>(answer: Result<Result<T, Unavailable>, AskError>) -> Result<T, String> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(unavailable)) => Err(unavailable.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
