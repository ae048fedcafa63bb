//! Forking an ember: one order at a time, to the hello of its newborn. What a hello has to look like is `hello`; what
//! becomes of the newborn is `newborn`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::Serialize;
use serde_json::value::RawValue;

use super::ember::{Birth, Ember, Port, Process, Verdict, Wanted};
use super::roots::Root;
use super::serve::Broker;
use super::sockets;
use super::watch::Kind;
use crate::failure::{At, Failure};
use crate::packet;
use crate::peer;
use crate::process::{self, Rights};
use crate::protocol::Number;

/// Most instances that wait to be moved out of their ember's control groups: until then they share its memory limit.
const MOST_MOVING: usize = 16;

/// How long an ember may take from the order to the hello of its newborn.
const LIMIT: Duration = Duration::from_secs(10);

/// An order to an ember, as `docs/protocols/ember.md` has it.
#[derive(Serialize)]
struct Order<'a> {
    order: &'static str,
    environment: &'a RawValue,
    listener: bool,
}

// === impl Broker ===

impl Broker {
    /// Takes the wish for a fork: it is granted when those before it are through.
    pub(super) fn want_fork(
        &mut self,
        number: Number,
        ticket: u64,
        environment: &RawValue,
        descriptors: Vec<OwnedFd>,
    ) {
        let wanted = match self.ember(number) {
            None => Err("the program was not started as an ember, or has ended".to_owned()),
            Some(ember) => {
                ember.refusal().and_then(|()| Wanted::new(ticket, ember.port, environment, descriptors))
            }
        };
        match wanted {
            Err(reason) => self.refuse(ticket, Failure::new("fork", reason)),
            Ok(wanted) => {
                if let Some(ember) = self.ember(number) {
                    ember.queue.push_back(wanted);
                }
                self.advance(number);
            }
        }
    }

    /// Gives the next order, if there is one and everything is ready for it.
    pub(super) fn advance(&mut self, number: Number) {
        let Some(ember) = self.ember(number) else { return };
        if ember.open.is_some() || ember.queue.is_empty() || ember.refusal().is_err() {
            return;
        }
        // The mover reports each, and then it goes on.
        if self.mover_works() && self.moving(number) >= MOST_MOVING {
            return;
        }
        let Some(ember) = self.ember(number) else { return };
        let Some(root) = ember.roots.current.take() else { return self.prepare_roots(number) };
        // A stranger could have every later root with the ember. An orphan may be of an instance that has just ended; what
        // the ember has forked without an order is its own doing.
        self.kill_orphans(number);
        if !self.strangers(number).is_empty() {
            return self.retire(number, "a process runs beside it that is none of its instances");
        }
        let Some(wanted) = self.ember(number).and_then(|ember| ember.queue.pop_front()) else { return };
        match self.send_order_to_ember(number, &wanted, root) {
            Ok(birth) => {
                if let Some(ember) = self.ember(number) {
                    ember.open = Some(birth);
                }
            }
            Err(failure) => {
                let reason = format!("it takes no orders: {failure}");
                self.refuse(wanted.ticket, failure);
                self.retire(number, &reason);
            }
        }
    }

    fn send_order_to_ember(&mut self, number: Number, wanted: &Wanted, root: Root) -> Result<Birth, Failure> {
        let gone = || Failure::new("fork", "the ember has ended");
        let instance = self.instances.get_mut(&number).ok_or_else(gone)?;
        let ember = instance.ember.as_mut().ok_or_else(gone)?;
        let (hello, theirs) = packet::pair().at(|| "make a socket pair")?;
        peer::ask_for_sender(&hello).at(|| "ask for the sender of a hello")?;
        let address = ember.port.map(|_| ember.next_address());
        let listener = match (ember.port, address) {
            (Some(port), Some(address)) => {
                let make = || sockets::listener(listens_at(port, address));
                Some(sockets::inside(instance.network.as_ref(), self.home.as_fd(), make)?)
            }
            _ => None,
        };
        let descriptors: Vec<BorrowedFd<'_>> =
            wanted.descriptors.iter().chain([&theirs]).chain(listener.as_ref()).map(AsFd::as_fd).collect();
        packet::send(&ember.control, &wanted.order, &descriptors).at(|| "order the fork")?;
        Ok(Birth {
            ticket: wanted.ticket,
            hello: self.watch.add(hello, number, Kind::Hello).at(|| "wait for the hello")?,
            root,
            address,
            deadline: Instant::now() + LIMIT,
        })
    }

    /// The soonest end of a fork's patience.
    pub(super) fn forks_until(&self) -> Option<Instant> {
        let deadline = |ember: &Ember| ember.open.as_ref().map(|birth| birth.deadline);
        self.instances.values().filter_map(|instance| deadline(instance.ember.as_deref()?)).min()
    }

    /// Retires embers whose newborns have said nothing for too long.
    pub(super) fn expire_forks(&mut self) {
        let now = Instant::now();
        if self.forks_until().is_none_or(|deadline| now < deadline) {
            return;
        }
        let late = |ember: &Ember| ember.open.as_ref().is_some_and(|birth| birth.deadline <= now);
        let numbers: Vec<Number> = self
            .instances
            .iter()
            .filter(|(_, instance)| instance.ember.as_deref().is_some_and(late))
            .map(|(&number, _)| number)
            .collect();
        for number in numbers {
            self.retire(number, &format!("its newborn said nothing for {} s", LIMIT.as_secs()));
        }
    }

    /// The init has told of the ember's start.
    pub(super) fn kindled(&mut self, number: Number, process: Option<OwnedFd>) {
        let Some(ember) = self.ember(number) else { return };
        let Some(process) = process else { return };
        let Some(pid) = process::number_of(&process) else { return };
        let Ok(rights) = Rights::of(pid) else { return };
        ember.process = Some(Process { pid, process, filters: rights.filters });
        let control = ember.control.try_clone();
        let watched = control.and_then(|control| self.watch.add_end(control, number, Kind::Orders)).ok();
        if let Some(ember) = self.ember(number) {
            ember.orders = watched;
        }
        self.prepare_roots(number);
    }

    /// The other end of its control socket is gone. One that is not forked may do without.
    pub(super) fn closed(&mut self, number: Number) {
        let Some(ember) = self.ember(number) else { return };
        ember.orders = None;
        if ember.is_shared() {
            self.retire(number, "it has ended or closed its control socket");
        } else if ember.verdict == Verdict::Open {
            ember.verdict = Verdict::Refused("it has closed its control socket".to_owned());
        }
    }

    /// Kills an ember and forks it no more. Its instances live on.
    pub(super) fn retire(&mut self, number: Number, reason: &str) {
        let strangers = self.strangers(number);
        let Some(ember) = self.ember(number) else { return };
        ember.verdict = Verdict::Refused(format!("the ember was ended: {reason}"));
        ember.kill();
        for pid in strangers {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        self.refuse_forks(number, reason);
    }

    /// Refuses every fork that is under way or waits.
    pub(super) fn refuse_forks(&mut self, number: Number, reason: &str) {
        let Some(ember) = self.ember(number) else { return };
        let open = ember.open.take();
        let waiting = std::mem::take(&mut ember.queue);
        if let Some(birth) = &open {
            ember.roots.spend(birth.root.number);
        }
        let tickets = open.iter().map(|birth| birth.ticket).chain(waiting.iter().map(|wanted| wanted.ticket));
        for ticket in tickets.collect::<Vec<_>>() {
            self.refuse(ticket, Failure::new("fork", reason));
        }
    }
}

// === impl Wanted ===

impl Wanted {
    fn new(
        ticket: u64,
        port: Option<Port>,
        environment: &RawValue,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Self, String> {
        if descriptors.len() != 2 {
            return Err("descriptors are missing".to_owned());
        }
        let order = Order { order: "fork", environment, listener: port.is_some() };
        let order = serde_json::to_vec(&order).map_err(|error: serde_json::Error| error.to_string())?;
        Ok(Self { ticket, order, descriptors })
    }
}

/// Where the listener of an instance is bound. It is of the family that the ember's socket has, and reached by IPv4.
pub(super) fn listens_at(port: Port, address: Ipv4Addr) -> SocketAddr {
    if port.v6 {
        SocketAddrV6::new(address.to_ipv6_mapped(), port.number, 0, 0).into()
    } else {
        SocketAddrV4::new(address, port.number).into()
    }
}

/// Whether an error of a socket says that nothing has come yet.
pub(super) fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
