//! Starting the broker: from a sealed copy of this executable, before the server has any thread.
//!
//! The copy, so that `/proc/self/exe` of a process that is still being set up is not the host's file. The
//! server's side of the conversation is `link`.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{MemfdFlags, SealFlags};
use serde::{Deserialize, Serialize};
use tokio_util::task::TaskTracker;

use crate::broker;
use crate::handle::Handle;
use crate::link;
use crate::packet;
use crate::probe::{self, Probe};
use crate::protocol::{Configuration, Event, say};
use crate::sweeper::{self, Orders};

/// The argument that makes this executable a broker.
const ARGUMENT: &str = "__broker";

/// How long the broker may take to say that it serves. It waits for the first sandbox itself, shorter.
const LAUNCH: Duration = Duration::from_secs(30);

/// Longest name.
const NAME: usize = 40;

/// How a broker is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Names the control groups, `lambent-NAME`: letters, digits and hyphens, at most 40. A broker removes what a dead
    /// one of the same name has left, so it must be unique among the living on this machine.
    pub name: String,
    /// Namespaces, or the reduced mode.
    pub isolation: Isolation,
    /// The data directory; absolute and there. Images of `/tmp` are made in it, without names.
    pub directory: PathBuf,
    /// How many prepared sandboxes are kept ready; 2 is usual, 0 is possible.
    pub pool: usize,
    /// Whether specs may switch layers off: for tests. Otherwise every sandbox has all of them, whatever its spec says:
    /// a server that was taken over cannot ask for a program with root's rights.
    pub switches: bool,
}

/// How sandboxes are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// As their specs say.
    Namespaces,
    /// Not: ordinary processes, for hosts that refuse namespaces. Switches every namespace layer of every spec off.
    Process,
}

/// A broker that serves, not yet connected to the async side.
#[derive(Debug)]
pub struct Launched {
    socket: OwnedFd,
    process: Child,
    sweeper: Child,
    probe: Probe,
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// An option cannot be used.
    #[error("{0}")]
    Option(String),
    /// The broker's process could not be started.
    #[error("the sandbox broker cannot be started: {step}")]
    Spawn {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// This host refuses what sandboxes need.
    #[error("this host refuses sandboxes: {step}: {reason}")]
    Refused {
        /// The step that failed.
        step: String,
        /// The kernel's reason.
        reason: String,
    },
    /// The broker ended or said nothing.
    #[error("the sandbox broker did not answer: {0}")]
    Silent(String),
}

// === impl Launched ===

impl Launched {
    /// Process id of the broker.
    #[must_use]
    pub fn broker_pid(&self) -> u32 {
        self.process.id()
    }

    /// What the broker has found out about this host.
    #[must_use]
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Connects the async side. Call it inside a tokio runtime; the task ends with the last handle and sandbox, and
    /// with it the broker and everything it runs.
    ///
    /// # Errors
    /// The runtime cannot watch the socket.
    pub fn connect(self, tasks: &TaskTracker) -> io::Result<Handle> {
        link::connect(self.socket, self.process, self.sweeper, tasks)
    }
}

/// Call it first thing in `main`: if this process is the broker (or a probe), it lives its life here and the result is
/// its exit code.
#[must_use]
pub fn run_if_broker() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next()?;
    if arguments.next().is_some() {
        return None;
    }
    if first == ARGUMENT {
        return Some(broker::run());
    }
    if first == sweeper::ARGUMENT {
        return Some(sweeper::run());
    }
    (first == probe::ARGUMENT).then(probe::run)
}

/// Starts a broker and waits until it serves. Call it before any thread and before [`crate::drop_privileges`].
///
/// Raises this process's limit of open files as far as it may: each sandbox comes with a dozen sockets.
///
/// # Errors
/// [`LaunchError`]: the option, or the step that this host refuses.
pub fn launch(options: Options) -> Result<Launched, LaunchError> {
    check(&options)?;
    crate::system::raise_open_files()
        .map_err(|source| LaunchError::Spawn { step: "raise the limit of open files", source })?;
    let failed = |step| move |source| LaunchError::Spawn { step, source };
    let (socket, inner) = packet::pair().map_err(failed("make a socket pair"))?;
    let executable = sealed_copy().map_err(failed("copy the executable"))?;
    let mut process = Command::new(format!("/proc/self/fd/{}", executable.as_raw_fd()))
        .arg(ARGUMENT)
        .env_clear()
        .stdin(Stdio::from(inner))
        .stdout(Stdio::null())
        .spawn()
        .map_err(failed("run the copy of the executable"))?;
    let configuration = Configuration {
        name: options.name,
        isolation: options.isolation,
        directory: options.directory,
        pool: options.pool,
        switches: options.switches,
        prefix: random().map_err(failed("make a random number"))?,
    };
    let answer = say(&socket, &configuration, &[])
        .map_err(failed("talk to the broker"))
        .and_then(|()| first_answer(&socket))
        .and_then(|probe| {
            let Configuration { name, prefix, .. } = configuration;
            let sweeper = sweeper::start(&executable, &Orders { name, prefix, broker: process.id() });
            Ok((probe, sweeper.map_err(failed("start the broker's sweeper"))?))
        });
    match answer {
        Ok((probe, sweeper)) => Ok(Launched { socket, process, sweeper, probe }),
        Err(error) => {
            let _ = process.kill();
            let _ = process.wait();
            Err(error)
        }
    }
}

fn check(options: &Options) -> Result<(), LaunchError> {
    let wrong = |text: String| Err(LaunchError::Option(text));
    let name = &options.name;
    let letters = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    if name.is_empty() || name.len() > NAME || !letters {
        return wrong(format!("the name {name:?} is not 1 to {NAME} letters, digits and hyphens"));
    }
    if !options.directory.is_absolute() || !options.directory.is_dir() {
        return wrong(format!("{} is not an absolute path of a directory", options.directory.display()));
    }
    Ok(())
}

fn first_answer(socket: &OwnedFd) -> Result<Probe, LaunchError> {
    let silent = |error: io::Error| LaunchError::Silent(error.to_string());
    let limit = rustix::time::Timespec::try_from(LAUNCH).unwrap_or_default();
    let ready = rustix::event::poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&limit));
    if ready.map_err(|error| silent(error.into()))? == 0 {
        return Err(LaunchError::Silent("nothing within 30 s".to_owned()));
    }
    let mut buffer = vec![0; packet::LIMIT];
    let received = packet::receive(socket, &mut buffer).map_err(silent)?;
    match serde_json::from_slice(buffer.get(..received.length).unwrap_or_default()) {
        Ok(Event::Ready { probe }) => Ok(probe),
        Ok(Event::Refused { step, reason }) => Err(LaunchError::Refused { step, reason }),
        Ok(other) => Err(LaunchError::Silent(format!("its first word was {other:?}"))),
        Err(_) => Err(LaunchError::Silent("it ended".to_owned())),
    }
}

/// This executable in memory, unchangeable. Kernels that forbid to run such a file get the file itself.
fn sealed_copy() -> io::Result<OwnedFd> {
    let mut executable = File::open("/proc/self/exe")?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = rustix::fs::memfd_create("lambent-broker", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("lambent-broker", flags));
    let Ok(copy) = copy else { return Ok(executable.into()) };
    let mut copy = File::from(copy);
    io::copy(&mut executable, &mut copy)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals)?;
    Ok(copy.into())
}

fn random() -> io::Result<u32> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u32::from_ne_bytes(bytes))
}
