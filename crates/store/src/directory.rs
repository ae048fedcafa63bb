//! The data directory: where each thing lies in it, and the lock that gives it to one process.
//!
//! Created by the first start (mode 0700), held by [`DataDirectory::take`] until the last part of the store
//! is dropped. The lock is a `flock`, which the kernel takes back however the process ends; the pid in
//! the file is only there to be named. `tmp/` is emptied by each start: whatever a crash left half-made
//! lies there, as every file is completed there before it is renamed to its place.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::durable::{self, Durability};
use crate::open::OpenError;

const LOCK: &str = "lock";
/// Directories a data directory always has.
const DIRECTORIES: &[&str] = &["blobs", "code", "tmp"];
/// What an ephemeral store's directory is called, so that a later one can clear it away.
const EPHEMERAL_PREFIX: &str = "lambent-ephemeral-";
/// Written and removed at each start: enough that a full disk is noticed then, not at the first deploy.
static PROBE: [u8; 64 * 1024] = [0; 64 * 1024];

/// A data directory that this process holds.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    pub(crate) durability: Durability,
    lock: File,
    _ephemeral: Option<tempfile::TempDir>,
}

// === impl DataDirectory ===

impl DataDirectory {
    /// Takes `path` for this process, making it if need be.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::from_io(path, source);
        let made = create(path).map_err(io)?;
        let path = fs::canonicalize(path).map_err(io)?;
        check_ours(&path)?;
        let directory = Self::hold(path, Durability::Synced, None)?;
        for parent in directory.path.ancestors().skip(1).take(made) {
            // Not ours to write in, perhaps; then its name's durability is not ours either.
            let _ = durable::sync_directory(parent);
        }
        Ok(directory)
    }

    /// A private directory that is gone when the store is.
    pub(crate) fn ephemeral() -> Result<Self, OpenError> {
        let parent = std::env::temp_dir();
        let io = |source| OpenError::from_io(&parent, source);
        let made = tempfile::Builder::new().prefix(EPHEMERAL_PREFIX).tempdir_in(&parent).map_err(io)?;
        sweep_ephemeral(&parent, made.path());
        let path = fs::canonicalize(made.path()).map_err(io)?;
        Self::hold(path, Durability::Unsynced, Some(made))
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A fresh name in `tmp/`.
    pub(crate) fn aside(&self) -> PathBuf {
        durable::unique_name(&self.path.join("tmp"))
    }

    fn hold(
        path: PathBuf,
        durability: Durability,
        ephemeral: Option<tempfile::TempDir>,
    ) -> Result<Self, OpenError> {
        let lock = lock(&path)?;
        let directory = Self { path, durability, lock, _ephemeral: ephemeral };
        directory.prepare().map_err(|source| OpenError::from_io(&directory.path, source))?;
        Ok(directory)
    }

    fn prepare(&self) -> io::Result<()> {
        fs::set_permissions(&self.path, Permissions::from_mode(0o700))?;
        for name in DIRECTORIES {
            durable::private_directory(&self.path.join(name))?;
        }
        for leftover in fs::read_dir(self.path.join("tmp"))? {
            durable::remove_tree(&leftover?.path())?;
        }
        let probe = self.aside();
        let written = File::create_new(&probe).and_then(|mut file| {
            file.write_all(&PROBE)?;
            // Delayed allocation: only a sync finds that there is no block for it.
            if self.durability == Durability::Synced { file.sync_all() } else { Ok(()) }
        });
        // The write's error is the one to report.
        written.and(fs::remove_file(&probe))?;
        self.durability.sync_directory(&self.path)
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        // Closing alone would leave the lock with a child that has forked and not yet executed. A failure
        // to unlock here is made good by the close.
        let _ = self.lock.unlock();
    }
}

/// Makes the directory and its parents; how many of them were not there.
fn create(path: &Path) -> io::Result<usize> {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.is_dir();
    let made = path.ancestors().take_while(missing).count();
    if made > 0 {
        fs::DirBuilder::new().mode(0o700).recursive(true).create(path)?;
    }
    Ok(made)
}

/// Refuses a directory that holds somebody else's files: a mistyped path must not be taken over.
fn check_ours(path: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::from_io(path, source);
    if path.join(LOCK).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(io)? {
        if entry.map_err(io)?.file_name() != "lost+found" {
            return Err(OpenError::NotOurs { directory: path.to_owned() });
        }
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let io = |source| OpenError::from_io(directory, source);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(directory.join(LOCK))
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(OpenError::InUse { directory: directory.to_owned(), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    sign(&mut file).map_err(io)?;
    Ok(file)
}

/// Leaves our pid for whoever finds the lock taken.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// The process that has the lock, where it got as far as writing its pid.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Removes what ephemeral stores that were killed left behind: their directories, which nobody locks.
fn sweep_ephemeral(parent: &Path, own: &Path) {
    let (Ok(entries), Ok(own_metadata)) = (fs::read_dir(parent), fs::metadata(own)) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(EPHEMERAL_PREFIX)
            && path != own
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == own_metadata.uid());
        // Without a lock file it is another process's that has only just been made.
        let abandoned = || File::open(path.join(LOCK)).is_ok_and(|file| file.try_lock().is_ok());
        if ours && abandoned() {
            // Another start may be sweeping too: whoever removes it, it is gone.
            let _ = durable::remove_tree(&path);
        }
    }
}
