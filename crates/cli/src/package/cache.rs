//! Installed dependencies, kept under a digest of everything that decides them.
//!
//! An entry is made in a directory of its own and renamed into place when it is complete, so a reader
//! never sees half of one, and two deploys at once both succeed. Entries are never changed afterwards;
//! the whole directory may be deleted at any time.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::Error;

/// Where entries are kept.
#[derive(Debug, Clone)]
pub struct Cache {
    directory: PathBuf,
}

/// Collects what decides an entry.
#[derive(Debug, Default)]
pub struct Key(Sha256);

// === impl Key ===

impl Key {
    /// Adds a part. Its length goes in too, so that parts cannot run into each other.
    pub fn add(&mut self, part: impl AsRef<[u8]>) -> &mut Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }

    fn name(&self) -> String {
        let digest = self.0.clone().finalize();
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

// === impl Cache ===

impl Cache {
    /// The cache in this directory, which need not exist.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The entry of this key, made by `make` in an empty directory if there is none or `again` is set.
    pub fn entry(
        &self,
        kind: &str,
        key: &Key,
        again: bool,
        make: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        let directory = self.directory.join(kind);
        let entry = directory.join(key.name());
        if entry.is_dir() && !again {
            return Ok(entry);
        }
        fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
        let making = tempfile::Builder::new()
            .prefix(".making-")
            .tempdir_in(&directory)
            .map_err(Error::file("create a directory in", &directory))?;
        make(making.path())?;
        if again && entry.is_dir() {
            fs::remove_dir_all(&entry).map_err(Error::file("remove", &entry))?;
        }
        match fs::rename(making.path(), &entry) {
            // The guard would remove the old name, which is gone.
            Ok(()) => drop(making.keep()),
            Err(_) if entry.is_dir() => {}
            Err(source) => return Err(Error::File { action: "move into the cache", path: entry, source }),
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_made_once_and_a_failed_one_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().to_owned());
        let mut key = Key::default();
        key.add("a").add("b");
        let fail = |_: &Path| Err(Error::NotAFolder { path: "x".into() });
        cache.entry("k", &key, false, fail).unwrap_err();
        let make = |at: &Path| fs::write(at.join("f"), "1").map_err(Error::file("write", at));
        let entry = cache.entry("k", &key, false, make).unwrap();
        assert_eq!(cache.entry("k", &key, false, fail).unwrap(), entry);
        let names: Vec<_> =
            fs::read_dir(directory.path().join("k")).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(names, [entry]);
    }
}
