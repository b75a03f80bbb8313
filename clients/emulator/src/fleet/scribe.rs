//! Puts on disk what a home carried out before the cloud hears of it: a line in the home's record, for
//! whoever audits, and the home's own file, so that it goes on from there after a kill. One for the
//! fleet: what waits is written together, each file forced to the disk once.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memcloud_domain::{CommandAction, HemId, NodeId, Timestamp};
use memcloud_wire::{Command, Outcome};
use serde::Serialize;
use tokio::sync::mpsc;

use super::emulated_hem::{EmulatedHem, Ending};
use crate::EmulatorError;

/// So many commands wait at most; a home that finds no place answers `failed`.
const MOST_WAITING: usize = 8_192;
/// So many are written together.
const MOST_TOGETHER: usize = 512;

/// Something that was carried out, or not, and how its command ends once that is on disk.
pub(super) struct Entry {
    pub(super) hem: Arc<EmulatedHem>,
    /// Its line in the record; absent where nothing was carried out.
    pub(super) line: Option<String>,
    pub(super) ending: Ending,
}

/// The handle that each home has.
#[derive(Clone)]
pub(super) struct Scribe {
    entries: mpsc::Sender<Entry>,
    keeps_records: bool,
}

/// What the scribe writes to.
struct Desk {
    record: Option<PathBuf>,
    files: BTreeMap<HemId, File>,
}

impl Scribe {
    /// A scribe, and the work that it is; it ends with the last handle.
    pub(super) fn new(
        record: Option<PathBuf>,
    ) -> Result<(Self, impl Future<Output = ()> + Send + use<>), EmulatorError> {
        if let Some(folder) = &record {
            std::fs::create_dir_all(folder).map_err(EmulatorError::file("create", folder))?;
        }
        let (entries, waiting) = mpsc::channel(MOST_WAITING);
        let keeps_records = record.is_some();
        let desk = Desk { record, files: BTreeMap::new() };
        Ok((Self { entries, keeps_records }, write_down(desk, waiting)))
    }

    /// Whether a line is wanted of what was carried out.
    pub(super) fn keeps_records(&self) -> bool {
        self.keeps_records
    }

    /// A place for one entry; none where too many wait.
    pub(super) fn place(&self) -> Option<mpsc::OwnedPermit<Entry>> {
        self.entries.clone().try_reserve_owned().ok()
    }
}

async fn write_down(mut desk: Desk, mut waiting: mpsc::Receiver<Entry>) {
    let mut entries = Vec::new();
    while waiting.recv_many(&mut entries, MOST_TOGETHER).await > 0 {
        let taken = std::mem::take(&mut entries);
        let written = tokio::task::spawn_blocking(move || {
            let outcome = desk.write(&taken);
            (desk, taken, outcome)
        })
        .await;
        let Ok((same_desk, taken, outcome)) = written else { return };
        desk = same_desk;
        if let Err(error) = &outcome {
            log::error!("what was carried out cannot be written down: {error}");
        }
        for Entry { hem, ending, .. } in taken {
            hem.end(match outcome {
                Ok(()) => ending,
                Err(_) => Ending {
                    outcome: Outcome::Failed,
                    reason: Some("it cannot be written down".to_owned()),
                    ..ending
                },
            });
        }
    }
}

impl Desk {
    fn write(&mut self, entries: &[Entry]) -> Result<(), EmulatorError> {
        let mut homes: BTreeMap<&HemId, (&EmulatedHem, String)> = BTreeMap::new();
        for entry in entries {
            let (_, lines) =
                homes.entry(&entry.hem.id).or_insert_with(|| (&entry.hem, String::new()));
            if let Some(line) = &entry.line {
                lines.push_str(line);
                lines.push('\n');
            }
        }
        for (id, (hem, lines)) in homes {
            if let (Some(folder), false) = (&self.record, lines.is_empty()) {
                append(&mut self.files, folder, id, &lines)?;
            }
            hem.keep_now()?;
        }
        Ok(())
    }
}

fn append(
    files: &mut BTreeMap<HemId, File>,
    folder: &Path,
    hem: &HemId,
    lines: &str,
) -> Result<(), EmulatorError> {
    let path = record_path(folder, hem);
    if !files.contains_key(hem) {
        files.insert(hem.clone(), open(&path).map_err(EmulatorError::file("write", &path))?);
    }
    let Some(file) = files.get_mut(hem) else { return Ok(()) };
    let written = file.write_all(lines.as_bytes()).and_then(|()| file.sync_data());
    written.map_err(EmulatorError::file("write", &path))
}

/// Opens a record, and ends the line that a kill may have torn.
fn open(path: &Path) -> std::io::Result<File> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Where the record of a home is: a JSON object a line, of each command that it carried out.
#[must_use]
pub fn record_path(folder: &Path, hem: &HemId) -> PathBuf {
    folder.join(format!("{hem}.jsonl"))
}

#[derive(Serialize)]
struct Line<'a> {
    command: &'a str,
    order: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeId>,
    #[serde(flatten)]
    action: &'a CommandAction,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_ms: Option<u64>,
    at: Timestamp,
}

/// The line of a command that was carried out at a moment.
pub(super) fn line_of(command: &Command, action: &CommandAction, at: Timestamp) -> String {
    let line = Line {
        command: &command.command,
        order: command.order,
        node: command.node,
        action,
        lease_ms: command.lease_ms,
        at,
    };
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_a_kill_tore_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let hem = HemId::new("home-1").unwrap();
        let path = record_path(folder.path(), &hem);
        std::fs::write(&path, "{\"command\":\"a\"}\n{\"comm").unwrap();
        for line in ["{\"command\":\"b\"}\n", "{\"command\":\"c\"}\n"] {
            append(&mut BTreeMap::new(), folder.path(), &hem, line).unwrap();
        }
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            ["{\"command\":\"a\"}", "{\"comm", "{\"command\":\"b\"}", "{\"command\":\"c\"}"]
        );
    }
}
