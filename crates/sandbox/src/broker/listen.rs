//! Reports of `listen()`: a program that calls it waits in the kernel until the broker has answered. The
//! broker takes a copy of the socket, calls `listen` on it itself, answers, and knows the exact address, for
//! any language and without polling. It never waits here: every call on the socket returns at once.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use crate::system;

/// `SECCOMP_IOCTL_NOTIF_RECV`, `_SEND` and `_ID_VALID`.
const RECEIVE: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;
const IS_VALID: u64 = 0x4008_2102;

/// "Let the kernel do what it would have done."
const CONTINUE: u32 = 1;

/// A descriptor of a single thread (Linux 6.9).
const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(libc::O_EXCL as u32);

/// `struct seccomp_notif`.
#[repr(C)]
#[derive(Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    architecture: u32,
    instruction: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
#[derive(Default)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// Answers one report. `Some`: a TCP socket of this process listens now, at this address.
///
/// # Errors
/// The listener descriptor has no use any more: everything that could report has ended.
pub(super) fn answer(listener: impl AsFd) -> io::Result<Option<(Pid, SocketAddr)>> {
    let mut notification = Notification::default();
    match system::control(&listener, RECEIVE, &mut notification) {
        Ok(_) => {}
        // The caller was killed in the meantime.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => return Ok(None),
        Err(error) => return Err(error),
    }
    let [descriptor, backlog, ..] = notification.arguments;
    let mut response = Response { id: notification.id, flags: CONTINUE, ..Response::default() };
    let mut address = None;
    if let Some(socket) = tcp_socket_of(&listener, &notification, descriptor) {
        #[expect(clippy::cast_possible_truncation, reason = "the kernel reads an int from the register, too")]
        let listening = rustix::net::listen(&socket, backlog as i32);
        response.flags = 0;
        match listening {
            Ok(()) => address = rustix::net::getsockname(&socket).ok().and_then(|any| any.try_into().ok()),
            Err(error) => response.error = -error.raw_os_error(),
        }
    }
    // It fails if the caller is gone, with nobody left to be answered.
    let _ = system::control(&listener, SEND, &mut response);
    let caller = i32::try_from(notification.pid).ok().and_then(Pid::from_raw);
    Ok(caller.map(|thread| leader_of(thread).unwrap_or(thread)).zip(address))
}

/// A copy of the caller's socket, if it is a TCP socket. What is not is left to the kernel.
fn tcp_socket_of(listener: impl AsFd, notification: &Notification, descriptor: u64) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(notification.pid).ok()?)?;
    let process = rustix::process::pidfd_open(pid, THREAD)
        .or_else(|_| rustix::process::pidfd_open(leader_of(pid).unwrap_or(pid), PidfdFlags::empty()))
        .ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "the kernel reads an int from the register, too")]
    let descriptor = descriptor as i32;
    // A hostile number must not reach a function that trusts its caller to own the descriptor.
    if descriptor < 0 {
        return None;
    }
    let socket = rustix::process::pidfd_getfd(process, descriptor, PidfdGetfdFlags::empty()).ok()?;
    // The process id could have been given to another process since the report.
    let mut id = notification.id;
    system::control(listener, IS_VALID, &mut id).ok()?;
    let family = sockopt::socket_domain(&socket).ok()?;
    let is_tcp = matches!(family, AddressFamily::INET | AddressFamily::INET6)
        && sockopt::socket_type(&socket).ok()? == SocketType::STREAM;
    is_tcp.then_some(socket)
}

/// The process that a thread belongs to.
fn leader_of(thread: Pid) -> Option<Pid> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", thread.as_raw_nonzero())).ok()?;
    status.lines().find_map(|line| Pid::from_raw(line.strip_prefix("Tgid:")?.trim().parse().ok()?))
}
