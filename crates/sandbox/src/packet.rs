//! Packets with descriptors over a SOCK_SEQPACKET pair: one message in, one message out, never a part.
//! It neither knows what is in a packet nor waits: all sockets here are non-blocking, except where said.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sockopt,
};

/// Longest packet in bytes. The environment of a program is most of it.
pub(crate) const LIMIT: usize = 192 * 1024;

/// Most descriptors in one packet.
pub(crate) const DESCRIPTORS: usize = 32;

/// What was received.
#[derive(Debug)]
pub(crate) struct Received {
    /// Bytes of the buffer that are filled. Zero: the other end is gone.
    pub(crate) length: usize,
    /// Descriptors that came along; all close at exec.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Some did not fit below the limit of open files.
    pub(crate) cut: bool,
}

/// A connected pair.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (left, right) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    for end in [&left, &right] {
        // The kernel caps it; the usual cap is 208 KiB, doubled, which holds the longest packet.
        sockopt::set_socket_send_buffer_size(end, 2 * LIMIT)?;
    }
    Ok((left, right))
}

/// Sends one packet or none. `WouldBlock`: the other end has not read for long.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.is_empty() || bytes.len() > LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a packet of {} bytes", bytes.len()),
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one packet.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let result = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(buffer)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    if result.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet was longer than any may be"));
    }
    Ok(Received { length: result.bytes, descriptors, cut: result.flags.contains(ReturnFlags::CTRUNC) })
}
