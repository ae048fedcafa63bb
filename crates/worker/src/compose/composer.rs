//! Puts a spec together from what its siblings decide, and names the instance it is for.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use sandbox::spec::{Layers, Limits, Listen, Process, Spec};
use types::function::Version;
use types::limits::MIB;
use types::settings::Init;

use super::program::Protocol;
use super::{environment, program, root};
use crate::runtimes::Runtimes;
use crate::shim;

/// Memory that goes with one whole CPU, as on Lambda.
const MIB_PER_CPU: u32 = 1769;
/// Weight on a busy machine that goes with one whole CPU: high, as many instances share one.
const WEIGHT_PER_CPU: u32 = 1000;
const PIDS: u32 = 1024;
const OPEN_FILES: u32 = 4096;
/// The port of the Runtime API inside, as on Lambda.
const RUNTIME_API_PORT: u16 = 9001;
/// The port an own server is asked to listen on, unless the user's environment has another.
pub(crate) const DEFAULT_PORT: u16 = 8080;

/// How instances are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// A sandbox of their own.
    Namespaces,
    /// The reduced mode: a process of their own and an address of their own.
    Process,
}

/// Composes specs.
#[derive(Debug)]
pub(crate) struct Composer {
    pub isolation: Isolation,
    pub runtimes: Runtimes,
    pub shim: shim::Installed,
    /// Whether this host can fork instances, else why not.
    pub forks: Result<(), String>,
}

/// What a process is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An instance.
    Instance,
    /// What instances are forked from.
    Ember,
}

/// What is particular to one instance.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Unique; the last part of the log stream's name.
    pub id: String,
    /// The log stream.
    pub stream: String,
    /// The address it is to use, where instances share the host's network.
    pub address: Option<Ipv4Addr>,
    /// The port it is asked to listen on, where instances share the host's network.
    pub port: Option<u16>,
}

/// A spec and how the program in it is spoken to.
#[derive(Debug)]
pub(crate) struct Composition {
    pub spec: Spec,
    pub protocol: Protocol,
    /// Whether the program is, or is started by, our shim: it gets a descriptor for frames.
    pub frames: bool,
    /// The port an own server is asked to listen on.
    pub port: u16,
    /// What is to be said about the choice of the interpreter.
    pub note: Option<String>,
}

/// Paths as the program sees them.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    /// The code: `/var/task`.
    pub task: &'a Path,
    /// The shims: `/var/runtime`.
    pub runtime: &'a Path,
}

/// Why nothing can be started; the function's own doing, or a runtime that this machine lacks.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Error {
    pub message: String,
    pub suggestion: String,
}

// === impl Composer ===

impl Composer {
    /// Whether instances of `version` may be forked from an ember, as far as that is known before its init.
    ///
    /// # Errors
    /// Why not, as a sentence for people.
    pub fn embers(&self, version: &Version) -> Result<(), String> {
        if version.settings.init == Init::PerInstance {
            return Err("lambent:init is per-instance".to_owned());
        }
        program::can_fork(version).map_err(str::to_owned)?;
        self.forks.clone()
    }

    /// Whether a version is served by our shim, by frames.
    pub fn shims(&self, version: &Version) -> bool {
        program::is_shimmed(version)
    }

    /// Everything the broker needs for one process of `version`.
    ///
    /// # Errors
    /// [`Error`] when the handler names nothing that can be started here.
    pub fn compose(
        &self,
        version: &Version,
        identity: &Identity,
        purpose: Purpose,
    ) -> Result<Composition, Error> {
        let layout = self.layout(version);
        let entry = program::entry(version, &self.runtimes, &layout, self.isolation, purpose)?;
        let port = environment::port(version, identity);
        let runtime_api =
            SocketAddrV4::new(identity.address.unwrap_or(Ipv4Addr::LOCALHOST), RUNTIME_API_PORT);
        let environment = environment::compose(&environment::Inputs {
            version,
            identity,
            entry: &entry,
            layout: &layout,
            port,
            runtime_api,
            purpose,
        });
        let isolated = self.isolation == Isolation::Namespaces;
        let spec = Spec {
            hostname: format!("lambent-{}", identity.id.get(..12).unwrap_or(&identity.id)),
            mounts: if isolated { root::mounts(version, &self.shim, &entry) } else { Vec::new() },
            tmp_bytes: u64::from(version.tmp_mib) * MIB,
            process: Process { argv: entry.argv.clone(), environment, directory: layout.task.to_owned() },
            limits: limits(version),
            listen: if entry.protocol == Protocol::Own { Listen::Notify } else { Listen::Ordinary },
            server_listener: (entry.protocol == Protocol::RuntimeApi).then_some(runtime_api),
            ember: purpose == Purpose::Ember,
            standby: false,
            layers: if isolated { Layers::ALL } else { Layers::PROCESS },
        };
        Ok(Composition { spec, protocol: entry.protocol, frames: entry.frames, port, note: entry.note })
    }

    fn layout<'a>(&'a self, version: &'a Version) -> Layout<'a> {
        match self.isolation {
            Isolation::Namespaces => {
                Layout { task: Path::new("/var/task"), runtime: Path::new("/var/runtime") }
            }
            Isolation::Process => Layout { task: &version.code, runtime: &self.shim.directory },
        }
    }
}

// === impl Identity ===

impl Identity {
    /// A name for a new instance of `version`.
    pub fn new(version: &Version, now: jiff::Timestamp) -> Self {
        let id = types::request_id::RequestId::new().to_string().replace('-', "");
        let day = now.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y/%m/%d");
        let stream = format!("{day}/[{}]{id}", version.version);
        Self { id, stream, address: None, port: None }
    }

    /// Stands for any instance, where a spec is only shown.
    pub fn example(version: &Version) -> Self {
        let stream = format!("YYYY/MM/DD/[{}]INSTANCE", version.version);
        Self { id: "INSTANCE".to_owned(), stream, address: None, port: None }
    }
}

/// The number of a function for whom its instances share CPU time; never that of nobody.
fn owner(version: &Version) -> u64 {
    let mut hasher = DefaultHasher::new();
    version.name.hash(&mut hasher);
    hasher.finish().max(1)
}

fn limits(version: &Version) -> Limits {
    let memory = version.memory_mib;
    Limits {
        memory_bytes: u64::from(memory) * MIB,
        cpu_millis: memory.div_ceil(MIB_PER_CPU).max(1).saturating_mul(1000),
        cpu_weight: (memory.saturating_mul(WEIGHT_PER_CPU) / MIB_PER_CPU).clamp(1, 10_000),
        cpu_owner: owner(version),
        pids: PIDS,
        open_files: OPEN_FILES,
    }
}
