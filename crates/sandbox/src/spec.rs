//! What one sandbox is, as a value: the whole isolation policy of an instance, printable as JSON
//! (`lambent describe --isolation`) and the only thing the broker acts on.
//!
//! A `Spec` resolves no names: every path in it is absolute, and what is not in it is not there.

use std::net::SocketAddrV4;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything the broker needs to make one sandbox and start one program in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Host name inside.
    pub hostname: String,
    /// What the read-only root is composed of, in mount order. Everything else is absent.
    pub mounts: Vec<Mount>,
    /// Bytes of the writable `/tmp`, on disk and not charged to memory.
    pub tmp_bytes: u64,
    /// The program.
    pub process: Process,
    /// What it may use.
    pub limits: Limits,
    /// How `listen()` is treated.
    pub listen: Listen,
    /// A listener to open inside for the server, for the Runtime API (`127.0.0.1:9001`).
    pub server_listener: Option<SocketAddrV4>,
    /// The program may be forked into instances (`docs/protocols/ember.md`): it finds its control socket at descriptor
    /// 4, and the sandbox has several roots, each with a `/tmp` and `/dev/shm` of its own. Where this host cannot do
    /// that ([`crate::Probe::embers`]) the program runs all the same and is never forked.
    #[serde(default)]
    pub ember: bool,
    /// Whether it stands by: its program is ours and waits, and what it is for is said later, once
    /// ([`crate::handle::Sandbox::assign`]).
    #[serde(default)]
    pub standby: bool,
    /// The layers of isolation; all on, except in tests and in the reduced mode.
    pub layers: Layers,
}

/// What a sandbox that stands by gets when it is known what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Host name inside.
    pub hostname: String,
    /// Parts of the host ([`Mount::ReadOnly`] only), over directories that the root has.
    pub mounts: Vec<Mount>,
    /// Bytes of `/tmp`. Of another size than the spec's it is a new one.
    pub tmp_bytes: u64,
    /// What it may use from now on; what it has used is not counted.
    pub limits: Limits,
}

/// One thing that is visible inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Mount {
    /// A directory or file of the host, read-only, without set-uid and devices.
    ReadOnly {
        /// Path on the host.
        source: PathBuf,
        /// Path inside.
        target: PathBuf,
    },
    /// A symbolic link.
    Link {
        /// What it points at.
        to: PathBuf,
        /// Path inside.
        target: PathBuf,
    },
    /// An empty directory, over which something is mounted when the sandbox is assigned.
    Directory {
        /// Path inside.
        target: PathBuf,
    },
    /// A small file with this text.
    File {
        /// Its content.
        text: String,
        /// Path inside.
        target: PathBuf,
    },
}

/// The program that is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Program and arguments; the program is an absolute path inside.
    pub argv: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// Working directory inside.
    pub directory: PathBuf,
}

/// Limits that the kernel enforces on the whole process tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory, page cache of its own files included; swap is off.
    pub memory_bytes: u64,
    /// Most CPU time per second of wall time, in thousandths of a CPU.
    pub cpu_millis: u32,
    /// Share of a busy machine, relative to other sandboxes (1 to 10000; 100 is usual).
    pub cpu_weight: u32,
    /// Sandboxes with the same owner have one `cpu_weight` between them: the number stands for a function. 0: nobody,
    /// the weight is this sandbox's alone.
    pub cpu_owner: u64,
    /// Most processes and threads.
    pub pids: u32,
    /// Most open files per process.
    pub open_files: u32,
}

/// What happens when something inside calls `listen()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listen {
    /// The kernel does as it always does; nobody is told.
    Ordinary,
    /// The server is told the exact socket address, once the socket accepts connections.
    Notify,
}

/// Which layers of isolation are on. Turning one off is for tests (the positive control of an attack)
/// and for the reduced mode, which says so loudly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, printed by name")]
pub struct Layers {
    /// Own mount namespace with a composed read-only root. Off: the host's root and `/tmp`; `mounts` and `tmp_bytes`
    /// mean nothing.
    pub root: bool,
    /// Own user namespace and an unprivileged id. Off: the program keeps the broker's ids, which may be root's.
    pub user: bool,
    /// Own pid namespace with our init as pid 1. Off: the init ends the descendants itself.
    pub pid: bool,
    /// Own network namespace with nothing but loopback. Off: the host's network.
    pub network: bool,
    /// Own IPC namespace.
    pub ipc: bool,
    /// Own UTS namespace.
    pub uts: bool,
    /// Own cgroup namespace.
    pub cgroup: bool,
    /// cgroup limits. Off: still a cgroup of its own, for freezing and accounts.
    pub limits: bool,
    /// No capability in any set, and no way to gain one. Off: the program keeps those of the init, in its user
    /// namespace, or with that layer off in the host's.
    pub capabilities: bool,
    /// The system call filter.
    pub seccomp: bool,
}

// === impl Layers ===

impl Layers {
    /// Every layer on: what every function gets.
    pub const ALL: Self = Self {
        root: true,
        user: true,
        pid: true,
        network: true,
        ipc: true,
        uts: true,
        cgroup: true,
        limits: true,
        capabilities: true,
        seccomp: true,
    };

    /// The reduced mode: a process with limits of its own and nothing else.
    pub const PROCESS: Self = Self {
        root: false,
        user: false,
        pid: false,
        network: false,
        ipc: false,
        uts: false,
        cgroup: false,
        limits: false,
        capabilities: true,
        seccomp: false,
    };
}
