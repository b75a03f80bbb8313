//! The log: `env_logger`, to standard error or a file, with key-values behind the sentence.

use std::fs::OpenOptions;

use anyhow::Context;

use crate::config::Log;

/// Starts logging as configured. May be called once per process; a second call changes nothing.
///
/// # Errors
/// When the log file cannot be opened.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(&log.level).format_timestamp_millis();
    if let Some(path) = &log.file {
        let file = OpenOptions::new().create(true).append(true).open(path).with_context(|| {
            format!(
                "the log file {} cannot be opened; set log.file to one that can",
                path.display()
            )
        })?;
        builder.target(env_logger::Target::Pipe(Box::new(file)));
    }
    let _ = builder.try_init();
    Ok(())
}
