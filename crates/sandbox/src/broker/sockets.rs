//! Sockets inside a sandbox for the server: unconnected ones in batches, and one listener. A socket stays in
//! the network namespace it was made in, so the server may use it without ever entering.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::thread::LinkNameSpaceType;

use crate::failure::{At, Failure};
use crate::protocol::Family;

/// Sockets in one batch. The server asks for more when few are left.
pub(super) const BATCH: usize = 8;

/// IPv6 sockets that come with a start: most programs listen on IPv4.
pub(super) const FIRST_V6: usize = 2;

/// Longest queue of connections to the server's own listener.
const BACKLOG: i32 = 128;

/// Runs something inside a network namespace and comes back. With no namespace: here.
pub(super) fn inside<T>(
    namespace: Option<&OwnedFd>,
    home: BorrowedFd<'_>,
    make: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Some(namespace) = namespace else { return make() };
    let enter = |which: BorrowedFd<'_>| {
        rustix::thread::move_into_link_name_space(which, Some(LinkNameSpaceType::Network))
    };
    enter(namespace.as_fd()).at(|| "enter the network namespace")?;
    let made = make();
    enter(home).at(|| "leave the network namespace")?;
    made
}

/// Unconnected sockets. Fewer than asked for where the family is not there (no IPv6).
pub(super) fn unconnected(family: Family, count: usize) -> Result<Vec<OwnedFd>, Failure> {
    let domain = match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
    };
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match rustix::net::socket_with(domain, SocketType::STREAM, flags, None) {
            Ok(socket) => sockets.push(socket),
            Err(rustix::io::Errno::AFNOSUPPORT) => break,
            Err(error) => return Err(error).at(|| "make a socket inside"),
        }
    }
    Ok(sockets)
}

/// A listener for the server.
pub(super) fn listener(address: SocketAddr) -> Result<OwnedFd, Failure> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let step = || format!("listen on {address} inside");
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).at(step)?;
    sockopt::set_socket_reuseaddr(&socket, true).at(step)?;
    rustix::net::bind(&socket, &address).at(step)?;
    rustix::net::listen(&socket, BACKLOG).at(step)?;
    Ok(socket)
}
