//! The server's end of the broker's socket: one task that sends requests in order, and turns events into what
//! [`Handle`]s and [`Sandbox`]es wait for.
//!
//! The task ends when the last handle and sandbox are dropped: it closes its side, the broker ends everything and
//! itself, and is reaped. When the broker is gone first, the sweeper removes the control groups in its place; then
//! the task says so to everybody.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::handle::{Channels, Exit, Handle, Sandbox, Sharing, Signal, StartError, Status, Usage};
use crate::meter::{Dials, Meter};
use crate::packet;
use crate::pressure::Pressure;
use crate::protocol::{Event, Family, Number, Request};

/// With fewer unconnected sockets of a family than this, more are asked for.
const FEW: usize = 4;

/// Addresses remembered of one sandbox: a program may call `listen` as often as it likes, and must not fill
/// the server's memory with it.
const MOST_ADDRESSES: usize = 64;

type Started = oneshot::Sender<Result<Sandbox, StartError>>;
type Assigned = oneshot::Sender<Result<(), StartError>>;

/// What handles and sandboxes ask for.
#[derive(Debug)]
pub(crate) enum Command {
    Start { spec: Box<RawValue>, channels: Channels, reply: Started },
    Signal { sandbox: Number, signal: Signal },
    Freeze { sandbox: Number, frozen: bool },
    Usage { sandbox: Number, reply: oneshot::Sender<Usage> },
    Sockets { sandbox: Number, family: Family },
    Sharing { sandbox: Number, reply: oneshot::Sender<Sharing> },
    Assign { sandbox: Number, assignment: Box<RawValue>, reply: Assigned },
    Scratch { bytes: u64 },
    Fork { sandbox: Number, environment: Box<RawValue>, descriptors: [OwnedFd; 2], reply: Started },
}

/// What is known of one sandbox.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) number: Number,
    pub(crate) id: String,
    pub(crate) exit: watch::Sender<Option<Exit>>,
    /// Addresses, in the order in which they were listened on.
    pub(crate) listening: watch::Sender<Vec<SocketAddr>>,
    pub(crate) listener: Mutex<Option<OwnedFd>>,
    pub(crate) meter: Meter,
    /// Something has happened to the stocks.
    pub(crate) arrived: Notify,
    v4: Mutex<Stock>,
    v6: Mutex<Stock>,
}

/// Unconnected sockets of one family.
#[derive(Debug, Default)]
struct Stock {
    sockets: Vec<OwnedFd>,
    /// More are under way.
    asked: bool,
    /// The last time none came.
    refused: bool,
}

/// What [`Live::take`] found.
pub(crate) struct Taken {
    /// Ask the broker for more.
    pub(crate) ask: bool,
    /// A socket, or that there will be none. `None`: wait for [`Live::arrived`].
    pub(crate) socket: Option<io::Result<OwnedFd>>,
}

/// The task.
struct Link {
    socket: AsyncFd<OwnedFd>,
    /// To give to new sandboxes; weak, so that the task does not keep itself alive.
    sender: mpsc::WeakUnboundedSender<Command>,
    outbox: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    next_ticket: u64,
    starts: HashMap<u64, Started>,
    usages: HashMap<u64, (Number, oneshot::Sender<Usage>)>,
    sharings: HashMap<u64, (Number, oneshot::Sender<Sharing>)>,
    assignments: HashMap<u64, (Number, Assigned)>,
    live: HashMap<Number, Arc<Live>>,
    pressure: watch::Sender<Pressure>,
}

/// Makes the task.
pub(crate) fn connect(
    socket: OwnedFd,
    process: Child,
    sweeper: Child,
    tasks: &TaskTracker,
) -> io::Result<Handle> {
    let (commands, received) = mpsc::unbounded_channel();
    let (gone_sender, gone) = watch::channel(false);
    let (pressure_sender, pressure) = watch::channel(Pressure::default());
    // SAFETY: the descriptor is owned by the registration and never replaced while it lasts.
    let socket = unsafe { AsyncFd::register(socket) }?;
    let link = Link {
        socket,
        sender: commands.downgrade(),
        outbox: VecDeque::new(),
        next_ticket: 0,
        starts: HashMap::new(),
        usages: HashMap::new(),
        sharings: HashMap::new(),
        assignments: HashMap::new(),
        live: HashMap::new(),
        pressure: pressure_sender,
    };
    let blocking = tasks.clone();
    tasks.spawn(async move {
        let live = link.run(received).await;
        // The broker is ending or dead: its end is a matter of milliseconds, and the sweep of two seconds at most.
        let ended = blocking.spawn_blocking(move || end_of_broker(process, sweeper)).await;
        if ended.is_err() {
            tracing::error!("the end of the sandbox broker could not be awaited");
        }
        for live in live.into_values() {
            live.exit.send_replace(Some(killed()));
        }
        gone_sender.send_replace(true);
    });
    Ok(Handle::new(commands, gone, pressure))
}

// === impl Live ===

impl Live {
    fn stock(&self, family: Family) -> &Mutex<Stock> {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// Takes an unconnected socket from the stock.
    pub(crate) fn take(&self, family: Family) -> Taken {
        let mut stock = self.stock(family).lock();
        if std::mem::take(&mut stock.refused) {
            let none = io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                "no socket of this family can be made inside",
            );
            return Taken { ask: false, socket: Some(Err(none)) };
        }
        let socket = stock.sockets.pop().map(Ok);
        let ask = stock.sockets.len() < FEW && !stock.asked;
        stock.asked |= ask;
        Taken { ask, socket }
    }

    fn put(&self, family: Family, sockets: Vec<OwnedFd>) {
        let mut stock = self.stock(family).lock();
        stock.asked = false;
        stock.refused = sockets.is_empty() && stock.sockets.is_empty();
        stock.sockets.extend(sockets);
        drop(stock);
        self.arrived.notify_waiters();
    }
}

// === impl Link ===

impl Link {
    /// Until the broker or everybody else is gone. Returns the sandboxes that have not ended.
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) -> HashMap<Number, Arc<Live>> {
        let mut buffer = vec![0; packet::LIMIT];
        let mut open = true;
        loop {
            let interest = if self.outbox.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            tokio::select! {
                command = commands.recv(), if open => match command {
                    Some(command) => {
                        self.obey(command);
                        self.flush();
                    }
                    None => {
                        open = false;
                        let _ = rustix::net::shutdown(self.socket.get_ref(), rustix::net::Shutdown::Write);
                    }
                },
                ready = self.socket.ready(interest) => {
                    let Ok(mut ready) = ready else { return self.live };
                    let flags = ready.ready();
                    ready.clear_ready();
                    if flags.is_writable() {
                        self.flush();
                    }
                    if !self.receive(&mut buffer) {
                        return self.live;
                    }
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start { spec, channels, reply } => {
                let ticket = self.ticket();
                self.starts.insert(ticket, reply);
                let frames = channels.frames.is_some();
                let descriptors = std::iter::once(channels.output).chain(channels.frames).collect();
                self.request(&Request::Start { ticket, frames, spec: &spec }, descriptors);
            }
            Command::Usage { sandbox, reply } => {
                let ticket = self.ticket();
                self.usages.insert(ticket, (sandbox, reply));
                self.request(&Request::Usage { sandbox, ticket }, Vec::new());
            }
            Command::Signal { sandbox, signal } => {
                self.request(&Request::Signal { sandbox, signal }, Vec::new());
            }
            Command::Freeze { sandbox, frozen: true } => {
                self.request(&Request::Freeze { sandbox }, Vec::new());
            }
            Command::Freeze { sandbox, frozen: false } => {
                self.request(&Request::Thaw { sandbox }, Vec::new());
            }
            Command::Sockets { sandbox, family } => {
                self.request(&Request::Sockets { sandbox, family }, Vec::new());
            }
            Command::Assign { sandbox, assignment, reply } => {
                // Of one that has ended nothing is known: the reply is dropped.
                if self.live.contains_key(&sandbox) {
                    let ticket = self.ticket();
                    self.assignments.insert(ticket, (sandbox, reply));
                    let request = Request::Assign { sandbox, ticket, assignment: &assignment };
                    self.request(&request, Vec::new());
                }
            }
            Command::Scratch { bytes } => self.request(&Request::Scratch { bytes }, Vec::new()),
            Command::Sharing { sandbox, reply } => {
                // Of one that has ended nothing is known: the reply is dropped.
                if self.live.contains_key(&sandbox) {
                    let ticket = self.ticket();
                    self.sharings.insert(ticket, (sandbox, reply));
                    self.request(&Request::Sharing { sandbox, ticket }, Vec::new());
                }
            }
            Command::Fork { sandbox, environment, descriptors, reply } => {
                let ticket = self.ticket();
                self.starts.insert(ticket, reply);
                let request = Request::Fork { sandbox, ticket, environment: &environment };
                self.request(&request, descriptors.into());
            }
        }
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn request(&mut self, request: &Request<'_>, descriptors: Vec<OwnedFd>) {
        match serde_json::to_vec(request) {
            Ok(bytes) => self.outbox.push_back((bytes, descriptors)),
            Err(error) => tracing::error!(%error, "a request to the sandbox broker cannot be written"),
        }
    }

    /// Sends what the socket takes.
    fn flush(&mut self) {
        while let Some((bytes, descriptors)) = self.outbox.front() {
            let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
            match packet::send(self.socket.get_ref(), bytes, &borrowed) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A broker that is gone is noticed by reading.
                Ok(()) | Err(_) => drop(self.outbox.pop_front()),
            }
        }
    }

    /// Takes every event that has arrived. False: the broker is gone.
    fn receive(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            let received = match packet::receive(self.socket.get_ref(), buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Ok(received) if received.length > 0 => received,
                Ok(_) => return false,
                Err(error) => {
                    tracing::error!(%error, "the sandbox broker cannot be heard");
                    return false;
                }
            };
            if received.cut {
                tracing::error!("sockets into a sandbox were lost: raise the limit of open files");
            }
            match serde_json::from_slice(buffer.get(..received.length).unwrap_or_default()) {
                Ok(event) => self.act(event, received.descriptors),
                Err(error) => {
                    tracing::error!(%error, "the sandbox broker says what it never says");
                    return false;
                }
            }
        }
    }

    fn act(&mut self, event: Event, descriptors: Vec<OwnedFd>) {
        match event {
            Event::Ready { .. } | Event::Refused { .. } => {}
            Event::Started { ticket, sandbox, id, v4, v6, listener, meter } => {
                let live = live(sandbox, id, descriptors, [v4, v6, usize::from(listener)], meter);
                self.started(ticket, live);
            }
            Event::Meter { sandbox, meter } => {
                if let Some(live) = self.live.get(&sandbox) {
                    live.meter.replace(meter, descriptors.into_iter());
                }
            }
            Event::Pressure { pressure } => {
                self.pressure.send_replace(pressure);
            }
            Event::Assigned { ticket, sandbox, meter } => {
                if let Some(live) = self.live.get(&sandbox) {
                    live.meter.replace(meter, descriptors.into_iter());
                }
                if let Some((_, reply)) = self.assignments.remove(&ticket) {
                    let _ = reply.send(Ok(()));
                }
            }
            Event::Failed { ticket, error } => {
                if let Some((_, reply)) = self.assignments.remove(&ticket) {
                    let _ = reply.send(Err(error));
                    return;
                }
                if let Some(reply) = self.starts.remove(&ticket) {
                    // Nobody waits for it any more: nothing was made either.
                    let _ = reply.send(Err(error));
                }
            }
            Event::Sockets { sandbox, family, count: _ } => {
                if let Some(live) = self.live.get(&sandbox) {
                    live.put(family, descriptors);
                }
            }
            Event::Listening { sandbox, address } => {
                if let Some(live) = self.live.get(&sandbox) {
                    live.listening.send_if_modified(|addresses| note(addresses, address));
                }
            }
            Event::Usage { ticket, usage } => {
                if let Some((_, reply)) = self.usages.remove(&ticket) {
                    let _ = reply.send(usage);
                }
            }
            Event::Sharing { ticket, sharing } => {
                if let Some((_, reply)) = self.sharings.remove(&ticket) {
                    let _ = reply.send(sharing);
                }
            }
            Event::Exited { sandbox, exit } => {
                self.assignments.retain(|_, (asked, _)| *asked != sandbox);
                self.usages.retain(|_, (asked, _)| *asked != sandbox);
                self.sharings.retain(|_, (asked, _)| *asked != sandbox);
                if let Some(live) = self.live.remove(&sandbox) {
                    live.exit.send_replace(Some(exit));
                }
            }
        }
    }

    fn started(&mut self, ticket: u64, live: Live) {
        let live = Arc::new(live);
        let Some(reply) = self.starts.remove(&ticket) else { return };
        self.live.insert(live.number, Arc::clone(&live));
        match self.sender.upgrade() {
            // Where nobody waits any more the sandbox comes back, and is killed by its drop.
            Some(commands) => drop(reply.send(Ok(Sandbox::new(live, commands)))),
            // Everybody is gone; the broker will notice.
            None => drop(reply),
        }
    }
}

/// A sandbox as it is told of: sockets, then the listener, then the files of the meter.
fn live(number: Number, id: String, descriptors: Vec<OwnedFd>, counts: [usize; 3], dials: Dials) -> Live {
    let [v4, v6, listener] = counts;
    let mut descriptors = descriptors.into_iter();
    let mut take = |count: usize| -> Vec<OwnedFd> { descriptors.by_ref().take(count).collect() };
    let stock = |sockets| Mutex::new(Stock { sockets, ..Stock::default() });
    Live {
        number,
        id,
        exit: watch::Sender::new(None),
        listening: watch::Sender::new(Vec::new()),
        v4: stock(take(v4)),
        v6: stock(take(v6)),
        listener: Mutex::new(take(listener).pop()),
        meter: Meter::new(dials, descriptors),
        arrived: Notify::new(),
    }
}

/// Remembers an address that is new. False: nothing has changed.
fn note(addresses: &mut Vec<SocketAddr>, address: SocketAddr) -> bool {
    let new = addresses.len() < MOST_ADDRESSES && !addresses.contains(&address);
    if new {
        addresses.push(address);
    }
    new
}

/// Waits for the broker's process, and removes what it may have had to leave.
fn end_of_broker(mut process: Child, mut sweeper: Child) {
    for ending in [&mut process, &mut sweeper] {
        if let Err(error) = ending.wait() {
            tracing::error!(%error, "the sandbox broker or its sweeper cannot be reaped");
        }
    }
}

/// How a sandbox ends whose broker is gone: the kernel has killed it.
fn killed() -> Exit {
    Exit { status: Status::Signaled(libc::SIGKILL), out_of_memory: false, usage: Usage::default() }
}
