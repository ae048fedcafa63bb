//! What the broker knows of one sandbox, from the clone of its shell to its removal.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, Signal};

use super::ember::{Ember, Newborn};
use super::sockets;
use super::watch::Watched;
use crate::cgroup::Group;
use crate::failure::{At, Failure};
use crate::handle::{Exit, Status, Usage};
use crate::meter::Dials;
use crate::protocol::{Order, Outline, say};
use crate::spec::{Layers, Limits};

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
    /// The program, an ember, has ended, and the server knows; its instances live in these namespaces.
    Housing,
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
    /// What the instance gets whose program is to be an ember.
    pub(super) ember: Option<Box<Ember>>,
}

/// One sandbox.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) pid: Pid,
    pub(super) process: Watched,
    /// Its shell or init; none of an instance that was forked.
    pub(super) control: Option<Watched>,
    pub(super) layers: Layers,
    pub(super) state: State,
    pub(super) group: Option<Group>,
    pub(super) network: Option<OwnedFd>,
    /// The server's own listener inside, until the server is told of the start: it is there before the program is.
    pub(super) server_listener: Option<OwnedFd>,
    pub(super) listens: Option<Watched>,
    /// The addresses listened on; the server is told of each once, and of so many only.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) status: Option<Status>,
    pub(super) frozen: bool,
    /// Its limits, once they are set, and into how many parts its owner's CPU weight is divided.
    pub(super) limits: Option<Limits>,
    pub(super) parts: u32,
    /// What the shell had used before its start.
    pub(super) before: Usage,
    /// If it stands by: the bytes of the `/tmp` that it has meanwhile.
    pub(super) stands_by: Option<u64>,
    /// If its program is an ember, or was to be one.
    pub(super) ember: Option<Box<Ember>>,
    /// If it was forked from an ember.
    pub(super) newborn: Option<Newborn>,
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
        Ok(Self { ticket: Ticket { number: ticket, outline }, order, descriptors, ember: None })
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
    pub(super) fn send_order(&mut self, pending: &mut Pending, home: BorrowedFd<'_>) -> Result<(), Failure> {
        self.ember = pending.ember.take();
        let Outline { standby, tmp_bytes, .. } = pending.ticket.outline;
        self.stands_by = standby.then_some(tmp_bytes);
        if let Some(group) = &self.group {
            if self.layers.limits && pending.ticket.outline.layers.limits {
                group.limit(&pending.ticket.outline.limits)?;
                self.limits = Some(pending.ticket.outline.limits);
            }
            group.forget_peak();
            self.before = group.usage();
        }
        if let Some(address) = pending.ticket.outline.server_listener {
            let make = || sockets::listener(address.into());
            self.server_listener = Some(sockets::inside(self.network.as_ref(), home, make)?);
        }
        let descriptors: Vec<BorrowedFd<'_>> = pending.descriptors.iter().map(AsFd::as_fd).collect();
        let step = || "hand the spec to the shell";
        let control = self.control.as_ref().ok_or_else(|| Failure::new(step(), "there is none"))?;
        crate::packet::send(control, &pending.order, &descriptors).at(step)?;
        self.state = State::Starting(pending.ticket);
        Ok(())
    }

    /// Whose CPU weight it has a part of.
    pub(super) fn owner(&self) -> Option<u64> {
        self.limits.map(|limits| limits.cpu_owner)
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
        match &self.control {
            Some(control) => drop(say(control, &Order::Terminate, &[])),
            None => drop(rustix::process::pidfd_send_signal(&self.process, Signal::TERM)),
        }
    }

    /// SIGKILL to everything inside. The init's death is everybody's in its pid namespace; where there is none the
    /// control group is used, whose lock another may hold (whoever moves processes between groups on this machine).
    pub(super) fn kill(&self) {
        if let Some(group) = &self.group
            && (!self.layers.pid || self.newborn.is_some())
        {
            group.kill();
        }
        let _ = rustix::process::pidfd_send_signal(&self.process, Signal::KILL);
    }

    /// Stops everything inside, or lets it run. A newborn without a group is stopped when it has one.
    pub(super) fn freeze(&mut self, frozen: bool) {
        if self.frozen == frozen || self.ember.as_ref().is_some_and(|ember| ember.is_shared()) {
            return;
        }
        if let Some(group) = &self.group {
            group.freeze(frozen);
        }
        self.frozen = frozen && (self.group.is_some() || self.newborn.is_some());
    }

    /// What it has used since its start.
    pub(super) fn usage(&self) -> Usage {
        if let Some(born) = &self.newborn {
            return self.usage_of(born);
        }
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
