//! The hello of a newborn: the first and only time that an ember's word counts for anything, and it counts as a byte.
//! Who has sent it, and what that process is, the kernel says.
//!
//! Checked: it is a child of the ember, has one thread, no capability and the ember's filters, its root is the one that
//! was set for it, and it shares neither memory nor descriptors nor root with the ember. Not checked, as nothing outside
//! can see it: its domain of Landlock, and whether it was reseeded. Both are for its own good.

use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, Signal};

use super::ember::{Birth, Newborn, Process};
use super::fork::is_nothing_yet;
use super::instance::Instance;
use super::serve::Broker;
use super::sockets;
use super::watch::Kind;
use crate::failure::{At, Failure};
use crate::meter::{Clock, Dials};
use crate::peer::{self, Hello};
use crate::process::{self, Place, Rights, Stat};
use crate::protocol::{Event, Family, Number};

/// Why a newborn is none.
enum Wrong {
    /// It is not there any more.
    Gone,
    /// It is not what it should be.
    Breach(String),
}

// === impl Broker ===

impl Broker {
    /// Something has come over the socket of the fork that is under way.
    pub(super) fn greeted(&mut self, number: Number) {
        let Some(ember) = self.ember(number) else { return };
        let Some(birth) = ember.open.take() else { return };
        match peer::hello(&birth.hello) {
            Err(error) if is_nothing_yet(&error) => ember.open = Some(birth),
            Ok(Some(Hello::From(newborn))) => {
                let checked = match &ember.process {
                    Some(ember) => check(ember, &birth, &newborn),
                    None => Err(Wrong::Gone),
                };
                match checked {
                    Ok(pid) => self.born(number, &birth, pid, newborn),
                    // Whoever ordered it has gone, and it has heard of that: nobody's fault.
                    Err(Wrong::Gone) => {
                        self.unborn(number, &birth, "the newborn ended as it said hello: see its output");
                        self.prepare_roots(number);
                    }
                    Err(Wrong::Breach(reason)) => {
                        let _ = rustix::process::pidfd_send_signal(&newborn, Signal::KILL);
                        self.unborn(number, &birth, &reason);
                        self.retire(number, &reason);
                    }
                }
            }
            Ok(Some(Hello::Closed)) => {
                self.unborn(number, &birth, "the newborn ended before it was ready: see its output");
                self.prepare_roots(number);
            }
            Ok(None) | Err(_) => {
                let reason = "the hello came from nobody";
                self.unborn(number, &birth, reason);
                self.retire(number, reason);
            }
        }
    }

    fn unborn(&mut self, number: Number, birth: &Birth, reason: &str) {
        if let Some(ember) = self.ember(number) {
            ember.roots.spend(birth.root.number);
        }
        self.refuse(birth.ticket, Failure::new("fork", reason));
    }

    /// A newborn is what it should be: it becomes a sandbox of its own.
    fn born(&mut self, ember: Number, birth: &Birth, pid: Pid, process: OwnedFd) {
        let ticket = birth.ticket;
        match self.adopt(ember, birth, pid, process) {
            Ok(number) => {
                self.place(number);
                self.prepare_roots(ember);
            }
            Err(failure) => {
                self.refuse(ticket, failure);
                self.retire(ember, "its newborn cannot be watched");
            }
        }
    }

    fn adopt(
        &mut self,
        ember_number: Number,
        birth: &Birth,
        pid: Pid,
        process: OwnedFd,
    ) -> Result<Number, Failure> {
        let gone = || Failure::new("fork", "the ember has ended");
        let number = self.free_number();
        let id = self.id_of(number);
        let parent = self.instances.get_mut(&ember_number).ok_or_else(gone)?;
        let ember = parent.ember.as_mut().ok_or_else(gone)?;
        let address = birth.address.zip(ember.port);
        let addresses: Vec<SocketAddr> =
            address.map(|(ip, port)| SocketAddrV4::new(ip, port.number).into()).into_iter().collect();
        // One that is served by frames needs no connection.
        let wanted = if addresses.is_empty() { 0 } else { sockets::BATCH };
        let network = parent.network.as_ref().filter(|_| wanted > 0);
        let sockets =
            sockets::inside(network, self.home.as_fd(), || sockets::unconnected(Family::V4, wanted))?;
        let process = self.watch.add(process, number, Kind::Process).at(|| "watch a newborn")?;
        let newborn = Newborn::of(ember_number, birth.root.number);
        ember.instances.insert(number);
        let shared = ember.anonymous_bytes;
        let mut instance = Instance::forked(parent, newborn, (id.clone(), pid, process))?;
        instance.addresses.clone_from(&addresses);
        self.instances.insert(number, instance);
        let clock = process::clock(pid);
        let cpu = clock.is_some().then_some(Clock::Nanoseconds);
        let meter = Dials { cpu, shared, ..Dials::default() };
        let (ticket, v4) = (birth.ticket, sockets.len());
        let event = Event::Started { ticket, sandbox: number, id, v4, v6: 0, listener: false, meter };
        self.tell(&event, sockets.into_iter().chain(clock).collect());
        for address in addresses {
            self.tell(&Event::Listening { sandbox: number, address }, Vec::new());
        }
        Ok(number)
    }
}

/// The process id of a newborn that is what it should be, or what is wrong with it.
fn check(ember: &Process, birth: &Birth, newborn: &OwnedFd) -> Result<Pid, Wrong> {
    let pid = process::number_of(newborn).ok_or(Wrong::Gone)?;
    let found = compare(ember, birth, pid);
    // All of that was read by number.
    if process::number_of(newborn) != Some(pid) {
        return Err(Wrong::Gone);
    }
    // Of one that ends less and less is to be read.
    found.map_err(|reason| if process::is_doomed(pid) { Wrong::Gone } else { Wrong::Breach(reason) })
}

fn compare(ember: &Process, birth: &Birth, pid: Pid) -> Result<Pid, String> {
    let unread = |error: std::io::Error| format!("its newborn cannot be looked at: {error}");
    let stat = Stat::of(pid).map_err(unread)?;
    let rights = Rights::of(pid).map_err(unread)?;
    let root = Place::root_of(pid).map_err(unread)?;
    let wrong = [
        (
            stat.parent != ember.pid.as_raw_nonzero().get(),
            "the hello came from somebody who is not its child",
        ),
        (stat.threads != 1, "its newborn had more than one thread"),
        (rights.capabilities != 0, "its newborn had capabilities"),
        (!rights.no_new_privileges, "its newborn could gain privileges"),
        (rights.filters < ember.filters, "its newborn had fewer system call filters"),
        (root != birth.root.place, "its newborn was not in the root that was set for it"),
    ];
    if let Some((_, reason)) = wrong.iter().find(|(wrong, _)| *wrong) {
        return Err((*reason).to_owned());
    }
    match process::share_anything(ember.pid, pid) {
        Ok(false) => Ok(pid),
        Ok(true) => Err("its newborn shared memory, descriptors or working directory with it".to_owned()),
        Err(error) => Err(unread(error)),
    }
}
