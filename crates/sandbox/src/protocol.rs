//! What server, broker and shells say to each other: closed sets of messages, JSON in one packet each.
//! No I/O here. An unknown message or field is an error that ends the conversation.
//!
//! The broker never needs to know what a program is or what is in its environment, so a spec passes
//! through it as raw text: it reads the [`Outline`] and forwards the rest. So no secret of one
//! sandbox stays in the memory from which the next one is copied.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::handle::{Exit, Sharing, Signal, StartError, Status, Usage};
use crate::launch::Isolation;
use crate::meter::Dials;
use crate::packet;
use crate::pressure::Pressure;
use crate::probe::Probe;
use crate::spec::{Layers, Limits, Listen};

/// The broker's number for a sandbox; never used twice by one broker.
pub(crate) type Number = u32;

/// First packet to the broker: what [`crate::Options`] says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Configuration {
    pub(crate) name: String,
    pub(crate) isolation: Isolation,
    pub(crate) directory: PathBuf,
    pub(crate) pool: usize,
    pub(crate) switches: bool,
    /// Random; in the id of every sandbox of this broker.
    pub(crate) prefix: u32,
}

/// From the server to the broker.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(crate) enum Request<'a> {
    /// Make a sandbox. Descriptors: output, then frames if `frames`.
    Start {
        ticket: u64,
        frames: bool,
        #[serde(borrow)]
        spec: &'a RawValue,
    },
    Signal {
        sandbox: Number,
        signal: Signal,
    },
    Freeze {
        sandbox: Number,
    },
    Thaw {
        sandbox: Number,
    },
    Usage {
        sandbox: Number,
        ticket: u64,
    },
    /// More unconnected sockets.
    Sockets {
        sandbox: Number,
        family: Family,
    },
    /// What this sandbox, which stands by, is for.
    Assign {
        sandbox: Number,
        ticket: u64,
        #[serde(borrow)]
        assignment: &'a RawValue,
    },
    /// Have an image of a `/tmp` of this size ready.
    Scratch {
        bytes: u64,
    },
    /// May this ember be forked?
    Sharing {
        sandbox: Number,
        ticket: u64,
    },
    /// Fork this ember. Descriptors: frames, output.
    Fork {
        sandbox: Number,
        ticket: u64,
        #[serde(borrow)]
        environment: &'a RawValue,
    },
}

/// From the broker to the server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(crate) enum Event {
    /// First packet: the broker serves.
    Ready {
        probe: Probe,
    },
    /// First packet instead: it cannot, and why.
    Refused {
        step: String,
        reason: String,
    },
    /// Descriptors: `v4` sockets, `v6` sockets, the listener if there is one, the files of the meter.
    Started {
        ticket: u64,
        sandbox: Number,
        id: String,
        v4: usize,
        v6: usize,
        listener: bool,
        meter: Dials,
    },
    /// It has what it was assigned, and is measured anew. Descriptors: the files of the meter.
    Assigned {
        ticket: u64,
        sandbox: Number,
        meter: Dials,
    },
    /// Its figures are in other files now. Descriptors: the files.
    Meter {
        sandbox: Number,
        meter: Dials,
    },
    Failed {
        ticket: u64,
        error: StartError,
    },
    /// Descriptors: that many sockets.
    Sockets {
        sandbox: Number,
        family: Family,
        count: usize,
    },
    Listening {
        sandbox: Number,
        address: SocketAddr,
    },
    Usage {
        ticket: u64,
        usage: Usage,
    },
    Pressure {
        pressure: Pressure,
    },
    Exited {
        sandbox: Number,
        exit: Exit,
    },
    Sharing {
        ticket: u64,
        sharing: Sharing,
    },
}

/// From the broker to a shell.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(crate) enum Order<'a> {
    /// Become this sandbox. Descriptors as in [`Request::Start`], with the layers that hold.
    Start {
        frames: bool,
        layers: Layers,
        ember: Kindling,
        /// The last descriptor is the image from which `/tmp` is copied.
        image: bool,
        #[serde(borrow)]
        spec: &'a RawValue,
    },
    /// SIGTERM to the program.
    Terminate,
    /// Take this root, and the program with you. Descriptor: the root.
    Root,
}

/// What a program is to be besides a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kindling {
    /// Nothing.
    None,
    /// It wants to be an ember and cannot: it gets its control socket, the last descriptor, and no order ever.
    Hopeless,
    /// An ember. The last descriptor is its control socket.
    Ember,
}

/// From a shell to the broker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(crate) enum Word {
    /// Prepared. Descriptor: its network namespace, if it has its own.
    Ready { network: bool },
    /// A step failed; the shell ends.
    Failed { step: String, reason: String },
    /// Descriptor: the notifications of `listen()`.
    Listens,
    /// The program runs. Descriptor, of an ember: its process.
    Started,
    /// The root of the last order is taken, or not.
    Rooted { taken: bool },
    /// The program has ended; the shell ends, unless the program was an ember.
    Exited { status: Status },
}

/// Address family of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Family {
    V4,
    V6,
}

/// The part of a [`crate::spec::Spec`] that the broker acts on itself. The shell checks the whole.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Outline {
    pub(crate) tmp_bytes: u64,
    pub(crate) limits: Limits,
    pub(crate) listen: Listen,
    pub(crate) server_listener: Option<SocketAddrV4>,
    #[serde(default)]
    pub(crate) ember: bool,
    #[serde(default)]
    pub(crate) standby: bool,
    pub(crate) layers: Layers,
}

// === impl Family ===

impl Family {
    /// The family that reaches this address.
    pub(crate) const fn of(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(_) => Self::V6,
        }
    }
}

/// Sends a message as one packet.
pub(crate) fn say(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    packet::send(socket, &serde_json::to_vec(message)?, descriptors)
}
