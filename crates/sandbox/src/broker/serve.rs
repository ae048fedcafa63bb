//! The broker's loop, and what each packet and event leads to.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::instance::{Instance, Pending, State, Ticket};
use super::pool::Appetite;
use super::watch::{Kind, Ready, Watch, Watched};
use super::{listen, sockets};
use crate::cgroup::{Group, Tree};
use crate::check;
use crate::failure::Failure;
use crate::filter::Program;
use crate::handle::Signal;
use crate::launch::Isolation;
use crate::packet;
use crate::protocol::{Configuration, Event, Family, Number, Order, Outline, Request, Word};
use crate::root::scratch::Template;
use crate::spec::Layers;
use crate::system;

/// Packets of the server that are taken before others are looked at.
const FAIR_SHARE: usize = 16;

/// How soon the removal of control groups is tried again: version 1 sends no event.
const DYING: Duration = Duration::from_millis(20);

/// Longest packet of a shell.
const WORD: usize = 8192;

/// Everything the broker knows.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) configuration: Configuration,
    pub(super) watch: Watch,
    pub(super) server: Watched,
    pub(super) children: Watched,
    /// Our own network namespace, to come back to.
    pub(super) home: OwnedFd,
    pub(super) rootless: bool,
    pub(super) tree: Result<Tree, String>,
    pub(super) template: Option<Template>,
    pub(super) filters: Vec<Program>,
    pub(super) instances: BTreeMap<Number, Instance>,
    /// The pool, longest waiting first.
    pub(super) idle: VecDeque<Number>,
    /// Control groups of what has ended, to be removed.
    pub(super) dying: Vec<Group>,
    /// What the server has not read yet.
    pub(super) outbox: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    /// The server's socket is full.
    pub(super) blocked: bool,
    pub(super) next: Number,
    /// Whether the pool is refilled.
    pub(super) refills: bool,
    pub(super) appetite: Appetite,
    pub(super) failures: u32,
    pub(super) last_failure: Option<Failure>,
}

// === impl Broker ===

impl Broker {
    /// Serves until the server is gone.
    pub(super) fn serve(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; packet::LIMIT];
        while self.step(&mut buffer)? {}
        Ok(())
    }

    /// Waits for events, or while groups are dying a little, and acts on them. False: the server is gone.
    pub(super) fn step(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        for Ready { number, kind, readable } in self.watch.wait(self.patience())? {
            match kind {
                Kind::Server => {
                    if !self.obey(buffer) {
                        return Ok(false);
                    }
                }
                Kind::Children => {
                    system::drain_signals(self.children.as_fd());
                    self.reap();
                }
                Kind::Control => self.hear(number),
                Kind::Process => self.ended(number),
                Kind::Listens => self.listens(number, readable),
            }
        }
        self.remove_dying();
        self.flush();
        self.refill();
        Ok(true)
    }

    /// How long nothing has to be done but what is asked for.
    fn patience(&self) -> Option<Duration> {
        let dying = (!self.dying.is_empty()).then_some(DYING);
        dying.into_iter().chain(self.appetite.falls_in(Instant::now())).min()
    }

    /// The layers of a request that hold here. The server's word counts in the reduced mode and in tests only.
    pub(super) fn restrict(&self, wanted: Layers) -> Layers {
        let is_free = self.configuration.switches || self.configuration.isolation == Isolation::Process;
        let wanted = if is_free { wanted } else { Layers::ALL };
        let limits = wanted.limits && self.tree.is_ok();
        match self.configuration.isolation {
            Isolation::Namespaces => Layers { limits, ..wanted },
            Isolation::Process => Layers {
                limits,
                capabilities: wanted.capabilities,
                seccomp: wanted.seccomp,
                ..Layers::PROCESS
            },
        }
    }

    /// Takes requests. False: the server is gone, or does not speak our language.
    fn obey(&mut self, buffer: &mut [u8]) -> bool {
        for _ in 0..FAIR_SHARE {
            let received = match packet::receive(&self.server, buffer) {
                Ok(received) if received.length > 0 => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Ok(_) | Err(_) => return false,
            };
            let Some(bytes) = buffer.get_mut(..received.length) else { return false };
            let known = match serde_json::from_slice(bytes) {
                Ok(request) => {
                    self.act(request, received.descriptors);
                    true
                }
                Err(_) => false,
            };
            // It may hold the environment of a program.
            bytes.fill(0);
            if !known {
                return false;
            }
        }
        true
    }

    fn act(&mut self, request: Request<'_>, descriptors: Vec<OwnedFd>) {
        match request {
            Request::Start { ticket, frames, spec } => {
                if let Err((ticket, failure)) = self.begin_start(ticket, frames, spec, descriptors) {
                    self.refuse(ticket, failure);
                }
            }
            Request::Signal { sandbox, signal } => {
                if let Some(instance) = self.instances.get_mut(&sandbox) {
                    match signal {
                        Signal::Terminate => instance.terminate(),
                        Signal::Kill => instance.kill(),
                    }
                }
            }
            Request::Freeze { sandbox } => self.freeze(sandbox, true),
            Request::Thaw { sandbox } => self.freeze(sandbox, false),
            Request::Usage { sandbox, ticket } => {
                if let Some(usage) = self.instances.get(&sandbox).map(Instance::usage) {
                    self.tell(&Event::Usage { ticket, usage }, Vec::new());
                }
            }
            Request::Sockets { sandbox, family } => self.more_sockets(sandbox, family),
            Request::Sharing { ticket, .. } => {
                let sharing = crate::handle::Sharing {
                    vetoes: vec!["embers are not built yet".to_owned()],
                    ..Default::default()
                };
                self.tell(&Event::Sharing { ticket, sharing }, Vec::new());
            }
            Request::Fork { ticket, .. } => {
                self.refuse(ticket, Failure::new("fork", "embers are not built yet"));
            }
        }
    }

    fn begin_start(
        &mut self,
        ticket: u64,
        frames: bool,
        spec: &serde_json::value::RawValue,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), (u64, Failure)> {
        let fail = |step: &str, reason: String| (ticket, Failure::new(step, reason));
        let outline: Outline =
            serde_json::from_str(spec.get()).map_err(|error| fail("read the spec", error.to_string()))?;
        check::limits(&outline.limits).map_err(|reason| fail("check the spec", reason))?;
        if descriptors.len() != 1 + usize::from(frames) {
            return Err(fail("read the request", "descriptors are missing".to_owned()));
        }
        let layers = self.restrict(outline.layers);
        let order = Order::Start { frames, layers, spec };
        let pending =
            Pending::new(ticket, outline, &order, descriptors).map_err(|failure| (ticket, failure))?;
        self.assign(pending, layers)
    }

    fn freeze(&mut self, number: Number, frozen: bool) {
        if let Some(instance) = self.instances.get_mut(&number) {
            instance.freeze(frozen);
        }
    }

    /// Takes what a shell says.
    pub(super) fn hear(&mut self, number: Number) {
        let mut buffer = [0; WORD];
        while let Some(instance) = self.instances.get_mut(&number) {
            let received = match packet::receive(&instance.control, &mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(received) if received.length > 0 => received,
                // Its end is told by its process; until then there is nothing to hear.
                Ok(_) | Err(_) => {
                    instance.control.stop();
                    return instance.kill();
                }
            };
            let Some(Ok(word)) = buffer.get(..received.length).map(serde_json::from_slice) else {
                return instance.kill();
            };
            self.heard(number, word, received.descriptors);
        }
    }

    fn heard(&mut self, number: Number, word: Word, descriptors: Vec<OwnedFd>) {
        let Some(instance) = self.instances.get_mut(&number) else { return };
        let first = descriptors.into_iter().next();
        match word {
            Word::Ready { .. } => {
                instance.network = first;
                self.ready(number);
            }
            Word::Listens => {
                instance.listens =
                    first.and_then(|listener| self.watch.add(listener, number, Kind::Listens).ok());
            }
            Word::Exited { status } => instance.status = Some(status),
            Word::Started => {
                if let State::Starting(ticket) = instance.state {
                    instance.state = State::Running;
                    self.started(number, ticket);
                }
            }
            Word::Failed { step, reason } => {
                let failure = Failure::new(step, reason);
                match std::mem::replace(&mut instance.state, State::Ending) {
                    State::Warming(Some(pending)) => self.refuse(pending.ticket.number, failure),
                    State::Starting(ticket) => self.refuse(ticket.number, failure),
                    State::Warming(None) | State::Idle => self.pool_failed(failure),
                    State::Running => instance.state = State::Running,
                    State::Ending => {}
                }
            }
        }
    }

    /// A shell has prepared everything.
    fn ready(&mut self, number: Number) {
        let Some(instance) = self.instances.get_mut(&number) else { return };
        match std::mem::replace(&mut instance.state, State::Idle) {
            State::Warming(Some(pending)) => {
                let ticket = pending.ticket.number;
                if let Err(failure) = instance.send_order(&pending) {
                    instance.state = State::Ending;
                    instance.kill();
                    self.refuse(ticket, failure);
                }
            }
            State::Warming(None) => {
                self.failures = 0;
                self.idle.push_back(number);
            }
            other => instance.state = other,
        }
    }

    /// The program runs: the server gets what it needs to talk to it.
    fn started(&mut self, number: Number, ticket: Ticket) {
        let Some(instance) = self.instances.get_mut(&number) else { return };
        let made = sockets::inside(instance.network.as_ref(), self.home.as_fd(), || {
            let v4 = sockets::unconnected(Family::V4, sockets::BATCH)?;
            let v6 = sockets::unconnected(Family::V6, sockets::FIRST_V6)?;
            let listener = ticket.outline.server_listener.map(sockets::listener).transpose()?;
            Ok((v4, v6, listener))
        });
        match made {
            Ok((v4, v6, listener)) => {
                let (meter, files) = instance.meter();
                let event = Event::Started {
                    ticket: ticket.number,
                    sandbox: number,
                    id: instance.id.clone(),
                    v4: v4.len(),
                    v6: v6.len(),
                    listener: listener.is_some(),
                    meter,
                };
                let addresses = instance.addresses.clone();
                self.tell(&event, v4.into_iter().chain(v6).chain(listener).chain(files).collect());
                for address in addresses {
                    self.tell(&Event::Listening { sandbox: number, address }, Vec::new());
                }
            }
            Err(failure) => {
                instance.state = State::Ending;
                instance.kill();
                self.refuse(ticket.number, failure);
            }
        }
    }

    fn more_sockets(&mut self, number: Number, family: Family) {
        let Some(instance) = self.instances.get(&number) else { return };
        let made = sockets::inside(instance.network.as_ref(), self.home.as_fd(), || {
            sockets::unconnected(family, sockets::BATCH)
        });
        // With none at all the server would wait for ever: it hears of an empty batch.
        let sockets = made.unwrap_or_default();
        self.tell(&Event::Sockets { sandbox: number, family, count: sockets.len() }, sockets);
    }

    fn listens(&mut self, number: Number, readable: bool) {
        let Some(instance) = self.instances.get_mut(&number) else { return };
        if !readable {
            // Nobody is left who could call it; asking would wait for ever on some kernels.
            instance.listens = None;
            return;
        }
        let Some(listener) = &instance.listens else { return };
        match listen::answer(listener) {
            Ok(None) => {}
            Ok(Some(address)) => {
                // Before the start is told, the server does not know the sandbox.
                if instance.keep_address(address) && matches!(instance.state, State::Running) {
                    self.tell(&Event::Listening { sandbox: number, address }, Vec::new());
                }
            }
            Err(_) => instance.listens = None,
        }
    }

    pub(super) fn refuse(&mut self, ticket: u64, failure: Failure) {
        self.tell(&Event::Failed { ticket, error: failure.into() }, Vec::new());
    }

    /// Tells the server something, in order, without ever waiting for it.
    pub(super) fn tell(&mut self, event: &Event, descriptors: Vec<OwnedFd>) {
        if let Ok(bytes) = serde_json::to_vec(event) {
            self.outbox.push_back((bytes, descriptors));
            self.flush();
        }
    }

    fn flush(&mut self) {
        while let Some((bytes, descriptors)) = self.outbox.front() {
            let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
            match packet::send(&self.server, bytes, &borrowed) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A server that is gone is noticed by its socket.
                Ok(()) | Err(_) => drop(self.outbox.pop_front()),
            }
        }
        let blocked = !self.outbox.is_empty();
        if blocked != self.blocked {
            self.blocked = blocked;
            self.server.wait_to_write(0, Kind::Server, blocked);
        }
    }
}
