//! The end of a sandbox, and of the broker: from the last process to the last control group.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitOptions};

use super::instance::{Instance, State};
use super::serve::Broker;
use crate::cgroup;
use crate::failure::Failure;
use crate::protocol::{Event, Number};

/// How long the broker waits for killed processes when it ends.
const LAST_WAIT: Duration = Duration::from_secs(2);

// === impl Broker ===

impl Broker {
    /// The init and, with a pid namespace, everything inside is gone.
    pub(super) fn ended(&mut self, number: Number) {
        // What it still said is in its socket.
        self.hear(number);
        if self.instances.get(&number).is_some_and(|instance| instance.newborn.is_some()) {
            return self.newborn_ended(number);
        }
        self.refuse_forks(number, "the ember has ended");
        let Some(instance) = self.instances.remove(&number) else { return };
        let _ = rustix::process::waitpid(Some(instance.pid), WaitOptions::NOHANG);
        self.idle.retain(|&idle| idle != number);
        if !instance.layers.pid {
            instance.kill();
            self.end_orphans();
        }
        self.tell_end(number, &instance);
        if let Some(owner) = instance.owner() {
            self.share_out(owner);
        }
        self.dying.extend(instance.group);
    }

    /// Removes the control groups of what has ended.
    pub(super) fn remove_dying(&mut self) {
        self.dying.retain(|group| group.remove().is_err());
    }

    /// In the reduced mode orphans of a sandbox become our children: they belong to nobody else.
    pub(super) fn end_orphans(&mut self) {
        let children = std::fs::read_to_string(Path::new("/proc/thread-self/children")).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|word| word.parse().ok().and_then(Pid::from_raw)) {
            if !self.instances.values().any(|instance| instance.pid == pid) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Reaps whatever has died. The ends of inits are noticed by their own descriptors.
    pub(super) fn reap(&mut self) {
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        if !self.restrict(crate::spec::Layers::ALL).pid {
            self.end_orphans();
        }
    }

    /// The server is gone: nothing may stay.
    pub(super) fn end_all(&mut self) {
        // Or it would make groups while they are removed.
        if let Some(mover) = self.mover.take() {
            mover.end();
        }
        for instance in self.instances.values() {
            instance.kill();
        }
        let deadline = Instant::now() + LAST_WAIT;
        for instance in self.instances.values() {
            let left = deadline.saturating_duration_since(Instant::now());
            let limit = rustix::time::Timespec::try_from(left).unwrap_or_default();
            let _ = rustix::event::poll(&mut [PollFd::new(&instance.process, PollFlags::IN)], Some(&limit));
        }
        self.end_orphans();
        self.reap();
        if self.tree.is_ok() {
            cgroup::sweep(&self.configuration.name, Some(self.configuration.prefix));
        }
    }

    fn tell_end(&mut self, number: Number, instance: &Instance) {
        match &instance.state {
            State::Running => {
                self.tell(&Event::Exited { sandbox: number, exit: instance.exit() }, Vec::new());
            }
            State::Starting(ticket) => self.refuse(ticket.number, killed()),
            State::Warming(Some(pending)) => self.refuse(pending.ticket.number, killed()),
            State::Warming(None) => self.pool_failed(killed()),
            State::Housing | State::Idle | State::Ending => {}
        }
    }
}

fn killed() -> Failure {
    Failure::new("start the sandbox", "its first process was killed")
}
