//! What the kernel says of the other end of a socket, and of a socket of another process: who has sent something, who has
//! made it, how far a connection is. It changes nothing.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Pid;

/// `SO_PASSPIDFD` and `SCM_PIDFD` (Linux 6.5).
const PASS_PIDFD: i32 = 76;
const SENDER: i32 = 4;

/// What has come over a socket on which one process reports.
#[derive(Debug)]
pub(crate) enum Hello {
    /// A byte from this process.
    From(OwnedFd),
    /// Nobody can send any more.
    Closed,
}

/// How far a TCP socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcpState {
    /// It listens, or has never been connected.
    Unconnected,
    /// It is connected, or on the way to that or from it.
    Connected,
    /// It was connected and is not any more.
    Over,
}

/// Who has made the other end of a unix socket: of a pair that is the process which made the pair.
pub(crate) fn maker_of_peer(socket: impl AsFd) -> Option<Pid> {
    let mut who = libc::ucred { pid: 0, uid: 0, gid: 0 };
    socket_option(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut who).ok()?;
    // Zero: it is not connected. Minus one and the like: not of this pid namespace.
    if who.pid > 0 { Pid::from_raw(who.pid) } else { None }
}

/// How far a TCP socket is.
pub(crate) fn tcp_state(socket: impl AsFd) -> Option<TcpState> {
    const CLOSED: u8 = 7;
    const LISTENING: u8 = 10;
    // The beginning of `struct tcp_info`: the state, and at 5 what was agreed on with the other end.
    let mut information = [0u8; 8];
    socket_option(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut information).ok()?;
    let [state, _, _, _, _, agreed, ..] = information;
    Some(match (state, agreed) {
        (LISTENING, _) | (CLOSED, 0) => TcpState::Unconnected,
        (CLOSED, _) => TcpState::Over,
        _ => TcpState::Connected,
    })
}

/// Reads an option that is a plain structure.
fn socket_option<T>(socket: impl AsFd, level: i32, option: i32, value: &mut T) -> io::Result<()> {
    let mut size = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: every caller pairs the option with the beginning of the structure that the kernel defines for it, of which
    // it writes no more than the size given.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            std::ptr::from_mut(value).cast(),
            &raw mut size,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes a socket tell who has sent what it receives.
pub(crate) fn ask_for_sender(socket: impl AsFd) -> io::Result<()> {
    let yes: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or_default();
    // SAFETY: the value lives until the call returns, the size is its own.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            PASS_PIDFD,
            std::ptr::from_ref(&yes).cast(),
            size,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives from a socket that tells its senders. `None`: a packet without a sender.
///
/// # Errors
/// `WouldBlock` while nothing has come.
pub(crate) fn hello(socket: impl AsFd) -> io::Result<Option<Hello>> {
    let mut byte = [0u8; 16];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    let mut space = [MaybeUninit::<u64>::zeroed(); 16];
    // SAFETY: a message header of zeroes is an empty one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = space.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&space);
    // SAFETY: the header points at buffers that live until the call returns, with their sizes.
    let length =
        unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    if length < 0 {
        return Err(io::Error::last_os_error());
    }
    let sender = descriptors_in(&message).into_iter().fold(None, |found, (kind, descriptor)| {
        // Whatever else has come is closed.
        if kind == SENDER { Some(descriptor) } else { found }
    });
    Ok(match (length, sender) {
        (0, _) => Some(Hello::Closed),
        (_, Some(sender)) => Some(Hello::From(sender)),
        (_, None) => None,
    })
}

/// Every descriptor that came along, owned, with the kind of its message.
fn descriptors_in(message: &libc::msghdr) -> Vec<(i32, OwnedFd)> {
    let mut found = Vec::new();
    // SAFETY: the kernel has filled the header and its buffer, which are still there.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null, or one whole header in the buffer.
    while let Some(header) = unsafe { next.as_ref() } {
        if header.cmsg_level == libc::SOL_SOCKET
            && (header.cmsg_type == SENDER || header.cmsg_type == libc::SCM_RIGHTS)
        {
            // SAFETY: the data of this header begin there.
            let data = unsafe { libc::CMSG_DATA(header) };
            let bytes = header.cmsg_len.saturating_sub(data as usize - std::ptr::from_ref(header) as usize);
            for index in 0..bytes / size_of::<RawFd>() {
                // SAFETY: below the length that the kernel gave.
                let place = unsafe { data.cast::<RawFd>().add(index) };
                // SAFETY: a whole number is there; it need not be aligned.
                let number = unsafe { place.read_unaligned() };
                if number >= 0 {
                    // SAFETY: just received and owned by nobody else.
                    found.push((header.cmsg_type, unsafe { OwnedFd::from_raw_fd(number) }));
                }
            }
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::number_of;

    #[test]
    fn a_sender_is_named_by_the_kernel() {
        let (ours, theirs) = crate::packet::pair().unwrap();
        ask_for_sender(&ours).unwrap();
        assert_eq!(hello(&ours).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        crate::packet::send(&theirs, b"h", &[theirs.as_fd()]).unwrap();
        let Ok(Some(Hello::From(sender))) = hello(&ours) else { panic!("no sender") };
        assert_eq!(number_of(sender), Some(rustix::process::getpid()));
        drop(theirs);
        assert!(matches!(hello(&ours), Ok(Some(Hello::Closed))));
    }
}
