//! The roots of a sandbox with an ember: the composed tree several times, each with its own `/tmp` and `/dev/shm`.
//!
//! They are in a directory of their own, the base, that nobody inside may enter: with a descriptor of a directory of
//! one root a program still finds no way to another. In it are `core`, the tree as composed, and `0`, `1`, ...: `core`
//! bound with everything below it, and what is its own on top. The first is made by the shell, the others by a
//! short-lived child of the broker in the same mount namespace.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::mount::UnmountFlags;

use super::devices;
use super::tree::{Tree, attach, clone_of, in_memory};
use crate::failure::{At, Failure};

/// The base holds directories and nothing else.
const BASE_SIZE: &str = "1m";

/// The tree as composed.
const CORE: &str = "core";

/// What one root has to itself: file systems that are mounted nowhere yet.
#[derive(Debug)]
pub(crate) struct Own {
    /// `/tmp`.
    pub(crate) scratch: OwnedFd,
    /// `/dev/shm`.
    pub(crate) shared_memory: OwnedFd,
}

// === impl Own ===

impl Own {
    /// Around a `/tmp`.
    pub(crate) fn with(scratch: OwnedFd) -> Result<Self, Failure> {
        Ok(Self { scratch, shared_memory: devices::shared_memory()? })
    }

    /// What a tree over `place` has been given, taken out of it.
    fn take(tree: &Tree, place: &Path) -> Result<Self, Failure> {
        let take = |name: &str| {
            let copy = clone_of(tree.directory(), OsStr::new(name)).at(|| format!("open /{name}"))?;
            rustix::mount::unmount(place.join(name), UnmountFlags::DETACH)
                .at(|| format!("take /{name} out of the tree"))?;
            Ok(copy)
        };
        Ok(Self { scratch: take("tmp")?, shared_memory: take("dev/shm")? })
    }
}

/// Makes the base and the first root out of a composed tree, and enters that root; the host's is gone.
pub(crate) fn enter(tree: &Tree, place: &Path) -> Result<(), Failure> {
    let own = Own::take(tree, place)?;
    tree.protect()?;
    let core = clone_of(tree.directory(), OsStr::new(".")).at(|| "copy the tree")?;
    let base = in_memory(BASE_SIZE, "0700").at(|| "make the base of the roots")?;
    attach(base.as_fd(), CWD, place.as_os_str()).at(|| "mount the base of the roots")?;
    make_directory(base.as_fd(), CORE)?;
    attach(core.as_fd(), &base, OsStr::new(CORE)).at(|| "mount the tree")?;
    let root = add(base.as_fd(), 0, &own)?;
    rustix::process::fchdir(&base).at(|| "enter the base of the roots")?;
    rustix::process::pivot_root(".", ".").at(|| "change the root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).at(|| "leave the host's root")?;
    take(root.as_fd()).at(|| "enter the first root")
}

/// Makes this process's root, and that of all who share it, the one that is open here.
pub(crate) fn take(root: BorrowedFd<'_>) -> std::io::Result<()> {
    rustix::process::fchdir(root)?;
    Ok(rustix::process::chroot(".")?)
}

/// The base, for a process whose root it is.
pub(crate) fn base() -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open("/", flags, Mode::empty()).at(|| "open the base of the roots")
}

/// Makes one more root and returns it, open.
pub(crate) fn add(base: BorrowedFd<'_>, number: u32, own: &Own) -> Result<OwnedFd, Failure> {
    let name = number.to_string();
    let root = clone_of(base, OsStr::new(CORE)).at(|| "copy the tree")?;
    make_directory(base, &name)?;
    attach(root.as_fd(), base, OsStr::new(&name)).at(|| format!("mount root {name}"))?;
    for (part, place) in [(&own.scratch, "tmp"), (&own.shared_memory, "dev/shm")] {
        attach(part.as_fd(), &root, OsStr::new(place)).at(|| format!("mount /{place} of root {name}"))?;
    }
    Ok(root)
}

/// Removes a root that nobody uses any more. The caller's root is the base.
pub(crate) fn remove(base: BorrowedFd<'_>, number: u32) -> Result<(), Failure> {
    let name = number.to_string();
    rustix::mount::unmount(Path::new("/").join(&name), UnmountFlags::DETACH)
        .at(|| format!("unmount root {name}"))?;
    rustix::fs::unlinkat(base, &name, AtFlags::REMOVEDIR).at(|| format!("remove root {name}"))
}

fn make_directory(base: BorrowedFd<'_>, name: &str) -> Result<(), Failure> {
    rustix::fs::mkdirat(base, name, Mode::from_raw_mode(0o755)).at(|| format!("make a directory for {name}"))
}
