//! What the kernel says of another process: which it is, what it shares with a third, how it ended. Read from
//! descriptors and from fixed fields of `/proc`, never from what the process itself may write (its name, its
//! arguments). It changes nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, StatxFlags};
use rustix::process::Pid;

use crate::handle::Status;
use crate::system;

/// `STATX_MNT_ID_UNIQUE` (Linux 6.8): a number that no later mount gets.
const UNIQUE_MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// `PIDFD_GET_INFO` for the first version of [`Information`] (Linux 6.13), and the bits for ids and for how a process
/// ended (Linux 6.15).
const GET_INFORMATION: u64 = 0xc040_ff0b;
const IDS: u64 = 1;
const EXIT: u64 = 1 << 3;

/// Longer than any file of `/proc` that is read here: the kernel makes the whole of it for each reading.
const FILE: usize = 8192;

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
        Self::parse(&file(pid, "stat")?).ok_or_else(|| io::ErrorKind::InvalidData.into())
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
        Self::parse(&String::from_utf8_lossy(&file(pid, "status")?))
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
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

/// A file of a process, in one piece.
fn file(pid: Pid, name: &str) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; FILE];
    let length = File::open(format!("/proc/{}/{name}", pid.as_raw_nonzero()))?.read(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
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
    let mut information = Information { mask: IDS, ..Information::default() };
    match system::control(&process, GET_INFORMATION, &mut information) {
        Ok(_) => return Pid::from_raw(i32::try_from(*information.ids.first()?).ok()?),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return None,
        // Before Linux 6.13.
        Err(_) => {}
    }
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
    File::open(format!("/proc/{}/schedstat", pid.as_raw_nonzero())).ok().map(OwnedFd::from)
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
}
