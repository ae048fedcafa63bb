//! What this host allows, found by doing: sysctls lie, and what a container refuses is in no file.

use std::io::Read;
use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};

use crate::broker;
use crate::launch::Isolation;
use crate::process::{self, Place};
use crate::protocol::Configuration;
use crate::{packet, peer};

/// The argument that makes this executable a probe.
pub(crate) const ARGUMENT: &str = "__probe";

/// What this host allows. Each refusal is a sentence with the step and the kernel's reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Whether a sandbox with every namespace can be made.
    pub namespaces: Result<(), String>,
    /// The broker has one id only: every sandbox runs under the id of its user, and nothing can be limited without
    /// a delegated control group.
    pub rootless: bool,
    /// Whether memory, CPU and processes can be limited, and by what.
    pub limits: Result<String, String>,
    /// Whether `/tmp` is on disk. Refused: it is in memory, and counts against the memory limit.
    pub scratch: Result<(), String>,
    /// Whether `listen()` can be reported, by which ports are found.
    pub listen_notify: Result<(), String>,
    /// Version of Landlock.
    pub landlock: Result<u32, String>,
    /// Whether a program can be forked into instances (`Spec::ember`).
    pub embers: Result<(), String>,
}

// === impl Probe ===

impl Probe {
    pub(crate) fn refused(reason: &str) -> Self {
        let not_tried = || "not tried: no sandbox can be made here".to_owned();
        Self {
            namespaces: Err(reason.to_owned()),
            rootless: false,
            limits: Err(not_tried()),
            scratch: Err(not_tried()),
            listen_notify: listen_notify(),
            landlock: landlock(),
            embers: Err(not_tried()),
        }
    }
}

/// Finds out what this host allows, in a process of its own: it makes one sandbox and removes it. Takes some tens
/// of milliseconds. The program must call [`crate::run_if_broker`] first thing in `main`.
#[must_use]
pub fn probe() -> Probe {
    try_probe().unwrap_or_else(|reason| Probe::refused(&reason))
}

/// The process behind [`probe`].
pub(crate) fn run() -> ExitCode {
    let directory = std::env::temp_dir().join(format!("lambent-probe-{}", std::process::id()));
    let found = match std::fs::create_dir(&directory) {
        Ok(()) => broker::probe_here(Configuration {
            name: format!("probe-{}", std::process::id()),
            isolation: Isolation::Namespaces,
            directory: directory.clone(),
            pool: 0,
            switches: false,
            prefix: 0,
        }),
        Err(error) => Probe::refused(&format!("make {}: {error}", directory.display())),
    };
    let _ = std::fs::remove_dir_all(&directory);
    let written = serde_json::to_writer(std::io::stdout(), &found);
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the kernel can report system calls to another process.
pub(crate) fn listen_notify() -> Result<(), String> {
    const GET_ACTION_AVAILABLE: u32 = 2;
    const USER_NOTIFICATION: u32 = 0x7fc0_0000;
    crate::system::seccomp_has(GET_ACTION_AVAILABLE, USER_NOTIFICATION)
        .map_err(|error| format!("seccomp user notification: {error}"))
}

/// Version of Landlock.
pub(crate) fn landlock() -> Result<u32, String> {
    crate::system::landlock_version().map_err(|error| format!("landlock: {error}"))
}

/// Whether siblings from one ember can be kept apart. Forks share a pid namespace and an id, so it takes domains of
/// Landlock that stop signals (version 6, Linux 6.12).
pub(crate) fn embers(isolation: Isolation, rootless: bool) -> Result<(), String> {
    const SCOPES: u32 = 6;
    if isolation == Isolation::Process {
        return Err("embers need namespaces, and this server runs without".to_owned());
    }
    if rootless {
        return Err(
            "embers need a broker with root's rights, and this one has the id of its user only".to_owned()
        );
    }
    match landlock() {
        Ok(version) if version >= SCOPES => newborns_can_be_checked(),
        Ok(version) => Err(format!(
            "embers need version {SCOPES} of landlock (linux 6.12), and this kernel has {version}"
        )),
        Err(reason) => Err(format!("embers need landlock: {reason}")),
    }
}

/// What the hello of a newborn is checked with, tried on ourselves.
fn newborns_can_be_checked() -> Result<(), String> {
    let lacking = |what: &'static str| move |error: std::io::Error| format!("embers need {what}: {error}");
    let own = rustix::process::getpid();
    process::share_anything(own, own).map(drop).map_err(lacking("kcmp (CONFIG_KCMP)"))?;
    Place::root_of(own).map(drop).map_err(lacking("unique numbers of mounts (linux 6.8)"))?;
    let (socket, _other) = packet::pair().map_err(lacking("a socket pair"))?;
    peer::ask_for_sender(&socket).map_err(lacking("the senders of packets (SO_PASSPIDFD, linux 6.5)"))?;
    std::fs::read(format!("/proc/{0}/task/{0}/children", own.as_raw_nonzero()))
        .map(drop)
        .map_err(lacking("lists of children (CONFIG_PROC_CHILDREN)"))
}

fn try_probe() -> Result<Probe, String> {
    let mut child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("run the probe: {error}"))?;
    let mut text = String::new();
    let read = child.stdout.take().map_or(Ok(0), |mut output| output.read_to_string(&mut text));
    let _ = child.wait();
    read.map_err(|error| format!("read the probe: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("the probe said {text:?}: {error}"))
}
