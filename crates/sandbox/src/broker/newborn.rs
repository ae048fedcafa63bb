//! The life of a forked instance after its hello: from the ember's control groups to its own, and its end. It is not
//! our child: its own descriptor tells its end, and how it ended the kernel remembers.

use std::os::fd::OwnedFd;

use rustix::process::Pid;

use super::ember::Newborn;
use super::instance::{Instance, State};
use super::mover::{Move, Moved};
use super::serve::Broker;
use super::watch::Watched;
use crate::cgroup::Group;
use crate::failure::{At, Failure};
use crate::handle::{Status, Usage};
use crate::process;
use crate::protocol::{Event, Number};
use crate::spec::Limits;

/// What is left to an instance at least, however much its ember has taken.
const LEAST_MEMORY: u64 = 16 << 20;

// === impl Broker ===

impl Broker {
    /// Has a newborn moved into control groups of its own, off the path of its start.
    pub(super) fn place(&mut self, number: Number) {
        let Some(instance) = self.instances.get(&number) else { return };
        let Some(born) = &instance.newborn else { return };
        let Some(parent) = self.instances.get(&born.ember) else { return };
        let Some(ember) = &parent.ember else { return };
        if self.tree.is_err() {
            return;
        }
        let limited = parent.layers.limits;
        let limits = limited.then(|| remaining(ember.outline.limits, ember.anonymous_bytes));
        let order = Move {
            number,
            pid: instance.pid.as_raw_nonzero().get(),
            id: instance.id.clone(),
            from: parent.id.clone(),
            limits,
        };
        self.send_move(&order, number);
    }

    /// The mover has reported.
    pub(super) fn placed(&mut self, moved: &Moved) {
        let Some(group) = self.tree.as_ref().ok().map(|tree| tree.known(&moved.id)) else { return };
        let shared = self.shared_bytes(moved.number);
        let Some(instance) = self.instances.get_mut(&moved.number) else {
            // It has ended meanwhile.
            group.kill();
            return self.dying.push(group);
        };
        let Some(born) = &mut instance.newborn else { return };
        let ember = born.ember;
        born.moving = false;
        if moved.failure.is_some() {
            // It ends now, or stays where it is.
            self.dying.push(group);
            return self.advance(ember);
        }
        born.unplaced = false;
        born.carried_micros = moved.cpu_micros;
        if instance.frozen {
            group.freeze(true);
        }
        let (mut meter, files) = group.meter(&Usage::default());
        meter.offset = i64::try_from(moved.cpu_micros).unwrap_or_default().saturating_neg();
        meter.shared = shared;
        instance.group = Some(group);
        instance.limits = moved.limits;
        let owner = instance.owner();
        self.tell(&Event::Meter { sandbox: moved.number, meter }, files);
        if let Some(owner) = owner {
            self.share_out(owner);
        }
        if let Some(parent) = self.instances.get_mut(&ember) {
            // It was in the ember's account so far.
            parent.before.cpu_micros += moved.cpu_micros;
            let metered = parent.group.as_ref().map(|group| group.meter(&parent.before));
            if let Some((meter, files)) = metered {
                self.tell(&Event::Meter { sandbox: ember, meter }, files);
            }
        }
        self.advance(ember);
    }

    /// What an instance shares with its ember.
    fn shared_bytes(&self, number: Number) -> u64 {
        let born = self.instances.get(&number).and_then(|instance| instance.newborn.as_ref());
        let parent = born.and_then(|born| self.instances.get(&born.ember));
        parent.and_then(|parent| parent.ember.as_ref()).map_or(0, |ember| ember.anonymous_bytes)
    }

    /// A forked instance has ended.
    pub(super) fn newborn_ended(&mut self, number: Number) {
        let Some(mut instance) = self.instances.remove(&number) else { return };
        let Some(born) = instance.newborn.take() else { return };
        instance.status = Some(process::ending(&instance.process).unwrap_or(Status::Signaled(libc::SIGKILL)));
        if let Some(group) = instance.group.as_ref() {
            group.kill();
        }
        let mut exit = instance.exit();
        exit.usage = instance.usage_of(&born);
        if born.unplaced && exit.status == Status::Signaled(libc::SIGKILL) {
            let parent = self.instances.get(&born.ember).and_then(|parent| parent.group.as_ref());
            exit.out_of_memory = parent.is_some_and(Group::out_of_memory);
        }
        if let Some(owner) = instance.owner() {
            self.share_out(owner);
        }
        self.tell(&Event::Exited { sandbox: number, exit }, Vec::new());
        self.dying.extend(instance.group);
        // Also of one that has been moved: what it started before may have lost its parent under the mover's hands.
        self.kill_orphans(born.ember);
        self.leave(born.ember, &born, number);
    }

    fn leave(&mut self, ember_number: Number, born: &Newborn, number: Number) {
        let Some(parent) = self.instances.get_mut(&ember_number) else { return };
        let Some(ember) = &mut parent.ember else { return };
        ember.instances.remove(&number);
        ember.roots.spend(born.root);
        if ember.instances.is_empty() && matches!(parent.state, State::Housing) {
            return parent.kill();
        }
        self.prepare_roots(ember_number);
        self.advance(ember_number);
    }

    /// The init says that the ember has ended. With instances left the namespaces stay, and only the ember is gone.
    pub(super) fn ember_ended(&mut self, number: Number) {
        self.refuse_forks(number, "the ember has ended");
        let Some(ember) = self.ember(number) else { return };
        ember.process = None;
        // Whatever it has forked and nobody has greeted.
        self.kill_orphans(number);
        let Some(instance) = self.instances.get_mut(&number) else { return };
        let Some(ember) = &instance.ember else { return };
        if ember.instances.is_empty() {
            return instance.kill();
        }
        if matches!(instance.state, State::Running) {
            instance.state = State::Housing;
            let exit = instance.exit();
            self.tell(&Event::Exited { sandbox: number, exit }, Vec::new());
        }
    }

    /// SIGKILL to a sandbox; of one with living instances only the ember.
    pub(super) fn kill(&mut self, number: Number) {
        let Some(instance) = self.instances.get(&number) else { return };
        match &instance.ember {
            Some(ember) if !ember.instances.is_empty() => {
                ember.kill();
                self.kill_orphans(number);
            }
            _ => instance.kill(),
        }
    }
}

// === impl Newborn ===

impl Newborn {
    /// One that has just said hello.
    pub(super) fn of(ember: Number, root: u32) -> Self {
        Self { ember, root, unplaced: true, moving: true, carried_micros: 0 }
    }
}

// === impl Instance ===

impl Instance {
    /// A newborn in the namespaces of its ember's sandbox, and in nobody's control groups yet but the ember's.
    pub(super) fn forked(
        parent: &Self,
        newborn: Newborn,
        (id, pid, process): (String, Pid, Watched),
    ) -> Result<Self, Failure> {
        let network = parent.network.as_ref().map(OwnedFd::try_clone).transpose();
        Ok(Self {
            id,
            pid,
            process,
            control: None,
            layers: parent.layers,
            state: State::Running,
            group: None,
            network: network.at(|| "share the network namespace")?,
            server_listener: None,
            listens: None,
            addresses: Vec::new(),
            status: None,
            frozen: false,
            limits: None,
            parts: 1,
            before: Usage::default(),
            stands_by: None,
            ember: None,
            newborn: Some(newborn),
        })
    }

    /// What it has used, in the ember's groups and in its own.
    pub(super) fn usage_of(&self, born: &Newborn) -> Usage {
        match &self.group {
            Some(group) => {
                let usage = group.usage();
                Usage { cpu_micros: usage.cpu_micros + born.carried_micros, ..usage }
            }
            None => Usage { cpu_micros: process::cpu_micros(self.pid), ..Usage::default() },
        }
    }
}

/// What the ember has not taken.
fn remaining(limits: Limits, spent: u64) -> Limits {
    let memory_bytes = limits.memory_bytes.saturating_sub(spent).max(LEAST_MEMORY.min(limits.memory_bytes));
    Limits { memory_bytes, ..limits }
}
