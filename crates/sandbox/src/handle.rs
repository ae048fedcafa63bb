//! The server's side of the broker: asks for sandboxes and hears what became of them.
//!
//! A [`Handle`] is a cheap clone. A [`Sandbox`] is one process tree; dropping it kills the tree. All
//! kernel privilege stays in the broker process: this side only sends typed requests and gets
//! descriptors and events back.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};

use crate::spec::Spec;

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
pub struct Handle {}

/// One process tree in isolation. Dropping it kills the tree.
#[derive(Debug)]
pub struct Sandbox {}

#[expect(unused_variables, clippy::unused_async, reason = "signatures only, until the broker stands")]
impl Handle {
    /// Makes a sandbox and starts its program.
    ///
    /// # Errors
    /// [`StartError`]: the step that failed, or that the broker is gone.
    pub async fn start(&self, spec: Spec, channels: Channels) -> Result<Sandbox, StartError> {
        Err(StartError::BrokerGone)
    }

    /// Done when the broker has gone away. The server then ends with a non-zero status.
    pub async fn gone(&self) {}
}

#[expect(unused_variables, clippy::unused_async, reason = "signatures only, until the broker stands")]
impl Sandbox {
    /// A short name, unique on this machine: it is in the cgroup's name and in the log stream's.
    #[must_use]
    pub fn id(&self) -> &str {
        ""
    }

    /// The address the program listens on, once it does (`Listen::Notify`): the port wanted if it is
    /// listened on, else the first TCP listener. `None`: the program ended before it listened.
    pub async fn listening(&self, wanted: Option<u16>) -> Option<SocketAddr> {
        None
    }

    /// A connection to an address inside, over one of the sockets the broker handed over.
    ///
    /// # Errors
    /// What `connect` gives, or `BrokenPipe` where the sandbox has ended.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    /// The listener opened inside for the server (`Spec::server_listener`); once.
    pub fn take_listener(&self) -> Option<TcpListener> {
        None
    }

    /// Done when the program has ended and the tree is gone. May be called any number of times.
    pub async fn exited(&self) -> Exit {
        std::future::pending().await
    }

    /// Sends a signal to the tree; a frozen tree is thawed first. Does nothing once it has ended.
    pub fn signal(&self, signal: Signal) {}

    /// Stops the tree from running until [`Self::thaw`].
    pub fn freeze(&self) {}

    /// Lets a frozen tree run.
    pub fn thaw(&self) {}

    /// What the tree has used so far.
    pub async fn usage(&self) -> Usage {
        Usage::default()
    }

    /// SIGTERM, then SIGKILL after `grace`; done when the tree is gone.
    pub async fn stop(&self, grace: Duration) -> Exit {
        self.exited().await
    }
}
