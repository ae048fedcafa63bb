//! `/proc` of a sandbox: of its own pid namespace, with what belongs to the machine read-only or hidden.
//!
//! The program's id could not write there in any case; this is the second layer.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags};

use super::tree::{Tree, attach, clone_of, exists, in_memory};
use crate::failure::{At, Failure};
use crate::system::{self, MountFlags};

/// Settings of the machine: may be read.
const READ_ONLY: [&str; 5] = ["sys", "irq", "bus", "fs", "sysrq-trigger"];

/// Files with the kernel's or other users' secrets, or that help to attack it.
const HIDDEN_FILES: [&str; 7] =
    ["kcore", "keys", "key-users", "timer_list", "sched_debug", "kallsyms", "latency_stats"];

/// Directories of that kind.
const HIDDEN_DIRECTORIES: [&str; 3] = ["acpi", "scsi", "driver"];

/// Mounts `/proc`. The caller is in the pid namespace that it shows.
pub(crate) fn add(tree: &Tree) -> Result<(), Failure> {
    let proc = fresh().at(|| "make /proc")?;
    tree.mount(&proc, Path::new("/proc")).at(|| "mount /proc")?;
    for name in READ_ONLY {
        if exists(proc.as_fd(), name) {
            protect(&proc, name).at(|| format!("make /proc/{name} read-only"))?;
        }
    }
    for name in HIDDEN_FILES {
        if exists(proc.as_fd(), name) {
            let nothing = clone_of(CWD, OsStr::new("/dev/null")).at(|| "open /dev/null")?;
            attach(nothing.as_fd(), &proc, OsStr::new(name)).at(|| format!("hide /proc/{name}"))?;
        }
    }
    for name in HIDDEN_DIRECTORIES {
        if exists(proc.as_fd(), name) {
            let nothing = in_memory("4k", "0555").at(|| "make an empty directory")?;
            attach(nothing.as_fd(), &proc, OsStr::new(name)).at(|| format!("hide /proc/{name}"))?;
        }
    }
    Ok(())
}

/// Hides processes that the reader may not trace: siblings from one ember, which have one id. Every copy of this
/// `/proc` follows.
pub(crate) fn hide_others(tree: &Tree) -> Result<(), Failure> {
    let hide = || -> io::Result<()> {
        let proc = rustix::mount::fspick(tree.directory(), "proc", FsPickFlags::FSPICK_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(proc.as_fd(), "hidepid", "ptraceable")?;
        Ok(rustix::mount::fsconfig_reconfigure(proc.as_fd())?)
    };
    hide().at(|| "hide other processes in /proc")
}

fn fresh() -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn protect(proc: &OwnedFd, name: &str) -> io::Result<()> {
    let part = clone_of(proc.as_fd(), OsStr::new(name))?;
    let set = u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits());
    system::set_mount_flags(part.as_fd(), MountFlags { set, recursive: true })?;
    attach(part.as_fd(), proc, OsStr::new(name))
}
