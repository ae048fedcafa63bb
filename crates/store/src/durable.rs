//! Files that are still there after a power cut: written aside, synced, renamed, and the directory that
//! names them synced too.
//!
//! Invariants: nothing is ever written in place; a name under its final directory leads to complete
//! content or to nothing. `fsync` of a file does not make its *name* durable, hence
//! [`sync_directory`] after every rename.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Whether writes are synced. An ephemeral store has nothing to lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Survives a power cut.
    Synced,
    /// Survives only as long as the machine runs.
    Unsynced,
}

// === impl Durability ===

impl Durability {
    /// Makes a directory's entries durable.
    pub(crate) fn sync_directory(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Synced => sync_directory(path),
            Self::Unsynced => Ok(()),
        }
    }

    /// Makes a file's content durable.
    pub(crate) fn sync_file(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Synced => File::open(path)?.sync_all(),
            Self::Unsynced => Ok(()),
        }
    }

    /// Writes `bytes` to `path` by way of `aside`, a name on the same file system. The caller syncs the
    /// directory, and those above it that may be new.
    pub(crate) fn write(self, aside: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let written = self.write_aside(aside, bytes).and_then(|()| fs::rename(aside, path));
        if written.is_err() {
            // The first error is the one to report; a leftover goes with the next start.
            let _ = fs::remove_file(aside);
        }
        written
    }

    fn write_aside(self, aside: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create_new(aside)?;
        file.write_all(bytes)?;
        match self {
            Self::Synced => file.sync_all(),
            Self::Unsynced => Ok(()),
        }
    }
}

/// Makes a directory's entries durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a directory only its owner can enter, where there is none.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result,
    }
}

/// A name in `directory` that nobody else uses.
pub(crate) fn unique_name(directory: &Path) -> PathBuf {
    directory.join(uuid::Uuid::new_v4().simple().to_string())
}

/// Removes a file or a tree, read-only directories included; that there is none is not an error.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match remove_once(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_removable(path)?;
            remove_once(path)
        }
        result => result,
    }
}

fn remove_once(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Gives the owner back the right to empty each directory of a tree; links are not followed.
fn make_removable(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return Ok(());
    }
    make_writable(path)?;
    for entry in fs::read_dir(path)? {
        make_removable(&entry?.path())?;
    }
    Ok(())
}

/// Gives the owner back the right to change a directory. Through a descriptor: a running server is not
/// allowed to change modes by path.
fn make_writable(directory: &Path) -> io::Result<()> {
    File::open(directory)?.set_permissions(Permissions::from_mode(0o700))
}

/// Moves a directory to another parent, also a read-only one: moving it changes its `..`.
pub(crate) fn move_directory(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(from)?;
            fs::rename(from, to)
        }
        result => result,
    }
}

/// Whether an error means that there is no room left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
