//! Removing what nobody refers to any more.
//!
//! Between a put and the record that refers to it lies a moment in which the artifact is nobody's. So an
//! artifact is spared by the first collect after its put, whatever that one was told is live: only a
//! caller that took longer than a whole period between two collects could lose it.

use std::collections::HashSet;
use std::fs;
use std::mem;
use std::path::Path;

use parking_lot::Mutex;

use super::Error;
use super::digest::Digest;
use super::keep::{Artifacts, Shared};
use crate::durable;

/// What a collect removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Artifacts.
    pub artifacts: u64,
    /// Bytes of their zips.
    pub bytes: u64,
}

/// Digests put since the last collect.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<HashSet<Digest>>);

// === impl Recent ===

impl Recent {
    pub(crate) fn note(&self, digest: &Digest) {
        self.0.lock().insert(digest.clone());
    }

    /// The digests put since the last call, which from now on are those of the past.
    fn turn(&self) -> HashSet<Digest> {
        mem::take(&mut *self.0.lock())
    }

    fn contains(&self, digest: &Digest) -> bool {
        self.0.lock().contains(digest)
    }
}

// === impl Artifacts ===

impl Artifacts {
    /// Removes every artifact whose digest is not in `live` and that was not put since the last collect.
    ///
    /// `live` must have the digests of running instances too: their code is read from here.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be read or emptied; what was removed stays removed.
    pub async fn collect(&self, live: &HashSet<String>) -> Result<Collected, Error> {
        let live = live.clone();
        self.blocking(move |shared| shared.collect(&live)).await
    }
}

// === impl Shared ===

impl Shared {
    fn collect(&self, live: &HashSet<String>) -> Result<Collected, Error> {
        let spared = self.recent.turn();
        let mut collected = Collected::default();
        for digest in self.kept()? {
            if live.contains(digest.as_str()) || spared.contains(&digest) {
                continue;
            }
            let _turn = self.exclusive.enter(&digest);
            // It may have been put since this collect began.
            if !self.recent.contains(&digest) {
                collected.bytes += self.remove(&digest)?;
                collected.artifacts += 1;
            }
        }
        Ok(collected)
    }

    /// Everything there is, as a blob or as a tree.
    fn kept(&self) -> Result<HashSet<Digest>, Error> {
        let mut kept = HashSet::new();
        let mut look = |directory: &Path| -> Result<(), Error> {
            for entry in fs::read_dir(directory)? {
                // Whatever else lies there is not ours to remove.
                kept.extend(Digest::parse(&entry?.file_name().to_string_lossy()));
            }
            Ok(())
        };
        look(&self.directory.path().join("code"))?;
        for fan in fs::read_dir(self.directory.path().join("blobs"))? {
            let fan = fan?;
            if fan.file_type()?.is_dir() {
                look(&fan.path())?;
            }
        }
        Ok(kept)
    }

    /// The tree first, by a rename, so that it is never seen half removed; the blob, which could bring
    /// it back, last.
    fn remove(&self, digest: &Digest) -> Result<u64, Error> {
        let (code, blob) = (self.code(digest), self.blob(digest));
        if code.is_dir() {
            let aside = self.directory.aside();
            durable::move_directory(&code, &aside)?;
            durable::remove_tree(&aside)?;
        }
        let size = fs::metadata(&blob).map_or(0, |metadata| metadata.len());
        durable::remove_tree(&blob)?;
        Ok(size)
    }
}
