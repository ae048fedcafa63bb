//! What the kernel says of another process: which it is, what it shares with a third, how it ended. Read from
//! descriptors and from fixed fields of `/proc`, never from what the process itself may write (its name, its
//! arguments). It changes nothing.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::fs::{AtFlags, StatxFlags};
use rustix::process::Pid;

use crate::handle::Status;
use crate::system;

/// `STATX_MNT_ID_UNIQUE` (Linux 6.8): a number that no later mount gets.
const UNIQUE_MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// `SO_PASSPIDFD` and `SCM_PIDFD` (Linux 6.5).
const PASS_PIDFD: i32 = 76;
const SENDER: i32 = 4;

/// `PIDFD_GET_INFO` for the first version of [`Information`], and the bit for how a process ended (Linux 6.15).
const GET_INFORMATION: u64 = 0xc040_ff0b;
const EXIT: u64 = 1 << 3;

/// Kinds of `kcmp`.
const MEMORY: i32 = 1;
const DESCRIPTORS: i32 = 2;
const FILE_SYSTEM: i32 = 3;

/// `struct pidfd_info`, first version.
#[repr(C)]
#[derive(Default)]
struct Information {
    mask: u64,
    group: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// Which directory something is: its mount, and the inode on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    mount: u64,
    inode: u64,
}

/// Fields of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) parent: i32,
    /// `PF_*` of the kernel.
    pub(crate) flags: u32,
    pub(crate) threads: u32,
    /// As `wait` gives it; means something in a process that has ended.
    pub(crate) exit_code: i32,
}

/// Fields of `/proc/PID/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rights {
    /// Every capability set, joined.
    pub(crate) capabilities: u64,
    pub(crate) no_new_privileges: bool,
    pub(crate) filters: u32,
    pub(crate) user: u32,
}

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

// === impl Place ===

impl Place {
    /// Of a directory that is open.
    pub(crate) fn of(directory: impl AsFd) -> io::Result<Self> {
        let wanted = UNIQUE_MOUNT | StatxFlags::INO;
        let found = rustix::fs::statx(directory, "", AtFlags::EMPTY_PATH, wanted)?;
        if found.stx_mask & UNIQUE_MOUNT.bits() == 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self { mount: found.stx_mnt_id, inode: found.stx_ino })
    }

    /// Of the root of a process.
    pub(crate) fn root_of(pid: Pid) -> io::Result<Self> {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
        let path = format!("/proc/{}/root", pid.as_raw_nonzero());
        Self::of(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?)
    }
}

// === impl Stat ===

impl Stat {
    pub(crate) fn of(pid: Pid) -> io::Result<Self> {
        let text = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
        Self::parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The name is between parentheses and may hold any of them itself.
        let end = text.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        // The first field after the name is the third of the manual's.
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
        Some(Self {
            state: *field(3)?.as_bytes().first()?,
            parent: field(4)?.parse().ok()?,
            flags: field(9)?.parse().ok()?,
            threads: field(20)?.parse().ok()?,
            exit_code: field(52)?.parse().ok()?,
        })
    }
}

// === impl Rights ===

impl Rights {
    pub(crate) fn of(pid: Pid) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))?;
        Self::parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(text: &str) -> Option<Self> {
        // The name is the first line; the kernel writes its line ends as `\n`.
        let field = |name: &str| {
            let after = |line: &'_ str| -> Option<String> {
                Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned())
            };
            text.lines().skip(1).find_map(after)
        };
        let mut capabilities = 0;
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            capabilities |= u64::from_str_radix(&field(set)?, 16).ok()?;
        }
        Some(Self {
            capabilities,
            no_new_privileges: field("NoNewPrivs")? == "1",
            filters: field("Seccomp_filters")?.parse().ok()?,
            user: field("Uid")?.split_whitespace().next()?.parse().ok()?,
        })
    }
}

/// Whether a process is gone, ends, or will as soon as it runs: it has been killed.
pub(crate) fn is_doomed(pid: Pid) -> bool {
    const EXITING: u32 = 4;
    const KILLED: u64 = 1 << (libc::SIGKILL - 1);
    let Ok(stat) = Stat::of(pid) else { return true };
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let pending = |line: &str| {
        let set = line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"))?;
        u64::from_str_radix(set.trim(), 16).ok()
    };
    let killed = status.lines().skip(1).filter_map(pending).any(|set| set & KILLED != 0);
    matches!(stat.state, b'Z' | b'X') || stat.flags & EXITING != 0 || killed
}

/// The process id of an open process; `None` once it has been reaped.
pub(crate) fn number_of(process: impl AsFd) -> Option<Pid> {
    let path = format!("/proc/self/fdinfo/{}", process.as_fd().as_raw_fd());
    let text = fs::read_to_string(path).ok()?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())?;
    // Minus one: reaped.
    if number > 0 { Pid::from_raw(number) } else { None }
}

/// Whether a process has not been reaped yet.
pub(crate) fn is_there(process: impl AsFd) -> bool {
    let process = process.as_fd().as_raw_fd();
    // SAFETY: integers and a null pointer; signal 0 is only checked for.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process, 0, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    result == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// How a process ended that need not be our child: while it is a zombie from its `stat`, later from the kernel's memory
/// of it. `None`: reaped, on a kernel that does not remember.
pub(crate) fn ending(process: impl AsFd) -> Option<Status> {
    if let Some(stat) = number_of(&process).and_then(|pid| Stat::of(pid).ok())
        && stat.state == b'Z'
        && is_there(&process)
    {
        return Some(described(stat.exit_code));
    }
    let mut information = Information { mask: EXIT, ..Information::default() };
    system::control(process, GET_INFORMATION, &mut information).ok()?;
    (information.mask & EXIT != 0).then(|| described(information.exit_code))
}

fn described(code: i32) -> Status {
    match code & 0x7f {
        0 => Status::Exited(code >> 8 & 0xff),
        signal => Status::Signaled(signal),
    }
}

/// Whether two processes share their memory, descriptors, or root and working directory.
pub(crate) fn share_anything(one: Pid, other: Pid) -> io::Result<bool> {
    for kind in [MEMORY, DESCRIPTORS, FILE_SYSTEM] {
        let (one, other) = (one.as_raw_nonzero().get(), other.as_raw_nonzero().get());
        // SAFETY: integers only.
        let result = unsafe { libc::syscall(libc::SYS_kcmp, one, other, kind, 0, 0) };
        match result {
            0 => return Ok(true),
            1.. => {}
            _ => return Err(io::Error::last_os_error()),
        }
    }
    Ok(false)
}

/// CPU time of every thread that a process has now, in microseconds. Zero where it cannot be read.
pub(crate) fn cpu_micros(pid: Pid) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else { return 0 };
    let of_thread = |thread: fs::DirEntry| -> Option<u64> {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    threads.flatten().filter_map(of_thread).sum::<u64>() / 1000
}

/// The file with the CPU time of a process's first thread.
pub(crate) fn clock(pid: Pid) -> Option<OwnedFd> {
    fs::File::open(format!("/proc/{}/schedstat", pid.as_raw_nonzero())).ok().map(OwnedFd::from)
}

/// Memory that a process has made its own, in bytes. Zero where it cannot be read.
pub(crate) fn anonymous_bytes(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let kilobytes =
        |line: &str| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
    text.lines().skip(1).find_map(kilobytes).unwrap_or_default() << 10
}

/// The children of every thread of a process.
pub(crate) fn children_of(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else { return Vec::new() };
    let list = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).ok();
    let lists: Vec<String> = threads.flatten().filter_map(list).collect();
    lists.iter().flat_map(|list| list.split_whitespace()).filter_map(parse).collect()
}

/// A process id in decimal.
pub(crate) fn parse(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok().filter(|&number| number > 0)?)
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

    #[test]
    fn a_hostile_name_moves_no_field() {
        let mut line = b"12 (a) R 1 1) Z 7 ".to_vec();
        line.extend((5..=52).map(|field| format!("{field} ")).collect::<String>().bytes());
        let stat = Stat::parse(&line).unwrap();
        assert_eq!(stat, Stat { state: b'Z', parent: 7, flags: 9, threads: 20, exit_code: 52 });
        let status = "Name:\tCapEff:\\nThreads:\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t20\nCapBnd:\t0\nCapAmb:\t0\n\
                      NoNewPrivs:\t1\nSeccomp_filters:\t4\nUid:\t1000\t1000\t1000\t1000\n";
        let rights = Rights::parse(status).unwrap();
        assert_eq!(rights, Rights { capabilities: 0x20, no_new_privileges: true, filters: 4, user: 1000 });
    }

    #[test]
    fn an_end_is_told_while_it_is_a_zombie_and_after() {
        let mut child = std::process::Command::new("/bin/sh").args(["-c", "exit 7"]).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        rustix::event::poll(&mut [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)], None)
            .unwrap();
        assert_eq!(number_of(&process), Some(pid));
        assert_eq!(ending(&process), Some(Status::Exited(7)));
        child.wait().unwrap();
        assert_eq!(number_of(&process), None);
        assert!(!is_there(&process));
        // Older kernels forget.
        assert!(matches!(ending(&process), Some(Status::Exited(7)) | None));
    }

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
