//! Where the attacks take place: a process that stands for the platform, a neighbour with secrets, and
//! what a program is told about both. Everything goes when the scene is dropped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use sandbox::handle::{Channels, Sandbox};
use sandbox::spec::{Layers, Mount, Spec};

use crate::common::{self, PYTHON, World};

const PRELUDE: &str = include_str!("programs/prelude.py");
const PLATFORM: &str = include_str!("programs/platform.py");
const VICTIM: &str = include_str!("programs/victim.py");

/// Targets that all stay alive for the whole run.
pub struct Scene {
    /// The broker.
    pub world: World,
    directory: tempfile::TempDir,
    platform: Child,
    /// Its end is the platform process's sign to clean up and go.
    input: Option<ChildStdin>,
    facts: Vec<(String, String)>,
    victim: Sandbox,
    /// Held so that writing never fails.
    _victim_output: BufReader<File>,
}

// === impl Scene ===

impl Scene {
    /// Sets everything up.
    pub fn new() -> Self {
        let world = World::new();
        // Not `/tmp`, which may be mounted without set-uid and devices: then controls would be refused.
        let directory = tempfile::Builder::new().prefix("lambent-attacks-").tempdir_in("/var/tmp").unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (platform, input, mut facts) = start_platform(directory.path());
        let (victim, output, address) = start_victim(&world, directory.path());
        facts.push(("ADDRESS".to_owned(), address));
        facts.push(("VICTIM".to_owned(), victim_process().to_string()));
        facts.push(("BROKER".to_owned(), world.broker.to_string()));
        Self { world, directory, platform, input: Some(input), facts, victim, _victim_output: output }
    }

    /// The usual sandbox around an attack program.
    pub fn spec(&self, script: &str, layers: Layers) -> Spec {
        let mut spec = common::python(script, layers);
        spec.mounts.push(Mount::ReadOnly { source: self.path("code"), target: "/var/task".into() });
        spec.mounts.push(Mount::File { text: String::new(), target: "/etc/hosts".into() });
        spec.limits.memory_bytes = 128 << 20;
        spec
    }

    /// What a program is told; paths as they are where its root is its own, or the host's.
    pub fn facts(&self, own_root: bool) -> Vec<(String, String)> {
        let code = if own_root { PathBuf::from("/var/task") } else { self.path("code") };
        let scratch = if own_root { PathBuf::from("/tmp") } else { self.path("scratch") };
        let paths = [
            ("DATA", self.path("platform/lambent.db")),
            ("DIRECTORY", self.path("platform")),
            ("SOCKET", self.path("platform/control")),
            ("CODE", self.path("platform/victim/secret")),
            ("MARKER", self.path("marker")),
            ("SYSTEM", "/usr/lib/os-release".into()),
            ("OPEN", code.clone()),
            ("SETUID", code.join("id")),
            ("CAPABLE", code.join("cat")),
            ("ANCHOR", code.join("anchor")),
            ("SCRATCH", scratch),
        ];
        let paths = paths.map(|(name, path)| (name.to_owned(), path.display().to_string()));
        self.facts.iter().cloned().chain(paths).collect()
    }

    /// Whether the neighbour has come through everything so far.
    pub fn victim_is_alive(&self) -> bool {
        let ended = async { tokio::time::timeout(std::time::Duration::ZERO, self.victim.exited()).await };
        self.world.runtime.block_on(ended).is_err()
    }

    /// Whether the platform's process has.
    pub fn platform_is_alive(&mut self) -> bool {
        self.platform.try_wait().is_ok_and(|ended| ended.is_none())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.platform.wait();
    }
}

/// A whole program: the shared beginning, the attacks, the end.
pub fn script(program: &str) -> String {
    format!("{PRELUDE}\n{program}\nmain()\n")
}

fn start_platform(directory: &Path) -> (Child, ChildStdin, Vec<(String, String)>) {
    let mut child = Command::new(PYTHON)
        .args(["-I", "-S", "-c", &format!("{PRELUDE}\n{PLATFORM}")])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take().unwrap();
    let mut facts = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.split_once(' ') {
            Some(("ready", _)) => return (child, input, facts),
            Some((name, value)) => facts.push((name.to_owned(), value.to_owned())),
            None => panic!("the platform's process says {line:?}"),
        }
    }
    panic!("the platform's process ended too early")
}

fn start_victim(world: &World, directory: &Path) -> (Sandbox, BufReader<File>, String) {
    let mut spec = common::python(&format!("{PRELUDE}\n{VICTIM}"), Layers::ALL);
    spec.process.argv.push(victim_name());
    spec.process
        .environment
        .push(("SECRET".to_owned(), "secret-of-the-victim in the environment".to_owned()));
    spec.mounts
        .push(Mount::ReadOnly { source: directory.join("platform/victim"), target: "/var/task".into() });
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let start = world.handle.start(spec, Channels { output: write, frames: None });
    let victim = world.runtime.block_on(start).unwrap();
    let mut output = BufReader::new(File::from(read));
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.strip_prefix("address ").unwrap_or_else(|| panic!("the victim says {line:?}"));
    let address = address.trim().to_owned();
    (victim, output, address)
}

fn victim_name() -> String {
    format!("the-victim-runs-{}", std::process::id())
}

/// The victim's process id on the host, found by its last argument.
fn victim_process() -> u32 {
    let wanted = format!("{}\0", victim_name());
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .find(|(_, path): &(u32, PathBuf)| {
            std::fs::read_to_string(path.join("cmdline")).is_ok_and(|line| line.ends_with(&wanted))
        })
        .map(|(number, _)| number)
        .expect("the victim is in /proc")
}
