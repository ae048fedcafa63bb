//! `/dev` of a sandbox: a handful of harmless nodes of the host, the usual links, and `/dev/shm`.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::CWD;

use super::tree::{Tree, clone_of, in_memory};
use crate::failure::{At, Failure};

/// Nodes taken from the host. None of them leads to a device.
const NODES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// Links that programs expect.
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
];

/// Shared memory; charged to the memory limit.
const SHARED_MEMORY: &str = "64m";

/// Fills `/dev`.
pub(crate) fn add(tree: &Tree) -> Result<(), Failure> {
    for node in NODES {
        let mount = clone_of(CWD, OsStr::new(node)).at(|| format!("open {node}"))?;
        tree.mount(&mount, Path::new(node)).at(|| format!("mount {node}"))?;
    }
    for (to, name) in LINKS {
        rustix::fs::symlinkat(to, tree.directory(), name).at(|| format!("link /{name}"))?;
    }
    tree.mount(&shared_memory()?, Path::new("/dev/shm")).at(|| "mount /dev/shm")
}

/// A `/dev/shm` that is mounted nowhere yet.
pub(crate) fn shared_memory() -> Result<OwnedFd, Failure> {
    in_memory(SHARED_MEMORY, "1777").at(|| "make /dev/shm")
}
