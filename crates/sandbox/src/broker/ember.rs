//! What the broker knows of an ember beside its sandbox: its process, its roots, the fork that is under way and those
//! that wait, and its living instances. And of an instance that was forked: whose it is.
//!
//! ```text
//! started ── sharing ──► may be forked ── order ──► one fork under way ── hello ──► next root ──► may be forked
//!    │          │                                         │
//!    └ hopeless ┴── refused: it runs on as the only one   └── wrong hello, none in time, a stranger beside it: retired
//! ```
//!
//! Retired: killed, and nothing is forked from it any more. Its instances live on, and with them its init.

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::process::{Pid, Signal};

use super::roots::{Root, Roots};
use super::watch::Watched;
use crate::protocol::{Kindling, Number, Outline};

/// Addresses of instances begin after this one, which is the ember's.
const FIRST_ADDRESS: u32 = 0x7f00_0001;
const LAST_ADDRESS: u32 = 0x7fff_fffd;

/// No instance has this one: whether there can be listeners is tried there.
pub(super) const TRIAL_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);

/// An ember, or what wanted to be one.
#[derive(Debug)]
pub(super) struct Ember {
    /// Our end of its control socket.
    pub(super) control: OwnedFd,
    /// The same, watched for its end from the report of its start.
    pub(super) orders: Option<Watched>,
    /// From the report of its start to that of its end.
    pub(super) process: Option<Process>,
    pub(super) verdict: Verdict,
    /// What its instances get, as it has.
    pub(super) outline: Outline,
    /// Its own socket: every instance gets a listener at this port.
    pub(super) port: Option<Port>,
    pub(super) roots: Roots,
    pub(super) open: Option<Birth>,
    pub(super) queue: VecDeque<Wanted>,
    /// Memory of its own after init: its instances share it, and their limits are smaller by it.
    pub(super) anonymous_bytes: u64,
    /// The living instances.
    pub(super) instances: BTreeSet<Number>,
    address: u32,
}

/// The process of an ember.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) process: OwnedFd,
    /// How many filters it has: its instances must have as many.
    pub(super) filters: u32,
}

/// Whether it may be forked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody has asked yet.
    Open,
    Shared,
    Refused(String),
}

/// A socket that is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) number: u16,
    /// It is of IPv6.
    pub(super) v6: bool,
}

/// A fork that waits for its turn.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) ticket: u64,
    /// The order, as bytes: it holds an environment.
    pub(super) order: Vec<u8>,
    /// Frames and output.
    pub(super) descriptors: Vec<OwnedFd>,
}

/// The fork that is under way.
#[derive(Debug)]
pub(super) struct Birth {
    pub(super) ticket: u64,
    pub(super) hello: Watched,
    pub(super) root: Root,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) deadline: Instant,
}

/// An instance that was forked.
#[derive(Debug)]
pub(super) struct Newborn {
    /// The ember's sandbox, whose namespaces it lives in.
    pub(super) ember: Number,
    /// The number of its root.
    pub(super) root: u32,
    /// Still in the ember's control groups.
    pub(super) unplaced: bool,
    /// The mover has not reported yet.
    pub(super) moving: bool,
    /// CPU time that it has used there.
    pub(super) carried_micros: u64,
}

// === impl Ember ===

impl Ember {
    pub(super) fn new(control: OwnedFd, kindling: Kindling, outline: Outline, hopeless: &str) -> Self {
        let verdict = match kindling {
            Kindling::Ember => Verdict::Open,
            Kindling::None | Kindling::Hopeless => Verdict::Refused(hopeless.to_owned()),
        };
        Self {
            control,
            orders: None,
            process: None,
            verdict,
            outline,
            port: None,
            roots: Roots::default(),
            open: None,
            queue: VecDeque::new(),
            anonymous_bytes: 0,
            instances: BTreeSet::new(),
            address: FIRST_ADDRESS,
        }
    }

    /// Why it is not forked.
    pub(super) fn refusal(&self) -> Result<(), String> {
        match &self.verdict {
            Verdict::Open => Err("nobody has asked yet whether the program may be forked".to_owned()),
            Verdict::Shared if self.process.is_none() => Err("the ember has ended".to_owned()),
            Verdict::Shared => Ok(()),
            Verdict::Refused(reason) => Err(reason.clone()),
        }
    }

    /// Whether it takes orders: then it is never frozen, as its init and newborns would be with it.
    pub(super) fn is_shared(&self) -> bool {
        self.verdict == Verdict::Shared
    }

    /// The address of the next instance.
    pub(super) fn next_address(&mut self) -> Ipv4Addr {
        self.address = if self.address >= LAST_ADDRESS { FIRST_ADDRESS } else { self.address } + 1;
        Ipv4Addr::from_bits(self.address)
    }

    /// SIGKILL to the ember alone.
    pub(super) fn kill(&self) {
        if let Some(process) = &self.process {
            let _ = rustix::process::pidfd_send_signal(&process.process, Signal::KILL);
        }
    }
}

// === impl Wanted ===

impl Drop for Wanted {
    fn drop(&mut self) {
        // As in a pending start: no environment stays in the memory from which the next shell is copied.
        self.order.fill(0);
    }
}
