//! What this crate's tests run functions with: plain child processes instead of sandboxes, the real shims,
//! real interpreters, code in temporary directories. No isolation: that is the sandbox crate's to test.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener as Listener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sandbox::handle::{Channels, Exit, Sharing, Signal, StartError, Status, Usage};
use sandbox::meter::Meter;
use sandbox::spec::{Assignment, Spec};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use types::function::{Runtime, Version};
use types::invocation::Boxed;
use types::limits::Limits;
use types::log::{Line, Sink};
use types::settings::Settings;

use crate::compose::{Composer, Isolation};
use crate::launcher::{Launcher, Tree};
use crate::pool::Remembered;
use crate::runtimes::Runtimes;
use crate::shim;
use crate::worker::Worker;

mod forks;

pub(crate) use forks::Forks;

/// Keeps lines.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<Line>>);

/// Starts plain child processes.
#[derive(Default)]
pub(crate) struct Processes {
    /// Fails this many starts before it starts anything.
    pub failures: Arc<Mutex<u32>>,
}

struct Process {
    pid: rustix::process::Pid,
    exit: watch::Receiver<Option<Exit>>,
    listener: Mutex<Option<Listener>>,
}

/// A worker over plain processes, in a directory of its own.
pub(crate) struct World {
    pub worker: Worker,
    pub lines: Arc<Kept>,
    pub failures: Arc<Mutex<u32>>,
    directory: TempDir,
}

// === impl World ===

impl World {
    pub fn new(limits: Limits) -> Self {
        Self::with(limits, Remembered::new(None, Vec::new()))
    }

    /// With what an earlier worker has learned.
    pub fn remembering(remembered: Remembered) -> Self {
        Self::with(Limits::default(), remembered)
    }

    fn with(limits: Limits, remembered: Remembered) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtimes = Runtimes::find_in(&[PathBuf::from("/usr/bin")]);
        let shim = shim::install(directory.path(), &Runtimes::default()).unwrap();
        let forks = Err("plain processes are not forked".to_owned());
        let composer = Composer { isolation: Isolation::Process, runtimes, shim, forks };
        let lines = Arc::new(Kept::default());
        let launcher = Processes::default();
        let failures = Arc::clone(&launcher.failures);
        let worker = Worker::with(composer, Box::new(launcher), lines.clone(), limits, remembered);
        Self { worker, lines, failures, directory }
    }

    /// Of process trees that are tasks and can be forked, whatever the function's code.
    pub fn of_forks(limits: Limits) -> (Self, Forks) {
        let directory = tempfile::tempdir().unwrap();
        let composer = Self::composer_of_forks();
        let (lines, forks) = (Arc::new(Kept::default()), Forks::default());
        let remembered = Remembered::new(None, Vec::new());
        let worker = Worker::with(composer, Box::new(forks.clone()), lines.clone(), limits, remembered);
        (Self { worker, lines, failures: Arc::default(), directory }, forks)
    }

    /// Composes for them.
    pub fn composer_of_forks() -> Composer {
        let runtimes = Runtimes::find_in(&[PathBuf::from("/usr/bin")]);
        let shim = shim::Installed { directory: "/nowhere".into() };
        Composer { isolation: Isolation::Namespaces, runtimes, shim, forks: Ok(()) }
    }

    /// A function whose code is these files; a file that begins with `#!` is executable.
    pub fn version(&self, name: &str, files: &[(&str, &str)]) -> Version {
        let code = self.directory.path().join(format!("code-{name}"));
        for (file, text) in files {
            let path = code.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Version { code, ..version(name) }
    }
}

// === impl Kept ===

impl Kept {
    pub fn texts(&self) -> Vec<String> {
        self.0.lock().iter().map(|line| line.text.clone()).collect()
    }
}

impl Sink for Kept {
    fn write(&self, line: Line) {
        self.0.lock().push(line);
    }
}

// === impl Processes ===

impl Launcher for Processes {
    fn expect_scratch(&self, _bytes: u64) {}

    fn start(&self, spec: Spec, channels: Channels) -> Boxed<Result<Arc<dyn Tree>, StartError>> {
        let mut failures = self.failures.lock();
        if *failures > 0 {
            *failures -= 1;
            let (step, reason) = ("mount /usr".to_owned(), "made to fail".to_owned());
            return Box::pin(std::future::ready(Err(StartError::Step { step, reason })));
        }
        assert!(!spec.process.environment.iter().any(|(name, _)| name == "PANIC"), "made to panic");
        let listener = match spec.server_listener.map(Listener::bind).transpose() {
            Ok(listener) => listener,
            Err(error) => {
                let (step, reason) = ("listen".to_owned(), error.to_string());
                return Box::pin(std::future::ready(Err(StartError::Step { step, reason })));
            }
        };
        let tree: Arc<dyn Tree> = Arc::new(spawn(&spec, channels, listener));
        Box::pin(std::future::ready(Ok(tree)))
    }
}

fn spawn(spec: &Spec, channels: Channels, listener: Option<Listener>) -> Process {
    // The kernel ends the program with the test's thread, also where a test fails half-way.
    let mut command = Command::new("/usr/bin/setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .args(&spec.process.argv)
        .env_clear()
        .envs(spec.process.environment.iter().cloned())
        .current_dir(&spec.process.directory)
        .stdout(channels.output.try_clone().unwrap())
        .stderr(channels.output)
        .stdin(Stdio::null());
    if let Some(frames) = channels.frames {
        // Without unsafe code a child's descriptor can only be one of the first three.
        command.stdin(frames).env("LAMBENT_FRAMES_FD", "0");
    }
    let child = command.spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    Process { pid, exit: reap(child), listener: Mutex::new(listener) }
}

fn reap(mut child: Child) -> watch::Receiver<Option<Exit>> {
    let (sender, receiver) = watch::channel(None);
    std::thread::spawn(move || {
        let status = child.wait().unwrap();
        let status = match status.code() {
            Some(code) => Status::Exited(code),
            None => Status::Signaled(status.signal().unwrap()),
        };
        let _ = sender.send(Some(Exit { status, out_of_memory: false, usage: Usage::default() }));
    });
    receiver
}

impl Tree for Process {
    fn id(&self) -> String {
        format!("process-{}", self.pid.as_raw_nonzero())
    }

    fn listening(self: Arc<Self>, _wanted: Option<u16>) -> Boxed<Option<SocketAddr>> {
        Box::pin(std::future::pending())
    }

    fn connect(self: Arc<Self>, address: SocketAddr) -> Boxed<io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(address))
    }

    fn take_listener(&self) -> Option<TcpListener> {
        let listener = self.listener.lock().take()?;
        listener.set_nonblocking(true).unwrap();
        Some(TcpListener::from_std(listener).unwrap())
    }

    fn exited(self: Arc<Self>) -> Boxed<Exit> {
        let mut exit = self.exit.clone();
        Box::pin(async move {
            let _tree = self;
            exit.wait_for(Option::is_some).await.unwrap().unwrap()
        })
    }

    fn signal(&self, signal: Signal) {
        let signal = match signal {
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        if self.exit.borrow().is_none() {
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    fn freeze(&self) {}

    fn thaw(&self) {}

    fn sharing(self: Arc<Self>) -> Boxed<Sharing> {
        let vetoes = vec!["plain processes are not forked".to_owned()];
        Box::pin(std::future::ready(Sharing { vetoes, ..Sharing::default() }))
    }

    fn fork(
        self: Arc<Self>,
        _channels: Channels,
        _environment: Vec<(String, String)>,
    ) -> Boxed<Result<Arc<dyn Tree>, StartError>> {
        let (step, reason) = ("fork".to_owned(), "plain processes are not forked".to_owned());
        Box::pin(std::future::ready(Err(StartError::Step { step, reason })))
    }

    fn assign(self: Arc<Self>, _assignment: Assignment) -> Boxed<Result<(), StartError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn meter(&self) -> Meter {
        Meter::default()
    }

    fn usage(self: Arc<Self>) -> Boxed<Usage> {
        Box::pin(std::future::ready(Usage { memory_peak_bytes: 20 << 20, ..Usage::default() }))
    }

    fn stop(self: Arc<Self>, grace: Duration) -> Boxed<Exit> {
        Box::pin(async move {
            self.signal(Signal::Terminate);
            if let Ok(exit) = tokio::time::timeout(grace, Arc::clone(&self).exited()).await {
                return exit;
            }
            self.signal(Signal::Kill);
            self.exited().await
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::Kill);
    }
}

/// A Python handler's version, without code.
pub(crate) fn version(name: &str) -> Version {
    Version {
        name: name.to_owned(),
        version: "$LATEST".to_owned(),
        arn: types::arn::function_arn(name),
        revision: "one".to_owned(),
        runtime: Runtime::Python { minor: 11 },
        handler: "lambda_function.lambda_handler".to_owned(),
        memory_mib: 128,
        tmp_mib: 512,
        timeout: Duration::from_secs(10),
        environment: BTreeMap::new(),
        code: PathBuf::from("/nowhere"),
        code_sha256: String::new(),
        settings: Settings::default(),
        reserved_concurrency: None,
        provisioned: 0,
        snap_start: false,
    }
}
