//! The data folder: one process at a time, and the addresses that it chose.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Where a cloud listens, as in `addresses.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// REST, the live feed, the API's pages.
    pub http: SocketAddr,
    /// Where HEMs connect.
    pub hem: SocketAddr,
}

/// A data folder that this process holds; it is let go when this is dropped, or the process dies.
#[derive(Debug)]
pub(super) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder where there is none, and takes it.
    pub(super) fn take(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| {
            format!(
                "the data folder {} cannot be made; set data.dir to one that can",
                path.display()
            )
        })?;
        let lock_path = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .with_context(|| {
                format!(
                    "the data folder {} cannot be written to; set data.dir to one that can",
                    path.display()
                )
            })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "another memcloud runs on the data folder {}; stop that one, or set data.dir to another folder",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error)
                    .with_context(|| format!("{} cannot be locked", lock_path.display()));
            }
        }
        let folder = Self { path: path.to_path_buf(), _lock: lock };
        folder.remove_addresses();
        Ok(folder)
    }

    fn addresses(&self) -> PathBuf {
        self.path.join("addresses.json")
    }

    /// Writes the addresses, by rename: whoever sees the file sees all of it.
    pub(super) fn write_addresses(&self, addresses: &Addresses) -> anyhow::Result<()> {
        let unfinished = self.path.join("addresses.json.new");
        let written = File::create(&unfinished).and_then(|mut file| {
            serde_json::to_writer(&mut file, addresses)?;
            file.write_all(b"\n")?;
            std::fs::rename(&unfinished, self.addresses())
        });
        written.with_context(|| format!("{} cannot be written", self.addresses().display()))
    }

    /// Removes the addresses of a process that no longer listens.
    pub(super) fn remove_addresses(&self) {
        let _ = std::fs::remove_file(self.addresses());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_is_held_by_one_process_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let first = DataFolder::take(&path).unwrap();
        assert!(DataFolder::take(&path).unwrap_err().to_string().contains("another memcloud"));
        drop(first);
        DataFolder::take(&path).unwrap();
    }

    #[test]
    fn addresses_are_whole_and_those_of_an_earlier_process_are_gone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::take(parent.path()).unwrap();
        let addresses =
            Addresses { http: "127.0.0.1:1".parse().unwrap(), hem: "127.0.0.1:2".parse().unwrap() };
        folder.write_addresses(&addresses).unwrap();
        let text = std::fs::read_to_string(folder.addresses()).unwrap();
        assert_eq!(serde_json::from_str::<Addresses>(&text).unwrap(), addresses);
        drop(folder);
        let again = DataFolder::take(parent.path()).unwrap();
        assert!(!again.addresses().exists());
    }
}
