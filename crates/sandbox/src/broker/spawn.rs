//! Making shells: for a start that waits, and for the pool. A pooled shell is already in its control groups
//! and namespaces, which is most of what a start costs.
//!
//! The pool holds shells with every namespace and a `/tmp` of the usual size; any other start makes its own. It
//! is refilled as soon as a start has been answered, and beside starts when it is empty; how many it holds follows the
//! demand (`pool`).

use std::os::fd::AsFd;
use std::time::Instant;

use super::instance::{Instance, Pending, State};
use super::serve::Broker;
use super::watch::Kind;
use crate::failure::{At, Failure};
use crate::handle::Usage;
use crate::packet;
use crate::protocol::{Number, Outline};
use crate::root::scratch::USUAL_BYTES;
use crate::shell::{self, Scratch, Seed};
use crate::spec::Layers;
use crate::system::{self, CloneOptions, Forked};

/// First of the host's ids that sandboxes use, and how many of the 65536-wide ranges there are.
const FIRST_ID: u32 = 0x3000_0000;
const RANGES: u32 = 8192;

/// Shells of the pool that are prepared at the same time.
const AT_ONCE: usize = 2;

/// After so many shells of the pool failed in a row, none is made in advance.
const MOST_FAILURES: u32 = 3;

// === impl Broker ===

impl Broker {
    /// Gives a start to a shell: one of the pool, else a new one.
    pub(super) fn assign(&mut self, mut pending: Pending, layers: Layers) -> Result<(), (u64, Failure)> {
        let ticket = pending.ticket.number;
        if has_pooled_namespaces(layers, self.pooled_layers()) {
            while let Some(number) = self.idle.pop_front() {
                if let Some(instance) = self.instances.get_mut(&number) {
                    return match instance.send_order(&mut pending, self.home.as_fd()) {
                        Ok(()) => {
                            self.share_out(pending.ticket.outline.limits.cpu_owner);
                            Ok(())
                        }
                        Err(failure) => {
                            instance.state = State::Ending;
                            instance.kill();
                            Err((ticket, failure))
                        }
                    };
                }
            }
        }
        self.appetite.missed(Instant::now());
        let outline = pending.ticket.outline;
        self.spawn(layers, Some(pending), &outline).map_err(|failure| (ticket, failure))
    }

    /// Makes shells that the pool misses, and ends those it has too many of.
    pub(super) fn refill(&mut self) {
        if !self.refills {
            return;
        }
        let wanted = self.appetite.wanted(Instant::now());
        while self.idle.len() > wanted {
            let surplus = self.idle.pop_front().and_then(|number| self.instances.get_mut(&number));
            if let Some(instance) = surplus {
                instance.state = State::Ending;
                instance.kill();
            }
        }
        while self.wants_shell(wanted) {
            if let Err(failure) = self.spawn_pooled() {
                self.pool_failed(failure);
            }
        }
    }

    /// Whether the pool misses a shell that may be made now.
    fn wants_shell(&self, wanted: usize) -> bool {
        let count = |which: fn(&State) -> bool| {
            self.instances.values().filter(|instance| which(&instance.state)).count()
        };
        let warming = count(|state| matches!(state, State::Warming(None)));
        let starting = count(|state| matches!(state, State::Starting(_) | State::Warming(Some(_))));
        self.failures < MOST_FAILURES
            && self.idle.len() + warming < wanted
            && warming < AT_ONCE
            && (starting == 0 || self.idle.is_empty())
    }

    /// Makes one shell for the pool.
    pub(super) fn spawn_pooled(&mut self) -> Result<(), Failure> {
        let layers = self.pooled_layers();
        self.spawn_sized(layers, None, USUAL_BYTES)
    }

    pub(super) fn pool_failed(&mut self, failure: Failure) {
        self.failures += 1;
        self.last_failure = Some(failure);
    }

    fn pooled_layers(&self) -> Layers {
        self.restrict(Layers::ALL)
    }

    fn spawn(&mut self, layers: Layers, pending: Option<Pending>, outline: &Outline) -> Result<(), Failure> {
        self.spawn_sized(layers, pending, outline.tmp_bytes)
    }

    fn spawn_sized(
        &mut self,
        layers: Layers,
        pending: Option<Pending>,
        scratch_bytes: u64,
    ) -> Result<(), Failure> {
        let number = self.free_number();
        let id = self.id_of(number);
        let group = match &self.tree {
            Ok(tree) => Some(tree.group(&id).at(|| "make control groups")?),
            Err(_) => None,
        };
        let (control, inner) = packet::pair().at(|| "make a socket pair")?;
        let unified = group.as_ref().and_then(crate::cgroup::Group::unified);
        let options = CloneOptions {
            pid_namespace: layers.pid,
            share_root: false,
            cgroup: unified.as_ref().map(AsFd::as_fd),
        };
        let seed = Seed {
            control: inner,
            layers,
            directory: &self.configuration.directory,
            joins: group.as_ref().map(crate::cgroup::Group::joins).unwrap_or_default(),
            first_id: FIRST_ID + (number % RANGES) * 0x1_0000,
            rootless: self.rootless,
            scratch: self.template_for(scratch_bytes).map_or(Scratch::Memory, Scratch::Images),
            scratch_bytes,
            filters: &self.filters,
            ember_filters: &self.ember_filters,
        };
        match system::clone_process(options).at(|| "clone a shell")? {
            Forked::Child => shell::run(&seed),
            Forked::Parent { pid, pidfd } => {
                drop(seed);
                let instance = Instance {
                    id,
                    pid,
                    process: self.watch.add(pidfd, number, Kind::Process).at(|| "watch a shell")?,
                    control: Some(self.watch.add(control, number, Kind::Control).at(|| "watch a shell")?),
                    layers,
                    state: State::Warming(pending),
                    group,
                    network: None,
                    server_listener: None,
                    listens: None,
                    addresses: Vec::new(),
                    status: None,
                    frozen: false,
                    limits: None,
                    parts: 1,
                    stands_by: None,
                    before: Usage::default(),
                    ember: None,
                    newborn: None,
                };
                self.instances.insert(number, instance);
                Ok(())
            }
        }
    }

    /// The name of the sandbox with this number.
    pub(super) fn id_of(&self, number: Number) -> String {
        format!("{:08x}{number:08x}", self.configuration.prefix)
    }

    /// The next number whose range of ids no living sandbox uses.
    pub(super) fn free_number(&mut self) -> Number {
        loop {
            let number = self.next;
            self.next = self.next.wrapping_add(1).max(1);
            if !self.instances.keys().any(|used| used % RANGES == number % RANGES) {
                return number;
            }
        }
    }
}

/// Whether a pooled shell has exactly the namespaces that this start wants.
fn has_pooled_namespaces(wanted: Layers, pooled: Layers) -> bool {
    let namespaces = |layers: Layers| {
        (layers.root, layers.user, layers.pid, layers.network, layers.ipc, layers.uts, layers.cgroup)
    };
    namespaces(wanted) == namespaces(pooled)
}
