//! What the test binaries of this crate share: a runner that is the broker when it has to be, a world
//! with one broker, and a program run to its end with its output. It holds no test of its own.
//!
//! Use it so:
//! ```ignore
//! mod common;
//! fn main() -> std::process::ExitCode {
//!     common::main(&[("reads nothing of the host", reads_nothing)], &[])
//! }
//! fn reads_nothing(world: &common::World) {
//!     let outcome = world.python("print(open('/etc/shadow').read())", Layers::ALL);
//!     assert!(outcome.output.contains("No such file"), "{outcome:?}");
//! }
//! ```

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test's panic is its verdict"
)]

pub mod ember;

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sandbox::handle::{Channels, Exit, Handle, Sandbox, StartError};
use sandbox::spec::{Layers, Limits, Listen, Mount, Process, Spec};
use sandbox::{Isolation, Options};
use tokio_util::task::TaskTracker;

/// The interpreter that scripts run on.
pub const PYTHON: &str = "/usr/bin/python3.11";

/// How long a program may run: some take half a minute where a processor is emulated.
pub const LONGEST: Duration = Duration::from_secs(120);

/// One test: its name and what it does.
pub type Case = (&'static str, fn(&World));

/// One test that needs no namespaces.
pub type Anywhere = (&'static str, fn());

/// How a program ended, and everything it wrote.
#[derive(Debug)]
pub struct Outcome {
    /// Its standard output and error.
    pub output: String,
    /// How it ended.
    pub exit: Exit,
}

/// One broker and what it takes to use it.
pub struct World {
    /// Where the async side runs.
    pub runtime: tokio::runtime::Runtime,
    /// The broker's handle.
    pub handle: Handle,
    /// Process id of the broker.
    pub broker: u32,
    /// The name in its cgroups.
    pub name: String,
    /// Its directory.
    pub directory: tempfile::TempDir,
    tasks: TaskTracker,
}

// === impl World ===

impl World {
    /// A world with namespaces and a small pool.
    pub fn new() -> Self {
        Self::with(Isolation::Namespaces, 2)
    }

    /// A world with this isolation and this many shells kept ready.
    pub fn with(isolation: Isolation, pool: usize) -> Self {
        Self::before_threads(isolation, pool, || {})
    }

    /// The same, with something done after the launch of the broker and before the runtime's threads.
    pub fn before_threads(isolation: Isolation, pool: usize, act: impl FnOnce()) -> Self {
        Self::launch(isolation, pool, true, act)
    }

    /// The same as a server has it: no spec can switch a layer off.
    pub fn of_server(isolation: Isolation, act: impl FnOnce()) -> Self {
        Self::launch(isolation, 1, false, act)
    }

    fn launch(isolation: Isolation, pool: usize, switches: bool, act: impl FnOnce()) -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("test-{}-{number}", std::process::id());
        let directory = tempfile::tempdir().unwrap();
        let launched = sandbox::launch(Options {
            name: name.clone(),
            isolation,
            directory: directory.path().to_path_buf(),
            pool,
            switches,
        })
        .unwrap_or_else(|error| panic!("the broker does not start: {error}"));
        let broker = launched.broker_pid();
        act();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let tasks = TaskTracker::new();
        let handle = {
            let _inside = runtime.enter();
            launched.connect(&tasks).unwrap()
        };
        Self { runtime, handle, broker, name, directory, tasks }
    }

    /// Runs a Python script in the usual sandbox with these layers, to its end.
    pub fn python(&self, script: &str, layers: Layers) -> Outcome {
        self.run(python(script, layers))
    }

    /// Runs any spec to its end (at most [`LONGEST`]).
    pub fn run(&self, spec: Spec) -> Outcome {
        let (sandbox, output) = self.start(spec).unwrap();
        self.finish(&sandbox, output)
    }

    /// Starts any spec; its output is read by [`Self::finish`].
    pub fn start(&self, spec: Spec) -> Result<(Sandbox, Output), StartError> {
        self.runtime.block_on(start(&self.handle, spec))
    }

    /// Drops the handle, by which the broker ends, and returns its directory.
    pub fn end(self) -> tempfile::TempDir {
        let Self { runtime, handle, directory, tasks, .. } = self;
        drop(handle);
        tasks.close();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(10), tasks.wait()).await.expect("the broker ends");
        });
        directory
    }

    /// Waits for the end of a sandbox (at most [`LONGEST`]) and of its output.
    pub fn finish(&self, sandbox: &Sandbox, output: Output) -> Outcome {
        self.runtime.block_on(finish(sandbox, output))
    }
}

/// What a program writes, collected by a thread so that a full pipe never blocks it.
pub struct Output(std::thread::JoinHandle<String>);

// === impl Output ===

impl Output {
    fn collect(from: OwnedFd) -> Self {
        Self(std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = File::from(from).read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        }))
    }

    /// Everything written, once the last writer is gone.
    pub fn text(self) -> String {
        self.0.join().unwrap()
    }
}

/// Starts a spec from inside the runtime.
pub async fn start(handle: &Handle, spec: Spec) -> Result<(Sandbox, Output), StartError> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let sandbox = handle.start(spec, Channels { output: write, frames: None }).await?;
    Ok((sandbox, Output::collect(read)))
}

/// Waits for the end of a sandbox and of its output from inside the runtime.
pub async fn finish(sandbox: &Sandbox, output: Output) -> Outcome {
    let exit = tokio::time::timeout(LONGEST, sandbox.exited()).await.expect("the sandbox ends");
    Outcome { output: output.text(), exit }
}

/// The usual sandbox around a Python script.
pub fn python(script: &str, layers: Layers) -> Spec {
    spec(&[PYTHON, "-u", "-I", "-S", "-c", script], layers)
}

/// The usual sandbox around any program: the host's `/usr` read-only, a few files in `/etc`, nothing else.
pub fn spec(argv: &[&str], layers: Layers) -> Spec {
    let mut mounts = vec![
        Mount::ReadOnly { source: "/usr".into(), target: "/usr".into() },
        Mount::File {
            text: "root:x:0:0::/:/bin/false\nsandbox:x:1000:1000::/tmp:/bin/false\n".to_owned(),
            target: "/etc/passwd".into(),
        },
    ];
    for (to, target) in
        [("usr/bin", "/bin"), ("usr/lib", "/lib"), ("usr/lib64", "/lib64"), ("usr/sbin", "/sbin")]
    {
        mounts.push(Mount::Link { to: to.into(), target: target.into() });
    }
    Spec {
        hostname: "sandbox".to_owned(),
        mounts,
        tmp_bytes: 512 << 20,
        process: Process {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            environment: vec![
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("LC_CTYPE".to_owned(), "C.UTF-8".to_owned()),
            ],
            directory: PathBuf::from("/"),
        },
        limits: Limits {
            memory_bytes: 256 << 20,
            cpu_millis: 2000,
            cpu_weight: 100,
            cpu_owner: 0,
            pids: 64,
            open_files: 1024,
        },
        listen: Listen::Notify,
        server_listener: None,
        ember: false,
        standby: false,
        layers,
    }
}

/// Waits until `condition` holds; false if it does not within `limit`. For what the kernel does in its
/// own time (mounts, loop devices) and for other processes, which send us no event.
pub fn eventually(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Every directory below `/sys/fs/cgroup` whose path contains this text.
pub fn cgroups_with(text: &str) -> Vec<PathBuf> {
    fn walk(directory: &Path, text: &str, found: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(directory) else { return };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = entry.path();
                if path.to_string_lossy().contains(text) {
                    found.push(path.clone());
                }
                walk(&path, text, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), text, &mut found);
    found
}

/// Runs the tests. Arguments: parts of names to run; flags are ignored. Where the host refuses namespaces, `cases` are
/// listed by name and not run; those in `anywhere` run on every host.
pub fn main(cases: &[Case], anywhere: &[Anywhere]) -> ExitCode {
    if let Some(code) = sandbox::run_if_broker() {
        return code;
    }
    let refusal = sandbox::probe().namespaces.err();
    let (mut passed, mut left_out, mut failed) = (0, 0, Vec::new());
    let mut judge = |name: &'static str, run: &dyn Fn()| {
        let begin = Instant::now();
        let verdict = catch_unwind(AssertUnwindSafe(run));
        let word = if verdict.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({} ms)", begin.elapsed().as_millis());
        if verdict.is_ok() { passed += 1 } else { failed.push(name) }
    };
    for (name, run) in cases.iter().filter(|(name, _)| is_chosen(name)) {
        match &refusal {
            None => judge(name, &|| run(&World::new())),
            Some(reason) => {
                left_out += 1;
                println!("test {name} ... not run: this host refuses namespaces ({reason})");
            }
        }
    }
    for (name, run) in anywhere.iter().filter(|(name, _)| is_chosen(name)) {
        judge(name, run);
    }
    println!("\n{passed} passed; {left_out} not run; {} failed: {failed:?}", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the arguments name this test, or none.
fn is_chosen(name: &str) -> bool {
    let mut parts = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    parts.peek().is_none() || parts.any(|part| name.contains(&part))
}
