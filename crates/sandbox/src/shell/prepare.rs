//! What every sandbox has, made before its spec is known: control groups, namespaces, loopback, the tree
//! with `/dev`, `/proc` and a `/tmp` of the usual size, and the user namespace to enter later.

use std::ffi::c_int;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::UnmountFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::life::{Scratch, Seed};
use super::user_namespace;
use crate::failure::{At, Failure};
use crate::root::tree::Tree;
use crate::root::{devices, process_information, scratch};
use crate::spec::Layers;
use crate::system;

/// The empty directory of the data directory over which roots are mounted, each in its own namespace.
const PLACE: &str = "root";

/// When the whole machine is out of memory, a sandbox goes before the server and the broker (0 to 1000).
const FIRST_TO_GO: &str = "500";

/// What is ready.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The root, where there is one of its own.
    pub(crate) tree: Option<Tree>,
    /// The network namespace, where there is one.
    pub(crate) network: Option<OwnedFd>,
    /// The user namespace to enter last.
    pub(crate) user_namespace: Option<OwnedFd>,
}

// === impl Prepared ===

impl Prepared {
    /// Puts a `/tmp` of another size in the place of the one prepared.
    pub(crate) fn replace_scratch(
        &self,
        tree: &Tree,
        seed: &Seed<'_>,
        scratch: Scratch<'_>,
        bytes: u64,
    ) -> Result<(), Failure> {
        rustix::mount::unmount(place_of(seed.directory).join("tmp"), UnmountFlags::DETACH)
            .at(|| "replace the prepared /tmp")?;
        mount_scratch(tree, seed, scratch, bytes)
    }
}

/// Prepares.
pub(crate) fn prepare(seed: &Seed<'_>) -> Result<Prepared, Failure> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // Without the host's rights the file is another's: then all are equal.
    let _ = fs::write("/proc/self/oom_score_adj", FIRST_TO_GO);
    for join in &seed.joins {
        fs::write(join, "0").at(|| format!("join {}", join.display()))?;
    }
    let flags = namespace_flags(seed.layers);
    if flags != 0 {
        system::unshare(flags).at(|| "make namespaces")?;
    }
    let network = if seed.layers.network {
        loopback_up().at(|| "bring loopback up")?;
        Some(open_namespace("net").at(|| "open the network namespace")?)
    } else {
        None
    };
    let tree = if seed.layers.root { Some(make_tree(seed)?) } else { None };
    let user_namespace = if seed.layers.user { Some(user_namespace::make(seed)?) } else { None };
    Ok(Prepared { tree, network, user_namespace })
}

/// Makes the directory that [`prepare`] mounts over.
pub(crate) fn make_place(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(place_of(directory))
}

/// Where in the data directory the root is mounted.
pub(super) fn place_of(directory: &Path) -> PathBuf {
    directory.join(PLACE)
}

fn make_tree(seed: &Seed<'_>) -> Result<Tree, Failure> {
    let tree = Tree::make(&place_of(seed.directory))?;
    devices::add(&tree)?;
    process_information::add(&tree)?;
    mount_scratch(&tree, seed, seed.scratch, seed.scratch_bytes)?;
    Ok(tree)
}

fn mount_scratch(tree: &Tree, seed: &Seed<'_>, scratch: Scratch<'_>, bytes: u64) -> Result<(), Failure> {
    match scratch {
        Scratch::Images(template) => scratch::mount_image(tree, seed.directory, bytes, template),
        Scratch::Memory => scratch::mount_memory(tree, bytes),
    }
}

fn namespace_flags(layers: Layers) -> c_int {
    [
        (layers.root, libc::CLONE_NEWNS),
        (layers.network, libc::CLONE_NEWNET),
        (layers.ipc, libc::CLONE_NEWIPC),
        (layers.uts, libc::CLONE_NEWUTS),
        (layers.cgroup, libc::CLONE_NEWCGROUP),
    ]
    .iter()
    .filter(|(on, _)| *on)
    .fold(0, |all, (_, flag)| all | flag)
}

/// Opens one of this process's namespaces.
fn open_namespace(kind: &str) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/ns/{kind}");
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

fn loopback_up() -> io::Result<()> {
    #[repr(C)]
    struct InterfaceFlags {
        name: [u8; 16],
        flags: u16,
        unused: [u8; 22],
    }
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let up = u16::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut request = InterfaceFlags { name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0", flags: up, unused: [0; 22] };
    system::control(&socket, libc::SIOCSIFFLAGS, &mut request).map(drop)
}
