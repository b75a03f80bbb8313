//! Device keys in a text file: a HEM's id and its key on each line, `#` begins a comment.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use memcloud_domain::{HemId, Secret};

use crate::EmulatorError;

/// Reads a file of keys, in its order.
///
/// # Errors
/// [`EmulatorError::File`] where it cannot be read, [`EmulatorError::Keys`] with the line where it
/// is not of the form.
pub fn read_keys(path: &Path) -> Result<Vec<(HemId, Secret)>, EmulatorError> {
    let text = std::fs::read_to_string(path).map_err(EmulatorError::file("read", path))?;
    parse(&text).map_err(|(line, problem)| EmulatorError::Keys {
        path: path.to_owned(),
        line,
        problem,
    })
}

fn parse(text: &str) -> Result<Vec<(HemId, Secret)>, (usize, String)> {
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (id, key) = line
            .split_once(char::is_whitespace)
            .map(|(id, key)| (id, key.trim()))
            .filter(|(_, key)| !key.contains(char::is_whitespace))
            .ok_or_else(|| {
                (index + 1, "a HEM's id, a space and its key are expected".to_owned())
            })?;
        let id = HemId::new(id).map_err(|invalid| (index + 1, invalid.to_string()))?;
        keys.push((id, Secret::new(key)));
    }
    Ok(keys)
}

/// Keys that enrolment brings, kept in a file of the same form.
#[derive(Debug)]
pub(crate) struct Keyring {
    path: Option<PathBuf>,
    keys: BTreeMap<HemId, Secret>,
}

impl Keyring {
    /// Opens the ring of a folder; without one it is kept in memory.
    pub(crate) fn open(folder: Option<&Path>) -> Result<Self, EmulatorError> {
        let Some(folder) = folder else { return Ok(Self { path: None, keys: BTreeMap::new() }) };
        std::fs::create_dir_all(folder).map_err(EmulatorError::file("create", folder))?;
        let path = folder.join("keys.txt");
        let keys =
            if path.exists() { read_keys(&path)?.into_iter().collect() } else { BTreeMap::new() };
        Ok(Self { path: Some(path), keys })
    }

    /// A HEM's key.
    pub(crate) fn get(&self, hem: &HemId) -> Option<&Secret> {
        self.keys.get(hem)
    }

    /// Knows a key that is kept elsewhere.
    pub(crate) fn know(&mut self, hem: HemId, key: Secret) {
        self.keys.insert(hem, key);
    }

    /// Keeps a key; only its owner may read the file.
    pub(crate) fn keep(&mut self, hem: HemId, key: Secret) -> Result<(), EmulatorError> {
        if let Some(path) = &self.path {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)
                .map_err(EmulatorError::file("write", path))?;
            writeln!(file, "{hem} {}", key.expose()).map_err(EmulatorError::file("write", path))?;
        }
        self.keys.insert(hem, key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_keys_is_read_in_its_order_and_a_wrong_line_is_named() {
        let keys = parse("# mine\nhome-2 abc\n\nhome-1\tdef # the first\n").unwrap();
        let ids: Vec<&str> = keys.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["home-2", "home-1"]);
        assert_eq!(keys[1].1.expose(), "def");
        assert_eq!(parse("home-1 a\nhome-2").unwrap_err().0, 2);
        assert_eq!(parse("Home 1 a").unwrap_err().0, 1);
        assert!(parse("HOME a").unwrap_err().1.contains("a-z"));
    }

    #[test]
    fn a_kept_key_is_there_when_the_ring_is_opened_again_and_nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let hem = HemId::new("home-1").unwrap();
        let mut ring = Keyring::open(Some(folder.path())).unwrap();
        ring.keep(hem.clone(), Secret::new("old")).unwrap();
        ring.keep(hem.clone(), Secret::new("new")).unwrap();
        let again = Keyring::open(Some(folder.path())).unwrap();
        assert_eq!(again.get(&hem).unwrap().expose(), "new");
        let mode = std::fs::metadata(folder.path().join("keys.txt")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}
