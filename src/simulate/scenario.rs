//! A scenario as a person writes it: a TOML file, read strictly. A key that does not exist and a value
//! that cannot be are refused with their line, their path and what may stand there.

mod checked;
mod file;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use memcloud_domain::{HemId, MicrogridId, Timestamp};
use memcloud_emulator::{Dataset, HomeProfile};
use memcloud_worker::AppCatalogue;
use serde_json::Value;

use super::tariff::Tariff;
use super::timeline::Timeline;
use file::ScenarioFile;

/// Why a scenario was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("the scenario {} cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is not TOML, or a key or the kind of a value is wrong.
    #[error("the scenario is wrong in line {line}, at `{key}`: {reason}")]
    Text {
        /// The line, from 1.
        line: usize,
        /// The path of the key, e.g. `homes.count`; of an unknown key, where it stands.
        key: String,
        /// Why, and what is allowed.
        reason: String,
    },
    /// A value that cannot be.
    #[error("the scenario is wrong at `{key}`: {reason}")]
    Value {
        /// The path of the key, e.g. `events[0].from`.
        key: String,
        /// Why, and what is allowed.
        reason: String,
    },
}

impl ScenarioError {
    fn value(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Value { key: key.into(), reason: reason.into() }
    }
}

/// What the command line sets otherwise than the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides {
    /// How many days.
    pub days: Option<u32>,
    /// The seed.
    pub seed: Option<u64>,
}

/// What is simulated; everything in it was checked.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is, in a sentence.
    pub title: String,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// How often homes send a reading, and the world takes a step.
    pub step: Duration,
    /// Decides whatever is random.
    pub seed: u64,
    /// The microgrid.
    pub microgrid: MicrogridId,
    /// Its time zone.
    pub time_zone: Tz,
    /// The most it may import, W.
    pub import_limit_watts: Option<f64>,
    /// The most it may export, W.
    pub export_limit_watts: Option<f64>,
    /// The recorded year that homes are made of.
    pub dataset: Arc<Dataset>,
    /// Its homes.
    pub homes: Vec<HomeSpec>,
    /// What energy costs.
    pub tariff: Tariff,
    /// Its jobs.
    pub jobs: Vec<JobSpec>,
    /// What happens.
    pub timeline: Timeline,
}

/// A home of a scenario.
#[derive(Debug, Clone)]
pub struct HomeSpec {
    /// Its HEM.
    pub hem: HemId,
    /// Where its energies come from, and what it has.
    pub profile: HomeProfile,
}

/// A job of a scenario.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// Its app.
    pub app: String,
    /// Its configuration, whole.
    pub configuration: Value,
    /// Who wins where two jobs want different things.
    pub priority: i32,
}

impl Scenario {
    /// Reads a file. Relative paths in it are relative to it.
    ///
    /// # Errors
    /// [`ScenarioError`], with the line or the path of the key.
    pub fn read(
        path: &Path,
        overrides: Overrides,
        apps: &AppCatalogue,
    ) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path).map_err(|error| ScenarioError::File {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse(&text, folder, overrides, apps)
    }

    /// Reads a text whose relative paths are relative to a folder.
    ///
    /// # Errors
    /// As [`Scenario::read`].
    pub fn parse(
        text: &str,
        folder: &Path,
        overrides: Overrides,
        apps: &AppCatalogue,
    ) -> Result<Self, ScenarioError> {
        let mut file = ScenarioFile::parse(text)?;
        file.seed = overrides.seed.unwrap_or(file.seed);
        let scenario = checked::check(file, folder, apps)?;
        match overrides.days {
            None => Ok(scenario),
            Some(days) => {
                let until = checked::end(scenario.from, days, scenario.time_zone)?;
                Ok(scenario.until(until))
            }
        }
    }

    /// The same up to a moment within it.
    #[must_use]
    pub fn until(&self, until: Timestamp) -> Self {
        Self { until, ..self.clone() }
    }
}

#[cfg(test)]
mod tests;
