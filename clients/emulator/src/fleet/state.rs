//! What a home's board keeps in its folder, so that the same home goes on after a restart.

use std::io::Write;
use std::path::{Path, PathBuf};

use memcloud_domain::{HemId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::EmulatorError;
use crate::home::HomeState;

/// One home's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct HomeFile {
    /// What the home carries.
    pub(super) home: HomeState,
    /// The moment of the last reading that its HEM recorded.
    pub(super) last_reading: Option<Timestamp>,
}

/// Where a HEM's home is kept.
pub(super) fn home_path(folder: &Path, hem: &HemId) -> PathBuf {
    folder.join(format!("{hem}.home.json"))
}

/// Where a HEM's queue of unacknowledged readings is kept.
pub(super) fn queue_path(folder: &Path, hem: &HemId) -> PathBuf {
    folder.join(format!("{hem}.queue"))
}

impl HomeFile {
    /// Reads a home; none where there is no file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, EmulatorError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(EmulatorError::file("read", path)(error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| EmulatorError::State {
            path: path.to_owned(),
            problem: error.to_string(),
        })
    }

    /// Writes a home, by rename: a kill leaves the old file or the new one.
    pub(super) fn write(&self, path: &Path) -> Result<(), EmulatorError> {
        let text = serde_json::to_string(self).map_err(|error| EmulatorError::State {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        let fresh = path.with_extension("json.new");
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&fresh)?;
            file.write_all(text.as_bytes())?;
            std::fs::rename(&fresh, path)
        };
        write().map_err(EmulatorError::file("write", path))
    }
}
