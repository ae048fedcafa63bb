//! The tree itself: made empty before its sandbox is known, filled from the spec, then entered for good.
//!
//! Every path inside is resolved within the tree (`RESOLVE_IN_ROOT`): a symbolic link in a function's
//! code cannot lead a mount out of it. Nothing is skipped: what cannot be mounted is a named failure.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use crate::failure::{At, Failure};
use crate::spec::Mount;
use crate::system::{self, MountFlags};

/// What is written into the tree itself: small files and empty directories.
const TREE_SIZE: &str = "8m";

/// The new root, mounted and not yet entered.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
}

/// `MOUNT_ATTR_*` of what comes from the host.
const READ_ONLY: u64 = (MountAttrFlags::MOUNT_ATTR_RDONLY.bits()
    | MountAttrFlags::MOUNT_ATTR_NOSUID.bits()
    | MountAttrFlags::MOUNT_ATTR_NODEV.bits()) as u64;

// === impl Tree ===

impl Tree {
    /// An empty tree over `place`, an empty directory of the host. The caller has its own mount namespace.
    pub(crate) fn make(place: &Path) -> Result<Self, Failure> {
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .at(|| "make mounts private")?;
        let root = in_memory(TREE_SIZE, "0755").at(|| "make the root")?;
        attach(root.as_fd(), CWD, place.as_os_str()).at(|| "mount the root")?;
        Ok(Self { root })
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Does what one entry of a spec says.
    pub(crate) fn add(&self, mount: &Mount) -> Result<(), Failure> {
        match mount {
            Mount::ReadOnly { source, target } => {
                self.mount(&read_only(source)?, target).at(|| format!("mount {}", target.display()))
            }
            Mount::Directory { target } => {
                self.make_directory(target).map(drop).at(|| format!("make {}", target.display()))
            }
            Mount::Link { to, target } => self
                .parent_of(target)
                .and_then(|(parent, name)| Ok(rustix::fs::symlinkat(to.as_path(), parent, name)?))
                .at(|| format!("link {}", target.display())),
            Mount::File { text, target } => {
                self.write(target, text).at(|| format!("write {}", target.display()))
            }
        }
    }

    /// Mounts a detached tree, making the directory or file that it covers.
    pub(crate) fn mount(&self, tree: &OwnedFd, target: &Path) -> io::Result<()> {
        let is_directory = FileType::from_raw_mode(rustix::fs::fstat(tree)?.st_mode) == FileType::Directory;
        let covered = if is_directory {
            self.make_directory(target)?
        } else {
            self.write(target, "").or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(error),
            })?;
            self.open(target, OFlags::PATH)?
        };
        attach(tree.as_fd(), covered, OsStr::new(""))
    }

    /// The directory with this path, made where it is not there.
    pub(crate) fn make_directory(&self, target: &Path) -> io::Result<OwnedFd> {
        let mut path = std::path::PathBuf::from("/");
        let mut current = rustix::fs::openat(&self.root, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        for part in target.components() {
            let Component::Normal(name) = part else { continue };
            path.push(name);
            match rustix::fs::mkdirat(&current, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                // A read-only mount that has the directory already says so before it says "exists".
                Err(error) => {
                    if self.open(&path, OFlags::PATH | OFlags::DIRECTORY).is_err() {
                        return Err(error.into());
                    }
                }
            }
            current = self.open(&path, OFlags::PATH | OFlags::DIRECTORY)?;
        }
        Ok(current)
    }

    /// Makes everything but what is mounted below read-only, and this tree the root. The old one is gone.
    pub(crate) fn enter(self) -> Result<(), Failure> {
        rustix::process::fchdir(&self.root).at(|| "enter the root")?;
        rustix::process::pivot_root(".", ".").at(|| "change the root")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH).at(|| "leave the host's root")?;
        rustix::process::chdir("/").at(|| "enter the root")?;
        self.protect()
    }

    /// Makes the tree itself read-only, not what is mounted below it.
    pub(crate) fn protect(&self) -> Result<(), Failure> {
        system::set_mount_flags(self.root.as_fd(), MountFlags { set: READ_ONLY, recursive: false })
            .at(|| "make the root read-only")
    }

    fn write(&self, target: &Path, text: &str) -> io::Result<()> {
        let (parent, name) = self.parent_of(target)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644))?;
        io::Write::write_all(&mut std::fs::File::from(file), text.as_bytes())
    }

    fn parent_of<'a>(&self, target: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = self.make_directory(target.parent().unwrap_or(Path::new("/")))?;
        Ok((parent, name))
    }

    fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }
}

/// A part of the host, read-only and without set-uid and devices, mounted nowhere yet.
pub(crate) fn read_only(source: &Path) -> Result<OwnedFd, Failure> {
    let tree = clone_of(CWD, source.as_os_str()).at(|| format!("open {}", source.display()))?;
    system::set_mount_flags(tree.as_fd(), MountFlags { set: READ_ONLY, recursive: true })
        .at(|| format!("make {} read-only", source.display()))?;
    Ok(tree)
}

/// A detached in-memory file system.
pub(crate) fn in_memory(size: &str, mode: &str) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(context.as_fd(), "size", size)?;
    rustix::mount::fsconfig_set_string(context.as_fd(), "mode", mode)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A detached copy of a mount with everything below it.
pub(crate) fn clone_of(base: BorrowedFd<'_>, path: &OsStr) -> io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    Ok(rustix::mount::open_tree(base, path.as_bytes(), flags)?)
}

/// Mounts a detached tree at a path, or with an empty path at the descriptor.
pub(crate) fn attach(tree: BorrowedFd<'_>, base: impl AsFd, path: &OsStr) -> io::Result<()> {
    let mut flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    if path.is_empty() {
        flags |= MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    }
    Ok(rustix::mount::move_mount(tree, "", base.as_fd(), path.as_bytes(), flags)?)
}

/// Whether a path is there, without following a link.
pub(crate) fn exists(base: BorrowedFd<'_>, path: &str) -> bool {
    rustix::fs::statat(base, path, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}
