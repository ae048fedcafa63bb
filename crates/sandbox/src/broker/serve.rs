//! The broker's loop, and what each packet and event leads to.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::ember::Ember;
use super::errand::Errands;
use super::images::Images;
use super::instance::{Instance, Pending, State, Ticket};
use super::mover::Mover;
use super::pool::Appetite;
use super::pressure::Gauge;
use super::watch::{Kind, Ready, Watch, Watched};
use rustix::process::Pid;

use super::{listen, sockets};
use crate::cgroup::{Group, Tree};
use crate::check;
use crate::failure::{At, Failure};
use crate::filter::Program;
use crate::handle::Signal;
use crate::launch::Isolation;
use crate::packet;
use crate::protocol::{Configuration, Event, Family, Kindling, Number, Order, Outline, Request, Word};
use crate::root::scratch::Template;
use crate::spec::{Layers, Listen};
use crate::system;

/// Packets of the server that are taken before others are looked at.
const FAIR_SHARE: usize = 16;

/// How soon the removal of control groups is tried again: version 1 sends no event.
const DYING: Duration = Duration::from_millis(20);

/// What makes an ember of a program: its kind, what the broker keeps, and the program's end of the control socket.
type Hearth = (Kindling, Option<Box<Ember>>, Option<OwnedFd>);

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
    pub(super) ember_filters: Vec<Program>,
    /// Whether programs can be forked into instances here, or why not.
    pub(super) embers: Result<(), String>,
    pub(super) mover: Option<Mover>,
    pub(super) mover_failures: u32,
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
    pub(super) gauge: Option<Gauge>,
    pub(super) images: Images,
    pub(super) errands: Errands,
    pub(super) failures: u32,
    pub(super) last_failure: Option<Failure>,
}

// === impl Broker ===

impl Broker {
    /// Serves until the server is gone.
    pub(super) fn serve(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; packet::LIMIT];
        // From here on every event does it; until the first one nobody else would.
        self.refill();
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
                Kind::Pressure => self.pressed(),
                Kind::Orders => self.closed(number),
                Kind::Hello => self.greeted(number),
                Kind::Roots => self.roots_reported(number),
                Kind::Mover => self.hear_mover(),
                Kind::Errand => self.reported(number),
            }
        }
        self.expire_forks();
        self.remove_dying();
        self.flush();
        self.refill();
        self.look_at_pressure();
        Ok(true)
    }

    /// How long nothing has to be done but what is asked for.
    fn patience(&self) -> Option<Duration> {
        let dying = (!self.dying.is_empty()).then_some(DYING);
        let now = Instant::now();
        let pressure = self.gauge.as_ref().and_then(|gauge| gauge.due_in(now));
        let fork = self.forks_until().map(|deadline| deadline.saturating_duration_since(now));
        dying.into_iter().chain(self.appetite.falls_in(now)).chain(pressure).chain(fork).min()
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
            Request::Signal { sandbox, signal } => match (signal, self.instances.get_mut(&sandbox)) {
                (Signal::Terminate, Some(instance)) => instance.terminate(),
                (Signal::Kill, _) => self.kill(sandbox),
                (Signal::Terminate, None) => {}
            },
            Request::Freeze { sandbox } => self.freeze(sandbox, true),
            Request::Thaw { sandbox } => self.freeze(sandbox, false),
            Request::Usage { sandbox, ticket } => {
                if let Some(usage) = self.instances.get(&sandbox).map(Instance::usage) {
                    self.tell(&Event::Usage { ticket, usage }, Vec::new());
                }
            }
            Request::Sockets { sandbox, family } => self.more_sockets(sandbox, family),
            Request::Assign { sandbox, ticket, assignment } => {
                self.begin_assignment(sandbox, ticket, assignment);
            }
            Request::Scratch { bytes } => {
                // Who needs it hears why it cannot be made.
                let _ = self.prepare_image(bytes);
            }
            Request::Sharing { sandbox, ticket } => self.tell_sharing(sandbox, ticket),
            Request::Fork { sandbox, ticket, environment } => {
                self.want_fork(sandbox, ticket, environment, descriptors);
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
        let (ember, control, inner) = self.kindling(outline, layers).map_err(|failure| (ticket, failure))?;
        let image = self.needs_image(layers, outline.tmp_bytes);
        let order = Order::Start { frames, layers, ember, image, spec };
        let descriptors = descriptors.into_iter().chain(inner).collect();
        let mut pending =
            Pending::new(ticket, outline, &order, descriptors).map_err(|failure| (ticket, failure))?;
        pending.ember = control;
        if image { self.assign_with_image(pending, layers) } else { self.assign(pending, layers) }
    }

    /// What a program needs that may be forked, and its end of the control socket.
    fn kindling(&self, outline: Outline, layers: Layers) -> Result<Hearth, Failure> {
        if !outline.ember {
            return Ok((Kindling::None, None, None));
        }
        let (control, inner) = packet::pair().at(|| "make a socket pair")?;
        // The program's end waits, as programs do.
        rustix::io::ioctl_fionbio(&inner, false).at(|| "make a socket wait")?;
        let all = layers.root && layers.user && layers.pid && layers.network && layers.ipc;
        let hopeless = match &self.embers {
            Err(reason) => Some(reason.as_str()),
            Ok(()) if !all => Some("embers need every namespace"),
            Ok(()) => None,
        };
        let kindling = if hopeless.is_none() { Kindling::Ember } else { Kindling::Hopeless };
        let ember = Ember::new(control, kindling, outline, hopeless.unwrap_or_default());
        Ok((kindling, Some(Box::new(ember)), Some(inner)))
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
            let Some(control) = &instance.control else { return };
            let received = match packet::receive(control, &mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(received) if received.length > 0 => received,
                // Its end is told by its process; until then there is nothing to hear.
                Ok(_) | Err(_) => {
                    control.stop();
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
            Word::Exited { status } => {
                instance.status = Some(status);
                if instance.ember.is_some() {
                    self.ember_ended(number);
                }
            }
            Word::Rooted { taken } => self.rooted(number, taken),
            Word::Started => {
                if let State::Starting(ticket) = instance.state {
                    instance.state = State::Running;
                    self.kindled(number, first);
                    self.started(number, ticket);
                }
            }
            Word::Failed { step, reason } => {
                let failure = Failure::new(step, reason);
                match std::mem::replace(&mut instance.state, State::Ending) {
                    State::Warming(Some(pending)) => self.refuse(pending.ticket.number, failure),
                    State::Starting(ticket) => self.refuse(ticket.number, failure),
                    State::Warming(None) | State::Idle => self.pool_failed(failure),
                    other @ (State::Running | State::Housing) => instance.state = other,
                    State::Ending => {}
                }
            }
        }
    }

    /// A shell has prepared everything.
    fn ready(&mut self, number: Number) {
        let Some(instance) = self.instances.get_mut(&number) else { return };
        match std::mem::replace(&mut instance.state, State::Idle) {
            State::Warming(Some(mut pending)) => {
                let ticket = pending.ticket.number;
                if let Err(failure) = instance.send_order(&mut pending, self.home.as_fd()) {
                    instance.state = State::Ending;
                    instance.kill();
                    self.refuse(ticket, failure);
                }
                self.share_out(pending.ticket.outline.limits.cpu_owner);
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
        let listens = ticket.outline.listen == Listen::Notify;
        // A program that is not expected to listen is not connected to; should it be, sockets are made then.
        let [v4, v6] = if listens { [sockets::BATCH, sockets::FIRST_V6] } else { [0, 0] };
        let network = instance.network.as_ref().filter(|_| v4 > 0);
        let made = sockets::inside(network, self.home.as_fd(), || {
            let v4 = sockets::unconnected(Family::V4, v4)?;
            let v6 = sockets::unconnected(Family::V6, v6)?;
            Ok((v4, v6))
        });
        match made {
            Ok((v4, v6)) => {
                let listener = instance.server_listener.take();
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
            Ok(Some((caller, address))) => self.listened(number, caller, address),
            Err(_) => instance.listens = None,
        }
    }

    /// A program listens: of an ember and its instances, the one that called.
    fn listened(&mut self, number: Number, caller: Pid, address: SocketAddr) {
        let is_caller = |instance: &Instance| instance.newborn.is_some() && instance.pid == caller;
        let found =
            self.instances.iter().find(|(_, instance)| is_caller(instance)).map(|(&number, _)| number);
        let number = found.unwrap_or(number);
        let Some(instance) = self.instances.get_mut(&number) else { return };
        // Before the start is told, the server does not know the sandbox.
        if instance.keep_address(address) && matches!(instance.state, State::Running) {
            self.tell(&Event::Listening { sandbox: number, address }, Vec::new());
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
