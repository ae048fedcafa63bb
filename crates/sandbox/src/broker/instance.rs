//! What the broker knows of one sandbox, from the clone of its shell to its removal.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::Pid;

use super::watch::Watched;
use crate::cgroup::Group;
use crate::failure::Failure;
use crate::handle::{Exit, Status, Usage};
use crate::meter::Dials;
use crate::protocol::{Order, Outline, say};
use crate::spec::Layers;

/// Most addresses that are told of one sandbox: a hostile program may listen on thousands, for ever.
const MOST_ADDRESSES: usize = 64;

/// How far a sandbox is.
#[derive(Debug)]
pub(super) enum State {
    /// The shell prepares. It starts at once for what waits for it; without, it joins the pool.
    Warming(Option<Pending>),
    /// The shell waits in the pool.
    Idle,
    /// The shell has its order.
    Starting(Ticket),
    /// The program runs; the server knows.
    Running,
    /// Nothing is expected of it any more but its end.
    Ending,
}

/// What a start needs from its request when the shell says that it has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    pub(super) number: u64,
    pub(super) outline: Outline,
}

/// A start that waits for its shell.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) ticket: Ticket,
    /// The order, as bytes: the broker does not look into it.
    pub(super) order: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// One sandbox.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) pid: Pid,
    pub(super) process: Watched,
    pub(super) control: Watched,
    pub(super) layers: Layers,
    pub(super) state: State,
    pub(super) group: Option<Group>,
    pub(super) network: Option<OwnedFd>,
    pub(super) listens: Option<Watched>,
    /// The addresses listened on; the server is told of each once, and of so many only.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) status: Option<Status>,
    pub(super) frozen: bool,
    /// What the shell had used before its start.
    pub(super) before: Usage,
}

// === impl Pending ===

impl Pending {
    /// What is sent to the shell.
    pub(super) fn new(
        ticket: u64,
        outline: Outline,
        order: &Order<'_>,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Self, Failure> {
        let order =
            serde_json::to_vec(order).map_err(|error| Failure::new("write an order", error.to_string()))?;
        Ok(Self { ticket: Ticket { number: ticket, outline }, order, descriptors })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // The environment of a program must not stay in the memory from which the next shell is copied.
        self.order.fill(0);
    }
}

// === impl Instance ===

impl Instance {
    /// Sets limits and hands the order over.
    pub(super) fn send_order(&mut self, pending: &Pending) -> Result<(), Failure> {
        if let Some(group) = &self.group {
            if self.layers.limits && pending.ticket.outline.layers.limits {
                group.limit(&pending.ticket.outline.limits)?;
            }
            group.forget_peak();
            self.before = group.usage();
        }
        let descriptors: Vec<BorrowedFd<'_>> = pending.descriptors.iter().map(AsFd::as_fd).collect();
        crate::packet::send(&self.control, &pending.order, &descriptors)
            .map_err(|error| Failure::new("hand the spec to the shell", error.to_string()))?;
        self.state = State::Starting(pending.ticket);
        Ok(())
    }

    /// Keeps an address that is listened on. False: there is nothing new to tell.
    pub(super) fn keep_address(&mut self, address: SocketAddr) -> bool {
        let new = self.addresses.len() < MOST_ADDRESSES && !self.addresses.contains(&address);
        if new {
            self.addresses.push(address);
        }
        new
    }

    /// SIGTERM to the program; a frozen one could not act on it.
    pub(super) fn terminate(&mut self) {
        self.freeze(false);
        let _ = say(&self.control, &Order::Terminate, &[]);
    }

    /// SIGKILL to everything inside. The init's death is everybody's in its pid namespace; where there is none the
    /// control group is used, whose lock another may hold (whoever moves processes between groups on this machine).
    pub(super) fn kill(&self) {
        if let Some(group) = &self.group
            && !self.layers.pid
        {
            group.kill();
        }
        let _ = rustix::process::pidfd_send_signal(&self.process, rustix::process::Signal::KILL);
    }

    pub(super) fn freeze(&mut self, frozen: bool) {
        if self.frozen != frozen
            && let Some(group) = &self.group
        {
            group.freeze(frozen);
            self.frozen = frozen;
        }
    }

    /// What it has used since its start.
    pub(super) fn usage(&self) -> Usage {
        let Some(group) = &self.group else { return Usage::default() };
        let now = group.usage();
        Usage { cpu_micros: now.cpu_micros.saturating_sub(self.before.cpu_micros), ..now }
    }

    /// The files by which the server reads what it uses; none without control groups.
    pub(super) fn meter(&self) -> (Dials, Vec<OwnedFd>) {
        self.group.as_ref().map(|group| group.meter(&self.before)).unwrap_or_default()
    }

    /// How it ended. An init that could not report was killed with all the rest.
    pub(super) fn exit(&self) -> Exit {
        Exit {
            status: self.status.unwrap_or(Status::Signaled(libc::SIGKILL)),
            out_of_memory: self.group.as_ref().is_some_and(Group::out_of_memory),
            usage: self.usage(),
        }
    }
}
