//! The server's side of the broker: asks for sandboxes and hears what became of them.
//!
//! A [`Handle`] is a cheap clone. A [`Sandbox`] is one process tree; dropping it kills the tree. All
//! kernel privilege stays in the broker process: this side only sends typed requests and gets
//! descriptors and events back.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

use crate::check;
use crate::link::{Command, Live};
use crate::meter::Meter;
use crate::packet;
use crate::pressure::Pressure;
use crate::protocol::Family;
use crate::spec::{Assignment, Spec};

/// Bytes of a packet that are not the spec.
const ENVELOPE: usize = 1024;

/// Descriptors that the program inherits.
#[derive(Debug)]
pub struct Channels {
    /// Becomes descriptors 1 and 2.
    pub output: OwnedFd,
    /// Becomes descriptor 3: the native frames of a shim.
    pub frames: Option<OwnedFd>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status or signal.
    pub status: Status,
    /// Whether the kernel killed something in the tree because the memory limit was reached.
    pub out_of_memory: bool,
    /// What the whole tree used.
    pub usage: Usage,
}

/// Exit status or signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It ended by itself with this status.
    Exited(i32),
    /// It was ended by this signal.
    Signaled(i32),
}

/// What a process tree has used since it started. Zero where the host does not measure it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in microseconds.
    pub cpu_micros: u64,
    /// Memory in bytes at this moment.
    pub memory_bytes: u64,
    /// Most memory in bytes at any moment.
    pub memory_peak_bytes: u64,
}

/// Signals the server may send to a whole tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// SIGTERM to the program (its init forwards it).
    Terminate,
    /// SIGKILL to everything inside, at once.
    Kill,
}

/// Whether a program may be forked into instances: what the broker has found in its process, after its init.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sharing {
    /// Why it may not, a sentence for people each: "it has a connection to 10.0.0.5:5432 open". None: it may.
    pub vetoes: Vec<String>,
    /// What is worth knowing and no reason: "its init opened 2 connections and closed them".
    pub notes: Vec<String>,
    /// The port that its own socket is bound to, where it has one: each instance gets a listener at that port.
    pub port: Option<u16>,
}

/// Why no sandbox was made.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
pub enum StartError {
    /// The named step failed; nothing of the sandbox is left.
    #[error("{step}: {reason}")]
    Step {
        /// The step of the set-up, for instance `mount /var/task`.
        step: String,
        /// The kernel's reason.
        reason: String,
    },
    /// The broker is gone; the server has to end.
    #[error("the sandbox broker is gone")]
    BrokerGone,
}

/// Asks the broker for sandboxes.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    gone: watch::Receiver<bool>,
    pressure: watch::Receiver<Pressure>,
}

/// One process tree in isolation. Dropping it kills the tree.
#[derive(Debug)]
pub struct Sandbox {
    live: Arc<Live>,
    commands: mpsc::UnboundedSender<Command>,
}

// === impl Handle ===

impl Handle {
    pub(crate) fn new(
        commands: mpsc::UnboundedSender<Command>,
        gone: watch::Receiver<bool>,
        pressure: watch::Receiver<Pressure>,
    ) -> Self {
        Self { commands, gone, pressure }
    }

    /// Makes a sandbox and starts its program.
    ///
    /// # Errors
    /// [`StartError`]: the step that failed, or that the broker is gone.
    pub async fn start(&self, spec: Spec, channels: Channels) -> Result<Sandbox, StartError> {
        let wrong = |reason: String| StartError::Step { step: "check the spec".to_owned(), reason };
        check::spec(&spec).map_err(wrong)?;
        let spec = serde_json::value::to_raw_value(&spec).map_err(|error| wrong(error.to_string()))?;
        let length = spec.get().len();
        if length > packet::LIMIT - ENVELOPE {
            return Err(wrong(format!(
                "it is {length} bytes long and at most {} are possible: shorten the environment",
                packet::LIMIT - ENVELOPE
            )));
        }
        let (reply, started) = oneshot::channel();
        self.commands.send(Command::Start { spec, channels, reply }).map_err(|_| StartError::BrokerGone)?;
        started.await.map_err(|_| StartError::BrokerGone)?
    }

    /// Says that sandboxes with a `/tmp` of this size will be wanted: the first of them then waits for no file system.
    pub fn expect_scratch(&self, bytes: u64) {
        // Without a broker nothing is wanted any more.
        let _ = self.commands.send(Command::Scratch { bytes });
    }

    /// Want of memory on this machine: changes when the kernel reports some, then every two seconds until there is none.
    #[must_use]
    pub fn pressure(&self) -> watch::Receiver<Pressure> {
        self.pressure.clone()
    }

    /// Done when the broker has gone away and what it ran is gone, too. The server then ends with a non-zero status.
    pub async fn gone(&self) {
        let mut gone = self.gone.clone();
        // An error: the task that would say so has ended.
        let _ = gone.wait_for(|gone| *gone).await;
    }
}

// === impl Sandbox ===

impl Sandbox {
    pub(crate) fn new(live: Arc<Live>, commands: mpsc::UnboundedSender<Command>) -> Self {
        Self { live, commands }
    }

    /// A short name, unique on this machine: it is in the cgroup's name and in the log stream's.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.live.id
    }

    /// The address the program listens on, once it does (`Listen::Notify`): the port wanted if it is
    /// listened on, else the first TCP listener. `None`: the program ended before it listened.
    ///
    /// An address that stands for all is returned as loopback.
    pub async fn listening(&self, wanted: Option<u16>) -> Option<SocketAddr> {
        let mut listening = self.live.listening.subscribe();
        tokio::select! {
            biased;
            addresses = listening.wait_for(|addresses| !addresses.is_empty()) => {
                let addresses = addresses.ok()?;
                let by_port = addresses.iter().find(|address| Some(address.port()) == wanted);
                by_port.or_else(|| addresses.first()).copied().map(reachable)
            }
            _ = self.exited() => None,
        }
    }

    /// A connection to an address inside, over one of the sockets the broker handed over.
    ///
    /// # Errors
    /// What `connect` gives, or `BrokenPipe` where the sandbox has ended.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let address = reachable(address);
        let socket = self.socket(Family::of(address)).await?;
        let stream = TcpSocket::from_std_stream(std::net::TcpStream::from(socket)).connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The listener opened inside for the server (`Spec::server_listener`); once. Call it inside a tokio runtime.
    pub fn take_listener(&self) -> Option<TcpListener> {
        let listener = self.live.listener.lock().take()?;
        TcpListener::from_std(std::net::TcpListener::from(listener)).ok()
    }

    /// Done when the program has ended and the tree is gone. May be called any number of times.
    pub async fn exited(&self) -> Exit {
        let mut exit = self.live.exit.subscribe();
        match exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit) {
            Some(exit) => exit,
            // The sender lives in `self.live`.
            None => std::future::pending().await,
        }
    }

    /// Sends a signal to the tree; a frozen tree is thawed first. Does nothing once it has ended.
    pub fn signal(&self, signal: Signal) {
        self.command(Command::Signal { sandbox: self.live.number, signal });
    }

    /// Stops the tree from running until [`Self::thaw`]. Does nothing where there are no control groups.
    pub fn freeze(&self) {
        self.command(Command::Freeze { sandbox: self.live.number, frozen: true });
    }

    /// Lets a frozen tree run.
    pub fn thaw(&self) {
        self.command(Command::Freeze { sandbox: self.live.number, frozen: false });
    }

    /// Tells a sandbox that stands by (`Spec::standby`) what it is for; done when its code is there. Once.
    ///
    /// # Errors
    /// [`StartError`]: the step that failed; the sandbox has been killed then, or it has ended before.
    pub async fn assign(&self, assignment: &Assignment) -> Result<(), StartError> {
        let wrong = |reason: String| StartError::Step { step: "check the assignment".to_owned(), reason };
        check::assignment(assignment).map_err(wrong)?;
        let assignment =
            serde_json::value::to_raw_value(assignment).map_err(|error| wrong(error.to_string()))?;
        let (reply, assigned) = oneshot::channel();
        self.command(Command::Assign { sandbox: self.live.number, assignment, reply });
        assigned.await.unwrap_or_else(|_| {
            let reason = "the sandbox has ended".to_owned();
            Err(StartError::Step { step: "assign the sandbox".to_owned(), reason })
        })
    }

    /// Whether the program (`Spec::ember`) may be forked. Ask once it has said that its init is done and waits.
    pub async fn sharing(&self) -> Sharing {
        let (reply, sharing) = oneshot::channel();
        self.command(Command::Sharing { sandbox: self.live.number, reply });
        // Not answered: it ended first.
        sharing
            .await
            .unwrap_or_else(|_| Sharing { vetoes: vec!["it has ended".to_owned()], ..Sharing::default() })
    }

    /// Forks the program into an instance that is a sandbox of its own: it ends, freezes and is measured alone, and
    /// lives on when this one ends. Done when the broker has seen the newborn and checked it. The frames are needed;
    /// `environment` is set in the newborn besides what it inherits.
    ///
    /// Forks of one program are made one after the other.
    ///
    /// # Errors
    /// [`StartError`]: it may not be forked and why, the step that failed, or that the broker is gone.
    pub async fn fork(
        &self,
        channels: Channels,
        environment: Vec<(String, String)>,
    ) -> Result<Sandbox, StartError> {
        let wrong = |reason: &str| StartError::Step { step: "fork".to_owned(), reason: reason.to_owned() };
        let Some(frames) = channels.frames else { return Err(wrong("an instance needs frames")) };
        check::environment(&environment).map_err(|reason| wrong(&reason))?;
        let environment: serde_json::Map<String, serde_json::Value> =
            environment.into_iter().map(|(name, value)| (name, value.into())).collect();
        let environment =
            serde_json::value::to_raw_value(&environment).map_err(|error| wrong(&error.to_string()))?;
        if environment.get().len() > packet::LIMIT - ENVELOPE {
            return Err(wrong("the environment is too long"));
        }
        let (reply, started) = oneshot::channel();
        let descriptors = [frames, channels.output];
        let sandbox = self.live.number;
        self.commands
            .send(Command::Fork { sandbox, environment, descriptors, reply })
            .map_err(|_| StartError::BrokerGone)?;
        started.await.map_err(|_| StartError::BrokerGone)?
    }

    /// What the tree uses, without asking anybody: for every request.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.live.meter.clone()
    }

    /// What the tree has used so far.
    pub async fn usage(&self) -> Usage {
        let (reply, usage) = oneshot::channel();
        self.command(Command::Usage { sandbox: self.live.number, reply });
        tokio::select! {
            biased;
            exit = self.exited() => exit.usage,
            Ok(usage) = usage => usage,
        }
    }

    /// SIGTERM, then SIGKILL after `grace`; done when the tree is gone.
    pub async fn stop(&self, grace: Duration) -> Exit {
        self.signal(Signal::Terminate);
        if let Ok(exit) = tokio::time::timeout(grace, self.exited()).await {
            return exit;
        }
        self.signal(Signal::Kill);
        self.exited().await
    }

    /// One unconnected socket. More are asked for before the last is taken.
    async fn socket(&self, family: Family) -> io::Result<OwnedFd> {
        loop {
            let arrived = self.live.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let taken = self.live.take(family);
            if taken.ask {
                self.command(Command::Sockets { sandbox: self.live.number, family });
            }
            if let Some(result) = taken.socket {
                return result;
            }
            tokio::select! {
                biased;
                _ = self.exited() => return Err(io::ErrorKind::BrokenPipe.into()),
                () = arrived => {}
            }
        }
    }

    fn command(&self, command: Command) {
        // Without a broker there is no sandbox either: its end is told by `exited`.
        let _ = self.commands.send(command);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.live.exit.borrow().is_none() {
            self.signal(Signal::Kill);
        }
    }
}

/// The address to connect to for one that a program listens on.
fn reachable(address: SocketAddr) -> SocketAddr {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
