//! Descriptors that the broker waits for. Each leaves the epoll set before it is closed, also when a child still
//! holds a copy of it for a moment.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::epoll;

use crate::protocol::Number;

/// What a descriptor is to its sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The socket to the server.
    Server,
    /// SIGCHLD.
    Children,
    /// The socket to a shell.
    Control,
    /// The process itself: readable when it and all inside are gone.
    Process,
    /// Reports of `listen()`.
    Listens,
    /// Want of memory.
    Pressure,
    /// The control socket of an ember.
    Orders,
    /// The hello of a newborn.
    Hello,
    /// The child that makes roots.
    Roots,
    /// The mover.
    Mover,
    /// The report of an errand.
    Errand,
}

/// One descriptor that is ready.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) number: Number,
    pub(super) kind: Kind,
    /// There is something to read; else the other end is gone, or it can be written.
    pub(super) readable: bool,
}

/// The epoll set.
#[derive(Debug, Clone)]
pub(super) struct Watch(Rc<OwnedFd>);

/// A descriptor in the set.
#[derive(Debug)]
pub(super) struct Watched {
    set: Watch,
    descriptor: OwnedFd,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Rc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?)))
    }

    pub(super) fn add(&self, descriptor: OwnedFd, number: Number, kind: Kind) -> io::Result<Watched> {
        epoll::add(&*self.0, &descriptor, token(number, kind), epoll::EventFlags::IN)?;
        Ok(Watched { set: self.clone(), descriptor })
    }

    /// For a file whose events are urgent and that is always readable.
    pub(super) fn add_urgent(&self, descriptor: OwnedFd, number: Number, kind: Kind) -> io::Result<Watched> {
        epoll::add(&*self.0, &descriptor, token(number, kind), epoll::EventFlags::PRI)?;
        Ok(Watched { set: self.clone(), descriptor })
    }

    /// For a socket of which nothing matters but that its other end is gone.
    pub(super) fn add_end(&self, descriptor: OwnedFd, number: Number, kind: Kind) -> io::Result<Watched> {
        epoll::add(&*self.0, &descriptor, token(number, kind), epoll::EventFlags::empty())?;
        Ok(Watched { set: self.clone(), descriptor })
    }

    /// Waits, for this long at most, and says what is ready.
    pub(super) fn wait(&self, limit: Option<Duration>) -> io::Result<Vec<Ready>> {
        let limit = limit.and_then(|limit| rustix::time::Timespec::try_from(limit).ok());
        let mut events = Vec::with_capacity(64);
        match epoll::wait(&*self.0, rustix::buffer::spare_capacity(&mut events), limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(events.iter().filter_map(Ready::of).collect())
    }
}

// === impl Ready ===

impl Ready {
    fn of(event: &epoll::Event) -> Option<Self> {
        let (number, kind) = of_token(event.data.u64())?;
        let flags = event.flags;
        Some(Self { number, kind, readable: flags.contains(epoll::EventFlags::IN) })
    }
}

// === impl Watched ===

impl Watched {
    /// Waits for it no longer.
    pub(super) fn stop(&self) {
        let _ = epoll::delete(&*self.set.0, &self.descriptor);
    }

    /// Also waits until it can be written, or no longer.
    pub(super) fn wait_to_write(&self, number: Number, kind: Kind, wait: bool) {
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, wait);
        let _ = epoll::modify(&*self.set.0, &self.descriptor, token(number, kind), flags);
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop();
    }
}

fn token(number: Number, kind: Kind) -> epoll::EventData {
    let kind = match kind {
        Kind::Server => 0,
        Kind::Children => 1,
        Kind::Control => 2,
        Kind::Process => 3,
        Kind::Listens => 4,
        Kind::Pressure => 5,
        Kind::Hello => 6,
        Kind::Roots => 7,
        Kind::Mover => 8,
        Kind::Orders => 10,
        Kind::Errand => 9,
    };
    epoll::EventData::new_u64(u64::from(number) << 8 | kind)
}

fn of_token(token: u64) -> Option<(Number, Kind)> {
    let kind = match token & 0xff {
        0 => Kind::Server,
        1 => Kind::Children,
        2 => Kind::Control,
        3 => Kind::Process,
        4 => Kind::Listens,
        5 => Kind::Pressure,
        6 => Kind::Hello,
        7 => Kind::Roots,
        8 => Kind::Mover,
        10 => Kind::Orders,
        9 => Kind::Errand,
        _ => return None,
    };
    Some((Number::try_from(token >> 8).ok()?, kind))
}
