//! What a server that was taken over may try, and what it gets to hear. Each succeeds without confinement.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal};

use crate::scene::{beside, data, fact};

/// What has to be there for an attack to say something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// Files that are root's.
    Root,
    /// A capability: the control keeps it.
    Capability,
    /// Refused by Landlock's scope alone.
    LandlockSignals,
}

pub struct Attack {
    pub name: &'static str,
    pub act: fn() -> io::Result<()>,
    /// The verdict of a confined server; alternatives are separated by `|`.
    pub sealed: &'static str,
    /// The verdict in the reduced mode, where it is another one.
    pub reduced: Option<&'static str>,
    pub needs: Needs,
    /// Refused by Landlock alone.
    pub by_path: bool,
    /// On which hosts even the control is refused.
    pub lacking: Option<&'static str>,
}

const fn attack(name: &'static str, act: fn() -> io::Result<()>, sealed: &'static str) -> Attack {
    Attack { name, act, sealed, reduced: None, needs: Needs::Nothing, by_path: false, lacking: None }
}

/// A file that may not be reached.
const fn file(name: &'static str, act: fn() -> io::Result<()>) -> Attack {
    Attack { by_path: true, ..attack(name, act, "EACCES") }
}

const fn roots(name: &'static str, act: fn() -> io::Result<()>) -> Attack {
    Attack { needs: Needs::Root, ..file(name, act) }
}

/// A call that is never made.
const fn call(name: &'static str, act: fn() -> io::Result<()>) -> Attack {
    attack(name, act, "EPERM")
}

const fn capability(name: &'static str, act: fn() -> io::Result<()>) -> Attack {
    Attack { needs: Needs::Capability, ..call(name, act) }
}

pub const ATTACKS: &[Attack] = &[
    // Files: by path.
    roots("core_pattern_written", || open_for_writing("/proc/sys/kernel/core_pattern")),
    roots("shadow_read", || File::open("/etc/shadow").map(drop)),
    roots("roots_home_listed", || fs::read_dir("/root").map(drop)),
    roots("schedule_added", || made_and_removed("/etc/cron.d/lambent-attack")),
    file("passwords_read", || File::open("/etc/passwd").map(drop)),
    file("file_read", || fs::read(beside("file")).map(drop)),
    file("file_written", || open_for_writing(beside("file"))),
    file("file_made", || File::create_new(beside("made")).map(drop)),
    file("file_removed", || fs::remove_file(beside("file"))),
    file("file_cut", || cut(beside("file"))),
    file("directory_made", || {
        fs::create_dir(beside("directory")).and_then(|()| fs::remove_dir(beside("directory")))
    }),
    Attack { sealed: "EACCES|EXDEV", ..file("file_moved_out", || fs::rename(data("own"), beside("moved"))) },
    Attack {
        sealed: "EACCES|EXDEV",
        ..file("file_linked_in", || fs::hard_link(beside("file"), data("link")))
    },
    file("followed_link", || {
        std::os::unix::fs::symlink(beside("file"), data("link"))?;
        File::open(data("link")).map(drop)
    }),
    file("device_opened", || File::open("/dev/zero").map(drop)),
    // Files: what Landlock does not see.
    call("mode_changed", || fs::set_permissions(beside("file"), Permissions::from_mode(0o4755))),
    call("owner_changed", || {
        std::os::unix::fs::lchown(beside("file"), None, Some(rustix::process::getgid().as_raw()))
    }),
    // Programs.
    call("program_started", || Command::new("/bin/true").status().map(drop)),
    call("program_become", || Err(Command::new("/bin/echo").arg("verdict: succeeded").exec())),
    call("process_forked", forked),
    // Other processes.
    Attack {
        by_path: true,
        ..attack("victim_memory_file", || File::open(of_victim("mem")).map(drop), "EACCES")
    },
    Attack {
        by_path: true,
        ..attack("victim_environment", || File::open(of_victim("environ")).map(drop), "EACCES")
    },
    call("victim_traced", || raw(libc::SYS_ptrace, [0x4206, victim_number(), 0, 0, 0])),
    call("victim_memory_call", read_victim),
    call("victim_descriptor", || {
        let process = rustix::process::pidfd_open(victim(), PidfdFlags::empty())?;
        Ok(rustix::process::pidfd_getfd(process, 0, PidfdGetfdFlags::empty()).map(drop)?)
    }),
    call("victim_signal", || Ok(rustix::process::test_kill_process(victim())?)),
    Attack {
        needs: Needs::LandlockSignals,
        ..call("victim_thread_signal", || raw(libc::SYS_tgkill, [victim_number(), victim_number(), 0, 0, 0]))
    },
    call("victim_handle_signal", || {
        let process = rustix::process::pidfd_open(victim(), PidfdFlags::empty())?;
        Ok(rustix::process::pidfd_send_signal(process, Signal::CONT)?)
    }),
    call("victim_limits", || raw(libc::SYS_prlimit64, [victim_number(), 7, 0, 0, 0])),
    call("shared_memory", || raw(libc::SYS_shmget, [0, 4096, 0o1600, 0, 0])),
    // Sockets.
    call("host_service", || UnixStream::connect(beside("stream")).map(drop)),
    call("host_service_by_pair", || {
        let (one, _other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::empty(), None)?;
        Ok(rustix::net::connect(&one, &SocketAddrUnix::new(beside("datagram"))?)?)
    }),
    Attack {
        reduced: Some("succeeded"),
        ..call("loopback_service", || TcpStream::connect(fact("ADDRESS")).map(drop))
    },
    // The kernel.
    capability("mount", || {
        rustix::mount::mount("none", beside(""), "tmpfs", MountFlags::empty(), None)?;
        Ok(rustix::mount::unmount(beside(""), UnmountFlags::DETACH)?)
    }),
    capability("host_name_set", || {
        // To what it is.
        let name = rustix::system::uname();
        Ok(rustix::system::sethostname(name.nodename().to_bytes())?)
    }),
    Attack {
        lacking: Some("a host whose user namespaces are root's"),
        ..call("namespace_made", || raw(libc::SYS_unshare, [0x1000_0000, 0, 0, 0, 0]))
    },
    call("key_added", || {
        raw(libc::SYS_add_key, [c"user".as_ptr() as i64, c"a".as_ptr() as i64, c"b".as_ptr() as i64, 1, -2])
    }),
    Attack { lacking: Some("a host without io_uring"), ..call("io_ring", io_ring) },
    Attack {
        sealed: "ENOSYS",
        lacking: Some("a kernel before 6.15"),
        needs: Needs::Capability,
        ..call("unnamed_call", tree_with_attributes)
    },
];

fn open_for_writing(path: impl AsRef<std::path::Path>) -> io::Result<()> {
    OpenOptions::new().write(true).open(path).map(drop)
}

fn made_and_removed(path: &str) -> io::Result<()> {
    File::create_new(path)?;
    fs::remove_file(path)
}

fn cut(path: std::path::PathBuf) -> io::Result<()> {
    let path = CString::new(path.into_os_string().into_encoded_bytes())?;
    raw(libc::SYS_truncate, [path.as_ptr() as i64, 1, 0, 0, 0])
}

fn victim() -> Pid {
    Pid::from_raw(fact("VICTIM").parse().unwrap()).unwrap()
}

fn victim_number() -> i64 {
    fact("VICTIM").parse().unwrap()
}

fn of_victim(name: &str) -> String {
    format!("/proc/{}/{name}", fact("VICTIM"))
}

/// One byte from a place where nothing is: "bad address" means that it was permitted.
fn read_victim() -> io::Result<()> {
    let mut byte = 0u8;
    let local = libc::iovec { iov_base: std::ptr::from_mut(&mut byte).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: std::ptr::dangling_mut(), iov_len: 1 };
    let result = raw(
        libc::SYS_process_vm_readv,
        [victim_number(), std::ptr::from_ref(&local) as i64, 1, std::ptr::from_ref(&remote) as i64, 1],
    );
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Ok(()),
        other => other,
    }
}

fn forked() -> io::Result<()> {
    // SAFETY: the child ends at once.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: ends this process.
        0 => unsafe { libc::_exit(0) },
        _ => Ok(()),
    }
}

fn io_ring() -> io::Result<()> {
    let mut parameters = [0u64; 15];
    raw(libc::SYS_io_uring_setup, [1, parameters.as_mut_ptr() as i64, 0, 0, 0])
}

fn tree_with_attributes() -> io::Result<()> {
    const OPEN_TREE_ATTR: i64 = 467;
    let attributes = [1u64, 0, 0, 0];
    raw(OPEN_TREE_ATTR, [-100, c"/usr".as_ptr() as i64, 1, attributes.as_ptr() as i64, 32])
}

fn raw(number: i64, [a, b, c, d, e]: [i64; 5]) -> io::Result<()> {
    // SAFETY: every pointer among the arguments leads to something that lives until the call returns.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, 0i64) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
