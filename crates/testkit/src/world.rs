//! One server with its data directory, ports and applications, and everything a test does to it.
//!
//! A [`World`] lives in a temporary directory whose name is in everything the server makes, so that
//! [`World::leftovers`] can tell its traces from another's. Dropping it kills the server and its broker
//! by their ids; a test that is failing then shows what the server said.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::builder::Builder;
use crate::client::{Client, Response};
use crate::instances::{self, Instances};
use crate::leftovers::Leftovers;
use crate::powercut::{Disk, Layer, Luck};
use crate::process::{is_alive, kill};
use crate::ready::Ready;
use crate::wait::wait_until;

/// How long a server may take to become ready, or to end once it was told to.
const PATIENCE: Duration = Duration::from_secs(60);
/// The exit status of a server that needs namespaces on a host that refuses them.
const REFUSED_STATUS: i32 = 77;

/// A server and its surroundings.
#[derive(Debug)]
pub struct World {
    binary: PathBuf,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    /// The data directory, where it is on a layer.
    disk: Option<Disk>,
    home: TempDir,
    data: PathBuf,
    server: Option<Child>,
    last: Option<Ready>,
}

/// What a command said.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its data.
    pub stdout: String,
    /// Its talk.
    pub stderr: String,
}

/// The host refuses namespaces.
#[derive(Debug)]
pub(crate) struct Refused;

// === impl World ===

impl World {
    /// Begins a world around a compiled `lambent`.
    #[must_use]
    pub fn builder(binary: &Path) -> Builder {
        Builder::new(binary)
    }

    pub(crate) fn prepare(
        binary: PathBuf,
        options: Vec<String>,
        environment: Vec<(String, String)>,
        layer: Option<&Layer>,
    ) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("lambent-world-").tempdir()?;
        fs::create_dir(home.path().join("apps"))?;
        let data = home.path().join("data");
        if layer.is_some() {
            fs::create_dir(&data)?;
            // The layer keeps its memory there; without a lock it would be taken for somebody else's.
            File::create(data.join("lock"))?;
        }
        let disk = layer.map(|layer| Disk::new(layer, &data)).transpose()?;
        Ok(Self { binary, options, environment, disk, home, data, server: None, last: None })
    }

    pub(crate) fn keep_data_in(&mut self, directory: PathBuf) {
        self.data = directory;
    }

    pub(crate) fn push_option(&mut self, option: &str) {
        self.options.push(option.to_owned());
    }

    /// Starts the server and waits until it is ready.
    pub(crate) fn try_start(&mut self) -> Result<std::result::Result<(), Refused>> {
        let mut child = self.command().spawn().context("cannot start the server")?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let (tell, told) = mpsc::channel();
        // Reads the one line and then waits for the server's end, so that the pipe stays open.
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines();
            let _gone = tell.send(lines.next().and_then(std::result::Result::ok));
            for _ in lines {}
        });
        let told = told.recv_timeout(PATIENCE);
        let Ok(Some(line)) = told else {
            if told.is_err() {
                child.kill().context("cannot end the server")?;
            }
            let status = child.wait()?;
            if status.code() == Some(REFUSED_STATUS) {
                return Ok(Err(Refused));
            }
            bail!("the server did not become ready ({status}):\n{}", self.said());
        };
        let ready = Ready::read(&line)?;
        self.last = Some(ready);
        self.server = Some(child);
        Ok(Ok(()))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--json", "--data-dir"]).arg(self.data_dir());
        for option in ["--listen", "--gateway-listen", "--admin-listen"] {
            command.args([option, "127.0.0.1:0"]);
        }
        command.args(&self.options).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(disk) = &self.disk {
            command.envs(disk.environment());
        }
        match File::options().create(true).append(true).open(self.home.path().join("server.log")) {
            Ok(log) => command.stderr(log),
            Err(_) => command.stderr(Stdio::null()),
        };
        command
    }

    /// The server's one line, of the last start.
    ///
    /// # Panics
    /// Never: a world is only handed out once its server was ready.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a world is only handed out once its server was ready")]
    pub fn ready(&self) -> &Ready {
        self.last.as_ref().expect("a server was started")
    }

    /// Where the server keeps its data.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.data.clone()
    }

    /// Whether functions are kept apart by namespaces.
    #[must_use]
    pub fn has_namespaces(&self) -> bool {
        self.ready().isolation == "namespaces"
    }

    /// Everything the server has said on stderr.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.home.path().join("server.log")).unwrap_or_default()
    }

    /// Writes an application's folder: paths and texts. Files that begin with `#!` become executable.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn folder(&self, name: &str, files: &[(&str, &str)]) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.home.path().join("apps").join(name);
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().context("a path without a folder")?)?;
            fs::write(&path, text)?;
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        Ok(folder)
    }

    /// Runs the command line against this server.
    ///
    /// # Errors
    /// The binary cannot be run.
    pub fn lambent(&self, arguments: &[&str]) -> Result<Output> {
        self.lambent_with(arguments, b"")
    }

    /// Runs the command line against this server, with something on its stdin.
    ///
    /// # Errors
    /// The binary cannot be run.
    pub fn lambent_with(&self, arguments: &[&str], input: &[u8]) -> Result<Output> {
        let mut child = Command::new(&self.binary)
            .args(arguments)
            .env("LAMBENT_ENDPOINT", format!("http://{}", self.ready().listen))
            .env("LAMBENT_ADMIN", format!("http://{}", self.ready().admin))
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run lambent")?;
        // A command that does not read its input closes it early, which is its right.
        let _unread = child.stdin.take().map(|mut stdin| stdin.write_all(input));
        let output = child.wait_with_output()?;
        Ok(Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command that has to succeed; its data.
    ///
    /// # Errors
    /// It did not; its words are in the error.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.lambent(arguments)?;
        let talk = &output.stderr;
        ensure!(output.status.success(), "lambent {} ({}):\n{talk}", arguments.join(" "), output.status);
        Ok(output.stdout)
    }

    /// A `GET` through the gateway, on a connection of its own.
    ///
    /// # Errors
    /// The connection or the answer broke.
    pub fn get(&self, host: &str, path: &str) -> Result<Response> {
        Client::new(self.ready().gateway).get(host, path)
    }

    /// Any request through the gateway, on a connection of its own.
    ///
    /// # Errors
    /// The connection or the answer broke.
    pub fn send(&self, method: &str, host: &str, path: &str, body: &[u8]) -> Result<Response> {
        Client::new(self.ready().gateway).request(method, host, path, &[], body)
    }

    /// An AWS request with a JSON body.
    ///
    /// # Errors
    /// The connection or the answer broke.
    pub fn aws(&self, method: &str, path: &str, body: &str) -> Result<Response> {
        let address = self.ready().listen;
        let headers = [("Content-Type", "application/json")];
        Client::new(address).request(method, &address.to_string(), path, &headers, body.as_bytes())
    }

    /// A `GET` of the admin address.
    ///
    /// # Errors
    /// The connection or the answer broke.
    pub fn admin(&self, path: &str) -> Result<Response> {
        let address = self.ready().admin;
        Client::new(address).get(&address.to_string(), path)
    }

    /// What of this world is on the host, the running server and its broker included.
    #[must_use]
    pub fn leftovers(&self) -> Leftovers {
        let directory = self.home.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        Leftovers::of(&[&directory, &self.ready().name])
    }

    /// Processes that functions have started, wherever they are.
    #[must_use]
    pub fn programs(&self) -> Vec<(u32, String)> {
        self.leftovers().programs(&self.binary)
    }

    /// The sandboxes in which a program runs, from cgroups.
    #[must_use]
    pub fn instances(&self) -> usize {
        instances::running(&self.ready().name).len()
    }

    /// Watches the sandboxes in which programs run, from cgroups.
    #[must_use]
    pub fn watch_instances(&self) -> Instances {
        Instances::watch(&self.ready().name)
    }

    /// SIGKILL to the server; done when it has ended.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill_server(&mut self) -> Result<ExitStatus> {
        let mut server = self.server.take().context("the server does not run")?;
        server.kill()?;
        Ok(server.wait()?)
    }

    /// SIGKILL to the broker.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill_broker(&self) -> Result<()> {
        kill(self.ready().broker_pid, "KILL")
    }

    /// Puts the data directory into a state that a power cut could have left when the server ended; it and
    /// its broker have to have ended.
    ///
    /// # Errors
    /// They still run, or the world was not made with [`Builder::on_layer`].
    pub fn cut_power(&mut self, luck: Luck) -> Result<()> {
        ensure!(self.server.is_none(), "the server still runs: end it first");
        ensure!(!is_alive(self.ready().broker_pid), "the broker still runs: wait for its end first");
        self.disk.as_ref().context("this world is not on a layer: make it with `on_layer`")?.cut_power(luck)
    }

    /// A signal to the server.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: &str) -> Result<()> {
        kill(self.ready().pid, signal)
    }

    /// Waits for the server's end.
    ///
    /// # Errors
    /// It goes on running.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let mut server = self.server.take().context("the server does not run")?;
        let mut status = None;
        let waited = wait_until(PATIENCE, "the server's end", || {
            status = server.try_wait().ok().flatten();
            status.is_some()
        });
        if waited.is_err() {
            self.server = Some(server);
        }
        waited?;
        status.context("the server ended without a status")
    }

    /// SIGTERM, and waits for the server's end.
    ///
    /// # Errors
    /// It goes on running.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal("TERM")?;
        self.wait()
    }

    /// Starts the server again on the same data, with the same options; it has to have ended.
    ///
    /// # Errors
    /// It still runs, or does not become ready.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.server.is_none(), "the server still runs: end it first");
        if self.try_start()?.is_err() {
            bail!("the host refuses namespaces all of a sudden");
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _already_ended = server.kill();
            let _status = server.wait();
        }
        if let Some(ready) = &self.last {
            let ended =
                wait_until(Duration::from_secs(2), "the broker's end", || !is_alive(ready.broker_pid));
            if ended.is_err() {
                let _already_ended = kill(ready.broker_pid, "KILL");
            }
        }
        if thread::panicking() {
            let mut stderr = std::io::stderr().lock();
            let _unwritable = writeln!(stderr, "--- the server said:\n{}---", self.said());
        }
    }
}
