//! What can go wrong in the emulator, each with what to do about it.

use std::io;
use std::path::PathBuf;

/// Why the emulator cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried: `read`, `write`, `create`.
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A data file is not of the layout that the emulator takes.
    #[error("line {line} of the homes' data: {problem}")]
    Data {
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// A file of the state folder does not hold what this program wrote there.
    #[error("{} is damaged ({problem}); move it away to start this home anew", path.display())]
    State {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file with keys is not understood.
    #[error("line {line} of {}: {problem}", path.display())]
    Keys {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// The HEM client cannot be set up.
    #[error("cannot start {hem}: {problem}")]
    Client {
        /// Which HEM.
        hem: String,
        /// Why not.
        problem: String,
    },
    /// A connection could not be made or was lost where the bench needs it.
    #[error("{0}")]
    Connection(String),
    /// An option that makes no sense.
    #[error("{0}")]
    Option(String),
}

impl EmulatorError {
    /// Wraps a file's error with what was tried.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
