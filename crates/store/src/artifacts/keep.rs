//! Keeping artifacts: which file goes where, in which order, and when it counts as kept.
//!
//! A digest is kept once its tree and its blob are under their names and those names are synced. Names that
//! are found already may not be: another put may be between its rename and its sync, or have failed there,
//! or have been killed there. So every put syncs all the names that lead to its blob.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use types::limits::Limits;

use super::collect::Recent;
use super::digest::Digest;
use super::exclusive::Exclusive;
use super::plan::Plan;
use super::{Artifact, Error, unpack};
use crate::directory::DataDirectory;
use crate::durable;

/// Keeps artifacts.
#[derive(Debug, Clone)]
pub struct Artifacts(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) directory: Arc<DataDirectory>,
    pub(super) exclusive: Exclusive,
    pub(super) recent: Recent,
}

// === impl Artifacts ===

impl Artifacts {
    pub(crate) fn new(directory: Arc<DataDirectory>) -> Self {
        Self(Arc::new(Shared { directory, exclusive: Exclusive::default(), recent: Recent::default() }))
    }

    /// Checks a zip, keeps it durably and unpacks it; a zip that is already kept costs only its digest.
    ///
    /// # Errors
    /// [`Error`] with the entry or the limit that is the matter; nothing is kept then.
    pub async fn put_zip(&self, bytes: Bytes, limits: &Limits) -> Result<Artifact, Error> {
        let limits = limits.clone();
        self.blocking(move |shared| shared.put_zip(&bytes, &limits)).await
    }

    /// The unpacked tree of an artifact, unpacked anew if it is missing.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is no such artifact, or what made unpacking impossible.
    pub async fn path(&self, digest: &str) -> Result<PathBuf, Error> {
        let digest = Digest::parse(digest)?;
        self.blocking(move |shared| shared.path(&digest)).await
    }

    /// The zip of an artifact, as it was put.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is no such artifact, [`Error::Damaged`] where its bytes changed.
    pub async fn zip(&self, digest: &str) -> Result<Bytes, Error> {
        let digest = Digest::parse(digest)?;
        self.blocking(move |shared| shared.zip(&digest)).await
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&shared)).await.map_err(|_| Error::Stopped)?
    }
}

// === impl Shared ===

impl Shared {
    fn put_zip(&self, bytes: &Bytes, limits: &Limits) -> Result<Artifact, Error> {
        let size = bytes.len() as u64;
        if size > limits.code_zip {
            return Err(Error::ZipTooLarge { size, limit: limits.code_zip });
        }
        let plan = Plan::read(bytes, limits)?;
        let digest = Digest::of(bytes);
        let _turn = self.exclusive.enter(&digest);
        self.recent.note(&digest);
        match self.code(&digest).is_dir() && self.blob(&digest).is_file() {
            true => self.sync_names(&digest)?,
            false => self.keep(&digest, bytes, &plan)?,
        }
        Ok(Artifact {
            sha256_base64: digest.base64(),
            digest: digest.into_string(),
            size,
            unpacked_size: plan.unpacked_size(),
        })
    }

    fn path(&self, digest: &Digest) -> Result<PathBuf, Error> {
        let code = self.code(digest);
        if code.is_dir() {
            return Ok(code);
        }
        let _turn = self.exclusive.enter(digest);
        if !code.is_dir() {
            let bytes = self.zip(digest)?;
            // It was within the limits of its day; those of today are not a reason to lose it.
            let plan = Plan::read(
                &bytes,
                &Limits { code_entries: u64::MAX, code_unzipped: u64::MAX, ..Limits::default() },
            )?;
            self.install(digest, &bytes, &plan)?;
        }
        Ok(code)
    }

    fn zip(&self, digest: &Digest) -> Result<Bytes, Error> {
        let bytes = match fs::read(self.blob(digest)) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Unknown { digest: digest.to_string() });
            }
            Err(error) => return Err(error.into()),
        };
        if Digest::of(&bytes) == *digest {
            Ok(bytes)
        } else {
            Err(Error::Damaged { digest: digest.to_string() })
        }
    }

    /// Unpacks first: a zip that turns out to be bad while it is read is never kept.
    fn keep(&self, digest: &Digest, bytes: &Bytes, plan: &Plan) -> Result<(), Error> {
        let aside = self.unpack_aside(bytes, plan)?;
        let kept = self.keep_blob(digest, bytes).and_then(|()| self.move_in(&aside, digest));
        if kept.is_err() {
            // The first error is the one to report; the next start clears what is left aside.
            let _ = durable::remove_tree(&aside);
        }
        kept
    }

    fn install(&self, digest: &Digest, bytes: &Bytes, plan: &Plan) -> Result<(), Error> {
        let aside = self.unpack_aside(bytes, plan)?;
        self.move_in(&aside, digest)
    }

    fn unpack_aside(&self, bytes: &Bytes, plan: &Plan) -> Result<PathBuf, Error> {
        let aside = self.directory.aside();
        let unpacked = unpack::unpack(bytes, plan, &aside)
            .and_then(|()| unpack::sync(plan, &aside, self.directory.durability));
        match unpacked {
            Ok(()) => Ok(aside),
            Err(error) => {
                let _ = durable::remove_tree(&aside);
                Err(error)
            }
        }
    }

    fn keep_blob(&self, digest: &Digest, bytes: &Bytes) -> Result<(), Error> {
        let blob = self.blob(digest);
        if !blob.is_file() {
            durable::private_directory(&self.blobs().join(digest.fan()))?;
            self.directory.durability.write(&self.directory.aside(), &blob, bytes)?;
        }
        self.sync_names(digest)
    }

    /// Makes durable what leads to a blob. The tree's name may be lost: it is unpacked again.
    fn sync_names(&self, digest: &Digest) -> Result<(), Error> {
        let durability = self.directory.durability;
        durability.sync_directory(&self.blobs().join(digest.fan()))?;
        Ok(durability.sync_directory(&self.blobs())?)
    }

    fn move_in(&self, aside: &Path, digest: &Digest) -> Result<(), Error> {
        let code = self.code(digest);
        if code.is_dir() {
            return Ok(durable::remove_tree(aside)?);
        }
        fs::rename(aside, &code)?;
        Ok(self.directory.durability.sync_directory(&self.directory.path().join("code"))?)
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.fan()).join(digest.as_str())
    }

    fn blobs(&self) -> PathBuf {
        self.directory.path().join("blobs")
    }

    pub(super) fn code(&self, digest: &Digest) -> PathBuf {
        self.directory.path().join("code").join(digest.as_str())
    }
}
