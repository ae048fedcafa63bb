//! The mover: a process of the broker's that puts newborns into control groups of their own and does nothing else. To
//! move a process the kernel stops every fork of the machine, ten milliseconds on version 1 when it has been quiet; the
//! broker must not wait for that.
//!
//! Started with the first newborn, from a copy of the broker; it ends with the broker. What comes in while it moves one
//! is moved right after, for a fraction of the price. It makes the groups, too: that waits for the same lock.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::serve::Broker;
use super::watch::{Kind, Watched};
use crate::cgroup::{Group, Tree};
use crate::failure::{At, Failure};
use crate::packet;
use crate::process;
use crate::protocol::{Number, say};
use crate::shell;
use crate::spec::Limits;
use crate::system::{self, CloneOptions, Forked};

/// Longest packet.
const PACKET: usize = 4096;

/// How often descendants that a newborn made meanwhile are looked for.
const ROUNDS: usize = 8;

/// After so many movers that ended by themselves none is started any more: newborns stay in their ember's groups.
const MOST_FAILURES: u32 = 3;

/// To the mover. Descriptor: the process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    pub(super) number: Number,
    pub(super) pid: i32,
    /// The group it gets.
    pub(super) id: String,
    /// The one it is in.
    pub(super) from: String,
    pub(super) limits: Option<Limits>,
}

/// From the mover.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Moved {
    pub(super) number: Number,
    pub(super) id: String,
    /// CPU time that it had used where it was.
    pub(super) cpu_micros: u64,
    pub(super) limits: Option<Limits>,
    pub(super) failure: Option<Failure>,
}

/// The mover, as the broker has it.
#[derive(Debug)]
pub(super) struct Mover {
    socket: Watched,
    process: OwnedFd,
}

// === impl Moved ===

impl Moved {
    fn of(order: Move) -> Self {
        let Move { number, id, limits, .. } = order;
        Self { number, id, cpu_micros: 0, limits, failure: None }
    }
}

// === impl Mover ===

impl Mover {
    /// Ends it and waits: after that no group is made.
    pub(super) fn end(self) {
        let _ = rustix::process::pidfd_send_signal(&self.process, rustix::process::Signal::KILL);
        let limit = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
        let _ = rustix::event::poll(&mut [PollFd::new(&self.process, PollFlags::IN)], Some(&limit));
    }
}

// === impl Broker ===

impl Broker {
    /// Asks the mover, which is started if there is none.
    pub(super) fn send_move(&mut self, order: &Move, number: Number) {
        if self.mover.is_none() && self.mover_works() {
            match self.start_mover() {
                Ok(mover) => self.mover = Some(mover),
                Err(_) => self.mover_failures += 1,
            }
        }
        let (Some(mover), Some(instance)) = (&self.mover, self.instances.get(&number)) else { return };
        // A mover that cannot be told is ending, by which everything is asked for again.
        let _ = say(&mover.socket, order, &[instance.process.as_fd()]);
    }

    /// The mover has reported, or ended.
    pub(super) fn hear_mover(&mut self) {
        let mut buffer = [0; PACKET];
        while let Some(mover) = &self.mover {
            let received = match packet::receive(&mover.socket, &mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Ok(received) if received.length > 0 => received,
                Ok(_) | Err(_) => break,
            };
            match buffer.get(..received.length).map(serde_json::from_slice) {
                Some(Ok(moved)) => self.placed(&moved),
                _ => break,
            }
        }
        if let Some(mover) = self.mover.take() {
            mover.end();
        }
        self.mover_failures += 1;
        let waiting: Vec<Number> = self
            .instances
            .iter()
            .filter(|(_, instance)| instance.newborn.as_ref().is_some_and(|born| born.unplaced))
            .map(|(&number, _)| number)
            .collect();
        for number in waiting {
            self.place(number);
        }
    }

    /// Whether newborns are moved at all.
    pub(super) fn mover_works(&self) -> bool {
        self.tree.is_ok() && self.mover_failures < MOST_FAILURES
    }

    fn start_mover(&self) -> Result<Mover, Failure> {
        let (socket, theirs) = packet::pair().at(|| "make a socket pair")?;
        match system::clone_process(CloneOptions::default()).at(|| "fork the mover")? {
            Forked::Child => {
                let code = shell::aside(|| match self.move_all(&theirs) {
                    Ok(()) => 0,
                    Err(_) => 1,
                });
                system::exit_now(code)
            }
            Forked::Parent { pidfd, .. } => Ok(Mover {
                socket: self.watch.add(socket, 0, Kind::Mover).at(|| "watch the mover")?,
                process: pidfd,
            }),
        }
    }

    /// The life of a mover.
    fn move_all(&self, socket: &OwnedFd) -> Result<(), Failure> {
        shell::begin_aside(c"lambent-mover", [socket.as_raw_fd()])?;
        let Ok(tree) = &self.tree else { return Ok(()) };
        let mut buffer = [0; PACKET];
        loop {
            rustix::event::poll(&mut [PollFd::new(socket, PollFlags::IN)], None)
                .at(|| "wait for an order")?;
            let received = packet::receive(socket, &mut buffer).at(|| "receive an order")?;
            let Some(bytes) = buffer.get(..received.length).filter(|bytes| !bytes.is_empty()) else {
                return Ok(());
            };
            let order: Move = serde_json::from_slice(bytes).at(|| "read an order")?;
            let process = received.descriptors.into_iter().next();
            let moved = match process.map_or_else(
                || Err(Failure::new("move a newborn", "no process came along")),
                |process| move_one(tree, &order, &process),
            ) {
                Ok(cpu_micros) => Moved { cpu_micros, ..Moved::of(order) },
                Err(failure) => Moved { failure: Some(failure), ..Moved::of(order) },
            };
            say(socket, &moved, &[]).at(|| "report")?;
        }
    }
}

/// Makes the group and moves the process and what it has started. Returns the CPU time used before.
fn move_one(tree: &Tree, order: &Move, process: &OwnedFd) -> Result<u64, Failure> {
    let group = tree.group(&order.id).at(|| "make control groups")?;
    if let Some(limits) = &order.limits {
        group.limit(limits)?;
    }
    let gone = || Failure::new("move a newborn", "it has ended");
    let pid =
        process::number_of(process).filter(|pid| pid.as_raw_nonzero().get() == order.pid).ok_or_else(gone)?;
    let before = process::cpu_micros(pid);
    group.admit(pid).at(|| "move a newborn")?;
    if !process::is_there(process) {
        return Err(gone());
    }
    let from = tree.known(&order.from);
    for _ in 0..ROUNDS {
        let left = from.members();
        let mut moved = 0;
        let mut family = vec![pid];
        while let Some(parent) = family.pop() {
            let children = process::children_of(parent);
            for &child in children.iter().filter(|child| left.contains(child)) {
                // One that has ended meanwhile needs no move.
                moved += usize::from(group.admit(child).is_ok());
            }
            family.extend(children);
        }
        if moved == 0 {
            break;
        }
    }
    Ok(used_elsewhere(&group, pid).max(before))
}

/// CPU time that a process has used outside its group: its own figure without the group's. Both grow at the same
/// moments, so what it uses while it is moved is in one of them, too. A group's figure belongs between two of the
/// process's; of several looks the one counts in which those are the closest, mostly the same.
fn used_elsewhere(group: &Group, pid: Pid) -> u64 {
    let look = || {
        let earlier = process::cpu_micros(pid);
        let inside = group.usage().cpu_micros;
        let later = process::cpu_micros(pid);
        (later.saturating_sub(earlier), earlier.saturating_sub(inside))
    };
    let mut closest = look();
    for _ in 0..ROUNDS {
        if closest.0 == 0 {
            break;
        }
        closest = closest.min(look());
    }
    closest.1
}
